import { expect, test } from 'vitest';
import { logChanges } from './log-changes.js';

test('changes are logged by what they are of; the beginning is only noted', () => {
  const lines: unknown[] = [];
  const noted: unknown[] = [];
  const write = (level: string) => (fields: object, message: string) => void lines.push({ level, fields, message });
  const changed = logChanges({ info: write('info'), warn: write('warn') }, 'runtime', (...change) =>
    noted.push(change),
  );
  changed('a:1', 'up', 'start');
  changed('a:1', 'down', 'no answer');
  changed('a:1', 'up', 'it serves');
  changed('a:1', 'left', 'it is no longer named');
  expect(lines).toEqual([
    { level: 'warn', fields: { runtime: 'a:1', up: false, reason: 'no answer' }, message: 'model runtime is down' },
    { level: 'info', fields: { runtime: 'a:1', up: true, reason: 'it serves' }, message: 'model runtime is up' },
    {
      level: 'info',
      fields: { runtime: 'a:1', up: false, reason: 'it is no longer named' },
      message: 'model runtime has left',
    },
  ]);
  expect(noted).toEqual([
    ['a:1', 'up'],
    ['a:1', 'down'],
    ['a:1', 'up'],
    ['a:1', 'left'],
  ]);
});
