import type { Engine } from '@errata/tensor';
import type { Architecture } from './architectures/families.js';
import { LayerReader } from './layer-weights.js';
import type { LayerWeights, ModelWeights, Pause, Tensor } from './types.js';
import { WeightReader } from './weight-reader.js';
import type { WeightSource } from './weight-source.js';

/**
 * Loads the weights of a model tensor by tensor, so that beside the engine's own memory at most one matrix is held.
 * @throws ModelError FILE_MALFORMED when a tensor is missing or has another shape, UNSUPPORTED_ARCHITECTURE when there
 * are tensors that the architecture has no use for
 */
export async function loadWeights(
  engine: Engine,
  source: WeightSource,
  { config, tensors: names }: Architecture,
  pause: Pause = async () => undefined,
): Promise<ModelWeights> {
  const { tf } = engine;
  const owned: Tensor[] = [];
  const upload = (values: Float32Array, shape: number[]): Tensor => {
    const tensor = tf.tensor(values, shape, 'float32');
    owned.push(tensor);
    // The engine copies at first use: use it now, so that the JavaScript array can go.
    tf.slice(
      tensor,
      shape.map(() => 0),
      shape.map(() => 1),
    ).dispose();
    return tensor;
  };
  try {
    const { hiddenSize, vocabularySize, contextLength } = config;
    const reader = new WeightReader(source, names);
    const layerReader = new LayerReader(reader, config, names, upload);
    const layers: LayerWeights[] = [];
    for (let layer = 0; layer < config.layers; layer++) {
      layers.push(layerReader.layer(layer));
      await pause();
    }
    const embedding = upload(reader.read(names.embedding, 'weight', [vocabularySize, hiddenSize]), [
      vocabularySize,
      hiddenSize,
    ]);
    const unembedding = config.tied
      ? embedding
      : upload(reader.readUnembedding('weight', [vocabularySize, hiddenSize]), [vocabularySize, hiddenSize]);
    const unembeddingBias = config.biases.unembedding
      ? upload(reader.readUnembedding('bias', [vocabularySize]), [vocabularySize])
      : null;
    const positions =
      config.learnedPositions && names.positions
        ? upload(reader.read(names.positions, 'weight', [contextLength, hiddenSize]), [contextLength, hiddenSize])
        : null;
    const finalNorm = layerReader.norm(names.finalNorm);
    reader.checkAllRead(config.tied);
    return {
      embedding,
      positions,
      unembedding,
      unembeddingBias,
      finalNorm: upload(finalNorm.weight, [hiddenSize]),
      finalNormBias: finalNorm.bias && upload(finalNorm.bias, [hiddenSize]),
      layers,
      epsilon: tf.scalar(config.normEpsilon),
    };
  } catch (error) {
    tf.dispose(owned);
    throw error;
  }
}
