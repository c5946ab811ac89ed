import { z } from 'zod';
import { checkpointNameSchema } from './domain.js';

/** Bounds of what the OpenAI-compatible routes take. */
export const completionLimits = {
  /** Characters of a prompt or of one message; the context of the model is the real bound. */
  textLength: 1_000_000,
  prompts: 16,
  messages: 1000,
  choices: 16,
  stops: 16,
  stopLength: 200,
  topLogProbabilities: 20,
} as const;

const text = z.string().max(completionLimits.textLength);
const stopText = z.string().min(1).max(completionLimits.stopLength);

/** Fields of OpenAI that would change the answer and are not supported: refused unless they have their default. */
const only = <Schema extends z.ZodType>(schema: Schema, otherwise: string) =>
  z
    .unknown()
    .refine((value) => value === null || value === undefined || schema.safeParse(value).success, {
      message: `is not supported: ${otherwise}`,
    })
    .optional()
    .describe(`Not supported: ${otherwise}`);

/** A place in the log: a seq or the name of a checkpoint. */
export const positionSchema = z.union([z.int().min(0), checkpointNameSchema]);

/** The position in a query, where a number is digits. */
export const completionQuerySchema = z.object({
  at: z
    .union([z.string().regex(/^\d{1,15}$/, 'a number'), checkpointNameSchema])
    .transform((at) => (/^\d+$/.test(at) ? Number(at) : at))
    .optional()
    .describe('Position or checkpoint to ask, for clients that cannot put `at` into the body'),
});

const common = {
  model: z.string().max(200).nullish().describe('Read by no one: the path names the stream, and the stream its model'),
  at: positionSchema
    .nullish()
    .describe('Position or checkpoint to ask; the head when left out, 0 is the unedited model'),
  temperature: z.number().min(0).max(2).nullish().describe('0 when left out: the most likely token always'),
  top_p: z.number().gt(0).max(1).nullish().describe('Draw from the fewest tokens whose probabilities reach this'),
  top_k: z.int().min(1).nullish().describe('Draw from so many most likely tokens; no field of OpenAI'),
  seed: z.int().nullish().describe('Equal seeds give equal text on one machine'),
  n: z.int().min(1).max(completionLimits.choices).nullish().describe('Continuations of each prompt'),
  stop: z
    .union([stopText, z.array(stopText).max(completionLimits.stops)])
    .nullish()
    .describe('The text ends before the first of these'),
  stream: z.boolean().nullish().describe('Answer with server-sent events as the text grows'),
  stream_options: z
    .object({ include_usage: z.boolean().nullish() })
    .nullish()
    .describe('With `include_usage` the last event before `[DONE]` counts the tokens'),
  presence_penalty: only(z.literal(0), 'leave it out or give 0'),
  frequency_penalty: only(z.literal(0), 'leave it out or give 0'),
  logit_bias: only(z.strictObject({}), 'leave it out'),
};

export const completionRequestSchema = z
  .object({
    ...common,
    prompt: z.union([text.min(1), z.array(text.min(1)).min(1).max(completionLimits.prompts)]),
    max_tokens: z.int().min(1).nullish().describe('16 when left out; the context of the model ends the text too'),
    logprobs: z
      .int()
      .min(0)
      .max(completionLimits.topLogProbabilities)
      .nullish()
      .describe('Log-probabilities of the tokens, and of so many of the most likely at each place'),
    echo: only(z.literal(false), 'the answer never repeats the prompt'),
    suffix: only(z.literal(''), 'the model can only continue'),
    best_of: only(z.literal(1), 'leave it out; n gives several answers'),
  })
  .meta({ id: 'CompletionRequest' });
export type CompletionRequest = z.infer<typeof completionRequestSchema>;

const contentSchema = z.union([
  text,
  z.array(z.object({ type: z.literal('text', { error: 'only text is supported' }), text })).max(1000),
]);

export const chatMessageSchema = z
  .object({
    role: z.enum(['system', 'developer', 'user', 'assistant']),
    content: contentSchema.nullish(),
    tool_calls: only(z.array(z.unknown()).max(0), 'the model calls no tools'),
  })
  .meta({ id: 'ChatMessage' });
export type ChatMessage = z.infer<typeof chatMessageSchema>;

