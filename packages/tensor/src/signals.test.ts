import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, it } from 'vitest';

const built = JSON.stringify(new URL('../dist/index.js', import.meta.url).href);

/** Shapes of a feed-forward, there and back, over and over; each product has to equal the first. */
const program = `
  process.on('SIGUSR2', () => { caught++; });
  let caught = 0;
  const { createEngine } = await import(${built});
  const { tf } = await createEngine({ prefer: 'native' });
  const [x, w] = [tf.randomNormal([145, 576], 0, 1, 'float32', 1), tf.randomNormal([1536, 576], 0, 1, 'float32', 2)];
  const product = async () => {
    const up = tf.matMul(x, w, false, true);
    const down = tf.matMul(up, w);
    const values = Buffer.from((await down.data()).slice().buffer);
    tf.dispose([up, down]);
    return values;
  };
  const first = await product();
  process.stdout.write('ready\\n');
  let differing = 0;
  const until = performance.now() + 3000;
  while (performance.now() < until) {
    for (let i = 0; i < 20; i++) if (!first.equals(await product())) differing++;
    await new Promise((resolve) => setImmediate(resolve));
  }
  process.stdout.write(JSON.stringify({ caught, differing }));
  process.exit(0);`;

it('computes the same while signals arrive', async () => {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let [output, errors] = ['', ''];
  child.stdout.on('data', (data) => {
    output += data;
  });
  child.stderr.on('data', (data) => {
    errors += data;
  });
  const closed = once(child, 'close');
  while (!output.includes('ready\n') && child.exitCode === null)
    await new Promise((resolve) => setTimeout(resolve, 10));
  const shower = setInterval(() => child.kill('SIGUSR2'), 1);
  const [code, signal] = await closed;
  clearInterval(shower);
  expect([code, signal, errors]).toEqual([0, null, '']);
  const { caught, differing } = JSON.parse(output.replace('ready\n', ''));
  expect(caught).toBeGreaterThan(10);
  expect(differing).toBe(0);
});
