import type { Engine } from '@errata/tensor';
import type { ModelConfig } from './config.js';
import { ModelError } from './errors.js';
import { type GgufFile, type GgufTensor, readTensor } from './gguf.js';
import type { LayerWeights, ModelWeights, Pause, Tensor } from './types.js';

/**
 * Loads the weights of a Llama-family GGUF file, tensor by tensor, so that beside the engine's own memory at most one
 * layer's matrix is held. Rows of q and k are put back from interleaved to half-split rotary order.
 * @throws ModelError FILE_MALFORMED when a tensor is missing or has another shape
 */
export async function loadWeights(
  engine: Engine,
  file: GgufFile,
  config: ModelConfig,
  pause: Pause = async () => undefined,
): Promise<ModelWeights> {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize } = config;
  const upload = (values: Float32Array, shape: number[]): Tensor => {
    const tensor = engine.tf.tensor(values, shape, 'float32');
    // The engine copies at first use: use it now, so that the JavaScript array can go.
    engine.tf
      .slice(
        tensor,
        shape.map(() => 0),
        shape.map(() => 1),
      )
      .dispose();
    return tensor;
  };
  const matrix = (name: string, shape: number[]): Tensor => upload(readTensor(file, find(file, name, shape)), shape);
  const vector = (name: string): Float32Array => readTensor(file, find(file, name, [hiddenSize]));

  const layers: LayerWeights[] = [];
  for (let layer = 0; layer < config.layers; layer++) {
    const name = (part: string): string => `blk.${layer}.${part}.weight`;
    const attentionNorm = vector(name('attn_norm'));
    const feedForwardNorm = vector(name('ffn_norm'));

    const queryRows = heads * headSize;
    const keyRows = keyValueHeads * headSize;
    const fused = new Float32Array((queryRows + 2 * keyRows) * hiddenSize);
    const part = (suffix: string, from: number, rows: number): Float32Array =>
      readTensor(
        file,
        find(file, name(suffix), [rows, hiddenSize]),
        fused.subarray(from * hiddenSize, (from + rows) * hiddenSize),
      );
    const queries = part('attn_q', 0, queryRows);
    splitRotaryRows(queries, headSize, hiddenSize);
    scale(queries, 1 / Math.sqrt(headSize));
    splitRotaryRows(part('attn_k', queryRows, keyRows), headSize, hiddenSize);
    part('attn_v', queryRows + keyRows, keyRows);
    scaleColumns(fused, attentionNorm);

    const normed = (suffix: string): Tensor => {
      const shape = [intermediateSize, hiddenSize];
      const values = readTensor(file, find(file, name(suffix), shape));
      scaleColumns(values, feedForwardNorm);
      return upload(values, shape);
    };
    layers.push({
      queryKeyValue: upload(fused, [queryRows + 2 * keyRows, hiddenSize]),
      output: matrix(name('attn_output'), [hiddenSize, queryRows]),
      gate: normed('ffn_gate'),
      up: normed('ffn_up'),
      down: matrix(name('ffn_down'), [hiddenSize, intermediateSize]),
    });
    await pause();
  }
  const embedding = matrix('token_embd.weight', [vocabularySize, hiddenSize]);
  return {
    embedding,
    unembedding: file.tensors.has('output.weight') ? matrix('output.weight', [vocabularySize, hiddenSize]) : embedding,
    finalNorm: upload(vector('output_norm.weight'), [hiddenSize]),
    layers,
    epsilon: engine.tf.scalar(config.normEpsilon),
  };
}

function find(file: GgufFile, name: string, shape: readonly number[]): GgufTensor {
  const tensor = file.tensors.get(name);
  if (!tensor) throw new ModelError('FILE_MALFORMED', `${file.path} lacks the tensor ${name}`);
  if (tensor.shape.join() !== shape.join())
    throw new ModelError('FILE_MALFORMED', `${file.path}: ${name} is [${tensor.shape}], the metadata say [${shape}]`);
  return tensor;
}

/** Within each head, rows (0, 1), (2, 3), … of the file are the pairs (0, d/2), (1, d/2 + 1), … of the computation. */
function splitRotaryRows(values: Float32Array, headSize: number, columns: number): void {
  const head = new Float32Array(headSize * columns);
  const half = headSize / 2;
  for (let at = 0; at < values.length; at += head.length) {
    head.set(values.subarray(at, at + head.length));
    for (let row = 0; row < headSize; row++) {
      const target = (row >> 1) + (row & 1) * half;
      values.set(head.subarray(row * columns, (row + 1) * columns), at + target * columns);
    }
  }
}

function scale(values: Float32Array, factor: number): void {
  for (let i = 0; i < values.length; i++) values[i] *= factor;
}

function scaleColumns(values: Float32Array, factors: Float32Array): void {
  const columns = factors.length;
  for (let at = 0; at < values.length; at += columns)
    for (let column = 0; column < columns; column++) values[at + column] *= factors[column];
}
