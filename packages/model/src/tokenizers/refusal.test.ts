import { describe, expect, it } from 'vitest';
import { ModelError } from '../errors.js';
import { byteTokenizer } from '../testing.js';
import { ByteLevelTokenizer, sinkOf, tokenizerFromGguf } from '../tokenizer.js';
import { type Family, familyFixture, fromJson, ggufMetadata, type TokenizerJson } from './testing.js';

function refusal(action: () => unknown): ModelError {
  try {
    action();
  } catch (error) {
    if (error instanceof ModelError) return error;
    throw error;
  }
  throw new Error('was not refused');
}

type Change = (json: TokenizerJson) => unknown;

const wrong: [what: string, code: string, message: RegExp, change: Change][] = [
  [
    'a model of another type',
    'UNSUPPORTED_FORMAT',
    /a model of type "Unigram"; supported: BPE/,
    (t) => {
      t.model.type = 'Unigram';
    },
  ],
  [
    'WordPiece',
    'UNSUPPORTED_FORMAT',
    /"WordPiece"/,
    (t) => {
      t.model.type = 'WordPiece';
    },
  ],
  ['no model', 'FILE_MALFORMED', /the model of the tokenizer is not an object/, (t) => ({ ...t, model: undefined })],
  [
    'no vocabulary',
    'FILE_MALFORMED',
    /the vocabulary of the tokenizer is not an object/,
    (t) => {
      t.model.vocab = undefined as never;
    },
  ],
  [
    'an empty vocabulary',
    'FILE_MALFORMED',
    /vocabulary of the tokenizer is empty/,
    (t) => {
      t.model.vocab = {};
    },
  ],
  [
    'an id that is no number',
    'FILE_MALFORMED',
    /the id x of the token "a"/,
    (t) => {
      t.model.vocab.a = 'x';
    },
  ],
  [
    'a negative id',
    'FILE_MALFORMED',
    /the id -1 of the token "a"/,
    (t) => {
      t.model.vocab.a = -1;
    },
  ],
  [
    'a gigantic id',
    'FILE_MALFORMED',
    /the id 4000000000 of the token "a"/,
    (t) => {
      t.model.vocab.a = 4e9;
    },
  ],
  [
    'an id twice',
    'FILE_MALFORMED',
    /the tokens "a" and "b" share the id 7/,
    (t) => {
      t.model.vocab = { a: 7, b: 7 };
    },
  ],
  [
    'no merges',
    'FILE_MALFORMED',
    /merges of the tokenizer is not a list/,
    (t) => {
      t.model.merges = 'a b' as never;
    },
  ],
  [
    'a merge of three',
    'FILE_MALFORMED',
    /"a b c" is not a merge/,
    (t) => {
      t.model.merges.push('a b c');
    },
  ],
  [
    'a merge that is no text',
    'FILE_MALFORMED',
    /\[1,2\] is not a merge/,
    (t) => {
      t.model.merges.push([1, 2]);
    },
  ],
  [
    'a merge of an unknown token',
    'FILE_MALFORMED',
    /the merge "zzz a" names "zzz", which is not in the vocabulary/,
    (t) => {
      t.model.merges.push(['zzz', 'a']);
    },
  ],
  [
    'a merge into an unknown token',
    'FILE_MALFORMED',
    /names "zq"/,
    (t) => {
      t.model.merges.push('z q');
    },
  ],
  [
    'an unknown token that is missing',
    'FILE_MALFORMED',
    /the unknown token "<none>"/,
    (t) => {
      t.model.unk_token = '<none>';
    },
  ],
  [
    'a prefix within words',
    'UNSUPPORTED_FORMAT',
    /continuing_subword_prefix "##"/,
    (t) => {
      t.model.continuing_subword_prefix = '##';
    },
  ],
  [
    'a suffix of words',
    'UNSUPPORTED_FORMAT',
    /end_of_word_suffix "<\/w>"/,
    (t) => {
      t.model.end_of_word_suffix = '</w>';
    },
  ],
  [
    'merges at random',
    'UNSUPPORTED_FORMAT',
    /dropout 0.1/,
    (t) => {
      t.model.dropout = 0.1;
    },
  ],
  [
    'an unknown normalizer',
    'UNSUPPORTED_FORMAT',
    /the normalizer "Precompiled"; supported: .*NFKC/,
    (t) => {
      t.normalizer = { type: 'Precompiled' };
    },
  ],
  [
    'an unknown one in a sequence',
    'UNSUPPORTED_FORMAT',
    /the normalizer "Lower"/,
    (t) => {
      t.normalizer = { type: 'Sequence', normalizers: [{ type: 'NFC' }, { type: 'Lower' }] };
    },
  ],
  [
    'a normalizer that is none',
    'FILE_MALFORMED',
    /the normalizer of the tokenizer is not an object/,
    (t) => {
      t.normalizer = 'NFC';
    },
  ],
  [
    'an unknown pre-tokenizer',
    'UNSUPPORTED_FORMAT',
    /the pre-tokenizer "BertPreTokenizer"; supported: Sequence, Split/,
    (t) => {
      t.pre_tokenizer = { type: 'BertPreTokenizer' };
    },
  ],
  [
    'an unknown split',
    'UNSUPPORTED_FORMAT',
    /the split behavior "Sideways"; supported: Removed/,
    (t) => {
      t.pre_tokenizer = { type: 'Split', pattern: { String: ' ' }, behavior: 'Sideways' };
    },
  ],
  [
    'a pattern that is none',
    'FILE_MALFORMED',
    /neither a String nor a Regex/,
    (t) => {
      t.pre_tokenizer = { type: 'Split', pattern: {}, behavior: 'Isolated' };
    },
  ],
  [
    'a regular expression that JavaScript lacks',
    'UNSUPPORTED_FORMAT',
    /cannot run .* "a\+\+"/,
    (t) => {
      t.pre_tokenizer = { type: 'Split', pattern: { Regex: 'a++' }, behavior: 'Isolated' };
    },
  ],
  [
    'a Metaspace of two characters',
    'FILE_MALFORMED',
    /Metaspace is not one character/,
    (t) => {
      t.pre_tokenizer = { type: 'Metaspace', replacement: '▁▁' };
    },
  ],
  [
    'an option that is neither true nor false',
    'FILE_MALFORMED',
    /use_regex of the tokenizer is neither/,
    (t) => {
      t.pre_tokenizer = { type: 'ByteLevel', use_regex: 'yes' };
    },
  ],
  [
    'no decoder',
    'UNSUPPORTED_FORMAT',
    /the decoder null/,
    (t) => {
      t.decoder = null;
    },
  ],
  [
    'an unknown decoder',
    'UNSUPPORTED_FORMAT',
    /the decoder "CTC"/,
    (t) => {
      t.decoder = { type: 'CTC' };
    },
  ],
  [
    'decoders in an order of their own',
    'UNSUPPORTED_FORMAT',
    /decoder's sequence "Strip"/,
    (t) => {
      t.decoder = {
        type: 'Sequence',
        decoders: [{ type: 'Strip', content: ' ', start: 1, stop: 0 }, { type: 'Fuse' }],
      };
    },
  ],
  [
    'an added token without its text',
    'FILE_MALFORMED',
    /content of an added token/,
    (t) => {
      t.added_tokens.push({ id: 3000 } as never);
    },
  ],
  [
    'an added token with the id of another',
    'FILE_MALFORMED',
    /the added token "<x>" has the id 65 of/,
    (t) => {
      t.added_tokens.push({ id: 65, content: '<x>', special: true, normalized: false });
    },
  ],
  [
    'added tokens that are no list',
    'FILE_MALFORMED',
    /added_tokens of the tokenizer is not a list/,
    (t) => {
      t.added_tokens = {} as never;
    },
  ],
];

