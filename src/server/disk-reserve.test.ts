/** The reserve is kept from bytes of files, costs no look while there is plenty, and never takes much of a small disk. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Fault, ManualClock } from '../base/index.ts';
import { DiskReserve } from './disk-reserve.ts';

const MIB = 2 ** 20;

function reserveOn(disk: { totalBytes: number; freeBytes: number }) {
  const clock = new ManualClock();
  let looks = 0;
  const look = async () => {
    looks++;
    return { ...disk };
  };
  const reserve = new DiskReserve({ reserveBytes: 64 * MIB, clock, look });
  return { reserve, clock, looks: () => looks };
}

const isFull = (error: unknown): boolean => Fault.is(error, 'full');

test('bytes are refused that would take from the reserve, and those of rows earlier', async () => {
  const disk = { totalBytes: 10_000 * MIB, freeBytes: 100 * MIB };
  const { reserve, clock } = reserveOn(disk);
  await reserve.require(36 * MIB);
  clock.advance(1_000);
  await assert.rejects(async () => reserve.require(37 * MIB), isFull);
  clock.advance(1_000);
  await assert.rejects(async () => reserve.require(1, true), isFull);
  disk.freeBytes = 129 * MIB;
  clock.advance(1_000);
  await reserve.require(1, true);
  assert.deepEqual(await reserve.space(), { totalBytes: 10_000 * MIB, freeBytes: 65 * MIB });
});

test('a small disk keeps an eighth, and one with plenty is looked at now and then only', async () => {
  const small = reserveOn({ totalBytes: 16 * MIB, freeBytes: 3 * MIB });
  await small.reserve.require(1 * MIB);
  assert.equal((await small.reserve.space()).freeBytes, MIB);
  const { reserve, clock, looks } = reserveOn({ totalBytes: 10_000 * MIB, freeBytes: 5_000 * MIB });
  for (let count = 0; count < 100; count++) await reserve.require(MIB);
  assert.equal(looks(), 1);
  for (let count = 0; count < 100; count++) await reserve.require(100 * MIB);
  assert.ok(looks() > 2, 'what was written counts');
  clock.advance(300);
  assert.notEqual(reserve.require(1), undefined);
});
