/** Clocks: moments as text and back, a manual clock's timers, and sleepers that keep their process. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { isoOfMoment, ManualClock, momentOfIso, momentOfMs, systemClock } from './clock.ts';
import { Fault } from './fault.ts';

test('a moment reads back from its text exactly, before 1970 too', () => {
  const moments = [
    { seconds: 0, nanoseconds: 0 },
    { seconds: -1, nanoseconds: 999_999_999 },
    { seconds: 1_795_225_492, nanoseconds: 852_553_467 },
    { seconds: 1_795_225_492, nanoseconds: 120_000_000 },
  ];
  for (const moment of moments) assert.deepEqual(momentOfIso(isoOfMoment(moment)), moment);
  assert.equal(isoOfMoment({ seconds: 0, nanoseconds: 120_000_000 }), '1970-01-01T00:00:00.120Z');
  assert.deepEqual(momentOfIso('2026-01-31T12:00+02:00'), momentOfIso('2026-01-31T10:00:00Z'));
  for (const text of ['', 'yesterday', '2026-13-01T00:00:00Z', '2026-01-01T00:00:00'])
    assert.equal(momentOfIso(text), undefined, text);
  assert.deepEqual(momentOfMs(-0.5), { seconds: -1, nanoseconds: 999_500_000 });
});

test('a manual clock fires its timers in order of their time, and none that was disposed', () => {
  const clock = new ManualClock();
  const fired: string[] = [];
  clock.after(20, () => fired.push('b'));
  clock.after(10, () => fired.push('a'));
  using _gone = clock.after(15, () => fired.push('never'));
  _gone[Symbol.dispose]();
  clock.advance(15);
  assert.deepEqual(fired, ['a']);
  assert.equal(clock.nextTimerMs(), 5);
  clock.advance(100);
  assert.deepEqual(fired, ['a', 'b']);
});

test('a sleeper wakes with a fault when it is given up', async () => {
  const abort = new AbortController();
  const sleep = new ManualClock().sleep(1_000, abort.signal);
  abort.abort();
  await assert.rejects(sleep, (error) => Fault.is(error, 'aborted'));
});

test('a process does not end while it sleeps', () => {
  const script = `import { systemClock } from '${import.meta.dirname}/clock.ts'; await systemClock.sleep(20); console.log('awake');`;
  const flags = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', script];
  assert.equal(execFileSync(process.execPath, flags).toString(), 'awake\n');
});

test('a timer further away than the platform counts does not fire at once, and goes on after each stretch', (t) => {
  t.mock.timers.enable({ apis: ['setTimeout'] });
  const stretchMs = 2 ** 31 - 1;
  let fired = 0;
  systemClock.after(2 * stretchMs + 5, () => fired++);
  using _gone = systemClock.after(stretchMs + 1, () => fired++);
  t.mock.timers.tick(stretchMs);
  _gone[Symbol.dispose]();
  t.mock.timers.tick(stretchMs);
  t.mock.timers.tick(4);
  assert.equal(fired, 0);
  t.mock.timers.tick(1);
  assert.equal(fired, 1);
});
