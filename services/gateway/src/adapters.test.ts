import { afterAll, beforeAll, expect, test } from 'vitest';
import { call, model, preset, startTestGateway, type TestGateway } from './testing/gateway.js';

let gateway: TestGateway;
beforeAll(async () => {
  gateway = await startTestGateway();
});
afterAll(() => gateway?.stop());

const { intermediateSize: inputs, hiddenSize: outputs } = model;

/** A file of safetensors: fp32 tensors by name. */
function safetensors(tensors: Readonly<Record<string, readonly [number, number]>>, seed = 1): Uint8Array<ArrayBuffer> {
  let at = 0;
  const header: Record<string, object> = {};
  for (const [name, shape] of Object.entries(tensors)) {
    const bytes = 4 * shape[0] * shape[1];
    header[name] = { dtype: 'F32', shape, data_offsets: [at, at + bytes] };
    at += bytes;
  }
  let text = JSON.stringify(header);
  text += ' '.repeat((8 - (text.length % 8)) % 8);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  const values = Float32Array.from({ length: at / 4 }, (_, i) => Math.sin(seed + i));
  return new Uint8Array(Buffer.concat([length, Buffer.from(text), Buffer.from(values.buffer)]));
}

function lora(layer: number, rank = 2): Record<string, readonly [number, number]> {
  const module = `base_model.model.model.layers.${layer}.mlp.down_proj`;
  return { [`${module}.lora_A.weight`]: [rank, inputs], [`${module}.lora_B.weight`]: [outputs, rank] };
}

const config = { peft_type: 'LORA', r: 2, lora_alpha: 2, bias: 'none' };

async function upload(
  fields: Readonly<Record<string, Uint8Array<ArrayBuffer> | object>>,
  query = `?model=${model.name}&name=tuned`,
) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields))
    form.set(name, new Blob([value instanceof Uint8Array ? value : JSON.stringify(value)]), name);
  const response = await fetch(`${gateway.url}/v1/adapters${query}`, { method: 'POST', body: form });
  return { status: response.status, headers: response.headers, body: (await response.json()) as { id: string } };
}

test('an adapter is uploaded once, listed, begun with, and deleted when no stream has it', async () => {
  const [layer] = preset.layers;
  const made = await upload({ config, weights: safetensors(lora(layer)) });
  expect(made).toMatchObject({
    status: 201,
    body: { name: 'tuned', rank: 2, layers: [{ layer, rank: 2 }], own: false, origin: null, streams: 0 },
  });
  expect(made.headers.get('location')).toBe(`/v1/adapters/${made.body.id}`);
  expect((await upload({ config, weights: safetensors(lora(layer)) })).body).toEqual(made.body);
  expect((await call(gateway, 'GET', '/v1/adapters')).body.adapters).toEqual([made.body]);
  const stream = await call(gateway, 'POST', '/v1/streams', { json: { model: model.name, adapter: made.body.id } });
  expect(stream).toMatchObject({ status: 201, body: { counts: { queued: 1 } } });
  const edits = await call(gateway, 'GET', `/v1/streams/${stream.body.id}/edits`);
  expect(edits.body.edits).toMatchObject([{ ordinal: 1, adapter: made.body.id, prompt: 'adapter tuned' }]);
  expect((await call(gateway, 'GET', `/v1/adapters/${made.body.id}`)).body.streams).toBe(1);
  expect(await call(gateway, 'DELETE', `/v1/adapters/${made.body.id}`)).toMatchObject({
    status: 409,
    body: { code: 'ADAPTER_IN_USE' },
  });
  const other = await upload({ config, weights: safetensors(lora(layer), 5) });
  expect((await call(gateway, 'DELETE', `/v1/adapters/${other.body.id}`)).body).toEqual({ id: other.body.id });
  expect((await call(gateway, 'GET', `/v1/adapters/${other.body.id}`)).status).toBe(404);
});

test('one of layers that the stream does not edit begins no stream', async () => {
  const layer = Array.from({ length: model.layers }, (_, i) => i).find((i) => !preset.layers.includes(i))!;
  const made = await upload({ config, weights: safetensors(lora(layer)) });
  const refused = await call(gateway, 'POST', '/v1/streams', { json: { model: model.name, adapter: made.body.id } });
  expect(refused).toMatchObject({ status: 422, body: { code: 'ADAPTER_REFUSED' } });
  const layers = [...new Set([...preset.layers, layer])].sort((a, b) => a - b);
  const taken = { model: model.name, adapter: made.body.id, config: { layers } };
  expect((await call(gateway, 'POST', '/v1/streams', { json: taken })).status).toBe(201);
});

test('what is no adapter of the model is refused by name, and stores nothing', async () => {
  const [layer] = preset.layers;
  const weights = safetensors(lora(layer));
  const before = (await call(gateway, 'GET', '/v1/adapters')).body.adapters.length;
  const refusals: [Parameters<typeof upload>[0], RegExp][] = [
    [{ config: { ...config, use_dora: true }, weights }, /use_dora/],
    [{ config, weights: weights.slice(0, -4) }, /cannot be read/],
    [{ config, weights: safetensors({ 'base_model.model.lm_head.lora_A.weight': [2, inputs] }) }, /lm_head/],
    [{ config, weights: safetensors(lora(layer, 513)) }, /rank 513/],
    [{ config, weights, manifest: { version: 1 } }, /manifest\.json/],
  ];
  for (const [fields, reason] of refusals)
    expect(await upload(fields)).toMatchObject({
      status: 422,
      body: { code: 'ADAPTER_REFUSED', detail: expect.stringMatching(reason) },
    });
  expect(await upload({ config })).toMatchObject({ status: 400 });
  expect(await upload({ config, weights, more: {} })).toMatchObject({ status: 400, body: { detail: /no use for/ } });
  expect(await upload({ config, weights }, '?model=none')).toMatchObject({ status: 404 });
  const json = await call(gateway, 'POST', `/v1/adapters?model=${model.name}`, { json: {} });
  expect(json).toMatchObject({ status: 415, body: { code: 'UNSUPPORTED_MEDIA_TYPE' } });
  const broken = { text: 'no form', type: 'multipart/form-data; boundary=x' };
  expect(await call(gateway, 'POST', `/v1/adapters?model=${model.name}`, broken)).toMatchObject({ status: 400 });
  expect((await call(gateway, 'GET', '/v1/adapters')).body.adapters).toHaveLength(before);
});
