import {
  type Checkpoint,
  type EditorConfig,
  type HeadChange,
  headChange,
  type Model,
  type TaskQueue,
} from '@errata/contracts';
import { FinishReason, type GenerateStreamRequest, type GenerateStreamResponse } from '@errata/rpc';
import { createStore, type Idempotency, type Store } from '@errata/store';
import { startTestDatabase } from '@errata/store/testing';
import type { RequestHandler } from 'express';
import { Registry } from 'prom-client';
import { createApp } from '../app.js';
import type { GatewayDeps, WorkflowGateway } from '../deps.js';
import { listen } from '../server.js';
import { testFleet } from './shards.js';

export const model: Model = {
  id: 'a'.repeat(64),
  name: 'Tiny-12L',
  architecture: 'llama',
  layers: 12,
  hiddenSize: 8,
  intermediateSize: 600,
};

export const preset: EditorConfig = {
  layers: [3, 4],
  lambda: 0,
  mu: 1,
  covarianceWeight: 1000,
  covarianceTokens: 2000,
  batchSize: 8,
  templates: ['{}'],
  learningRate: 1,
  maxSteps: 20,
  stopLoss: 0.08,
  clamp: 0.5,
  klWeight: 0.0625,
  weightDecay: 0.1,
};

/** Records what the API asks of the workflows; answers as a workflow would that does the work at once. */
export class RecordingWorkflows implements WorkflowGateway {
  readonly calls: { name: string; args: unknown[] }[] = [];
  /** Thrown by every call while set. */
  failure: Error | null = null;

  /** What Temporal says of the task queues. */
  queues: TaskQueue[] = [];

  constructor(private readonly store: Store) {}

  private record(name: string, ...args: unknown[]): void {
    this.calls.push({ name, args });
    if (this.failure) throw this.failure;
  }

  /** Ends the revocations of a stream that take nothing out of the weights; others wait, as with a workflow that is busy. */
  async wake(streamId: string): Promise<void> {
    this.record('wake', streamId);
    const open = async () => (await this.store.listRevocations(streamId)).filter(({ status }) => status !== 'done');
    if ((await open()).length === 0) return;
    const work = await this.store.nextWork(streamId, { limit: 0, at: new Date().toISOString(), held: true });
    if (work.finishing) await this.store.finishRevocation(streamId, work.finishing.revocationId, null);
  }
  async rollback(streamId: string, seq: number, idempotency?: Idempotency): Promise<HeadChange> {
    this.record('rollback', streamId, seq);
    const { head, hash, editIds } = await this.store.rollback(streamId, seq, idempotency);
    return headChange(head, hash, editIds);
  }
  async checkpoint(streamId: string, name: string): Promise<Checkpoint> {
    this.record('checkpoint', streamId, name);
    return this.store.createCheckpoint(streamId, name);
  }
  async pause(streamId: string): Promise<void> {
    this.record('pause', streamId);
    await this.store.setStreamStatus(streamId, 'paused');
  }
  async resume(streamId: string): Promise<void> {
    this.record('resume', streamId);
    await this.store.setStreamStatus(streamId, 'ready');
  }
  async evaluate(streamId: string, evaluationId: string): Promise<void> {
    this.record('evaluate', streamId, evaluationId);
  }
  async takeSnapshot(streamId: string, seq: number) {
    this.record('takeSnapshot', streamId, seq);
    return null;
  }
  async repair(streamId: string) {
    this.record('repair', streamId);
    return { repaired: [], lost: [], lastGood: null };
  }
  async startExport(exportId: string): Promise<void> {
    this.record('startExport', exportId);
  }
  async cancelExport(exportId: string): Promise<boolean> {
    this.record('cancelExport', exportId);
    return false;
  }
  async startPublication(publicationId: string): Promise<void> {
    this.record('startPublication', publicationId);
  }
  async taskQueues(): Promise<TaskQueue[]> {
    this.record('taskQueues');
    return this.queues;
  }
  async ping(): Promise<void> {
    this.record('ping');
  }
}

export interface TestGateway {
  readonly url: string;
  readonly store: Store;
  readonly workflows: RecordingWorkflows;
  /** Requests that reached the runtime's generateStream. */
  readonly generated: GenerateStreamRequest[];
  /** What the runtime answers from now on. */
  readonly answering: { with: (request: GenerateStreamRequest, signal: AbortSignal) => AsyncIterable<RuntimeEvent> };
  /** What the log was told at warn and error. */
  readonly logged: { level: string; fields: object; message: string }[];
  stop(): Promise<void>;
}

