import { ErrataError } from '@errata/contracts';
import type { Columns, Columns64 } from '@errata/rls';
import {
  type ApplyHeader,
  type ApplyRequest,
  type ApplyResponse,
  bidi,
  type CallContext,
  type DenseMatrix,
  type DenseMatrix64,
  type ImportHeader,
  type ImportResponse,
  type MatrixOf,
  maxUpdateBytes,
  type ProductHeader,
  type ProductResponse,
  type RevokeRequest,
  type RevokeResponse,
  type ShardServiceServer,
  type StateRef,
  serverStream,
  TensorCollector,
  tensorChunks,
} from '@errata/rpc';
import type { Share } from '@errata/tensor';
import type { JobInput, UpdateOutput } from './engine-protocol.js';
import { stateOf, type Timed } from './requests.js';
import type { ServiceParts } from './service.js';
import type { Shard } from './shard.js';
import { rowsOf, shareOf, stackColumns, sumColumns, together } from './shares.js';
import { checkColumnCount, checkMatrix, checkWeights } from './tensor-checks.js';

/** Apply, Import, Revoke and Product: what writers call, under an epoch. */
export function updateMethods(
  { shards, engine, peers, epochs }: ServiceParts,
  timed: Timed,
): Pick<ShardServiceServer, 'apply' | 'import' | 'revoke' | 'product'> {
  interface Writer {
    readonly state?: StateRef | undefined;
    readonly layer: number;
    readonly epoch: number;
  }
  const admit = (request: Writer): StateRef => {
    const state = stateOf(request.state);
    epochs.admit(state.streamId, request.layer, request.epoch);
    return state;
  };
  const writeAt = <Result>(
    request: Writer,
    share: Share,
    { signal }: CallContext,
    work: (shard: Shard) => Promise<Result>,
  ) =>
    shards.at({ state: admit(request), layer: request.layer, share }, signal, (shard) => {
      // Another owner may have called while this request waited or caught up.
      admit(request);
      return work(shard);
    });

  const apply = async (header: ApplyHeader, tensors: TensorCollector, context: CallContext): Promise<UpdateOutput> => {
    const keys = tensors.matrix('keys');
    const residual = tensors.matrix('residual');
    checkColumnCount(keys.columns);
    checkWeights(header.weights, keys.columns);
    return writeAt(header, shareOf({ peers: header.peers }), context, async (shard) => {
      const { inputs, outputs } = shard.parts;
      checkMatrix('keys', keys, inputs, keys.columns);
      checkMatrix('residual', residual, outputs, keys.columns);
      let product: Columns64 | null = null;
      if (header.peers.length > 0) {
        const wide: DenseMatrix64 = { ...keys, data: new Float64Array(keys.data) };
        const { state, layer, epoch } = header;
        const { own, parts } = await together(
          peers,
          header.peers,
          context,
          (signal) => engine.run('product', { ...shard.input, keys: columnsOf(wide) }, { signal }),
          (worker, share, limits) => worker.product({ state, layer, epoch, share, keys: wide }, limits),
        );
        product = sumColumns(
          own.product,
          parts.map((part) => columnsOf(part.product)),
        );
      }
      const weights = header.weights.length > 0 ? header.weights : null;
      const input = { ...shard.input, keys: columnsOf(keys), residual: columnsOf(residual), weights, product };
      return spent(shard, await engine.run('apply', input, { signal: context.signal, transfer: true }));
    });
  };

  const imported = (header: ImportHeader, tensors: TensorCollector, context: CallContext): Promise<UpdateOutput> => {
    const [g, b] = [tensors.matrix('g'), tensors.matrix('b')];
    checkColumnCount(g.columns);
    return writeAt(header, shareOf({ peers: header.peers }), context, async (shard) => {
      const { inputs, outputs } = shard.parts;
      checkMatrix('g', g, inputs, g.columns);
      checkMatrix('b', b, outputs, g.columns);
      const input = { ...shard.input, g: columnsOf(g), b: columnsOf(b), own: header.own };
      return engine.run('import', input, { signal: context.signal, transfer: true });
    });
  };

  const revoke = (request: RevokeRequest, context: CallContext): Promise<UpdateOutput> => {
    checkColumnCount(request.columns.length);
    return writeAt(request, shareOf({ peers: request.peers }), context, async (shard) => {
      const positions = request.columns;
      const { outputs } = shard.parts;
      const compute = (given: JobInput<'revoke'>['given']) =>
        shards.inverting(shard, async () =>
          spent(shard, await engine.run('revoke', { ...shard.input, positions, given }, { signal: context.signal })),
        );
      if (request.peers.length === 0) return compute(null);
      const { state, layer, epoch } = request;
      const { own, parts } = await together(
        peers,
        request.peers,
        context,
        (signal) => engine.run('product', { ...shard.input, keys: positions }, { signal }),
        (worker, share, limits) => worker.product({ state, layer, epoch, share, keys: positions }, limits),
      );
      const residuals = [own.residual, ...parts.map(({ residual }) => residual && columnsOf(residual))];
      const given = {
        product: sumColumns(
          own.product,
          parts.map((part) => columnsOf(part.product)),
        ),
        residual: stackColumns(
          outputs,
          residuals.filter((residual) => residual !== null),
        ),
      };
      return compute(given);
    });
  };

  const product = async (header: ProductHeader, tensors: TensorCollector, context: CallContext) => {
    const share = shareOf({ peers: [], share: header.share });
    const keys = header.columns.length > 0 ? null : tensors.matrix64('keys');
    checkColumnCount(keys?.columns ?? header.columns.length);
    return writeAt(header, share, context, async (shard) => {
      const { inputs, outputs } = shard.parts;
      if (keys !== null) checkMatrix('keys', keys, inputs, keys.columns);
      const input = { ...shard.input, keys: keys === null ? header.columns : columnsOf(keys) };
      const found = await engine.run('product', input, { signal: context.signal, transfer: true });
      const { start, end } = rowsOf(outputs, share);
      if (found.residual !== null) checkMatrix('residual', matrixOf(found.residual), end - start, found.residual.count);
      return found;
    });
  };

  return {
    apply: bidi((requests, context) =>
      timed.stream('apply', async () => {
        const { header, tensors } = await receive(requests, ['keys', 'residual'], admit);
        return updateMessages(header.layer, await apply(header, tensors, context));
      }),
    ),
    import: bidi((requests, context) =>
      timed.stream('import', async () => {
        const { header, tensors } = await receive<ImportHeader>(requests, ['g', 'b'], admit);
        return updateMessages(header.layer, await imported(header, tensors, context), ['g', 'b']);
      }),
    ),
    revoke: serverStream((request, context) =>
      timed.stream('revoke', async () => updateMessages(request.layer, await revoke(request, context))),
    ),
    product: bidi((requests, context) =>
      timed.stream('product', async () => {
        const { header, tensors } = await receive(requests, ['keys'], admit);
        return productMessages(header.layer, await product(header, tensors, context));
      }),
    ),
  };
}

