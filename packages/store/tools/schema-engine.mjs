import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { PrismaPg } from '@prisma/adapter-pg';
import { bindMigrationAwareSqlAdapterFactory } from '@prisma/driver-adapter-utils';

/** OID of the catalogue type "char", which adapter-pg cannot name, and that of text, which it can. */
const CHAR_OID = 18;
const TEXT_OID = 25;
/** ColumnTypeEnum.Character of @prisma/driver-adapter-utils: what the engine expects for "char". */
const CHARACTER = 6;

/** adapter-pg whose results may hold columns of type "char": the engine's catalogue queries select such columns. */
class CataloguePg extends PrismaPg {
  async connect() {
    const adapter = await super.connect();
    const { performIO, queryRaw } = adapter;
    const charColumns = new WeakMap();
    adapter.performIO = async (query) => {
      const result = await performIO.call(adapter, query);
      const found = [];
      for (const [index, field] of (result.fields ?? []).entries()) {
        if (field.dataTypeID !== CHAR_OID) continue;
        field.dataTypeID = TEXT_OID;
        found.push(index);
      }
      charColumns.set(query, found);
      return result;
    };
    adapter.queryRaw = async (query) => {
      const result = await queryRaw.call(adapter, query);
      for (const index of charColumns.get(query) ?? []) result.columnTypes[index] = CHARACTER;
      return result;
    };
    return adapter;
  }
}

/**
 * Prisma's schema engine from its npm package (WebAssembly), without the native binary that the CLI downloads.
 * @param {string} databaseUrl the database the engine looks at
 * @param {string} schemaFile path of schema.prisma
 */
export async function openSchemaEngine(databaseUrl, schemaFile) {
  const schema = await readFile(schemaFile, 'utf8');
  const folder = path.dirname(createRequire(import.meta.url).resolve('@prisma/schema-engine-wasm'));
  const bindings = await import(pathToFileURL(path.join(folder, 'schema_engine_bg.js')).href);
  const module = await readFile(path.join(folder, 'schema_engine_bg.wasm'));
  globalThis.PRISMA_WASM_PANIC_REGISTRY = {
    set_message(message) {
      throw new Error(`the schema engine panicked: ${message}`);
    },
  };
  const { instance } = await WebAssembly.instantiate(module, { './schema_engine_bg.js': bindings });
  bindings.__wbg_set_wasm(instance.exports);
  instance.exports.__wbindgen_start();
  const adapter = bindMigrationAwareSqlAdapterFactory(new CataloguePg({ connectionString: databaseUrl }));
  const engine = await bindings.SchemaEngine.new({ datamodels: [[schemaFile, schema]] }, () => {}, adapter);
  const wanted = { tag: 'schemaDatamodel', files: [{ path: schemaFile, content: schema }] };
  const found = { ...wanted, tag: 'schemaDatasource', configDir: path.dirname(schemaFile) };
  const diff = async (from, to, script) => {
    const filters = { externalTables: ['public._prisma_migrations'], externalEnums: [] };
    const result = await engine.diff({ from, to, script, exitCode: true, filters, shadowDatabaseUrl: null });
    return { equal: result.exitCode === 0, text: result.stdout ?? '' };
  };
  return {
    /** SQL that brings the database to schema.prisma; `equal` when there is nothing to do. */
    toSchema: () => diff(found, wanted, true),
    /** SQL that makes schema.prisma from nothing. */
    fromEmpty: () => diff({ tag: 'empty' }, wanted, true),
    close: () => engine.free(),
  };
}
