import { defineConfig } from 'prisma/config';

// biome-ignore lint/style/noDefaultExport: Prisma reads its configuration from the default export
export default defineConfig({
  schema: 'prisma/schema.prisma',
  migrations: { path: 'prisma/migrations' },
  // biome-ignore lint/suspicious/noUndeclaredEnvVars: read by Prisma's command line, not by a task of turbo
  datasource: { url: process.env.DATABASE_URL ?? 'postgresql://127.0.0.1:5432/errata' },
});
