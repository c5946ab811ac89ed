import { ErrataError } from '@errata/contracts';
import { type Architecture, type GgufFiles, type LayerNames, orderRotaryRows, type TensorNames } from '@errata/model';
import type { TensorPlan } from './safetensors-writer.js';

type Rows = (values: Float32Array) => Float32Array;

const asTheyAre: Rows = (values) => values;

/** Tensors of a GGUF file under the names and in the order of the family's Hugging Face folder. */
export function ggufTensorPlans(architecture: Architecture, files: GgufFiles): TensorPlan[] {
  const { family, config } = architecture;
  if (!family.gguf) throw new ErrataError('EXPORT_UNSUPPORTED', `${files.path}: ${family.name} has no GGUF form`);
  const mapping = new Mapping(architecture, files, family.gguf.tensors, family.folder.tensors);
  mapping.matrix('embedding', (names) => names.embedding, asTheyAre, false);
  if (config.learnedPositions) mapping.matrix('positions', (names) => names.positions, asTheyAre, false);
  mapping.norm((names) => names.finalNorm);
  if (!config.tied) mapping.unembedding();
  for (let layer = 0; layer < config.layers; layer++) mapping.layer(layer);
  return mapping.plans;
}

class Mapping {
  readonly plans: TensorPlan[] = [];

  constructor(
    private readonly architecture: Architecture,
    private readonly files: GgufFiles,
    private readonly from: TensorNames,
    private readonly to: TensorNames,
  ) {}

  layer(layer: number): void {
    const { config } = this.architecture;
    const named = (pick: (names: LayerNames) => string | undefined) => (names: TensorNames) =>
      pick(names.layer)?.replace('{}', String(layer));
    this.norm(named((names) => names.attentionNorm));
    if (this.to.layer.feedForwardNorm !== this.to.layer.attentionNorm)
      this.norm(named((names) => names.feedForwardNorm));
    this.#queryKeyValue(layer);
    if (config.queryKeyNorm) {
      this.norm(named((names) => names.queryNorm));
      this.norm(named((names) => names.keyNorm));
    }
    this.matrix(
      'output',
      named((names) => names.output),
    );
    if (config.postNorms) {
      this.norm(named((names) => names.attentionPostNorm));
      this.norm(named((names) => names.feedForwardPostNorm));
    }
    if (config.gated)
      this.matrix(
        'gate',
        named((names) => names.gate),
      );
    this.matrix(
      'up',
      named((names) => names.up),
    );
    this.matrix(
      'down',
      named((names) => names.down),
    );
  }

  /** A matrix and the bias that may be beside it; of layers in the folder's order of rows and columns. */
  matrix(
    what: string,
    pick: (names: TensorNames) => string | undefined,
    rows: Rows = asTheyAre,
    turned = this.to.transposed,
  ): void {
    const [source, target] = [pick(this.from), pick(this.to)];
    if (source === undefined || target === undefined) throw this.#unsupported(what);
    this.#add(`${source}.weight`, `${this.to.roots[0]}${target}.weight`, rows, turned);
    if (this.files.weights.tensors.has(`${source}.bias`))
      this.#add(`${source}.bias`, `${this.to.roots[0]}${target}.bias`, rows, false);
  }

  norm(pick: (names: TensorNames) => string | undefined): void {
    const offset = this.from.normOffset - this.to.normOffset;
    this.matrix('norm', pick, offset === 0 ? asTheyAre : (values) => values.map((value) => value + offset), false);
  }

  unembedding(): void {
    const [source, target] = [this.from.unembedding[0], this.to.unembedding[0]];
    this.#add(`${source}.weight`, `${target}.weight`, asTheyAre, false);
  }

  #queryKeyValue(layer: number): void {
    const { heads, keyValueHeads, headSize } = this.architecture.config;
    const [from, to] = [this.from.layer.queryKeyValue, this.to.layer.queryKeyValue];
    const at = (name: string): string => name.replace('{}', String(layer));
    if (from.kind === 'separate' && to.kind === 'separate') {
      const rotated = this.#rotaryRows(layer);
      this.matrix('query', (names) => (names === this.from ? at(from.query) : at(to.query)), rotated(heads));
      this.matrix('key', (names) => (names === this.from ? at(from.key) : at(to.key)), rotated(keyValueHeads));
      this.matrix('value', (names) => (names === this.from ? at(from.value) : at(to.value)));
      return;
    }
    if (from.kind !== 'joined' || to.kind === 'separate' || this.from.rotaryPairs !== this.to.rotaryPairs)
      throw this.#unsupported('queries, keys and values');
    const rows = to.kind === 'joined' ? asTheyAre : (values: Float32Array) => byHead(values, heads, headSize);
    this.matrix('queryKeyValue', (names) => at(names === this.from ? from.all : to.all), rows);
  }

  /** llama.cpp's rows of a head, pairs side by side, as transformers has them, half a head apart. */
  #rotaryRows(layer: number): (heads: number) => Rows {
    if (this.from.rotaryPairs === this.to.rotaryPairs) return () => asTheyAre;
    const { config } = this.architecture;
    const { headSize } = config;
    if (config.rotary[config.attention[layer]]?.dimensions !== headSize || this.to.rotaryPairs !== 'halves')
      throw this.#unsupported('a rotation of a part of each head');
    return (heads) => (values) => {
      orderRotaryRows(values, values.length / (heads * headSize), headSize, headSize, this.from.rotaryPairs);
      return values;
    };
  }

  #add(source: string, name: string, rows: Rows, turned: boolean): void {
    const { weights } = this.files;
    const shape = weights.tensors.get(source)?.shape ?? [];
    this.plans.push({
      name,
      shape: turned ? [...shape].reverse() : shape,
      load: async () => {
        const values = rows(weights.read(source));
        return { values: turned ? transposed(values, shape[0], shape[1]) : values };
      },
    });
  }

  #unsupported(what: string): ErrataError {
    return new ErrataError(
      'EXPORT_UNSUPPORTED',
      `${this.files.path}: ${what} of ${this.architecture.family.name} cannot be brought from GGUF into a Hugging Face folder: load the original folder instead of the GGUF file, or export gguf`,
    );
  }
}

/** Queries, keys and values one after the other → the three of each head together. */
function byHead(values: Float32Array, heads: number, headSize: number): Float32Array {
  const out = new Float32Array(values.length);
  const size = values.length / (3 * heads);
  if (!Number.isInteger(size) || size % headSize !== 0) throw new RangeError('rows do not fit the heads');
  for (let kind = 0; kind < 3; kind++)
    for (let head = 0; head < heads; head++) {
      const from = (kind * heads + head) * size;
      out.set(values.subarray(from, from + size), (head * 3 + kind) * size);
    }
  return out;
}

function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
  const out = new Float32Array(values.length);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++) out[column * rows + row] = values[row * columns + column];
  return out;
}
