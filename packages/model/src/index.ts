export { type Architecture, architectureOf, families } from './architectures/families.js';
export type { Family, LayerNames, TensorNames } from './architectures/family.js';
export { folderConfigOf } from './architectures/to-folder.js';
export { attendsAtOnce } from './attention.js';
export { backward, disposeTrace, forwardTraced, type TracedRun } from './backward.js';
export { activate, attend, keysAndValues, project } from './block.js';
export { type ChatPromptOptions, chatPrompt, type TemplateMessage } from './chat-template.js';
export type { AttentionKind, Biases, ModelConfig } from './config.js';
export { createDelta, type DeltaFactors, denseFromRank, disposeDelta } from './deltas.js';
export { type TensorFormat, tensorFormats } from './dequantize.js';
export { type BaseStates, type Divergence, divergenceFromBase } from './divergence.js';
export { ModelError, type ModelErrorCode } from './errors.js';
export { type Fold, foldedDelta, foldFrom, nextFold, readFold } from './folds.js';
export { embed, type ForwardOptions, forward, logits, pickRows } from './forward.js';
export {
  type ChoicePiece,
  type GenerateOptions,
  generate,
  generateChoices,
  generateStream,
  type Piece,
  type StreamOptions,
} from './generate.js';
export { type ChatMessage, chatIds } from './generate-chat.js';
export { type GgufFile, type GgufTensor, openGguf, readTensor } from './gguf.js';
export { expandBrainFloats, expandHalves } from './half.js';
export { finalNorm, finalNormBackward, logitPositions, unembed, unembedBackward } from './head.js';
export { createLayout, type Layout, type PastColumns, rowTokens, type Span } from './layout.js';
export { free, scoped } from './memory.js';
export { disposeModel, loadModel, modelOf } from './model.js';
export { type FolderFiles, type GgufFiles, type ModelFiles, openModelFiles } from './model-files.js';
export { openFolderWeights } from './model-folder.js';
export { modelHash } from './model-hash.js';
export { checkLength, checkTokens, continuationIds, promptIds } from './prompt.js';
export type { Rotary } from './rotary.js';
export { openSafetensors, type SafetensorsFile, type SafetensorsTensor } from './safetensors.js';
export { type SampleOptions, sampleSequences } from './sample-sequences.js';
export type { LogProbabilities, LogProbability, Sampling } from './sampling.js';
export { perplexity, type RunState, type Score, scoreContinuations } from './score.js';
export { type SecondMoments, secondMoments } from './second-moment.js';
export {
  ByteLevelTokenizer,
  type Encoding,
  sinkOf,
  type Tokenizer,
  type TokenizerSource,
  tokenizerFor,
  tokenizerFromGguf,
} from './tokenizer.js';
export { type FolderTokenizer, folderTokenizerOf } from './tokenizers/to-json.js';
export { type TracePart, tracePart } from './trace-part.js';
export type { Deltas, KeyValues, LayerDelta, LayerWeights, Model, ModelWeights, Pause, Tensor, Tf } from './types.js';
export { orderRotaryRows } from './weight-rows.js';
export type { WeightSource, WeightTensor } from './weight-source.js';
