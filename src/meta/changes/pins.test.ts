/** Pins against the obvious way of asking them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { pinRow } from '../contract/contract-rows.ts';
import type { PinRow } from '../rows/rows.ts';
import { PinSet } from './pins.ts';

const pins = fc.array(
  fc.record({
    from: fc.nat(20),
    length: fc.option(fc.integer({ min: -3, max: 6 })),
    expires: fc.option(fc.nat(5)),
  }),
  { maxLength: 12 },
);

test('a set of pins says what each of them alone says, at every time, whichever way time goes', () => {
  fc.assert(
    fc.property(pins, fc.array(fc.tuple(fc.nat(22), fc.nat(4), fc.nat(6))), (wanted, questions) => {
      const rows: PinRow[] = wanted.map(({ from, length, expires }, pin) => ({
        ...pinRow(1, pin, from, length === null ? null : from + length),
        expiresSeconds: expires,
      }));
      const set = new PinSet(rows);
      for (const [born, age, now] of questions) {
        const counting = rows.filter(({ expiresSeconds }) => expiresSeconds === null || expiresSeconds > now);
        const covers = (commit: number): boolean =>
          counting.some(({ fromCommit, toCommit }) => fromCommit <= commit && commit <= (toCommit ?? commit));
        const isNeeded = Array.from({ length: age }, (_, i) => born + i).some(covers);
        assert.equal(set.needs({ born, died: born + age }, now), isNeeded);
        assert.equal(set.keeps(born, now), covers(born));
      }
    }),
  );
});
