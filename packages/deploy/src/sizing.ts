/** What the sizes of a deployment follow from: shapes of a model, as published with it. */
export interface ModelShape {
  readonly name: string;
  readonly parameters: number;
  /** Inputs d and outputs dₒ of an edited layer: intermediate and hidden size. */
  readonly inputs: number;
  readonly outputs: number;
  /** Edited layers of the preset. */
  readonly layers: number;
}

export const shapes: readonly ModelShape[] = [
  { name: 'SmolLM2-135M', parameters: 134.5e6, inputs: 1536, outputs: 576, layers: 5 },
  { name: 'Gemma-3-1B', parameters: 999.9e6, inputs: 6912, outputs: 1152, layers: 5 },
  { name: 'GPT-2 XL', parameters: 1557.6e6, inputs: 6400, outputs: 1600, layers: 5 },
  { name: 'GPT-J-6B', parameters: 6050.9e6, inputs: 16384, outputs: 4096, layers: 6 },
  { name: 'Llama-2-7B', parameters: 6738.4e6, inputs: 11008, outputs: 4096, layers: 5 },
  { name: 'Mistral-7B', parameters: 7248e6, inputs: 14336, outputs: 4096, layers: 5 },
  { name: 'Qwen2.5-7B', parameters: 7615.6e6, inputs: 18944, outputs: 3584, layers: 5 },
  { name: 'Llama-3-8B', parameters: 8030.3e6, inputs: 14336, outputs: 4096, layers: 5 },
  { name: 'Qwen3-8B', parameters: 8190.7e6, inputs: 12288, outputs: 4096, layers: 5 },
];

/** Bytes, all edited layers together where not said otherwise. Formulas: docs/operating.md, "Memory of a shard worker". */
export interface Sizes {
  /** The weights in the model runtime, fp32. */
  readonly weights: number;
  /** A₀ and C₀, shared by the streams with the same anchor. */
  readonly shared: number;
  /** C and Δ of one stream after its first fold. */
  readonly stream: number;
  /** History of 1,000 edits in the memory of shard workers. */
  readonly history: number;
  /** Meanwhile, when one layer is opened, with scratch space on disk. */
  readonly opening: number;
  /** Keys and factors of 1,000 edits in Postgres. */
  readonly log: number;
}

/** Above this dimension C is usually kept in fp32. */
const fp64Dimension = 4096;

export function sizesOf({ parameters, inputs: d, outputs: o, layers }: ModelShape): Sizes {
  const element = d <= fp64Dimension ? 8 : 4;
  return {
    weights: 4 * parameters,
    shared: layers * element * d * d,
    stream: layers * element * ((d * d) / 2 + d * o),
    history: 1000 * layers * (8 * d + 12 * o),
    opening: 4 * d * d,
    log: 1000 * layers * 4 * (2 * d + o),
  };
}

/** The table of docs/deploying.md, Markdown. */
export function sizingTable(): string {
  const gigabytes = (bytes: number) => (bytes / 1e9).toPrecision(2).replace(/\.0$/, '');
  const rows = shapes.map((shape) => {
    const { weights, shared, stream, history, opening, log } = sizesOf(shape);
    const sizes = [weights, shared, stream, history, opening, log].map((bytes) => gigabytes(bytes));
    return [shape.name, `${shape.layers} of ${shape.inputs} × ${shape.outputs}`, ...sizes];
  });
  const head = [
    'model',
    'edited layers',
    'weights',
    'A₀ and C₀',
    'a stream’s C and Δ',
    'history, 1,000 edits',
    'opening a layer',
    'log, 1,000 edits',
  ];
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}
