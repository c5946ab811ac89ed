import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findJsonFault } from './json-fault.js';

const isJson = (text: string) => {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
};

test.each([
  ['', 0, 'expected value but the text ends'],
  ['{"a" 1}', 5, 'expected : but found "1}"'],
  ['{"a":1,}', 7, 'expected name but found "}"'],
  ['[1 2]', 3, 'expected , or ] but found "2]"'],
  ['{"a":tru}', 5, 'expected value but found "tru}"'],
  ['"a\nb"', 2, 'expected the rest of a string but found "\\nb\\""'],
  ['"a\\x"', 2, 'expected the rest of a string but found "\\\\x\\""'],
  ['1 2', 2, 'expected end of the text but found "2"'],
  ['{"a":1', 6, 'expected , or } but the text ends'],
  ["{'a':1}", 1, `expected name or } but found "'a':1}"`],
])('%j fails at %i', (text, position, message) => {
  expect(findJsonFault(text)).toMatchObject({ position, message });
});

test('line and column count from 1', () => {
  expect(findJsonFault('{\n  "a": 1,\n  b\n}')).toMatchObject({ line: 3, column: 3 });
});

test('agrees with JSON.parse on valid texts and on texts with one character changed', () => {
  fc.assert(
    fc.property(fc.json(), fc.nat(), fc.constantFrom(...'{}[]:,"\\0e- x\n'), (json, at, character) => {
      expect(findJsonFault(json)).toBeNull();
      const changed = json.slice(0, at % (json.length + 1)) + character + json.slice((at % (json.length + 1)) + 1);
      expect(findJsonFault(changed) === null).toBe(isJson(changed));
    }),
    { numRuns: 2000 },
  );
});

test('a megabyte of open brackets is no trouble', () => {
  expect(findJsonFault('['.repeat(1 << 20))?.position).toBe(1 << 20);
});
