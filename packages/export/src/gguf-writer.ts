import { type FileHandle, open } from 'node:fs/promises';
import { basename } from 'node:path';
import { ErrataError } from '@errata/contracts';
import { type GgufFile, type GgufTensor, openGguf, type Pause, readTensor, tensorFormats } from '@errata/model';
import { applyDelta, type DeltaLoss } from './apply-delta.js';
import type { FilePlan, Sink } from './export-folder.js';
import type { LayerFactors } from './factors.js';
import { bytesOf, type NumberFormat } from './number-formats.js';
import { writeValues } from './safetensors-writer.js';
import type { ExportSource, LayerRecord } from './source.js';

/** Bytes copied at a time. */
const copyBytes = 4 * 1024 * 1024;

interface Placed {
  readonly tensor: GgufTensor;
  readonly factors: LayerFactors | undefined;
  /** ggml_type */
  readonly type: number;
  readonly bytes: number;
  /** From the start of the data. */
  readonly offset: number;
}

/**
 * The base GGUF file with the edited tensors in `format`: metadata and all other tensors are copied byte for byte, the
 * list of tensors is written again with the new types and offsets (ggml's gguf.md, "File structure").
 * @throws EXPORT_UNSUPPORTED the base is no GGUF file, or a row does not fill blocks of the format
 */
export async function planGguf(source: ExportSource, options: { format: NumberFormat }): Promise<FilePlan[]> {
  const { files, architecture, pause } = source;
  const { gguf } = architecture.family;
  if (files.kind !== 'gguf' || !gguf)
    throw new ErrataError(
      'EXPORT_UNSUPPORTED',
      'a GGUF export is the base file with edited tensors, and this base is a Hugging Face folder: export safetensors and convert them with llama.cpp’s convert_hf_to_gguf.py',
    );
  const file = await openGguf(files.path);
  const edited = new Map(
    source.layers.map((factors) => [`${gguf.tensors.layer.down.replace('{}', String(factors.layer))}.weight`, factors]),
  );
  const placed = place(file, edited, options.format);
  const header = await headerOf(file, placed);
  const last = placed.at(-1);
  const plan: FilePlan = {
    name: basename(files.path),
    bytes: header.length + (last ? align(last.offset + last.bytes, file.alignment) : 0),
    async produce(sink) {
      const records: LayerRecord[] = [];
      const handle = await open(file.path, 'r');
      try {
        await sink.write(header);
        for (const each of placed) {
          if (each.factors)
            records.push(await writeEdited(sink, file, each.tensor, each.factors, options.format, pause));
          else await copy(handle, sink, each.tensor, pause);
          await sink.write(new Uint8Array(align(each.bytes, file.alignment) - each.bytes));
        }
      } finally {
        await handle.close();
      }
      return records;
    },
  };
  return [plan];
}

function place(file: GgufFile, edited: ReadonlyMap<string, LayerFactors>, format: NumberFormat): Placed[] {
  const typeOf = new Map([...tensorFormats].map(([type, { name }]) => [name, type]));
  let offset = 0;
  return [...file.tensors.values()].map((tensor) => {
    const factors = edited.get(tensor.name);
    if (factors && factors.inputs % format.blockValues !== 0)
      throw new ErrataError(
        'EXPORT_UNSUPPORTED',
        `${tensor.name} has rows of ${factors.inputs} values, ${format.dtype} stores ${format.blockValues} at a time: export as fp32 or fp16`,
      );
    const type = factors ? format.ggml : (typeOf.get(tensor.format.name) as number);
    const bytes = factors ? bytesOf(format, tensor.values) : tensor.bytes;
    const placed = { tensor, factors, type, bytes, offset };
    offset = align(offset + bytes, file.alignment);
    return placed;
  });
}

/** Everything before the data, the new list of tensors in it. */
async function headerOf(file: GgufFile, placed: readonly Placed[]): Promise<Uint8Array> {
  const [listStart, listEnd] = file.listRange;
  const header = Buffer.alloc(align(listEnd, file.alignment));
  const handle = await open(file.path, 'r');
  try {
    await handle.read(header, 0, listStart, 0);
  } finally {
    await handle.close();
  }
  let at = listStart;
  for (const { tensor, type, offset } of placed) {
    const name = Buffer.from(tensor.name, 'utf8');
    at = header.writeBigUInt64LE(BigInt(name.length), at);
    at += name.copy(header, at);
    at = header.writeUInt32LE(tensor.shape.length, at);
    for (const dimension of [...tensor.shape].reverse()) at = header.writeBigUInt64LE(BigInt(dimension), at);
    at = header.writeUInt32LE(type, at);
    at = header.writeBigUInt64LE(BigInt(offset), at);
  }
  if (at !== listEnd)
    throw new ErrataError('EXPORT_UNSUPPORTED', `${file.path}: the list of tensors cannot be written again as it is`);
  return header;
}

async function writeEdited(
  sink: Sink,
  file: GgufFile,
  tensor: GgufTensor,
  factors: LayerFactors,
  format: NumberFormat,
  pause: Pause,
): Promise<LayerRecord> {
  const weight = readTensor(file, tensor);
  const loss = await applyDelta(weight, factors, format, pause);
  await writeValues(sink, weight, format, pause);
  return recordOf(factors, loss);
}

/** What storing a whole layer left of its change. */
export function recordOf({ layer, rank }: LayerFactors, { deltaNorm, errorNorm }: DeltaLoss): LayerRecord {
  return { layer, columns: rank, rank, relativeError: deltaNorm === 0 ? 0 : errorNorm / deltaNorm };
}

async function copy(handle: FileHandle, sink: Sink, tensor: GgufTensor, pause: Pause): Promise<void> {
  const buffer = new Uint8Array(Math.min(copyBytes, tensor.bytes));
  for (let done = 0; done < tensor.bytes; ) {
    const wanted = Math.min(buffer.length, tensor.bytes - done);
    const { bytesRead } = await handle.read(buffer, 0, wanted, tensor.offset + done);
    if (bytesRead === 0)
      throw new ErrataError('EXPORT_UNSUPPORTED', `the base file ends in the tensor ${tensor.name}; it has changed`);
    await sink.write(buffer.subarray(0, bytesRead));
    done += bytesRead;
    await pause();
  }
}

function align(bytes: number, alignment: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}
