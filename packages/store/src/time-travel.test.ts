import type { Stream } from '@errata/contracts';
import fc from 'fast-check';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { createStore, type Store } from './index.js';
import { startTestDatabase, type TestDatabase } from './testing/index.js';
import { sampleConfig, sampleEdit, sampleEntry, sampleModel } from './testing/samples.js';
import type { ClaimedBatch } from './types.js';

/** Sequences tried: 200 unless ERRATA_HISTORIES says otherwise; the published figure is of 1,000. */
const HISTORIES = Number(process.env.ERRATA_HISTORIES ?? 200);
/** Sequences at once: they share nothing, and wait for Postgres most of the time. */
const LANES = 4;
const LAYER = 3;
const MOST_STREAMS = 4;

let database: TestDatabase;
let store: Store;

beforeAll(async () => {
  database = await startTestDatabase();
  store = createStore({ databaseUrl: database.url });
  await store.registerModel(sampleModel);
});
afterAll(async () => {
  await store.close();
  await database.stop();
});

/** A committed batch as the model keeps it: what it did, and the bytes and the hash that the store gave it. */
interface Node {
  readonly seq: number;
  readonly parent: Node | null;
  readonly hash: string;
  readonly owner: string;
  readonly bytes: string;
  readonly written: readonly WrittenEdit[];
  readonly removed: readonly { readonly id: string; readonly replaced: boolean }[];
}

interface WrittenEdit {
  readonly id: string;
  readonly subject: string;
  readonly target: string;
  readonly ordinal: number;
}

interface ModelStream {
  readonly stream: Stream;
  /** Every position that the stream may go to. */
  readonly nodes: Node[];
  head: Node | null;
}

function pathOf(node: Node | null): Node[] {
  const path: Node[] = [];
  for (let at = node; at; at = at.parent) path.unshift(at);
  return path;
}

/** Status by id of every edit that a stream has, from its tree alone. */
function statuses({ nodes, head }: ModelStream): Map<WrittenEdit, string> {
  const found = new Map<WrittenEdit, string>();
  for (const { written } of nodes) for (const edit of written) found.set(edit, 'revoked');
  const path = pathOf(head);
  for (const { written, removed } of path) {
    for (const edit of written) found.set(edit, 'applied');
    for (const { id, replaced } of removed)
      for (const edit of found.keys()) if (edit.id === id) found.set(edit, replaced ? 'superseded' : 'revoked');
  }
  return found;
}

function liveOf(stream: ModelStream): WrittenEdit[] {
  return [...statuses(stream)].flatMap(([edit, status]) => (status === 'applied' ? [edit] : []));
}

let salt = 0;

/** Carries a claimed batch to its commit, with bytes that no other batch has. */
async function commit(model: ModelStream, batch: ClaimedBatch): Promise<void> {
  const { stream } = model;
  const chain = batch.supersedes ? [batch.supersedes, batch] : [batch];
  const bytes = new Map<number, string>();
  for (const one of chain) {
    const entry = sampleEntry(stream, one, LAYER, ++salt);
    await store.stageEntry(entry, 1);
    bytes.set(one.seq, entry.b.data.join());
  }
  await store.commitBatch(stream.id, batch.seq, { targets: 0, keys: 0, update: 0, total: 0 });
  for (const one of chain) {
    const edits = one.edits.map(({ id, subject, target, ordinal }) => ({
      id,
      subject: subject ?? '',
      target,
      ordinal,
    }));
    const node: Node = {
      seq: one.seq,
      parent: model.head,
      hash: await store.hashAt(stream.id, one.seq),
      owner: stream.id,
      bytes: bytes.get(one.seq) ?? '',
      written: one.kind === 'apply' ? edits : [],
      removed: one.kind === 'revoke' ? edits.map(({ id }) => ({ id, replaced: one !== batch })) : [],
    };
    model.nodes.push(node);
    model.head = node;
  }
}

