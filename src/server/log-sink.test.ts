/** The log: one line an event, JSON or set for a terminal, nothing secret, errors with their causes. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, ManualClock } from '../base/index.ts';
import { type LogSinkOptions, openLog } from './log-sink.ts';

function logged(options: Partial<LogSinkOptions>, data: Record<string, unknown>): string {
  const lines: string[] = [];
  const write = (line: string): void => void lines.push(line);
  openLog({ level: 'info', format: 'auto', clock: new ManualClock(), write, isTerminal: false, ...options }).info(
    'server.ready',
    data,
  );
  return lines.join('');
}

test('a line is JSON away from a terminal, with time, level and event first', () => {
  assert.equal(
    logged({}, { port: 8420 }),
    '{"time":"2026-01-01T00:00:00.000Z","level":"info","event":"server.ready","port":8420}\n',
  );
});

test('a line on a terminal is set for people, and lets no control character through', () => {
  const line = logged({ isTerminal: true }, { port: 1, name: 'a b\u001b[2J' });
  assert.match(line, /^00:00:00\.000 .*info.* server\.ready port=1 name="a b\\u001b\[2J"\n$/);
});

test('what is below the level is not written', () => {
  assert.equal(logged({ level: 'warn' }, {}), '');
});

test('an error is told with its causes and what sounds secret is hidden', () => {
  const error = new Fault('io', 'It failed.', {}, Object.assign(new Error('EIO: deep'), { code: 'EIO' }));
  const line = logged({}, { error, apiToken: 'hush', big: 10n });
  assert.match(line, /"error":"It failed\. ← EIO: deep","apiToken":"\(hidden\)","big":"10"/);
});

test('a long line is cut', () => {
  assert.ok(logged({}, { text: 'x'.repeat(1e6) }).length < 17_000);
  assert.doesNotThrow(() => JSON.parse(logged({}, { text: 'x'.repeat(1e6) })));
});
