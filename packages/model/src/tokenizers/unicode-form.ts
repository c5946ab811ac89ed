import { type Aligned, AlignedBuilder } from './aligned.js';

/** A character with the marks and syllable parts behind it. */
const clusters = /[\u1100-\u115f\uac00-\ud7a3][\u1160-\u11ff]*\p{M}*|\P{M}\p{M}*|\p{M}+/gu;

/**
 * Normalises a text (UAX #15). Where that changes a character with its marks, what comes of them stands for all of them.
 */
export function unicodeForm(piece: Aligned, form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): Aligned {
  const { text, starts, ends, at } = piece;
  const wanted = text.normalize(form);
  if (wanted === text) return piece;
  const builder = new AlignedBuilder();
  let from = 0;
  for (const part of independent(text, form)) {
    const to = from + part.length;
    const normal = part.normalize(form);
    if (normal === part) builder.copy(piece, from, to);
    else builder.add(normal, starts[at + from], ends[at + to - 1]);
    from = to;
  }
  const done = builder.done();
  if (done.text === wanted) return done;
  const whole = new AlignedBuilder();
  whole.add(wanted, starts[at], ends[at + text.length - 1]);
  return whole.done();
}

/** Stretches of a text that do not change each other. */
function independent(text: string, form: string): string[] {
  const parts: string[] = [];
  let last = '';
  let lastNormal = '';
  for (const [part] of text.matchAll(clusters)) {
    const normal = part.normalize(form);
    const joined = (last + part).normalize(form);
    if (last !== '' && joined === lastNormal + normal) parts.push(last);
    const apart = joined === lastNormal + normal;
    last = apart ? part : last + part;
    lastNormal = apart ? normal : joined;
  }
  return last === '' ? parts : [...parts, last];
}
