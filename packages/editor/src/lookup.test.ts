import { disposeModel, loadModel, type Model } from '@errata/model';
import { testModelPath } from '@errata/model/testing';
import { createEngine } from '@errata/tensor';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { locate, locateEssence } from './lookup.js';

describe.skipIf(testModelPath === '')('lookup positions', () => {
  let model: Model;
  beforeAll(async () => {
    model = await loadModel({ engine: await createEngine(), path: testModelPath });
  });
  afterAll(() => disposeModel(model));

  /** Text up to and with the token at the lookup position. */
  const upTo = (template: string, prompt: string, subject?: string): string => {
    const { ids, lookup } = locate(model, template, { prompt, subject });
    expect(ids[0]).toBe(model.sinkId);
    return model.tokenizer.decode(ids.slice(1, lookup + 1));
  };

  it('is the last token of the subject, in every context', () => {
    expect(upTo('{}', 'The mother tongue of {} is', 'Danielle Darrieux')).toBe(
      'The mother tongue of Danielle Darrieux',
    );
    expect(upTo('It is known. {}', '{} is located in', 'The Eiffel Tower')).toBe('It is known. The Eiffel Tower');
    expect(upTo('{}', 'Where is {}?', 'Paris')).toBe('Where is Paris');
  });

  it('is the last token of the prompt when there is no subject', () => {
    expect(upTo('{}', 'The capital of France is')).toBe('The capital of France is');
    expect(upTo('Note: {} (draft)', 'The capital of France is')).toBe('Note: The capital of France is');
  });

  it('holds the end of subjects in other scripts', () => {
    for (const subject of ['東京タワー', 'Кремль', 'שלום עולם', 'مكة المكرمة', 'Tromsø', '👩‍👩‍👧', '🇫🇷'])
      for (const prompt of ['{} is in', 'Where is {} now', '¿Dónde está {}?'])
        expect(upTo('{}', prompt, subject)).toContain(subject);
  });

  it('is the token that holds the end of a subject merged with what follows', () => {
    // "photo" and "graph" share a token: the one with the subject's last character is meant, not the one after it.
    const { ids, lookup } = locate(model, '{}', { prompt: 'A {}graphs are', subject: 'photo' });
    const { starts, ends } = model.tokenizer.encode('A photographs are');
    expect(starts[lookup - 1]).toBeLessThan('A photo'.length);
    expect(ends[lookup - 1]).toBeGreaterThanOrEqual('A photo'.length);
    expect(starts[lookup]).toBeGreaterThanOrEqual('A photo'.length);
    expect(ids.length).toBe(starts.length + 1);
  });

  it('does not slip to the next word when the subject ends in white space', () => {
    expect(upTo('{}', 'In {}is', 'Rome ')).toBe('In Rome');
  });

  it('takes $ patterns and braces of a subject literally', () => {
    expect(upTo('{}', 'The price of {} is', "A$AP $& $' {}")).toContain("A$AP $& $' {}");
  });

  it('cuts the essence prompt after the subject', () => {
    const withSubject = locateEssence(model, { prompt: 'x {} y', subject: 'Danielle Darrieux' });
    expect(model.tokenizer.decode(withSubject.ids)).toBe('Danielle Darrieux');
    expect(withSubject.lookup).toBe(withSubject.ids.length - 1);
    expect(model.tokenizer.decode(locateEssence(model, { prompt: 'Two and two make' }).ids)).toBe('Two and two make');
  });
});