/** What computes factors here a replay computes again. */
function spent(shard: Shard, update: UpdateOutput): UpdateOutput {
  shard.spent(update.seconds);
  return update;
}

/** Reads a header and the tensors after it; `check` may refuse the header before anything of them is kept. */
async function receive<Header extends ApplyHeader | ImportHeader | ProductHeader>(
  requests: AsyncIterable<{
    readonly part?:
      | { readonly $case: 'header'; readonly header: Header }
      | Exclude<ApplyRequest['part'], { $case: 'header' }>;
  }>,
  names: readonly string[],
  check: (header: Header) => unknown,
): Promise<{ header: Header; tensors: TensorCollector }> {
  const tensors = new TensorCollector(names, maxUpdateBytes);
  let header: Header | undefined;
  for await (const { part } of requests)
    if (header === undefined) {
      if (part?.$case !== 'header') throw new ErrataError('INVALID_REQUEST', 'the first message has to be the header');
      header = part.header;
      check(header);
    } else tensors.add(part?.$case === 'chunk' ? part.chunk : undefined);
  if (header === undefined) throw new ErrataError('INVALID_REQUEST', 'the call ended before its header');
  return { header, tensors };
}

function* updateMessages(
  layer: number,
  update: UpdateOutput,
  names: readonly ('keys' | 'g' | 'b')[] = ['keys', 'g', 'b'],
): Generator<ApplyResponse & ImportResponse & RevokeResponse> {
  const { rDiagonal, stats, seconds } = update;
  for (const name of names)
    for (const chunk of tensorChunks(layer, matrixOf(update[name]), name)) yield { part: { $case: 'chunk', chunk } };
  const { keyNorm, residualNorm, updateNorm, lambdaMin, byInversion } = stats;
  const figures = { rDiagonal: [...rDiagonal], keyNorm, residualNorm, updateNorm, lambdaMin, seconds, byInversion };
  yield { part: { $case: 'stats', stats: figures } };
}

function* productMessages(
  layer: number,
  { product, residual }: { readonly product: Columns64; readonly residual: Columns64 | null },
): Generator<ProductResponse> {
  for (const chunk of tensorChunks(layer, matrixOf(product), 'product')) yield { chunk };
  if (residual !== null) for (const chunk of tensorChunks(layer, matrixOf(residual), 'residual')) yield { chunk };
}

function matrixOf({ length, count, data }: Columns): MatrixOf<Float32Array | Float64Array> {
  return { rows: length, columns: count, data };
}

function columnsOf(matrix: DenseMatrix64): Columns64;
function columnsOf(matrix: DenseMatrix): Columns;
function columnsOf({ rows, columns, data }: MatrixOf<Float32Array | Float64Array>): Columns {
  return { length: rows, count: columns, data };
}
