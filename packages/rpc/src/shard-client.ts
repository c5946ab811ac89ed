import { ErrataError } from '@errata/contracts';
import { credentials } from '@grpc/grpc-js';
import { type CallLimits, callsOf, tracedChannelOptions } from './calls.js';
import {
  type ApplyRequest,
  type ApplyResponse,
  type ColumnRef,
  type DistanceRequest,
  type DistanceResponse,
  type FoldResponse,
  type ImportRequest,
  type ImportResponse,
  type PrepareResponse,
  type ProductRequest,
  type RefreshResponse,
  type RevokeResponse,
  ShardServiceClient,
  type ShardShare,
  type StatsResponse,
  type UpdateStats,
  type VerifyResponse,
} from './generated/errata/v1/shard.js';
import type { StateRef } from './generated/errata/v1/tensor.js';
import { type DenseMatrix, type DenseMatrix64, tensorChunks } from './tensor.js';
import { maxMatrixBytes, maxUpdateBytes, TensorCollector } from './tensor-collector.js';

/** A layer at a state. */
export interface LayerQuery {
  readonly state: StateRef | undefined;
  readonly layer: number;
  /** Addresses of shares 1 to n − 1 of a layer spread over n workers, in order; the called one is share 0. */
  readonly peers?: readonly string[] | undefined;
  /** One share alone, for calls between workers. */
  readonly share?: ShardShare | undefined;
}

/** A batch of edits to put in. */
export interface ApplyQuery extends LayerQuery {
  /** Fencing epoch of the shard. */
  readonly epoch: number;
  /** d_in × u */
  readonly keys: DenseMatrix;
  /** d_out × u: values − W keys. */
  readonly residual: DenseMatrix;
  /** Importance of each column; all 1 when absent. */
  readonly weights?: readonly number[] | undefined;
}

/** An adapter from elsewhere: W + B Gᵀ. */
export interface ImportQuery extends LayerQuery {
  readonly epoch: number;
  /** d_in × r */
  readonly g: DenseMatrix;
  /** d_out × r */
  readonly b: DenseMatrix;
  /** Whether the factors are those of a log on the same base, without revocations. */
  readonly own: boolean;
}

/** Recorded columns to take out. */
export interface RevokeQuery extends LayerQuery {
  readonly epoch: number;
  readonly columns: readonly ColumnRef[];
}

/** The factors of an update, as they are to be recorded. */
export interface LayerUpdate {
  /** d_in × u, scaled by the root of their weights. */
  readonly keys: DenseMatrix;
  /** d_in × u */
  readonly g: DenseMatrix;
  /** d_out × u */
  readonly b: DenseMatrix;
  readonly stats: UpdateStats;
}

/** What one share is asked to multiply its part of the inverse covariance with. */
export interface ProductQuery {
  readonly state: StateRef | undefined;
  readonly layer: number;
  readonly epoch: number;
  readonly share: ShardShare;
  /** d_in × u, or recorded columns. */
  readonly keys: DenseMatrix64 | readonly ColumnRef[];
}

/** A share's part of an update. */
export interface PartialProduct {
  /** d_in × u; the parts of all shares add up to C K. */
  readonly product: DenseMatrix64;
  /** The share's output rows × u of values − W keys; null unless columns were asked for. */
  readonly residual: DenseMatrix64 | null;
}

/** Calls of a shard worker. All throw ErrataError. */
export interface ShardWorker {
  readonly address: string;
  prepare(query: LayerQuery, limits: CallLimits): Promise<PrepareResponse>;
  apply(query: ApplyQuery, limits: CallLimits): Promise<LayerUpdate>;
  /** Its keys follow from G and are not recorded: d_in × 0. */
  import(query: ImportQuery, limits: CallLimits): Promise<LayerUpdate>;
  revoke(query: RevokeQuery, limits: CallLimits): Promise<LayerUpdate>;
  product(query: ProductQuery, limits: CallLimits): Promise<PartialProduct>;
  stats(query: LayerQuery, limits: CallLimits): Promise<StatsResponse>;
  /** W − W₀, d_out × d_in; of one share its own rows. */
  materialize(query: LayerQuery, limits: CallLimits): Promise<DenseMatrix>;
  /** ‖W of `to` − W of `from`‖ (Frobenius). */
  distance(query: DistanceRequest, limits: CallLimits): Promise<DistanceResponse>;
  verify(query: LayerQuery, limits: CallLimits): Promise<VerifyResponse>;
  refresh(query: LayerQuery, limits: CallLimits): Promise<RefreshResponse>;
  fold(query: LayerQuery, limits: CallLimits): Promise<FoldResponse>;
  close(): void;
}

