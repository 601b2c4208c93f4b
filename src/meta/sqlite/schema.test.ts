/** docs/formats/metadata.md says exactly what the code does. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { crc32 } from 'node:zlib';
import { bytesOfHex, utf8 } from '../../base/index.ts';
import { checksumOf } from '../rows/row-checksum.ts';
import { TABLE_NAMES, table } from '../rows/tables.ts';
import { APPLICATION_ID, CURRENT_SCHEMA } from './schema.ts';
import { schemaSql } from './sql-text.ts';

const page = readFileSync(new URL('../../../docs/formats/metadata.md', import.meta.url), 'utf8');

test('the format page carries the definitions word for word, and the versions', () => {
  assert.equal(/```sql\n([\s\S]*?)\n```/.exec(page)?.[1], schemaSql());
  assert.ok(page.includes(`Definitions of version ${CURRENT_SCHEMA.version}`));
  assert.ok(page.includes(`0x${APPLICATION_ID.toString(16)}`));
});

test('the format page lists every table with its number, key and columns in checksum order', () => {
  for (const name of TABLE_NAMES) {
    const of = table(name);
    const section = page.split(`\n### ${name}\n`)[1]?.split('\n#')[0] ?? '';
    assert.ok(section.includes(`Table ${of.number}, key (${of.key.join(', ')}).`), name);
    const lines = [...section.matchAll(/^\| (\w+) \| (\S+) \|/gm)].slice(1);
    assert.deepEqual(
      lines.map((line) => [line[1], line[2]]),
      of.columns.map((column, i) => [column, of.types[i]]),
    );
  }
  assert.equal(new Set(TABLE_NAMES.map((name) => table(name).number)).size, TABLE_NAMES.length);
});

test('the checksum of a row is that of the page’s example, and covers values of every length', () => {
  const example = bytesOfHex((/```\n(04000000[\s\S]*?)```/.exec(page)?.[1] ?? '').replaceAll(/\s/g, ''));
  assert.ok(example !== undefined);
  const sum = checksumOf(table('entries'), [1, 1, utf8('a.txt'), 7, 1, 3]);
  assert.equal(sum, crc32(example) | 0);
  assert.ok(page.includes(`checksum −${-(sum ?? 0)}`));
  const settings = table('settings');
  for (const value of ['', 'a', 'ä', 'x'.repeat(511), 'x'.repeat(513), 'ä'.repeat(300), 'x'.repeat(100_000)]) {
    const [name, text] = [utf8('some.name'), utf8(value)];
    const run = Buffer.alloc(16 + name.length + text.length);
    run.writeUInt32LE(settings.number, 0);
    run.writeUInt32LE(name.length, 8);
    run.set(name, 12);
    run.writeUInt32LE(text.length, 12 + name.length);
    run.set(text, 16 + name.length);
    assert.equal(checksumOf(settings, ['some.name', value]), crc32(run) | 0, `${value.length}`);
  }
});

test('a value of the wrong type or range has no checksum', () => {
  const counters = table('counters');
  assert.notEqual(checksumOf(counters, ['a', Number.MAX_SAFE_INTEGER]), undefined);
  for (const values of [['a', 2 ** 53], ['a', 0.5], ['a', null], ['a', '1'], [null, 1], [1, 1], ['a']])
    assert.equal(checksumOf(counters, values), undefined);
});
