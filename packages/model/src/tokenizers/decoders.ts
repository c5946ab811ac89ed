import { charToByte } from '../byte-alphabet.js';
import { type JsonObject, list, object, string } from './json.js';
import { patternOf } from './pattern.js';
import { prependScheme } from './pre-tokenizers.js';
import { unsupported } from './refusal.js';
import type { Decoder } from './types.js';

const supported = ['ByteLevel', 'Metaspace', 'Sequence of Replace, ByteFallback, Fuse, Strip'];
const encoder = new TextEncoder();
const byteTokenName = /^<0x([0-9A-Fa-f]{2})>$/;

/**
 * The `decoder` entry of tokenizer.json.
 * @throws ModelError UNSUPPORTED_FORMAT, FILE_MALFORMED
 */
export function decoderOf(path: string, entry: unknown): Decoder {
  if (entry === null || entry === undefined) throw unsupported(path, 'the decoder', null, supported);
  const step = object(path, 'the decoder', entry);
  switch (step.type) {
    case 'ByteLevel':
      return byteLevelDecoder;
    case 'Metaspace': {
      const replacement = string(path, 'replacement', step.replacement);
      const leadingSpaces = prependScheme(path, step) === 'never' ? 0 : 1;
      return textDecoder({
        rewrite: (token) => token.replaceAll(replacement, ' '),
        byteFallback: false,
        leadingSpaces,
      });
    }
    case 'Sequence':
      return sequenceDecoder(
        path,
        list(path, 'decoders', step.decoders).map((each) => object(path, 'a decoder', each)),
      );
    default:
      throw unsupported(path, 'the decoder', step.type, supported);
  }
}

/** Tokens in GPT-2's alphabet of bytes; added tokens are text as it is. */
export const byteLevelDecoder: Decoder = {
  leadingSpaces: 0,
  bytes(token, added) {
    const bytes = added ? [] : Array.from(token, (char) => charToByte.get(char));
    return added || bytes.includes(undefined) ? encoder.encode(token) : Uint8Array.from(bytes as number[]);
  },
};

/** Tokens that are text after a rewriting, or bytes by their names. */
export function textDecoder(options: {
  readonly rewrite: (token: string) => string;
  readonly byteFallback: boolean;
  readonly leadingSpaces: number;
}): Decoder {
  return {
    leadingSpaces: options.leadingSpaces,
    bytes(token) {
      const byte = options.byteFallback ? byteTokenName.exec(token) : null;
      return byte ? Uint8Array.of(Number.parseInt(byte[1], 16)) : encoder.encode(options.rewrite(token));
    },
  };
}

function sequenceDecoder(path: string, steps: readonly JsonObject[]): Decoder {
  if (steps.length === 1) return decoderOf(path, steps[0]);
  const rewrites: ((token: string) => string)[] = [];
  let byteFallback = false;
  let fused = false;
  let leadingSpaces = 0;
  for (const step of steps) {
    if (step.type === 'Replace' && !byteFallback && !fused) {
      const pattern = patternOf(path, step);
      const content = string(path, 'content', step.content);
      rewrites.push((token) => token.replace(pattern, () => content));
    } else if (step.type === 'ByteFallback' && !fused) byteFallback = true;
    else if (step.type === 'Fuse') fused = true;
    else if (step.type === 'Strip' && fused && step.content === ' ' && (step.stop ?? 0) === 0)
      leadingSpaces = Number(step.start ?? 0);
    else throw unsupported(path, `at this place of the decoder's sequence`, step.type, supported);
  }
  return textDecoder({
    rewrite: (token) => rewrites.reduce((text, rewrite) => rewrite(text), token),
    byteFallback,
    leadingSpaces,
  });
}