describe('a tokenizer.json', () => {
  it.each(wrong)('with %s is refused by name', (_, code, message, change) => {
    const { tokenizer } = familyFixture('gpt2');
    const error = refusal(() => fromJson(change(tokenizer) ?? tokenizer));
    expect(error.message).toMatch(message);
    expect(error.message).toMatch(/^folder\/tokenizer\.json: /);
    expect(error.code).toBe(code);
  });

  it.each([null, [], 'text', 5])('that is %j is refused', (root) => {
    expect(refusal(() => fromJson(root)).code).toBe('FILE_MALFORMED');
  });

  it('may have gaps between its ids', () => {
    const { tokenizer } = familyFixture('gpt2');
    tokenizer.added_tokens.push({ id: 5000, content: '<far>', special: true, normalized: false });
    const gapped = fromJson(tokenizer);
    expect([gapped.size, gapped.ids('<far>')]).toEqual([5001, [5000]]);
    expect(gapped.decode([3000, 5000, -1, 1e9])).toBe('');
  });

  it('takes merges as text and as pairs, and a model without its type', () => {
    const { tokenizer, cases } = familyFixture('gpt2');
    const written = (tokenizer.model.merges as string[][]).map((merge) => merge.join(' '));
    const old = fromJson({ ...tokenizer, model: { ...tokenizer.model, type: undefined, merges: written } });
    for (const { text, ids } of cases) expect(old.ids(text)).toEqual(ids);
  });

  it('without a sink is refused where one is looked for', () => {
    const { tokenizer } = familyFixture('gpt2');
    tokenizer.added_tokens = [];
    const error = refusal(() => sinkOf(fromJson(tokenizer), 'folder'));
    expect([error.code, error.message]).toEqual([
      'FILE_MALFORMED',
      expect.stringMatching(/^folder: .*neither <\|endoftext\|> nor a beginning-of-text token/),
    ]);
  });

  it('with a beginning that the vocabulary lacks has none', () => {
    expect(fromJson(familyFixture('tekken').tokenizer, { config: { bos_token_id: 70_000 } }).bosId).toBeNull();
  });
});

