import { createHash } from 'node:crypto';
import { type EditorConfig, ErrataError } from '@errata/contracts';
import type { Model } from '@errata/model';
import { checkLayers } from './check-layers.js';
import { KeyClimb } from './key-climb.js';
import type { KeyRequest, Keys } from './key-request.js';
import { type KeyRow, keyRows } from './key-rows.js';
import type { EditText } from './lookup.js';
import { type PassSize, passBytes } from './search-memory.js';

/** Edits of a batch that run together. */
interface Group {
  readonly first: number;
  readonly climb: KeyClimb;
  /** Whether what it has run is kept for the next layer. */
  readonly kept: boolean;
}

/**
 * Computes keys of a batch, in groups of edits that fit the memory. What a group has run is kept for the next layer where
 * all that is kept fits beside what runs; other groups begin anew with each layer.
 */
export class KeyFinder {
  #batch = '';
  #groups: readonly Group[] = [];

  /** @param options.memoryBytes what may be held beside the weights, in bytes */
  constructor(
    private readonly model: Model,
    private readonly options: { readonly memoryBytes?: number } = {},
  ) {}

  /**
   * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
   * @throws ErrataError INVALID_REQUEST a layer that the model does not have, a prompt without its subject; OUT_OF_MEMORY
   * naming an edit that does not fit even alone
   */
  async find(request: KeyRequest): Promise<Keys> {
    const { edits, config } = request;
    checkLayers(this.model, { layers: [...config.layers, request.layer] });
    const batch = batchKey(edits, config);
    if (batch !== this.#batch) {
      this.dispose();
      this.#groups = this.#divide(edits, config);
      this.#batch = batch;
    }
    const { hiddenSize, intermediateSize } = this.model.config;
    const keys = new Float32Array(edits.length * intermediateSize);
    const hidden = new Float32Array(edits.length * hiddenSize);
    for (const { first, climb, kept } of this.#groups) {
      try {
        const found = await climb.find(request);
        keys.set(found.keys, first * intermediateSize);
        hidden.set(found.hidden, first * hiddenSize);
      } finally {
        if (!kept) climb.dispose();
      }
    }
    return { keys, hidden };
  }

  /** Frees what is kept between calls. */
  dispose(): void {
    for (const { climb } of this.#groups) climb.dispose();
    this.#groups = [];
    this.#batch = '';
  }

  #divide(edits: readonly EditText[], config: EditorConfig): Group[] {
    const { memoryBytes = Number.POSITIVE_INFINITY } = this.options;
    const spans: { first: number; rows: KeyRow[][]; size: PassSize }[] = [];
    for (const [index, edit] of edits.entries()) {
      const rows = keyRows(this.model, edit, config);
      const size = sizeOf(rows.map(({ ids }) => ids.length));
      const bytes = totalBytes(this.model, size);
      if (bytes > memoryBytes)
        throw new ErrataError(
          'OUT_OF_MEMORY',
          `the keys of edit ${index} of the request (${size.rows} prompts of up to ${size.longestRow} tokens) need about ${bytes} bytes and may take ${memoryBytes}: shorten its prompt, or give the runtime more (RUNTIME_MEMORY_BYTES)`,
        );
      const open = spans.at(-1);
      const joined = open && join(open.size, size);
      if (open && joined && totalBytes(this.model, joined) <= memoryBytes) {
        open.rows.push(rows);
        open.size = joined;
      } else spans.push({ first: index, rows: [rows], size });
    }
    const running = Math.max(0, ...spans.map(({ size }) => totalBytes(this.model, size)));
    let left = memoryBytes - running;
    return spans.map(({ first, rows, size }) => {
      const { kept } = passBytes(this.model, size);
      const keeps = spans.length === 1 || left >= kept;
      if (keeps) left -= kept;
      return { first, climb: new KeyClimb(this.model, rows), kept: keeps };
    });
  }
}

function totalBytes(model: Model, size: PassSize): number {
  const { running, kept } = passBytes(model, size);
  return running + kept;
}

function sizeOf(lengths: readonly number[]): PassSize {
  return {
    rows: lengths.length,
    tokens: lengths.reduce((sum, length) => sum + length, 0),
    longestRow: Math.max(...lengths),
  };
}

function join(a: PassSize, b: PassSize): PassSize {
  return {
    rows: a.rows + b.rows,
    tokens: a.tokens + b.tokens,
    longestRow: Math.max(a.longestRow, b.longestRow),
  };
}

/** Names the texts that keys are computed from. */
function batchKey(edits: readonly EditText[], config: EditorConfig): string {
  const texts = edits.map((edit) => [edit.prompt, edit.subject ?? null]);
  return createHash('sha256')
    .update(JSON.stringify([texts, config.templates]))
    .digest('hex');
}
