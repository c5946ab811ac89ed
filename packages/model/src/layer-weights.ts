import type { TensorNames } from './architectures/family.js';
import type { ModelConfig } from './config.js';
import type { LayerWeights, Tensor } from './types.js';
import type { WeightReader } from './weight-reader.js';
import { addProduct, orderRotaryRows, scale, scaleColumns } from './weight-rows.js';

interface Norm {
  readonly weight: Float32Array;
  readonly bias: Float32Array | null;
}

/** Reads layers and folds into their matrices what can be: the weights and biases of norms, the scale of queries. */
export class LayerReader {
  constructor(
    private readonly reader: WeightReader,
    private readonly config: ModelConfig,
    private readonly names: TensorNames,
    private readonly upload: (values: Float32Array, shape: number[]) => Tensor,
  ) {}

  layer(layer: number): LayerWeights {
    const { config, upload } = this;
    const { hiddenSize, intermediateSize, heads, headSize, biases, postNorms } = config;
    const names = this.names.layer;
    const at = (name: string): string => name.replace('{}', String(layer));
    const vector = (name: string): Tensor => upload(this.reader.read(at(name), 'bias', [hiddenSize]), [hiddenSize]);
    const postNorm = (name: string | undefined): Tensor | null =>
      postNorms && name ? upload(this.#offset(this.reader.read(at(name), 'weight', [hiddenSize])), [hiddenSize]) : null;
    const attention = this.#queryKeyValue(layer, this.norm(at(names.attentionNorm)));
    const norm = this.norm(at(names.feedForwardNorm));
    const gate = config.gated && names.gate ? this.#first(at(names.gate), norm) : { matrix: null, bias: null };
    const up = this.#first(at(names.up), norm);
    const queryRows = heads * headSize;
    return {
      attention: config.attention[layer],
      ...attention,
      output: upload(this.reader.matrix(at(names.output), hiddenSize, queryRows), [hiddenSize, queryRows]),
      outputBias: biases.output ? vector(names.output) : null,
      attentionPostNorm: postNorm(names.attentionPostNorm),
      gate: gate.matrix,
      gateBias: gate.bias,
      up: up.matrix,
      upBias: up.bias,
      down: upload(this.reader.matrix(at(names.down), hiddenSize, intermediateSize), [hiddenSize, intermediateSize]),
      downBias: biases.feedForward ? vector(names.down) : null,
      feedForwardPostNorm: postNorm(names.feedForwardPostNorm),
    };
  }

  /** Weight and bias of a norm of hidden states. */
  norm(name: string): Norm {
    const shape = [this.config.hiddenSize];
    return {
      weight: this.#offset(this.reader.read(name, 'weight', shape)),
      bias: this.config.norm === 'layer' ? this.reader.read(name, 'bias', shape) : null,
    };
  }

  #queryKeyValue(
    layer: number,
    norm: Norm,
  ): Pick<LayerWeights, 'queryKeyValue' | 'queryKeyValueBias' | 'queryKeyNorm'> {
    const { hiddenSize, heads, keyValueHeads, headSize, queryScale, queryKeyNorm } = this.config;
    const queryRows = heads * headSize;
    const keyRows = keyValueHeads * headSize;
    const rows = queryRows + 2 * keyRows;
    const values = new Float32Array(rows * hiddenSize);
    this.#stack(layer, 'weight', values, hiddenSize);
    const bias = this.config.biases.queryKeyValue || norm.bias ? new Float32Array(rows) : null;
    if (bias && this.config.biases.queryKeyValue) this.#stack(layer, 'bias', bias, 1);
    const dimensions = this.config.rotary[this.config.attention[layer]]?.dimensions;
    for (const [stacked, columns] of [[values, hiddenSize] as const, ...(bias ? [[bias, 1] as const] : [])]) {
      const rotated = stacked.subarray(0, (queryRows + keyRows) * columns);
      if (dimensions) orderRotaryRows(rotated, columns, headSize, dimensions, this.names.rotaryPairs);
      if (!queryKeyNorm) scale(stacked.subarray(0, queryRows * columns), queryScale);
    }
    if (bias && norm.bias) addProduct(bias, values, norm.bias);
    scaleColumns(values, norm.weight);
    return {
      queryKeyValue: this.upload(values, [rows, hiddenSize]),
      queryKeyValueBias: bias && this.upload(bias, [rows]),
      queryKeyNorm: queryKeyNorm ? this.#headNorms(layer, dimensions) : null,
    };
  }

