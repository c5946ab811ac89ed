export { adapterFiles } from './adapter.js';
export { readAdapter } from './adapter-reader.js';
export { adoptAdapter } from './adopt.js';
export { ExportFolder, manifestName } from './export-folder.js';
export { type ExportIdentity, type ExportOptions, type ExportProgress, exportModel } from './export-model.js';
export { type FactorColumns, joinFactors, type LayerFactors } from './factors.js';
export { type ImportedAdapter, readImport } from './import-adapter.js';
export type { ExportSource } from './source.js';
