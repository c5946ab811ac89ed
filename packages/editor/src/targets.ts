import type { EditorConfig } from '@errata/contracts';
import type { Deltas, Model } from '@errata/model';
import { type JointOptions, type ResolvedTargets, resolveTogether, type TargetProgress } from './joint-targets.js';
import type { EditText } from './lookup.js';

export interface ResolveOptions extends JointOptions {
  readonly deltas?: Deltas;
  readonly onProgress?: (progress: TargetProgress) => void;
}

/**
 * Finds for every edit the hidden state z after the last edited layer at the lookup position that makes the model
 * continue with the target (ROME, arXiv 2202.05262, section 3.1, as batched by MEMIT, arXiv 2210.07229). All edits are
 * searched in one loop; only the tokens from the lookup position on are run again in each step, and edits that are
 * done leave the loop. The one-shot resolver takes a single step, against the gradient, its length a share of
 * the hidden state's (after UltraEdit, arXiv 2505.14679), and does not measure where it ends. Deterministic.
 * @throws ModelError PROMPT_TOO_LONG, EMPTY_TOKENS
 * @throws ErrataError INVALID_REQUEST a layer that the model does not have, a prompt without its subject; OUT_OF_MEMORY
 * an edit that needs more than `memoryBytes` alone
 */
export async function resolveTargets(
  model: Model,
  edits: readonly EditText[],
  config: EditorConfig,
  { deltas, onProgress, ...options }: ResolveOptions = {},
): Promise<ResolvedTargets> {
  let outcome: PromiseSettledResult<ResolvedTargets> | undefined;
  const settle = (found: PromiseSettledResult<ResolvedTargets>): void => {
    outcome = found;
  };
  const request = { edits, config, settle, ...(deltas && { deltas }), ...(onProgress && { onProgress }) };
  await resolveTogether(model, [request], options);
  if (outcome?.status !== 'fulfilled') throw outcome?.reason;
  return outcome.value;
}
