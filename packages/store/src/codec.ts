import { promisify } from 'node:util';
import { brotliCompress, brotliDecompress, constants } from 'node:zlib';
import { ErrataError } from '@errata/contracts';

const compress = promisify(brotliCompress);
const decompress = promisify(brotliDecompress);
/** The fastest quality that sees repetitions: higher ones save no more of floating-point numbers. */
const QUALITY = 1;
/** Share of its bytes that a chunk has to save to be kept compressed. */
const LEAST_GAIN = 0.05;

/** How a chunk is stored: as it is, or the k-th bytes of all its elements side by side and compressed. */
export type Codec = 'none' | 'brotli-4' | 'brotli-8';

function shuffled(bytes: Buffer, width: number): Buffer {
  const count = bytes.length / width;
  const out = Buffer.allocUnsafe(bytes.length);
  for (let k = 0; k < width; k++)
    for (let i = 0, from = k, to = k * count; i < count; i++, from += width) out[to + i] = bytes[from];
  return out;
}

function unshuffled(bytes: Buffer, width: number): Buffer {
  const count = bytes.length / width;
  const out = Buffer.allocUnsafe(bytes.length);
  for (let k = 0; k < width; k++)
    for (let i = 0, to = k, from = k * count; i < count; i++, to += width) out[to] = bytes[from + i];
  return out;
}

/** A chunk of elements of 4 or 8 bytes, compressed where that saves enough. */
export async function encodeChunk(bytes: Buffer, width: 4 | 8): Promise<{ codec: Codec; body: Buffer }> {
  const params = { [constants.BROTLI_PARAM_QUALITY]: QUALITY, [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  const body = await compress(shuffled(bytes, width), { params });
  return body.length <= (1 - LEAST_GAIN) * bytes.length
    ? { codec: width === 4 ? 'brotli-4' : 'brotli-8', body }
    : { codec: 'none', body: bytes };
}

/** @param size of the chunk @throws ErrataError LOG_CORRUPT what is stored is no chunk of this size */
export async function decodeChunk(codec: string, body: Buffer, size: number): Promise<Buffer> {
  if (codec === 'none') return body;
  const width = codec === 'brotli-4' ? 4 : codec === 'brotli-8' ? 8 : null;
  if (width === null) throw new ErrataError('LOG_CORRUPT', `a chunk is stored as ${JSON.stringify(codec)}`);
  try {
    return unshuffled(await decompress(body, { maxOutputLength: size }), width);
  } catch (cause) {
    throw new ErrataError('LOG_CORRUPT', 'a chunk cannot be decompressed', { cause });
  }
}
