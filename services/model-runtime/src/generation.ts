import { ErrataError } from '@errata/contracts';
import {
  chatIds,
  generate,
  generateChoices,
  type LogProbability,
  type Model,
  promptIds,
  type Sampling,
} from '@errata/model';
import {
  FinishReason,
  type GenerateStreamRequest,
  type GenerateStreamResponse,
  type ModelRuntimeServiceServer,
  type Sampling as SamplingMessage,
  serverStream,
  type TokenLogProbability,
  unary,
} from '@errata/rpc';
import type { EngineRunner } from './engine-runner.js';
import { eventChannel } from './event-channel.js';
import type { RuntimeMetrics } from './metrics.js';
import { checkCount } from './requests.js';

/** Continuations of one streamed request: each is a row of the batch and of its cache. */
const maxContinuations = 64;
/** Most likely tokens reported at each place. */
const maxTopTokens = 20;

/** The methods that let the model speak. */
export function generationMethods(
  model: Model,
  engine: EngineRunner,
  metrics: RuntimeMetrics,
): Pick<ModelRuntimeServiceServer, 'generate' | 'generateStream'> {
  return {
    generate: unary((request, context) =>
      engine.run('generate', context, async ({ pause, stateOf }) => {
        checkCount('prompts', request.prompts.length);
        const { deltas } = await stateOf(request.state);
        const texts = await generate(model, request.prompts, {
          ...samplingOf(request.sampling),
          maxTokens: request.maxTokens,
          stop: request.stop,
          deltas,
          pause,
        });
        return { texts };
      }),
    ),

    generateStream: serverStream((request, context) =>
      eventChannel<GenerateStreamResponse>((emit) =>
        engine.runBriefly('generateStream', context, async ({ pause, turn, stateOf }) => {
          const top = request.topLogProbabilities;
          if (top !== undefined && top > maxTopTokens)
            throw new ErrataError('INVALID_REQUEST', `${top} most likely tokens: at most ${maxTopTokens} can be had`);
          const prompts = promptsOf(model, request);
          const choices = Math.max(1, request.choices);
          if (prompts.length * choices > maxContinuations)
            throw new ErrataError(
              'INVALID_REQUEST',
              `${prompts.length} prompts with ${choices} continuations each: at most ${maxContinuations} at once`,
            );
          const { deltas } = await stateOf(request.state);
          const promptTokens = prompts.reduce((sum, ids) => sum + ids.length, 0);
          emit({ event: { $case: 'start', start: { promptTokens } } });
          const pieces = generateChoices(model, prompts, {
            ...samplingOf(request.sampling),
            choices,
            maxTokens: request.maxTokens || model.config.contextLength,
            stop: request.stop,
            deltas,
            pause,
            betweenTokens: () => turn.pass(),
            ...(top !== undefined && { logProbabilities: top }),
          });
          for await (const { choice, text, tokens, finish, logProbabilities } of pieces) {
            metrics.generatedTokens.inc();
            const found = logProbabilities && {
              chosen: tokenMessage(model, logProbabilities.chosen),
              top: logProbabilities.top.map((entry) => tokenMessage(model, entry)),
            };
            emit({
              event: {
                $case: 'piece',
                piece: { choice, text, tokens, finish: finishReason(finish), logProbabilities: found },
              },
            });
          }
        }),
      ),
    ),
  };
}

function promptsOf(model: Model, { prompt }: GenerateStreamRequest): number[][] {
  switch (prompt?.$case) {
    case 'texts': {
      const { texts } = prompt.texts;
      checkCount('prompts', texts.length);
      return texts.map((text) => promptIds(model, text));
    }
    case 'chat':
      checkCount('messages', prompt.chat.messages.length);
      return [chatIds(model, prompt.chat.messages)];
    case undefined:
      throw new ErrataError('INVALID_REQUEST', 'the request holds neither texts nor a chat');
  }
}

function samplingOf(message: SamplingMessage | undefined): Sampling {
  if (!message) return {};
  const { temperature, topP, topK, seed } = message;
  return {
    temperature,
    ...(topP !== 0 && { topP }),
    ...(topK !== 0 && { topK }),
    ...(seed !== undefined && { seed }),
  };
}

function finishReason(finish: 'stop' | 'length' | null): FinishReason {
  switch (finish) {
    case 'stop':
      return FinishReason.FINISH_REASON_STOP;
    case 'length':
      return FinishReason.FINISH_REASON_LENGTH;
    case null:
      return FinishReason.FINISH_REASON_UNSPECIFIED;
  }
}

function tokenMessage(model: Model, { id, logProbability }: LogProbability): TokenLogProbability {
  return { token: Buffer.from(model.tokenizer.bytesOf(id)), logProbability };
}
