/** When compressing is tried: always for what does not look like noise, now and then for what does. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Compressibility } from './compressibility.ts';

test('chunks that do not look like noise are always tried', () => {
  const compressibility = new Compressibility();
  for (let n = 0; n < 50; n++) {
    assert.ok(compressibility.isWorthTrying(false));
    compressibility.tried(false);
  }
});

test('of noise a first one is tried, and then few', () => {
  const compressibility = new Compressibility();
  let tries = 0;
  for (let n = 0; n < 320; n++) {
    if (!compressibility.isWorthTrying(true)) continue;
    tries++;
    compressibility.tried(false);
  }
  assert.ok(tries >= 15 && tries <= 25, String(tries));
});

test('noise is not tried again before the first try is known', () => {
  const compressibility = new Compressibility();
  assert.ok(compressibility.isWorthTrying(true));
  for (let n = 0; n < 10; n++) assert.equal(compressibility.isWorthTrying(true), false);
});

test('what only looks like noise is tried as long as it pays', () => {
  const compressibility = new Compressibility();
  assert.ok(compressibility.isWorthTrying(true));
  compressibility.tried(true);
  for (let n = 0; n < 20; n++) {
    assert.ok(compressibility.isWorthTrying(true));
    compressibility.tried(true);
  }
  compressibility.tried(false);
  assert.equal(compressibility.isWorthTrying(true), false);
});

test('streams that begin with noise are tried as rarely as the chunks of one, until it pays', () => {
  const beginnings = new Compressibility();
  const isTried = (pays: boolean): boolean => {
    const compressibility = new Compressibility(beginnings);
    const isTried = compressibility.isWorthTrying(true);
    if (isTried) compressibility.tried(pays);
    return isTried;
  };
  const tries = Array.from({ length: 320 }, () => isTried(false)).filter(Boolean).length;
  assert.ok(tries >= 15 && tries <= 25, String(tries));
  while (!isTried(true));
  for (let n = 0; n < 20; n++) assert.ok(isTried(true));
});

test('a stream whose beginning was not tried is tried later', () => {
  const beginnings = new Compressibility();
  new Compressibility(beginnings).isWorthTrying(true);
  const compressibility = new Compressibility(beginnings);
  const tries = Array.from({ length: 40 }, () => compressibility.isWorthTrying(true));
  assert.equal(tries[0], false);
  assert.ok(tries.includes(true));
});
