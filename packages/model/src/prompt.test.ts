import { describe, expect, it } from 'vitest';
import { ModelError } from './errors.js';
import { continuationIds, type PromptModel, promptIds } from './prompt.js';
import { sinkOf } from './tokenizer.js';
import { type Family, familyFixture, fromJson } from './tokenizers/testing.js';

function modelOf(family: Family): PromptModel {
  const tokenizer = fromJson(familyFixture(family).tokenizer);
  return { tokenizer, config: { contextLength: 100 }, sinkId: sinkOf(tokenizer, family) };
}

describe.each(['gpt2', 'smollm2', 'llama2', 'mistral', 'llama3', 'qwen3', 'gemma'] as const)(
  'prompts of %s',
  (family) => {
    const model = modelOf(family);

    it('stand behind the sink', () => {
      const [first, ...rest] = promptIds(model, 'The capital of France is');
      expect(first).toBe(model.sinkId);
      expect(rest).toEqual(model.tokenizer.ids('The capital of France is'));
    });

    it('are continued as if the text had been written in one', () => {
      const joined = [...promptIds(model, 'The capital of France is'), ...continuationIds(model, 'Paris, France')];
      expect(joined).toEqual(promptIds(model, 'The capital of France is Paris, France'));
      expect(continuationIds(model, ' Paris')).toEqual(continuationIds(model, 'Paris'));
    });

    it('are refused when empty or longer than the context', () => {
      const codes = ['', 'a '.repeat(120), 'a'.repeat(5000)].map((text) => {
        try {
          return promptIds(model, text);
        } catch (error) {
          return error instanceof ModelError ? error.code : error;
        }
      });
      expect(codes).toEqual(['EMPTY_TOKENS', 'PROMPT_TOO_LONG', 'PROMPT_TOO_LONG']);
      expect(() => continuationIds(model, '')).toThrow(/empty/);
    });
  },
);
