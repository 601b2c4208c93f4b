/** The parts that the verbs are made of: words, paths, texts, times, merging, ledgers, progress. */
import assert from 'node:assert/strict';
import { lstatSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { compareBytes, ManualClock } from '../base/index.ts';
import { setFileTimes } from './local/file-times.ts';
import { isoOfNs, isSameMoment, nsOfIso } from './local/moments.ts';
import { comparePaths, folderOf, lastName, ownName, rawOfText, textOfRaw, trimSlashes } from './local/raw.ts';
import { dataRuns, HOLE_BYTES_MIN } from './local/sparse.ts';
import { escapedForTerminal, fitted, inColumns, shownBytes, shownMode, shownSpan, widthOf } from './saying/display.ts';
import { Progress } from './saying/progress.ts';
import { FolderLedger } from './transfer/folder-ledger.ts';
import { Gang } from './transfer/gang.ts';
import { mergeSorted, type Pair } from './transfer/merge.ts';
import { rawOfWord, textOfWord, wordOfBytes, wordsOfProcess } from './words/arguments.ts';
import { momentOfText, shareOfText } from './words/values.ts';

const anyBytes = fc.uint8Array({ minLength: 1, maxLength: 12 }).map((bytes) => Buffer.from(bytes));

test('words keep every byte, for local paths as they are and for stored ones in text form', () => {
  fc.assert(
    fc.property(anyBytes, (bytes) => {
      const word = wordOfBytes(bytes);
      assert.equal(rawOfWord(word), bytes.toString('latin1'));
    }),
  );
  assert.equal(textOfWord(wordOfBytes(Buffer.from([0x61, 0xff, 0x62]))), 'a\\xFFb');
  assert.equal(wordOfBytes(Buffer.from('ä€😀\ufffd')), 'ä€😀\ufffd');
  assert.equal(rawOfWord('😀'), Buffer.from('😀').toString('latin1'));
});

test('words that Node has mangled are read again from the kernel', () => {
  const line = Buffer.concat([Buffer.from('node\0main.ts\0put\0a'), Buffer.from([0xff]), Buffer.from('b\0')]);
  const words = wordsOfProcess(['node', 'main.ts', 'put', 'a\ufffdb'], () => line);
  assert.deepEqual(words, ['put', 'a\udcffb']);
  assert.deepEqual(
    wordsOfProcess(['node', 'main.ts', 'x'], () => assert.fail('not needed')),
    ['x'],
  );
});

test('raw paths and text form turn into each other, and sort as a manifest does', () => {
  const name = anyBytes.map((bytes) => bytes.map((byte) => (byte === 0x2f || byte === 0 ? 0x61 : byte)));
  fc.assert(
    fc.property(
      fc.array(name, { minLength: 1, maxLength: 4 }),
      fc.array(name, { minLength: 1, maxLength: 4 }),
      (a, b) => {
        const [left, right] = [a, b].map((path) =>
          path.map((one) => Buffer.from(one).toString('latin1')).join('/'),
        ) as [string, string];
        assert.equal(rawOfText(textOfRaw(left)), left);
        let wanted = 0;
        for (let at = 0; wanted === 0 && (at < a.length || at < b.length); at++) {
          const [one, other] = [a[at], b[at]];
          wanted = one === undefined ? -1 : other === undefined ? 1 : compareBytes(one, other);
        }
        assert.equal(Math.sign(comparePaths(left, right)), Math.sign(wanted));
      },
    ),
  );
  assert.deepEqual(['a', 'a/b', 'a-b', 'a.b/c'].sort(comparePaths), ['a', 'a/b', 'a-b', 'a.b/c']);
});

test('parts of paths', () => {
  assert.deepEqual(['/a/b/', 'a', '/', './x', '.'].map(lastName), ['b', 'a', '', 'x', '.']);
  assert.deepEqual(['/a/b/', 'a', '/', '/a'].map(folderOf), ['/a', '.', '/', '/']);
  assert.deepEqual(['a//', '/', '//'].map(trimSlashes), ['a', '/', '/']);
  assert.deepEqual(['..', '.', '/', 'a/.', 'a/b'].map(ownName), ['', '', '', '', 'b']);
});

test('sizes, spans, modes and widths as people read them', () => {
  assert.deepEqual([0, 999, 1000, 1023, 12_345, 999_499, 999_999, 5e9].map(shownBytes), [
    '0 B',
    '999 B',
    '1.00 kB',
    '1.02 kB',
    '12.3 kB',
    '999 kB',
    '1.00 MB',
    '5.00 GB',
  ]);
  assert.deepEqual([0.123, 12.34, 65, 7265].map(shownSpan), ['0.12 s', '12.3 s', '1 min 05 s', '2 h 01 min']);
  assert.deepEqual(
    [0o755, 0o4644, 0o1777].map((mode) => shownMode('file', mode)),
    ['-rwxr-xr-x', '-rwSr--r--', '-rwxrwxrwt'],
  );
  assert.equal(widthOf('a日e\u0301'), 4);
  assert.equal(fitted('日本語', 5), '日本…');
  assert.equal(escapedForTerminal('a\u001b[31m\u202eb\n'), 'a\\x1B[31m\\xE2\\x80\\xAEb\\x0A');
  assert.deepEqual(inColumns(['a', 'bb', 'c', 'd'], 7), ['a   c', 'bb  d']);
});

test('moments keep their nanoseconds on the way to a file and back', () => {
  assert.equal(isoOfNs(1_620_284_889_987_654_321n), '2021-05-06T07:08:09.987654321Z');
  assert.equal(isoOfNs(-1n), '1969-12-31T23:59:59.999999999Z');
  assert.equal(isoOfNs(10n ** 21n), undefined);
  assert.equal(nsOfIso('1969-12-31T23:59:59.999999999Z'), -1n);
  assert.ok(isSameMoment('2021-05-06T07:08:09.987654Z', 1_620_284_889_987_654_321n));
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
  try {
    const [file, link] = [join(folder, 'f\u00ff'), join(folder, 'l')];
    writeFileSync(file, '');
    symlinkSync('nowhere', link);
    for (const ns of [1_620_284_889_987_654_321n, -5_000_000_001n, 0n]) {
      setFileTimes(Buffer.from(file).toString('latin1'), ns);
      setFileTimes(link, ns);
      assert.equal(lstatSync(file, { bigint: true }).mtimeNs, ns);
      assert.equal(lstatSync(link, { bigint: true }).mtimeNs, ns);
    }
    assert.throws(() => setFileTimes(join(folder, 'missing'), 0n), /ENOENT/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('values as people type them', () => {
  const clock = new ManualClock(Date.UTC(2026, 0, 10));
  assert.equal(momentOfText('7d', clock), '2026-01-03T00:00:00.000Z');
  assert.equal(momentOfText('2025-12-24', clock), '2025-12-24T00:00:00.000Z');
  assert.equal(momentOfText('soon', clock), undefined);
  assert.deepEqual(['10%', '0.5', '.5', '101%', '-1', 'x'].map(shareOfText), [
    0.1,
    0.5,
    0.5,
    undefined,
    undefined,
    undefined,
  ]);
});

test('merging two sorted streams pairs what is equal and loses nothing', async () => {
  const sorted = fc.uniqueArray(fc.nat(30)).map((numbers) => numbers.sort((a, b) => a - b));
  await fc.assert(
    fc.asyncProperty(sorted, sorted, async (a, b) => {
      const pairs: Pair<number, number>[] = [];
      for await (const pair of mergeSorted(a, streamOf(b), (l, r) => l - r)) pairs.push(pair);
      assert.deepEqual(
        pairs.flatMap(({ left }) => left ?? []),
        a,
      );
      assert.deepEqual(
        pairs.flatMap(({ right }) => right ?? []),
        b,
      );
      for (const { left, right } of pairs) assert.ok(left === undefined || right === undefined || left === right);
    }),
  );
});

test('a folder is finished when it is left, made, and all in it is done, the inner before the outer', () => {
  const finished: string[] = [];
  const ledger = new FolderLedger<string>((value) => finished.push(value));
  ledger.enter('', 'root').done();
  const made = ledger.enter('a', 'a');
  const file = ledger.item('a/f');
  assert.equal(file.parent, 'a');
  ledger.item('b').done();
  assert.deepEqual(finished, []);
  file.done();
  assert.deepEqual(finished, [], 'not yet made itself');
  made.done();
  assert.deepEqual(finished, ['a']);
  ledger.end();
  assert.deepEqual(finished, ['a', 'root']);
});

test('a gang runs so many at once and stops at the first failure', async () => {
  const gang = new Gang(2);
  let [running, most] = [0, 0];
  for (let index = 0; index < 5; index++) {
    await gang.start(async () => {
      most = Math.max(most, ++running);
      await new Promise((resolve) => setImmediate(resolve));
      running--;
    });
  }
  await gang.settle();
  assert.equal(most, 2);
  await gang.start(() => Promise.reject(new Error('first')));
  await assert.rejects(gang.settle(), /first/);
  await assert.rejects(
    gang.start(async () => {}),
    /first/,
  );
});

test('runs of data leave out long zeros only, and cover every byte that is not zero', () => {
  const block = new Uint8Array(5 * HOLE_BYTES_MIN);
  block[HOLE_BYTES_MIN + 5] = 1;
  block[4 * HOLE_BYTES_MIN] = 1;
  assert.deepEqual(
    [...dataRuns(block)],
    [
      { start: HOLE_BYTES_MIN, end: 2 * HOLE_BYTES_MIN },
      { start: 4 * HOLE_BYTES_MIN, end: 5 * HOLE_BYTES_MIN },
    ],
  );
  assert.deepEqual([...dataRuns(new Uint8Array(10))], []);
});

test('progress is drawn at most ten times a second, fits the terminal, and is erased', () => {
  const clock = new ManualClock();
  let drawn: string[] = [];
  const progress = new Progress({ write: (text) => drawn.push(text), columns: () => 60, clock, isOn: true });
  const standing = (bytes: number) => () => ({
    what: 'put',
    bytes,
    bytesTotal: 100e6,
    files: 1,
    item: '/a/very/long/path/to/something',
  });
  for (let step = 0; step < 100; step++) {
    progress.update(standing(step * 1e6));
    clock.advance(10);
  }
  assert.equal(drawn.length, 10);
  const last = drawn.at(-1) ?? '';
  assert.match(last, /^\rput {2}90 % {2}1 files {2}90\.0 MB of 100 MB {2}100 MB\/s {2}1 s left/);
  assert.ok(last.replace(/\r|\u001b\[K/g, '').length < 60);
  drawn = [];
  progress.clear();
  progress.clear();
  assert.deepEqual(drawn, ['\r\u001b[K']);
  const off = new Progress({ write: () => assert.fail(), columns: () => 60, clock, isOn: false });
  off.update(() => assert.fail('not asked for'));
  off.clear();
});

async function* streamOf<T>(items: readonly T[]): AsyncGenerator<T, void> {
  yield* items;
}
