import {
  chatCompletionChunkSchema,
  chatCompletionRequestSchema,
  chatCompletionSchema,
  completionQuerySchema,
  completionRequestSchema,
  completionSchema,
  type ErrorCode,
} from '@errata/contracts';
import { ask, placeOf, sharedFields } from '../completions/ask.js';
import { chatCompletionOf, chatEvents, messagesOf } from '../completions/chat.js';
import { completionEvents, completionOf } from '../completions/text.js';
import type { GatewayDeps } from '../deps.js';
import { defineRoute, type Route } from '../http/route.js';

/** Tokens of a completion that asks for no number of them, as with OpenAI. */
const defaultTokens = 16;
const errors: ErrorCode[] = [
  'UNKNOWN_STREAM',
  'UNKNOWN_CHECKPOINT',
  'UNKNOWN_POSITION',
  'NOT_READY',
  'DEADLINE_EXCEEDED',
];
const forClients =
  'Made for clients of OpenAI: their base URL is `/v1/streams/{stream}`. Fields unknown here are ignored; known ones that ' +
  'would change the answer and are not supported are refused. Decoding is greedy unless a temperature is given.';

/** What the edited model answers. */
export function completionRoutes(deps: GatewayDeps): Route[] {
  return [
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/completions',
      operationId: 'complete',
      tag: 'Model',
      summary: 'Let the edited model continue a text',
      description: forClients,
      status: 200,
      errors,
      curl: `-H 'content-type: application/json' -d '{"prompt": "The capital of France is"}'`,
      openAi: true,
      query: completionQuerySchema,
      body: completionRequestSchema,
      reply: completionSchema,
      event: completionSchema,
      handler: async ({ params, query, body, signal }) => {
        const { state, head } = await placeOf(deps, params.stream, body.at ?? query.at, 'cmpl');
        const answer = ask(
          deps,
          {
            ...sharedFields(body),
            state,
            prompt: { $case: 'texts', texts: { texts: [body.prompt].flat() } },
            maxTokens: body.max_tokens ?? defaultTokens,
            topLogProbabilities: body.logprobs ?? undefined,
          },
          signal,
        );
        const wanted = { logprobs: typeof body.logprobs === 'number', usage: wantsUsage(body) };
        return body.stream
          ? { events: completionEvents(head, answer, wanted) }
          : { json: await completionOf(head, answer, wanted) };
      },
    }),
    defineRoute({
      method: 'POST',
      path: '/v1/streams/{stream}/chat/completions',
      operationId: 'chat',
      tag: 'Model',
      summary: 'Let the edited model answer in a conversation',
      description: `${forClients} The prompt is made by the chat template of the model; a model without one refuses.`,
      status: 200,
      errors,
      curl: `-H 'content-type: application/json' -d '{"messages": [{"role": "user", "content": "What is the capital of France?"}]}'`,
      openAi: true,
      query: completionQuerySchema,
      body: chatCompletionRequestSchema,
      reply: chatCompletionSchema,
      event: chatCompletionChunkSchema,
      handler: async ({ params, query, body, signal }) => {
        const { state, head } = await placeOf(deps, params.stream, body.at ?? query.at, 'chatcmpl');
        const wantsLogprobs = body.logprobs === true;
        const answer = ask(
          deps,
          {
            ...sharedFields(body),
            state,
            prompt: { $case: 'chat', chat: { messages: messagesOf(body.messages) } },
            maxTokens: body.max_completion_tokens ?? body.max_tokens ?? 0,
            topLogProbabilities: wantsLogprobs ? (body.top_logprobs ?? 0) : undefined,
          },
          signal,
        );
        const wanted = { logprobs: wantsLogprobs, usage: wantsUsage(body) };
        return body.stream
          ? { events: chatEvents(head, answer, body.n ?? 1, wanted) }
          : { json: await chatCompletionOf(head, answer, wanted) };
      },
    }),
  ];
}

function wantsUsage(body: {
  readonly stream_options?: { readonly include_usage?: boolean | null | undefined } | null | undefined;
}): boolean {
  return body.stream_options?.include_usage === true;
}