async function expectAgreement(model: ModelStream): Promise<void> {
  const { id } = model.stream;
  const path = pathOf(model.head);
  const seqs = path.map(({ seq }) => seq);
  const head = model.head ?? { seq: 0, hash: model.stream.headHash };
  const expected = [...statuses(model)].sort(([a], [b]) => a.ordinal - b.ordinal);
  const shown = await store.getStream(id);
  expect([shown.head, shown.headHash]).toEqual([head.seq, model.head ? head.hash : shown.headHash]);
  expect((await store.lineage(id, head.seq)).seqs).toEqual(seqs);
  const edits = (await store.listEdits(id, { limit: 1000 })).edits.filter(({ status }) => status !== 'rejected');
  expect(edits.map((edit) => [edit.id, edit.status])).toEqual(expected.map(([edit, status]) => [edit.id, status]));
  expect((await store.activeEdits(id)).map((edit) => edit.id)).toEqual(
    expected.flatMap(([edit, status]) => (status === 'applied' ? [edit.id] : [])),
  );
  const entries = await store.readEntries(id, LAYER, seqs);
  expect(entries.map(({ streamId, seq, b }) => [streamId, seq, b.data.join()])).toEqual(
    path.map(({ owner, seq, bytes }) => [owner, seq, bytes]),
  );
  for (const node of path) expect(await store.hashAt(id, node.seq)).toBe(node.hash);
}

const pick = fc.nat({ max: 1_000 });
const operation = fc.oneof(
  {
    weight: 5,
    arbitrary: fc.record({ kind: fc.constant('write' as const), stream: pick, subject: pick, target: pick }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('revoke' as const), stream: pick, edit: pick }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('rollback' as const), stream: pick, to: pick }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('branch' as const), stream: pick, at: pick }) },
);
type Operation = typeof operation extends fc.Arbitrary<infer T> ? T : never;

let names = 0;

async function perform(streams: ModelStream[], step: Operation): Promise<void> {
  const model = streams[step.stream % streams.length];
  const { stream } = model;
  switch (step.kind) {
    case 'write': {
      const [subject, target] = [`s${step.subject % 3}`, `t${step.target % 2}`];
      const repeated = liveOf(model).some((edit) => edit.subject === subject && edit.target === target);
      const { edits } = await store.enqueueEdits(stream.id, [sampleEdit(subject, target)]);
      expect(edits[0].status).toBe(repeated ? 'rejected' : 'queued');
      const batch = await store.claimBatch(stream.id, 8);
      expect(batch === null).toBe(repeated);
      if (batch) await commit(model, batch);
      return;
    }
    case 'revoke': {
      const live = liveOf(model);
      if (live.length === 0) return;
      await commit(model, await store.claimRevoke(stream.id, [live[step.edit % live.length].id], null));
      return;
    }
    case 'rollback': {
      const positions = [null, ...model.nodes];
      const to = positions[step.to % positions.length];
      const before = statuses(model);
      const moves = to !== model.head;
      model.head = to;
      const change = await store.rollback(stream.id, to?.seq ?? 0);
      const moved = [...statuses(model)].flatMap(([edit, status]) => (before.get(edit) === status ? [] : [edit.id]));
      // A repeated rollback answers what the first one did.
      if (moves) expect([...change.editIds].sort()).toEqual(moved.sort());
      await expectAgreement(model);
      return;
    }
    case 'branch': {
      if (streams.length === MOST_STREAMS) return;
      const positions = [null, ...model.nodes];
      const at = positions[step.at % positions.length];
      const branch = await store.createBranch(stream.id, { name: `branch ${++names}`, seq: at?.seq ?? 0 });
      const made = { stream: branch, nodes: pathOf(at), head: at };
      streams.push(made);
      await expectAgreement(made);
    }
  }
}

it(
  `agrees with a model kept in memory after any rollback or branch (${HISTORIES} sequences)`,
  async () => {
    const property = fc.asyncProperty(fc.array(operation, { minLength: 3, maxLength: 9 }), async (steps) => {
      const config = { ...sampleConfig, layers: [LAYER] };
      const stream = await store.createStream({ name: `walk ${++names}`, modelId: sampleModel.id, config });
      const streams: ModelStream[] = [{ stream, nodes: [], head: null }];
      for (const step of steps) await perform(streams, step);
      for (const model of streams) {
        await expectAgreement(model);
        expect((await store.verifyLog(model.stream.id, model.head?.seq ?? 0)).problems).toEqual([]);
      }
    });
    const runs = Math.ceil(HISTORIES / LANES);
    await Promise.all(
      Array.from({ length: LANES }, (_, lane) => fc.assert(property, { numRuns: runs, seed: 20_261_126 + lane })),
    );
  },
  600_000 + HISTORIES * 3000,
);