  /** Weights or biases of queries, keys and values, one below the other. */
  #stack(layer: number, part: 'weight' | 'bias', out: Float32Array, columns: number): void {
    const { hiddenSize, heads, keyValueHeads, headSize } = this.config;
    const queryRows = heads * headSize;
    const keyRows = keyValueHeads * headSize;
    const { queryKeyValue } = this.names.layer;
    const read = (name: string, rows: number, into?: Float32Array): Float32Array => {
      const full = name.replace('{}', String(layer));
      return part === 'weight'
        ? this.reader.matrix(full, rows, hiddenSize, into)
        : this.reader.read(full, 'bias', [rows], into);
    };
    switch (queryKeyValue.kind) {
      case 'separate': {
        const { query, key, value } = queryKeyValue;
        read(query, queryRows, out.subarray(0, queryRows * columns));
        read(key, keyRows, out.subarray(queryRows * columns, (queryRows + keyRows) * columns));
        read(value, keyRows, out.subarray((queryRows + keyRows) * columns));
        return;
      }
      case 'joined':
        read(queryKeyValue.all, queryRows + 2 * keyRows, out);
        return;
      case 'joined-by-head': {
        const joined = read(queryKeyValue.all, queryRows + 2 * keyRows);
        const size = headSize * columns;
        for (let head = 0; head < heads; head++)
          for (let kind = 0; kind < 3; kind++) {
            const from = (head * 3 + kind) * size;
            out.set(joined.subarray(from, from + size), (kind * heads + head) * size);
          }
      }
    }
  }

  /** Weights of the norms of queries and keys, a row a head. */
  #headNorms(layer: number, dimensions: number | undefined): Tensor {
    const { heads, keyValueHeads, headSize, queryScale } = this.config;
    const { queryNorm = '', keyNorm = '' } = this.names.layer;
    const values = new Float32Array((heads + keyValueHeads) * headSize);
    const fill = (name: string, from: number, to: number, factor: number): void => {
      const weight = this.#offset(this.reader.read(name.replace('{}', String(layer)), 'weight', [headSize]));
      if (dimensions) orderRotaryRows(weight, 1, headSize, dimensions, this.names.rotaryPairs);
      scale(weight, factor);
      for (let head = from; head < to; head++) values.set(weight, head * headSize);
    };
    fill(queryNorm, 0, heads, queryScale);
    fill(keyNorm, heads, heads + keyValueHeads, 1);
    return this.upload(values, [heads + keyValueHeads, headSize]);
  }

  /** A matrix that the feed-forward begins with, and its bias, with the norm before them folded in. */
  #first(name: string, norm: Norm): { matrix: Tensor; bias: Tensor | null } {
    const { hiddenSize, intermediateSize, biases } = this.config;
    const values = this.reader.matrix(name, intermediateSize, hiddenSize);
    let bias: Float32Array | null = null;
    if (biases.feedForward) bias = this.reader.read(name, 'bias', [intermediateSize]);
    else if (norm.bias) bias = new Float32Array(intermediateSize);
    if (bias && norm.bias) addProduct(bias, values, norm.bias);
    scaleColumns(values, norm.weight);
    return {
      matrix: this.upload(values, [intermediateSize, hiddenSize]),
      bias: bias && this.upload(bias, [intermediateSize]),
    };
  }

  #offset(weight: Float32Array): Float32Array {
    if (this.names.normOffset === 1) for (let i = 0; i < weight.length; i++) weight[i]++;
    return weight;
  }
}