describe('the vocabulary of a GGUF file', () => {
  const changed = (family: Family, key: string, value: unknown) => () => {
    const metadata = ggufMetadata(familyFixture(family), 'gpt-2');
    metadata.set(key, value);
    return tokenizerFromGguf({ path: 'model.gguf', metadata });
  };

  it.each([
    ['gpt2', 'tokenizer.ggml.model', 'bert', 'UNSUPPORTED_FORMAT', /the model "bert"; supported: gpt2, llama/],
    [
      'gpt2',
      'tokenizer.ggml.pre',
      'deepseek-llm',
      'UNSUPPORTED_FORMAT',
      /the pre-tokenizer "deepseek-llm"; supported: smollm/,
    ],
    ['gpt2', 'tokenizer.ggml.pre', undefined, 'UNSUPPORTED_FORMAT', /the pre-tokenizer undefined/],
    ['gpt2', 'tokenizer.ggml.tokens', [], 'FILE_MALFORMED', /tokens is not a list of strings/],
    ['gpt2', 'tokenizer.ggml.tokens', undefined, 'FILE_MALFORMED', /tokens is not a list of strings/],
    ['gpt2', 'tokenizer.ggml.token_type', [1, 1], 'FILE_MALFORMED', /token_type does not fit/],
    ['gpt2', 'tokenizer.ggml.merges', ['a zzz'], 'FILE_MALFORMED', /names "zzz"/],
    ['gpt2', 'tokenizer.ggml.merges', ['abc'], 'FILE_MALFORMED', /"abc" is not a merge/],
    ['llama2', 'tokenizer.ggml.scores', [0, 1], 'FILE_MALFORMED', /scores does not fit/],
    ['llama2', 'tokenizer.ggml.scores', undefined, 'FILE_MALFORMED', /scores does not fit/],
  ] as const)('of %s with %s %j is refused', (family, key, value, code, message) => {
    const error = refusal(changed(family, key, value));
    expect([error.code, error.message]).toEqual([code, expect.stringMatching(message)]);
    expect(error.message).toMatch(/^model\.gguf: /);
  });
});

describe('a vocabulary in memory', () => {
  it('is byte-level with digits apart', () => {
    const tokenizer = byteTokenizer();
    expect(tokenizer.decode(tokenizer.ids('naïve 42 👍'))).toBe('naïve 42 👍');
    expect(tokenizer.ids('<|endoftext|>')).toEqual([0]);
    expect([...tokenizer.endIds]).toEqual([1]);
  });

  it('is refused for a merge of what it lacks', () => {
    const source = { tokens: ['a'], merges: ['a b'], specialIds: [], endIds: [] };
    expect(refusal(() => new ByteLevelTokenizer(source)).message).toMatch(/names "b"/);
  });
});