export const chatCompletionRequestSchema = z
  .object({
    ...common,
    messages: z.array(chatMessageSchema).min(1).max(completionLimits.messages),
    max_tokens: z.int().min(1).nullish().describe('Older name of `max_completion_tokens`'),
    max_completion_tokens: z.int().min(1).nullish().describe('As long as the context allows when left out'),
    logprobs: z.boolean().nullish().describe('Log-probabilities of the tokens'),
    top_logprobs: z
      .int()
      .min(0)
      .max(completionLimits.topLogProbabilities)
      .nullish()
      .describe('So many of the most likely tokens at each place'),
    tools: only(z.array(z.unknown()).max(0), 'the model calls no tools'),
    functions: only(z.array(z.unknown()).max(0), 'the model calls no functions'),
    response_format: only(z.object({ type: z.literal('text') }), 'only the type "text" is'),
    audio: only(z.never(), 'only text is'),
  })
  .meta({ id: 'ChatCompletionRequest' });
export type ChatCompletionRequest = z.infer<typeof chatCompletionRequestSchema>;

export const usageSchema = z
  .object({ prompt_tokens: z.int(), completion_tokens: z.int(), total_tokens: z.int() })
  .meta({ id: 'CompletionUsage' });
export type CompletionUsage = z.infer<typeof usageSchema>;

const finishReason = z.enum(['stop', 'length']);

/** Columns of equal length, as of the older of OpenAI's two routes. */
export const completionLogprobsSchema = z
  .object({
    tokens: z.array(z.string()),
    token_logprobs: z.array(z.number()),
    top_logprobs: z.array(z.record(z.string(), z.number())),
    text_offset: z.array(z.int()),
  })
  .meta({ id: 'CompletionLogprobs' });
export type CompletionLogprobs = z.infer<typeof completionLogprobsSchema>;

const tokenLogprob = z
  .object({ token: z.string(), logprob: z.number(), bytes: z.array(z.int()) })
  .meta({ id: 'TokenLogprob' });

export const chatLogprobsSchema = z
  .object({ content: z.array(z.object({ ...tokenLogprob.shape, top_logprobs: z.array(tokenLogprob) })) })
  .meta({ id: 'ChatLogprobs' });
export type ChatLogprobs = z.infer<typeof chatLogprobsSchema>;

const head = {
  id: z.string(),
  created: z.int().describe('Seconds since 1970'),
  model: z.string(),
  seq: z.int().describe('Position of the log that answered; no field of OpenAI'),
};

/** An answer, and an event of a streamed one: there `finish_reason` is null but in the last of a choice. */
export const completionSchema = z
  .object({
    ...head,
    object: z.literal('text_completion'),
    choices: z.array(
      z.object({
        index: z.int(),
        text: z.string(),
        logprobs: completionLogprobsSchema.nullable(),
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: usageSchema.nullish(),
  })
  .meta({ id: 'Completion' });
export type Completion = z.infer<typeof completionSchema>;

export const chatCompletionSchema = z
  .object({
    ...head,
    object: z.literal('chat.completion'),
    choices: z.array(
      z.object({
        index: z.int(),
        message: z.object({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReason,
      }),
    ),
    usage: usageSchema,
  })
  .meta({ id: 'ChatCompletion' });
export type ChatCompletion = z.infer<typeof chatCompletionSchema>;

export const chatCompletionChunkSchema = z
  .object({
    ...head,
    object: z.literal('chat.completion.chunk'),
    choices: z.array(
      z.object({
        index: z.int(),
        delta: z.object({ role: z.literal('assistant').optional(), content: z.string().optional() }),
        logprobs: chatLogprobsSchema.nullable(),
        finish_reason: finishReason.nullable(),
      }),
    ),
    usage: usageSchema.nullish(),
  })
  .meta({ id: 'ChatCompletionChunk' });
export type ChatCompletionChunk = z.infer<typeof chatCompletionChunkSchema>;

/** The part of an error that clients of OpenAI read; beside it stand the members of problem+json. */
export const openAiErrorSchema = z
  .object({
    message: z.string(),
    type: z.enum(['invalid_request_error', 'server_error']),
    param: z.string().nullable(),
    code: z.string(),
  })
  .meta({ id: 'OpenAiError' });
export type OpenAiError = z.infer<typeof openAiErrorSchema>;
