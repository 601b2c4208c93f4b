/** The scrub behind the operations keeps its rate, gives way, says what it finds, and ends when it is told to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type LogEvent, logTo, ManualClock } from '../../base/index.ts';
import type { Scrubbed, ScrubOptions } from '../../chunks/index.ts';
import type { Context } from '../context.ts';
import { BackgroundScrubber } from './scrub.ts';

const RECORD_BYTES = 100_000;
const RATE = 1_000_000;
const EVERY_SECONDS = 3_600;

/** Chunks that have as many packs as are given, ten records each. */
function stand(packCount: number, options: { readonly bytesPerSecond?: number; readonly waiting?: number } = {}) {
  const clock = new ManualClock();
  const closing = new AbortController();
  const events: LogEvent[] = [];
  const seen: number[] = [];
  let left = packCount;
  const scrub = async (asked: ScrubOptions): Promise<Scrubbed | undefined> => {
    assert.equal(asked.dueSeconds, clock.now().seconds - EVERY_SECONDS);
    if (left-- <= 0) return undefined;
    const pack = packCount - left;
    for (let record = 0; record < 10; record++) await asked.pause(RECORD_BYTES);
    const damage = { code: 'chunk-damaged', sentence: 'Damaged.', pack, chunks: [new Uint8Array(1)] } as const;
    if (pack === 2) asked.onDamage(damage);
    seen.push(clock.monotonicMs());
    return { pack, object: `o${pack}`, bytes: 10 * RECORD_BYTES, chunks: 10, isWhole: pack !== 2 };
  };
  const context = {
    ...{ chunks: { scrub }, clock, log: logTo((event) => events.push(event), 'info') },
    groups: { stats: () => ({ waiting: options.waiting ?? 0 }) },
    options: { scrub: { bytesPerSecond: options.bytesPerSecond ?? RATE, everySeconds: EVERY_SECONDS } },
  };
  const scrubber = new BackgroundScrubber(() => context as unknown as Context, closing.signal);
  const pass = async (ms: number): Promise<void> => {
    for (let passed = 0; passed < ms; passed += 50) {
      clock.advance(50);
      await new Promise<void>((resolve) => setImmediate(resolve));
    }
  };
  return { scrubber, closing, events, seen, pass };
}

test('packs are read at the rate that is allowed, slower while others wait, and not at all at rate 0', async () => {
  const rounds = [
    [stand(5), 5],
    [stand(5, { waiting: 1 }), 2],
    [stand(5, { bytesPerSecond: 0 }), 0],
  ] as const;
  for (const [{ scrubber, closing, seen, pass }, expected] of rounds) {
    scrubber.plan();
    await pass(60_000 + 9_000);
    assert.equal(seen.length, expected);
    closing.abort();
    await scrubber.close();
  }
});

test('damage is an error in the log, with code, pack and sentence; whole packs are not worth a line', async () => {
  const { scrubber, closing, events, pass } = stand(3);
  scrubber.plan();
  await pass(70_000);
  assert.deepEqual(
    events.map(({ event, level }) => `${level} ${event}`),
    ['error files.scrub-damage', 'error files.scrub-found-damage'],
  );
  assert.equal(events[0]?.data.pack, 2);
  closing.abort();
  await scrubber.close();
});
