import type { Pause } from '@errata/model';
import type { FilePlan, Sink } from './export-folder.js';
import { bytesOf, type NumberFormat } from './number-formats.js';
import type { LayerRecord } from './source.js';

/** Values encoded at a time. */
const valuesAtOnce = 1024 * 1024;

/** A tensor to be written. */
export interface TensorPlan {
  readonly name: string;
  readonly shape: readonly number[];
  /** Its values, row-major, and what was found out of layers on the way; called once, when its turn comes. */
  readonly load: () => Promise<{ readonly values: Float32Array; readonly records?: readonly LayerRecord[] }>;
}

/** Number of values of a shape. */
export function valuesOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/**
 * A safetensors file of the given tensors in the given order (huggingface.co/docs/safetensors, "Format"): one tensor is
 * held at a time. Metadata say "pt", as transformers asks for.
 */
export function safetensorsFile(
  name: string,
  tensors: readonly TensorPlan[],
  format: NumberFormat,
  pause: Pause,
): FilePlan {
  const header = headerOf(tensors, format);
  const data = tensors.reduce((sum, { shape }) => sum + bytesOf(format, valuesOf(shape)), 0);
  return {
    name,
    bytes: header.length + data,
    async produce(sink) {
      await sink.write(header);
      const found: LayerRecord[] = [];
      for (const tensor of tensors) {
        const { values, records = [] } = await tensor.load();
        found.push(...records);
        await writeValues(sink, values, format, pause);
      }
      return found;
    },
  };
}

/** Writes values in a format, piece by piece. */
export async function writeValues(sink: Sink, values: Float32Array, format: NumberFormat, pause: Pause): Promise<void> {
  for (let at = 0; at < values.length; at += valuesAtOnce) {
    await sink.write(format.encode(values.subarray(at, at + valuesAtOnce)));
    await pause();
  }
}

/** The length of the header, and the header, padded with spaces so that the data begin at a multiple of 8. */
function headerOf(tensors: readonly TensorPlan[], format: NumberFormat): Uint8Array {
  const entries: Record<string, unknown> = { __metadata__: { format: 'pt' } };
  let end = 0;
  for (const { name, shape } of tensors) {
    const from = end;
    end += bytesOf(format, valuesOf(shape));
    entries[name] = { dtype: format.safetensors, shape, data_offsets: [from, end] };
  }
  const text = Buffer.from(JSON.stringify(entries), 'utf8');
  const padded = Buffer.alloc(8 + Math.ceil(text.length / 8) * 8, ' ');
  padded.writeBigUInt64LE(BigInt(padded.length - 8), 0);
  text.copy(padded, 8);
  return padded;
}
