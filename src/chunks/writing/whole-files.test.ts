/** Small local files taken whole: the same drafts as a writer makes of their bytes, shared chunks stored once, and whatever is not as it was looked at left to the caller. */
import assert from 'node:assert/strict';
import { appendFileSync, lstatSync, mkdtempSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom, utf8 } from '../../base/index.ts';
import { ChunkStand, type StandOptions } from '../chunk-stand.ts';
import type { HeldFile, LocalFile, TakenFile } from '../chunk-store.ts';

class Folder implements Disposable {
  readonly path = mkdtempSync(join(tmpdir(), 'holdfast-whole-'));

  file(name: string, bytes: Uint8Array, level: LocalFile['level'] = 1): LocalFile {
    const path = join(this.path, name);
    writeFileSync(Buffer.from(path, 'latin1'), bytes);
    return this.look(path, level);
  }

  look(path: string, level: LocalFile['level'] = 1): LocalFile {
    const { size, mtimeNs, dev, ino } = lstatSync(Buffer.from(path, 'latin1'), { bigint: true });
    return { path, size: Number(size), mtimeNs, identity: `${dev}:${ino}`, level };
  }

  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

const open = (wanted: StandOptions = {}): Promise<ChunkStand> =>
  ChunkStand.open({ ...wanted, options: { workerCount: 1, ...wanted.options } });

async function take(
  stand: ChunkStand,
  ...files: readonly (LocalFile | HeldFile)[]
): Promise<readonly (TakenFile | undefined)[]> {
  assert.ok(stand.store.files !== undefined);
  return stand.store.files.take(files);
}

function textOf(length: number, seed: number, words = 9_000): Uint8Array {
  const random = seededRandom(seed);
  return utf8(Array.from({ length: Math.ceil(length / 3) }, () => `w${random.below(words)} `).join('')).subarray(
    0,
    length,
  );
}

const random = seededRandom(5);
const withHole = new Uint8Array(40_000);
withHole.set(textOf(5_000, 3), 0);
withHole.set(textOf(5_000, 4), 35_000);
const CASES: Readonly<Record<string, Uint8Array>> = {
  empty: new Uint8Array(0),
  byte: utf8('x'),
  inline: textOf(4_096, 1),
  'just no row': textOf(4_097, 1),
  text: textOf(100_000, 2),
  noise: random.bytes(60_000),
  zeros: new Uint8Array(3_000),
  'long zeros': new Uint8Array(90_000),
  'with a hole': withHole,
  'n\xe9\xff': textOf(9_000, 6),
  largest: textOf(256 * 1024, 7),
};

test('files in memory are taken as those of the disk are, also between them', async () => {
  using folder = new Folder();
  await using stand = await open();
  await using other = await ChunkStand.open();
  const held = (bytes: Uint8Array): HeldFile => ({ bytes, size: bytes.length, level: 1 });
  const all = Object.entries(CASES);
  const taken = await take(
    stand,
    ...all.map(([name, bytes], index) => (index % 3 === 1 ? folder.file(name, bytes) : held(bytes))),
  );
  for (const [index, [name, bytes]] of all.entries()) {
    const file = taken[index];
    assert.ok(file !== undefined, name);
    const expected = await other.put(bytes);
    assert.deepEqual(Buffer.from(file.hash), Buffer.from(expected.hash), name);
    assert.deepEqual(shapeOf(file.drafts.drafts), shapeOf(expected.drafts), name);
    await stand.commitDrafts(file.drafts);
    file.release();
    assert.ok(Buffer.from(bytes).equals(await stand.get(file.drafts.drafts)), name);
  }
});

test('a file that is taken has the drafts, the hash and the bytes that a writer gives it', async () => {
  using folder = new Folder();
  await using stand = await open();
  await using other = await ChunkStand.open();
  const names = Object.keys(CASES);
  const taken = await take(stand, ...names.map((name) => folder.file(name, CASES[name] ?? new Uint8Array(0))));
  for (const [index, name] of names.entries()) {
    const [bytes, file] = [CASES[name] ?? new Uint8Array(0), taken[index]];
    assert.ok(file !== undefined, name);
    const expected = await other.put(bytes);
    assert.equal(file.size, bytes.length, name);
    assert.deepEqual(Buffer.from(file.hash), Buffer.from(expected.hash), name);
    assert.deepEqual(shapeOf(file.drafts.drafts), shapeOf(expected.drafts), name);
    await stand.commitDrafts(file.drafts);
    file.release();
    assert.ok(Buffer.from(bytes).equals(await stand.get(file.drafts.drafts)), name);
  }
  const { report, damages } = await stand.verify();
  assert.deepEqual([damages, report.orphanBytes], [[], 0]);
});

/** Bytes of inline records need not be the same, what they stand for is read back. */
function shapeOf(drafts: TakenFile['drafts']['drafts']): unknown {
  return drafts.map((draft) => ({
    kind: draft.kind,
    offset: draft.offset,
    length: draft.length,
    id: draft.kind === 'chunk' ? Buffer.from(draft.id).toString('hex') : '',
  }));
}

test('a chunk in several files is stored once, and not at all when the store has it', async () => {
  using folder = new Folder();
  const stand = await open();
  const bytes = textOf(5_000, 8);
  const earlier = await stand.put(textOf(5_000, 9));
  const [a, b, c] = await take(
    stand,
    folder.file('a', bytes),
    folder.file('b', bytes),
    folder.file('c', textOf(5_000, 9)),
  );
  assert.ok(a !== undefined && b !== undefined && c !== undefined);
  assert.deepEqual(shapeOf(c.drafts.drafts), shapeOf(earlier.drafts));
  await stand.commitDrafts(a.drafts);
  await stand.commitDrafts(b.drafts);
  await stand.commitDrafts(c.drafts);
  for (const file of [a, b, c]) file.release();
  assert.equal((await stand.verify()).report.orphanBytes, 0);
  const { packBytes } = await stand.store.stats();
  await using later = await stand.reopen({ options: { workerCount: 1 } });
  const [again] = await take(later, folder.file('d', bytes));
  assert.deepEqual([again?.drafts.puts, (await later.store.stats()).packBytes], [[], packBytes]);
});

test('what is not as it was looked at, or is no file, is left to the caller', async () => {
  using folder = new Folder();
  await using stand = await open();
  const grown = folder.file('grown', utf8('a'.repeat(5_000)));
  appendFileSync(grown.path, 'b');
  const touched = folder.file('touched', utf8('a'.repeat(5_000)));
  utimesSync(touched.path, 1, 1);
  const gone = { ...touched, path: join(folder.path, 'gone') };
  const shrunk = folder.file('shrunk', utf8('a'.repeat(5_000)));
  writeFileSync(shrunk.path, 'short');
  const target = folder.file('target', utf8('a'.repeat(5_000)));
  symlinkSync(target.path, join(folder.path, 'link'));
  const link = { ...target, path: join(folder.path, 'link') };
  const taken = await take(stand, grown, touched, gone, shrunk, link, target);
  assert.deepEqual(
    taken.map((file) => file !== undefined),
    [false, false, false, false, false, true],
  );
});

test('where equal ids are no proof, what the store has already is left to the caller', async () => {
  using folder = new Folder();
  await using stand = await open({ format: { ...(await formatOf()), idAlgorithm: 'xxh3-128' } });
  await stand.put(textOf(5_000, 9));
  const [known, fresh, again] = await take(
    stand,
    folder.file('known', textOf(5_000, 9)),
    folder.file('fresh', textOf(5_000, 10)),
    folder.file('again', textOf(5_000, 10)),
  );
  assert.deepEqual([known, again, fresh !== undefined], [undefined, undefined, true]);
});

async function formatOf() {
  await using stand = await ChunkStand.open();
  return stand.store.format;
}

test('levels are minded: what is not to be compressed is stored as it is', async () => {
  using folder = new Folder();
  await using stand = await open();
  const taken = await take(
    stand,
    folder.file('a', textOf(5_000, 1, 10), 'none'),
    folder.file('b', textOf(5_000, 2, 10), 1),
  );
  const storedOf = (file: TakenFile | undefined): number =>
    (file?.drafts.puts ?? []).reduce((sum, put) => sum + (put.table === 'chunks' ? put.row.storedLength : 0), 0);
  assert.ok(storedOf(taken[0]) > 5_000 && storedOf(taken[1]) < 2_500);
});

test('many at once wait for memory, and all come', async () => {
  using folder = new Folder();
  await using stand = await open();
  const files = Array.from({ length: 40 }, (_, at) => folder.file(`f${at}`, textOf(20_000, at)));
  const taken = await Promise.all(files.map((file) => take(stand, file)));
  for (const [file] of taken) {
    assert.ok(file !== undefined);
    await stand.commitDrafts(file.drafts);
    file.release();
  }
  assert.equal((await stand.verify()).damages.length, 0);
});

test('what a file that was taken counts on is not collected until it is let go of', async () => {
  using folder = new Folder();
  await using first = await open();
  const bytes = textOf(100_000, 8);
  const stored = await first.put(bytes);
  await first.commit(await first.store.sync());
  await using stand = await first.reopen({ options: { workerCount: 1 }, seed: 2 });
  const [taken] = await take(stand, folder.file('again', bytes));
  assert.deepEqual(taken?.drafts.puts, []);
  await stand.drop(stored);
  const options = { graceSeconds: 0, freedShareMin: 0.25 };
  assert.equal((await stand.store.collect(options)).freedBytes, 0);
  await stand.commitDrafts(taken?.drafts ?? { drafts: [], puts: [] });
  taken?.release();
  assert.ok((await stand.get(taken?.drafts.drafts ?? [])).equals(bytes));
});
