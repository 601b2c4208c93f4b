/** Many small files read together are what each is alone: bytes, faults, and what changed since they were listed. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../../test/stand.ts';
import type { FileRecord, WholeRead } from '../../api/index.ts';
import { Fault, seededRandom } from '../../base/index.ts';

const SIZES = [0, 1, 100, 4_096, 4_097, 20_000, 70_000, 200_000];
const FILES = 300;

/** Files of every size in folders, some with bytes that others have too, one with a hole. */
async function newTree(): Promise<{ readonly stand: Stand; readonly contents: Map<string, Buffer> }> {
  const stand = await openStand();
  const contents = new Map<string, Buffer>();
  for (let n = 0; n < FILES; n++) {
    const content = Buffer.from(seededRandom(n % 280).bytes(SIZES[n % SIZES.length] ?? 0));
    contents.set(`/t/${n % 7}/f${n}`, n === 150 ? Buffer.alloc(150_000) : content);
  }
  for (const [path, content] of contents) await stand.service.write(path, [content], { mode: 'put', parents: true });
  return { stand, contents };
}

async function listed(stand: Stand): Promise<FileRecord[]> {
  const records: FileRecord[] = [];
  for await (const record of stand.service.manifest({ path: '/t' })) if (record.kind === 'file') records.push(record);
  return records;
}

async function readMany(stand: Stand, records: readonly FileRecord[]): Promise<WholeRead[]> {
  const reads: WholeRead[] = [];
  for await (const read of stand.service.readMany?.(records) ?? [])
    reads.push(read.ok ? { ...read, bytes: Buffer.from(read.bytes) } : read);
  return reads;
}

test('files read together come in order, each with its own bytes', async () => {
  const { stand, contents } = await newTree();
  await using _stand = stand;
  const records = await listed(stand);
  const reads = await readMany(stand, records);
  assert.deepEqual(
    reads.map(({ record }) => record.path),
    records.map(({ path }) => path),
  );
  assert.equal(reads.length, FILES);
  for (const read of reads) assert.ok(read.ok && contents.get(read.record.path)?.equals(read.bytes), read.record.path);
});

test('a file that was replaced, moved or removed since it was listed comes as it is now', async () => {
  const { stand } = await newTree();
  await using _stand = stand;
  const records = await listed(stand);
  const [replaced, removed, other] = records;
  assert.ok(replaced && removed && other);
  await stand.service.write(replaced.path, [Buffer.from('new')], { mode: 'replace' });
  await stand.service.remove(removed.path);
  const reads = await readMany(stand, records);
  const of = (record: FileRecord) => reads.find((read) => read.record.path === record.path);
  const first = of(replaced);
  assert.ok(first?.ok === true && first.record.version > replaced.version);
  assert.equal(Buffer.from(first.bytes).toString(), 'new');
  const second = of(removed);
  assert.ok(second?.ok === false && Fault.is(second.fault, 'not-found'));
  assert.equal(of(other)?.ok, true);
  // A record that nobody has listed stands for its path.
  const [unlisted] = await readMany(stand, [{ ...other }]);
  assert.ok(unlisted?.ok === true && unlisted.bytes.length === other.size);
});

test('a damaged file fails alone, with the words that it has alone', async () => {
  const { stand, contents } = await newTree();
  await using _stand = stand;
  const records = await listed(stand);
  for (const pack of await stand.meta.scan('packs', { prefix: [1], limit: 10 })) {
    const whole = Buffer.from(await stand.objects.get(pack.object));
    for (let at = 50_000; at < whole.length; at += 400_000) whole[at] = (whole[at] ?? 0) ^ 1;
    await stand.objects.delete(pack.object);
    await stand.objects.put(pack.object, whole);
  }
  let damaged = 0;
  for (const read of await readMany(stand, records)) {
    const alone = await stand.service
      .read({ path: read.record.path })
      .then(({ bytes }) => bytesOf(bytes))
      .catch((error: unknown) => error);
    if (read.ok) {
      assert.ok(contents.get(read.record.path)?.equals(read.bytes), read.record.path);
      assert.ok(Buffer.isBuffer(alone), `${read.record.path}: ${alone}`);
      continue;
    }
    damaged++;
    assert.ok(Fault.is(read.fault, 'corrupt') && Fault.is(alone, 'corrupt'), String(alone));
    assert.equal(read.fault.message, alone.message);
    assert.deepEqual(read.fault.about, alone.about);
  }
  assert.ok(damaged >= 3, `${damaged} are damaged`);
});

test('reading many ends with its signal, and when its reader has had enough', async () => {
  const { stand } = await newTree();
  await using _stand = stand;
  const records = await listed(stand);
  const abort = new AbortController();
  const reading = (async () => {
    for await (const _read of stand.service.readMany?.(records, { signal: abort.signal }) ?? []) abort.abort();
  })();
  await assert.rejects(reading, (error) => Fault.is(error, 'aborted'));
  for await (const read of stand.service.readMany?.(records) ?? []) {
    assert.ok(read.ok);
    break;
  }
});
