import type { FilePlan } from './export-folder.js';

/** A file of known content. */
export function bytesFile(name: string, bytes: Uint8Array): FilePlan {
  return {
    name,
    bytes: bytes.length,
    async produce(sink) {
      await sink.write(bytes);
      return [];
    },
  };
}

/** JSON as the Hugging Face libraries write it. */
export function jsonFile(name: string, value: unknown): FilePlan {
  return bytesFile(name, Buffer.from(`${JSON.stringify(value, null, 2)}\n`, 'utf8'));
}
