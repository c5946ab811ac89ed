import { openGguf, tokenizerFromGguf } from '@errata/model';
import type { Check } from './types.js';

/** Compares the ids of each text, `{cases: [{text, ids}]}`, with the tokenizer of the model file; exact. */
export const checkTokenizer: Check = async (json, { modelPath }) => {
  const cases = readCases(json);
  const tokenizer = tokenizerFromGguf(await openGguf(modelPath));
  const mismatches = cases.filter(({ text, ids }) => tokenizer.ids(text).join() !== ids.join()).length;
  return { cases: cases.length, mismatches, pass: mismatches === 0 };
};

function readCases(json: unknown): { text: string; ids: number[] }[] {
  const cases = (json as { cases?: unknown } | null)?.cases;
  if (!Array.isArray(cases) || cases.length === 0)
    throw new Error('a tokenizer fixture needs a non-empty list "cases"');
  cases.forEach((entry: { text?: unknown; ids?: unknown } | null, i) => {
    if (typeof entry?.text !== 'string' || !Array.isArray(entry.ids))
      throw new Error(`cases[${i}] needs a string "text" and a list "ids"`);
  });
  return cases as { text: string; ids: number[] }[];
}
