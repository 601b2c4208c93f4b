/**
 * The dedup race, live: clients of one server write, remove and write again contents out of a small common stock, while
 * collections without any grace time follow each other. Whatever was acknowledged reads back, at once and at the end.
 */
import assert from 'node:assert/strict';
import { seededRandom } from '../../src/base/index.ts';
import { sha256 } from './data.ts';
import { KEEP_NOTHING } from './gc-rounds.ts';
import { holdfast } from './holdfast.ts';
import { startServer } from './server.ts';

/** Contents in the stock, and their sizes: one chunk, some, many. */
const SIZES = [6_000, 30_000, 200_000, 700_000, 1_500_000];
const CONTENTS = 60;
const WRITES_MIN = 50;
const COLLECTIONS_MIN = 3;
const MORE_MS_MAX = 60_000;

export interface GcRace {
  readonly seed: number;
  readonly seconds: number;
  readonly clients: number;
  readonly onRound?: (sentence: string) => void;
}

interface Counts {
  writes: number;
  refused: number;
  removals: number;
  reads: number;
  collections: number;
  freed: number;
}

/** @throws AssertionError for a file that does not read back. */
export async function gcRace(options: GcRace): Promise<void> {
  const random = seededRandom(options.seed);
  const stock = Array.from({ length: CONTENTS }, (_, at) => random.bytes(SIZES[at % SIZES.length] ?? 1));
  const environment = { ...KEEP_NOTHING, HOLDFAST_GC_SHARE: '1', HOLDFAST_CHUNKS_PACK_SIZE: '1MiB' };
  const counts: Counts = { writes: 0, refused: 0, removals: 0, reads: 0, collections: 0, freed: 0 };
  await using server = await startServer({ environment });
  const endMs = performance.now() + options.seconds * 1000;
  // On a machine that is slow just now, until there was something of everything.
  const isOver = (): boolean =>
    performance.now() > endMs + MORE_MS_MAX ||
    (performance.now() > endMs && counts.writes > WRITES_MIN && counts.collections >= COLLECTIONS_MIN);
  const client = async (number: number): Promise<void> => {
    const dice = seededRandom(options.seed * 1_000 + number);
    const held = new Map<string, Uint8Array>();
    while (!isOver()) {
      const url = `${server.origin}/v1/files/c${number}-${dice.below(4)}`;
      const before = held.get(url);
      if (before !== undefined && dice.below(3) === 0) {
        const answer = await fetch(url, { method: 'DELETE' });
        assert.ok(answer.ok, await answer.text());
        held.delete(url);
        counts.removals++;
        continue;
      }
      const bytes = stock[dice.below(stock.length)] ?? new Uint8Array();
      const answer = await fetch(`${url}?create`, { method: 'PUT', body: Buffer.from(bytes) });
      const text = await answer.text();
      if (answer.ok) {
        held.set(url, bytes);
        counts.writes++;
      } else {
        // Refused is not acknowledged; nothing else may happen, and it may not happen often.
        assert.match(text, /"code":"(gone|busy|exists|conflict)"/);
        counts.refused++;
      }
      if (held.has(url) && dice.below(2) === 0) await readBack(url, held.get(url), counts);
    }
    for (const [url, bytes] of held) await readBack(url, bytes, counts);
  };
  const collecting = async (): Promise<void> => {
    while (!isOver()) {
      const answer = await fetch(`${server.origin}/v1/gc`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ grace_seconds: 0 }),
      });
      const { report, problem } = JSON.parse((await answer.text()).trim().split('\n').at(-1) ?? '');
      assert.equal(problem, undefined);
      assert.deepEqual(report.problems, []);
      counts.collections++;
      counts.freed += report.freed_bytes;
    }
  };
  await Promise.all([collecting(), ...Array.from({ length: options.clients }, (_, number) => client(number))]);
  options.onRound?.(JSON.stringify(counts));
  assert.ok(counts.writes > WRITES_MIN && counts.collections >= COLLECTIONS_MIN, JSON.stringify(counts));
  assert.ok(counts.refused <= counts.writes / 100, JSON.stringify(counts));
  const check = await holdfast(['check', '--store', server.store]);
  assert.equal(check.code, 0, check.stdout.toString());
}

async function readBack(url: string, expected: Uint8Array | undefined, counts: Counts): Promise<void> {
  const answer = await fetch(url);
  const bytes = Buffer.from(await answer.arrayBuffer());
  assert.equal(answer.status, 200, bytes.toString().slice(0, 500));
  assert.equal(sha256(bytes), sha256(Buffer.from(expected ?? [])), url);
  counts.reads++;
}
