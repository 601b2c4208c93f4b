/** Small reads that follow each other: the same bytes and the same faults, with fewer requests. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Fault, hexOf, utf8 } from '../../base/index.ts';
import type { ChunkId } from '../../meta/index.ts';
import type { ObjectRange } from '../../objects/index.ts';
import { ChunkStand } from '../chunk-stand.ts';
import { DEFAULT_CHUNK_FORMAT } from '../chunk-store.ts';

const FILES = 400;

interface File {
  readonly id: ChunkId;
  readonly plain: Uint8Array;
}

/** One record a file, put one after the other, in a store that was opened anew; `gets` counts requests. */
async function newTree(damaged?: number) {
  const stand = await ChunkStand.open({ format: DEFAULT_CHUNK_FORMAT });
  const files: File[] = [];
  for (let n = 0; n < FILES; n++) {
    const plain = Buffer.concat([utf8(`${n} is a file of its own. `.repeat(300)), stand.random.bytes(2_000)]);
    const { drafts } = await stand.put(plain);
    const [draft] = drafts;
    assert.ok(draft?.kind === 'chunk' && drafts.length === 1);
    files.push({ id: draft.id, plain });
  }
  await stand.store.close();
  const gets: { readonly name: string; readonly range: ObjectRange }[] = [];
  const { objects } = stand;
  const bytesOf = async (name: string, range: ObjectRange): Promise<Uint8Array> => {
    gets.push({ name, range });
    const bytes = (await objects.get(name, range)).slice();
    const id = damaged === undefined ? undefined : files[damaged]?.id;
    const at = id === undefined ? -1 : Buffer.from(bytes).indexOf(id);
    if (at >= 0 && bytes.length > at + 200) bytes[at + 150] = (bytes[at + 150] ?? 0) ^ 1;
    return bytes;
  };
  const spied = new Proxy(objects, {
    get: (target, key) => {
      if (key === 'get') return (name: string, range: ObjectRange = {}) => bytesOf(name, range);
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const again = await stand.crash({ objects: spied, options: { workerCount: 1, chunkCacheBytes: 0 } });
  return { stand: again, files, gets };
}

async function readOne(stand: ChunkStand, { id, plain }: File): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const part of stand.store.readAll([{ id, offset: 0, length: plain.length }]))
    parts.push(Buffer.from(part));
  return Buffer.concat(parts);
}

/** Reads in order, several times, until a thread was there from the first file on. */
async function readInOrder(stand: ChunkStand, files: readonly File[], gets: unknown[]): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let tries = 0; tries < 50 && least > FILES / 4; tries++) {
    await sleep(20);
    gets.length = 0;
    for (const file of files) assert.ok((await readOne(stand, file)).equals(file.plain));
    least = Math.min(least, gets.length);
  }
  return least;
}

test('small reads in the order of the pack take few requests, and every byte is right', async () => {
  const { stand, files, gets } = await newTree();
  await using _stand = stand;
  assert.ok((await readInOrder(stand, files, gets)) <= FILES / 4, 'most of them were there already');
  // Bytes that somebody still has stay as they are while windows come and go.
  const kept = await readOne(stand, files[5] ?? fail());
  const [first] = files;
  assert.ok(first);
  const held: Uint8Array[] = [];
  for (const { id, plain } of files)
    for await (const part of stand.store.readAll([{ id, offset: 0, length: plain.length }])) held.push(part);
  assert.ok(kept.equals(files[5]?.plain ?? fail()));
  assert.ok(held.every((part, n) => Buffer.from(part).equals(files[n]?.plain ?? fail())));
});

test('small reads that jump fetch nothing ahead', async () => {
  const { stand, files, gets } = await newTree();
  await using _stand = stand;
  await readInOrder(stand, files, gets);
  gets.length = 0;
  const jumping = files.map((_, n) => files[(n * 149) % FILES] ?? fail());
  for (const file of jumping) assert.ok((await readOne(stand, file)).equals(file.plain));
  assert.ok(gets.every(({ range }) => (range.length ?? 0) < 64 * 1024));
});

test('a damaged record among those read ahead is named when it is read, and costs no other', async () => {
  const damaged = 200;
  const { stand, files, gets } = await newTree(damaged);
  await using _stand = stand;
  await readInOrder(stand, files.slice(0, damaged), gets);
  for (const [n, file] of files.entries()) {
    const reading = readOne(stand, file);
    if (n !== damaged) assert.ok((await reading).equals(file.plain), `file ${n}`);
    else
      await assert.rejects(
        reading,
        (error) => Fault.is(error, 'corrupt') && error.about.chunk === hexOf(file.id) && error.about.offset !== 0,
      );
  }
});

function fail(): never {
  assert.fail('there is such a file');
}
