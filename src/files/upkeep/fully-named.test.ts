/** Counting with a bound finds the same things as counting without one, each once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { seededRandom } from '../../base/index.ts';
import { fullyNamed, type Naming } from './fully-named.ts';

/** Things with up to `refsMost` references each, of which some or all are brought, in any order. */
function namings(count: number, refsMost: number): { readonly all: Naming<number>[]; readonly whole: number[] } {
  const random = seededRandom(7);
  const [all, whole] = [[] as Naming<number>[], [] as number[]];
  for (let thing = 0; thing < count; thing++) {
    const refs = 1 + random.below(refsMost);
    const brought = random.below(3) === 0 ? random.below(refs) : refs;
    if (brought === refs) whole.push(thing);
    for (let left = brought; left > 0; ) {
      const some = 1 + random.below(left);
      all.splice(random.below(all.length + 1), 0, { key: `thing ${thing}`, count: some, refs, value: thing });
      left -= some;
    }
  }
  return { all, whole };
}

for (const openMax of [1_000_000, 100, 20]) {
  test(`things of which every reference is brought are answered once each, with ${openMax} counted at once`, async () => {
    const { all, whole } = namings(1_000, 4);
    const found: number[] = [];
    let askings = 0;
    const source = async function* () {
      askings++;
      yield* all;
    };
    for await (const thing of fullyNamed(source, { openMax })) found.push(thing);
    assert.deepEqual(
      found.sort((a, b) => a - b),
      whole,
    );
    if (openMax === 1_000_000) assert.equal(askings, 1);
    // One part each has at most so many namings, so the parts are about as many as there are such loads.
    if (openMax === 100) assert.ok(askings > 5 && askings < 60, String(askings));
  });
}

test('a thing with more namings than may be counted at once is one thing', async () => {
  const source = async function* (): AsyncGenerator<Naming<string>> {
    for (let n = 0; n < 500; n++) yield { key: 'a', count: 1, refs: 500, value: 'a' };
    for (let n = 0; n < 20; n++) yield { key: `b${n}`, count: 1, refs: 2, value: 'b' };
  };
  const found: string[] = [];
  for await (const thing of fullyNamed(source, { openMax: 3 })) found.push(thing);
  assert.deepEqual(found, ['a']);
});
