#!/usr/bin/env node
// Stands where Prisma's generate expects its migration engine, which generating never uses: without it Prisma would
// download one from a host of its own.
process.exit(0);
