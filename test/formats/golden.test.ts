/**
 * Stores of every format that was ever released open and give back what they held. Each stands in golden/NAME: a store,
 * and `expected.json` with the SHA-256 of every path (and PATH@VERSION, PATH@SNAPSHOT). They are opened as copies and never made anew;
 * tools/golden.ts made them.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { test } from 'node:test';
import { TABLES } from '../../src/meta/index.ts';
import { configOf, openStore } from '../../src/server/index.ts';

const GOLDEN = join(import.meta.dirname, 'golden');

async function sha256(bytes: AsyncIterable<Uint8Array>): Promise<string> {
  const hash = createHash('sha256');
  for await (const part of bytes) hash.update(part);
  return hash.digest('hex');
}

for (const name of readdirSync(GOLDEN)) {
  test(`the golden store ${name} opens and has all it had`, async () => {
    const copy = mkdtempSync(join(tmpdir(), 'holdfast-golden-'));
    try {
      cpSync(join(GOLDEN, name, 'store'), copy, { recursive: true });
      const expected = JSON.parse(readFileSync(join(GOLDEN, name, 'expected.json'), 'utf8')) as Record<string, string>;
      await using store = await openStore({ options: configOf({ store: copy }).values, command: 'golden test' });
      const service = store.service({ door: 'test', request: 'golden' });
      const report = await service.check();
      assert.deepEqual(report.problems, []);
      for (const [shown, hash] of Object.entries(expected)) {
        const [path = '', which] = shown.split('@');
        const moment = which === undefined ? {} : /^\d+$/.test(which) ? { version: Number(which) } : { at: which };
        const read = await service.read({ path }, moment);
        assert.equal(await sha256(read.bytes), hash, shown);
      }
      const link = await service.stat({ path: '/link' });
      assert.equal(link.target, 'text/compressed');
      const inline = await service.stat({ path: '/inline' }, { withAttributes: true });
      assert.deepEqual([inline.mode, inline.attributes], [0o600, { 'user.tag': 'cmVk' }]);
      assert.equal((await service.versions({ path: '/replaced' })).versions.length, 2);
      await service.write('/new', [new TextEncoder().encode('still takes new files')], { mode: 'create' });
    } finally {
      rmSync(copy, { recursive: true, force: true });
    }
  });
}

test('the newest golden store has a row in every table', () => {
  const newest = readdirSync(GOLDEN).sort().at(-1) ?? '';
  const copy = mkdtempSync(join(tmpdir(), 'holdfast-golden-'));
  try {
    cpSync(join(GOLDEN, newest, 'store'), copy, { recursive: true });
    const db = new DatabaseSync(join(copy, 'meta', 'metadata.sqlite'), { readOnly: true });
    const empty = Object.keys(TABLES).filter(
      (table) => db.prepare(`SELECT 1 FROM "${table}" LIMIT 1`).get() === undefined,
    );
    db.close();
    assert.deepEqual(empty, []);
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
});