/** Connects lazily to a shard worker at host:port. */
export function connectShardWorker(address: string): ShardWorker {
  const client = new ShardServiceClient(address, credentials.createInsecure(), tracedChannelOptions);
  const call = callsOf(client, `shard-worker ${address}`);
  return {
    address,
    prepare: (query, limits) => call.unary(client.prepare, layerRequest(query), limits),
    apply: (query, limits) => collectUpdate(call.duplex(client.apply, applyRequests(query), limits)),
    import: (query, limits) => collectUpdate(call.duplex(client.import, importRequests(query), limits), false),
    revoke: ({ epoch, columns, ...query }, limits) =>
      collectUpdate(call.stream(client.revoke, { ...layerRequest(query), epoch, columns: [...columns] }, limits)),
    async product(query, limits) {
      const tensors = new TensorCollector(['product', 'residual'], maxUpdateBytes);
      for await (const { chunk } of call.duplex(client.product, productRequests(query), limits)) tensors.add(chunk);
      const product = tensors.matrix64('product');
      return { product, residual: 'data' in query.keys ? null : tensors.matrix64('residual') };
    },
    stats: (query, limits) => call.unary(client.stats, layerRequest(query), limits),
    async materialize(query, limits) {
      const tensors = new TensorCollector([''], maxMatrixBytes);
      for await (const { chunk } of call.stream(client.materialize, layerRequest(query), limits)) tensors.add(chunk);
      return tensors.matrix('');
    },
    distance: (query, limits) => call.unary(client.distance, query, limits),
    verify: (query, limits) => call.unary(client.verify, layerRequest(query), limits),
    refresh: (query, limits) => call.unary(client.refresh, layerRequest(query), limits),
    fold: (query, limits) => call.unary(client.fold, layerRequest(query), limits),
    close: () => client.close(),
  };
}

function layerRequest({ state, layer, peers, share }: LayerQuery) {
  return { state, layer, peers: [...(peers ?? [])], share };
}

function* applyRequests({ state, layer, epoch, peers, weights, keys, residual }: ApplyQuery): Generator<ApplyRequest> {
  const header = { state, layer, epoch, peers: [...(peers ?? [])], weights: [...(weights ?? [])] };
  yield { part: { $case: 'header', header } };
  for (const chunk of tensorChunks(layer, keys, 'keys')) yield { part: { $case: 'chunk', chunk } };
  for (const chunk of tensorChunks(layer, residual, 'residual')) yield { part: { $case: 'chunk', chunk } };
}

function* importRequests({ state, layer, epoch, peers, own, g, b }: ImportQuery): Generator<ImportRequest> {
  yield { part: { $case: 'header', header: { state, layer, epoch, peers: [...(peers ?? [])], own } } };
  for (const chunk of tensorChunks(layer, g, 'g')) yield { part: { $case: 'chunk', chunk } };
  for (const chunk of tensorChunks(layer, b, 'b')) yield { part: { $case: 'chunk', chunk } };
}

function* productRequests({ state, layer, epoch, share, keys }: ProductQuery): Generator<ProductRequest> {
  const columns = 'data' in keys ? [] : [...keys];
  yield { part: { $case: 'header', header: { state, layer, epoch, share, columns } } };
  if ('data' in keys) for (const chunk of tensorChunks(layer, keys, 'keys')) yield { part: { $case: 'chunk', chunk } };
}

async function collectUpdate(
  messages: AsyncIterable<ApplyResponse | ImportResponse | RevokeResponse>,
  withKeys = true,
): Promise<LayerUpdate> {
  const tensors = new TensorCollector(['keys', 'g', 'b'], maxUpdateBytes);
  let stats: UpdateStats | undefined;
  for await (const { part } of messages)
    if (part?.$case === 'stats') stats = part.stats;
    else tensors.add(part?.chunk);
  if (stats === undefined) throw new ErrataError('INTERNAL', 'the update came without its figures');
  const [g, b] = [tensors.matrix('g'), tensors.matrix('b')];
  const keys = withKeys ? tensors.matrix('keys') : { rows: g.rows, columns: 0, data: new Float32Array(0) };
  return { keys, g, b, stats };
}