/** An event of the runtime. */
export type RuntimeEvent = NonNullable<GenerateStreamResponse['event']>;

/** Each prompt is continued with " Par" and "is", choice by choice. */
async function* paris(request: GenerateStreamRequest): AsyncGenerator<RuntimeEvent> {
  yield { $case: 'start', start: { promptTokens: 6 } };
  const prompts = request.prompt?.$case === 'texts' ? request.prompt.texts.texts.length : 1;
  const top = request.topLogProbabilities;
  for (const [i, text] of [' Par', 'is'].entries())
    for (let choice = 0; choice < prompts * request.choices; choice++) {
      const chosen = { token: Buffer.from(text), logProbability: -0.5 - i };
      const logProbabilities = top === undefined ? undefined : { chosen, top: top === 0 ? [] : [chosen] };
      const finish = i === 1 ? FinishReason.FINISH_REASON_STOP : FinishReason.FINISH_REASON_UNSPECIFIED;
      yield { $case: 'piece', piece: { choice, text, tokens: i + 1, finish, logProbabilities } };
    }
}

const passThrough: RequestHandler = (_request, _response, next) => next();

/** The application on a real Postgres, listening on loopback; workflows are recorded, the runtime and shards answer fixed values. */
export async function startTestGateway(overrides: Partial<GatewayDeps> = {}): Promise<TestGateway> {
  const database = await startTestDatabase();
  const store = createStore({ databaseUrl: database.url });
  const workflows = new RecordingWorkflows(store);
  const generated: TestGateway['generated'] = [];
  const answering: TestGateway['answering'] = { with: paris };
  const logged: TestGateway['logged'] = [];
  const note = (level: string) => (fields: object, message: string) => void logged.push({ level, fields, message });
  const fleet = testFleet();
  const app = createApp({
    store,
    workflows,
    runtime: {
      address: 'runtime:1',
      async info() {
        const { id: modelId, ...rest } = model;
        return { modelId, ...rest, vocabularySize: 1, engine: 'native', contextLength: 64 };
      },
      async discardExport() {},
      async *generateStream(request, { signal }) {
        generated.push(request);
        for await (const event of answering.with(request, signal!)) yield { event };
      },
    },
    fleet,
    presetFor: ({ name }) => (name === model.name ? preset : null),
    log: { debug: () => {}, info: () => {}, warn: note('warn'), error: note('error') },
    registry: new Registry(),
    httpMetrics: passThrough,
    version: '1.2.3',
    ...overrides,
  });
  const server = await listen(app, '127.0.0.1', 0);
  return {
    url: `http://127.0.0.1:${server.port}`,
    store,
    workflows,
    generated,
    answering,
    logged,
    async stop() {
      await server.stop();
      fleet.close();
      await store.close();
      await database.stop();
    },
  };
}

export interface Answer {
  readonly status: number;
  readonly headers: { get(name: string): string | null };
  // biome-ignore lint/suspicious/noExplicitAny: tests look into answers of every shape
  readonly body: any;
}

/** A call and its answer, the body parsed. */
export async function call(
  gateway: TestGateway,
  method: string,
  path: string,
  body?: { json?: unknown; text?: string | Uint8Array<ArrayBuffer>; type?: string; headers?: Record<string, string> },
): Promise<Answer> {
  const type = body?.type ?? (body?.json === undefined ? undefined : 'application/json');
  const response = await fetch(`${gateway.url}${path}`, {
    method,
    headers: { ...(type !== undefined && { 'content-type': type }), ...body?.headers },
    ...(body && { body: body.json === undefined ? (body.text ?? '') : JSON.stringify(body.json) }),
  });
  const text = await response.text();
  const isJson = /json/.test(response.headers.get('content-type') ?? '');
  return { status: response.status, headers: response.headers, body: isJson ? JSON.parse(text) : text };
}

let streams = 0;

/** A fresh stream, made over HTTP. */
export async function makeStream(gateway: TestGateway): Promise<{ id: string; name: string }> {
  streams++;
  const { body } = await call(gateway, 'POST', '/v1/streams', {
    json: { model: model.name, name: `stream ${streams}` },
  });
  return body;
}
