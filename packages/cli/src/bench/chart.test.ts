import { expect, test } from 'vitest';
import { createAxis, shortNumber } from './axis.js';
import { type Chart, renderChart } from './chart.js';

const chart: Chart = {
  title: 'A < B & "C"',
  subtitle: 'made up',
  xLabel: 'edits',
  yLabel: 'milliseconds',
  xScale: 'linear',
  yScale: 'log',
  series: [
    {
      name: 'ours',
      points: [
        [0, 1],
        [50, 10],
        [100, 100],
      ],
    },
    {
      name: 'theirs',
      style: 'dashed',
      points: [
        [0, 90],
        [100, 99],
      ],
    },
    { name: 'many', style: 'dots', points: [[100, 98]] },
  ],
};

/** Checks that every element is closed, in order, and returns their names. */
function elements(xml: string): string[] {
  const open: string[] = [];
  const seen: string[] = [];
  for (const [, close, name, self] of xml.matchAll(/<(\/?)([a-z]+)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g)) {
    if (close) expect(open.pop()).toBe(name);
    else {
      seen.push(name);
      if (!self) open.push(name);
    }
  }
  expect(open).toEqual([]);
  // Nothing that looks like markup is left over.
  expect(xml.replaceAll(/<(\/?)([a-z]+)(?:\s+[\w:-]+="[^"<]*")*\s*(\/?)>/g, '')).not.toMatch(/[<>]/);
  return seen;
}

test('a chart is well-formed and holds every point, name and unit', () => {
  const svg = renderChart(chart);
  const names = elements(svg);
  expect(names[0]).toBe('svg');
  expect(names.filter((name) => name === 'circle')).toHaveLength(4);
  expect(names.filter((name) => name === 'polyline')).toHaveLength(2);
  expect(svg).toContain('A &lt; B &amp; &quot;C&quot;');
  for (const text of ['ours', 'theirs', 'many', 'edits', 'milliseconds']) expect(svg).toContain(`>${text}</text>`);
});

test('equal steps of a logarithmic axis are equal factors, and the larger is higher', () => {
  const line = /points="([^"]+)"/
    .exec(renderChart(chart))![1]
    .split(' ')
    .map((pair) => pair.split(',').map(Number));
  expect(line[0][1] - line[1][1]).toBeCloseTo(line[1][1] - line[2][1], 0);
  expect(line[0][1]).toBeGreaterThan(line[2][1]);
  expect(line[1][0] - line[0][0]).toBeCloseTo(line[2][0] - line[1][0], 0);
});

test('labels of curves that end together do not overlap', () => {
  const places = [...renderChart(chart).matchAll(/y="([\d.]+)" style="fill/g)].map((match) => Number(match[1]));
  expect(places).toHaveLength(3);
  for (let i = 1; i < places.length; i++) expect(places[i] - places[i - 1]).toBeGreaterThanOrEqual(15.9);
});

test('axes hold their values between round marks', () => {
  expect(createAxis('linear', [3, 97]).ticks).toEqual([0, 20, 40, 60, 80, 100]);
  expect(createAxis('log', [1, 7000]).ticks).toEqual([1, 10, 100, 1000, 10000]);
  expect(createAxis('log', [3, 40]).ticks).toEqual([2, 5, 10, 20, 50]);
  const alike = createAxis('log', [5, 5]);
  expect(alike.place(5)).toBe(0);
  expect(shortNumber(12345.678)).toBe('12,350');
});

test('values that cannot be placed are named', () => {
  expect(() => renderChart({ ...chart, series: [] })).toThrow('no points');
  expect(() => renderChart({ ...chart, series: [{ name: 'x', points: [[1, 0]] }] })).toThrow('0 on a log axis');
  expect(() => renderChart({ ...chart, series: [{ name: 'x', points: [[Number.NaN, 1]] }] })).toThrow('NaN');
});
