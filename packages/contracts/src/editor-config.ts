import { createHash } from 'node:crypto';
import { z } from 'zod';
import { covarianceCorpusSchema } from './corpus.js';

/**
 * How edits are found and written: section numbers of docs/architecture.md. Stored with the stream, hashed into every
 * log entry.
 */
export const editorConfigSchema = z
  .strictObject({
    layers: z
      .array(z.int().min(0).max(1000))
      .min(1)
      .max(64)
      .describe('Edited layers, ascending; the last one is where targets are found'),
    lambda: z.number().min(0).max(1e6).describe('Weight λ of the pull toward the pre-trained weights'),
    mu: z.number().min(0).max(1e6).describe('Weight μ of the anchor mapping'),
    covarianceWeight: z.number().min(0).max(1e12).describe('w: how many tokens the anchor covariance stands for'),
    covarianceTokens: z.int().min(1000).max(100_000_000).describe('Least tokens of the corpus behind the covariance'),
    corpus: covarianceCorpusSchema
      .optional()
      .describe('What the covariance is taken over. Public-domain speeches built into the runtime when left out'),
    batchSize: z.int().min(1).max(256).describe('Most edits applied together'),
    templates: z
      .array(z.string().max(500).includes('{}'))
      .min(1)
      .max(16)
      .describe('Contexts a prompt is put into; {} stands for the prompt. The first is the bare prompt'),
    learningRate: z.number().positive().max(100).describe('Adam learning rate of the target search'),
    maxSteps: z.int().min(1).max(500).describe('Most Adam steps of the target search'),
    stopLoss: z.number().min(0).describe('The search of an edit ends when its loss falls below this'),
    clamp: z.number().positive().describe('Largest norm of the change of the hidden state, as a share of its norm'),
    klWeight: z.number().min(0).describe('Weight of the KL term on "{subject} is a"'),
    weightDecay: z.number().min(0).describe('Weight of the norm of the change'),
    resolver: z
      .enum(['optimise', 'one-shot'])
      .optional()
      .describe(
        'How targets are found: by the search, or by one step along the gradient, several times faster and weaker. optimise when left out',
      ),
    conditioning: z
      .enum(['refuse', 'raise-lambda'])
      .optional()
      .describe(
        'What becomes of a layer whose λ²I + μ²w Cov is too ill-conditioned to be inverted: the stream is refused, or λ is raised as far as needed for that layer. refuse when left out',
      ),
    forgetting: z
      .number()
      .min(0.9)
      .max(1)
      .optional()
      .describe(
        'γ: at each step of the log all earlier edits count γ times as much as before. 1, never, when left out',
      ),
    rowShards: z
      .int()
      .min(1)
      .max(64)
      .optional()
      .describe('Over how many shard workers each layer is spread. 1 when left out'),
    precision: z
      .enum(['auto', 'fp32', 'fp64'])
      .optional()
      .describe('How inverse covariances are stored: auto decides by size and condition. auto when left out'),
  })
  .refine((c) => c.layers.every((l, i) => i === 0 || l > c.layers[i - 1]), {
    path: ['layers'],
    message: 'layers must ascend without repeats',
  })
  .refine((c) => c.templates[0] === '{}', {
    path: ['templates'],
    message: 'the first template must be the bare prompt "{}"',
  })
  .refine((c) => c.lambda > 0 || (c.mu > 0 && c.covarianceWeight > 0), {
    path: ['lambda'],
    message: 'λ and μ²w must not both be 0',
  })
  .meta({ id: 'EditorConfig' });

export type EditorConfig = z.infer<typeof editorConfigSchema>;

/** sha256 of the configuration with its keys sorted, hex. */
export function editorConfigHash(config: EditorConfig): string {
  return createHash('sha256')
    .update(JSON.stringify(sorted(config)))
    .digest('hex');
}

function sorted(value: object): object {
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  const isRecord = (inner: unknown): inner is object =>
    typeof inner === 'object' && inner !== null && !Array.isArray(inner);
  return Object.fromEntries(entries.map(([key, inner]) => [key, isRecord(inner) ? sorted(inner) : inner]));
}
