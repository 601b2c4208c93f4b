/**
 * Makes a golden store: a small store with one of each kind of record and row that this version writes or reads, and a
 * list of what is in it. It is made once for each format that was ever released, kept in test/formats/golden, and must
 * open in every later version; test/formats/golden.test.ts holds that.
 *
 *   node tools/run.mjs --dev tools/golden.ts test/formats/golden/v2
 */
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { seededRandom, silentLog, systemClock, utf8 } from '../src/base/index.ts';
import { newIdHasher } from '../src/chunks/hashes/ids.ts';
import { openChunkStore, SMALL_CHUNK_STORE_OPTIONS } from '../src/chunks/index.ts';
import { encodeFooter, encodePackHeader, type IndexEntry, PackIndex } from '../src/chunks/packs/pack-format.ts';
import { encodePatch, encodeRecord } from '../src/chunks/packs/record.ts';
import { CompressionRules, FILES_OPTIONS_DEFAULT, type Files, fileService, openFiles } from '../src/files/index.ts';
import {
  EXTENT_KIND,
  Groups,
  NODE_KIND,
  openSqliteFile,
  PACK_STATE,
  type Put,
  REAP_KIND,
  THIS_COMMIT,
} from '../src/meta/index.ts';
import { DiskObjects, NodeDisk } from '../src/objects/index.ts';
import { configOf, initStore } from '../src/server/index.ts';
import { readStoreFolder } from '../src/server/store-folder.ts';

const [target] = process.argv.slice(2);
if (target === undefined) throw new Error('Say where to put it.');
const folder = resolve(target);
const store = join(folder, 'store');
rmSync(folder, { recursive: true, force: true });
mkdirSync(folder, { recursive: true });

const random = seededRandom(2026);
const REALM = 1;
const SPACE = 1;
const text = (length: number): Uint8Array =>
  utf8(Array.from({ length: length / 8 }, () => `${random.below(9_000_000) + 1_000_000} `).join('')).subarray(
    0,
    length,
  );

await initStore({ options: configOf({ store }).values });
const expected: Record<string, string> = {};
await fill();
writeFileSync(join(folder, 'expected.json'), `${JSON.stringify(expected, null, 2)}\n`);

async function fill(): Promise<void> {
  const disk = new NodeDisk(store);
  const identity = await readStoreFolder(disk, store);
  if (identity === undefined) throw new Error('The store was not made.');
  const { format, secret } = identity;
  await using objects = await DiskObjects.open(disk, { folder: 'objects' });
  await using meta = openSqliteFile(join(store, 'meta', 'metadata.sqlite'));
  await using chunks = await openChunkStore({
    ...{ objects, meta, secret, clock: systemClock, random, log: silentLog, format: format.chunks },
    // A small pack bound, so that one pack is sealed and another is left open.
    options: { ...SMALL_CHUNK_STORE_OPTIONS, workerCount: 0, packBytesMax: 96 * 1024, batchBytes: 64 * 1024 },
  });
  const groups = new Groups({ meta, prepare: () => chunks.sync() });
  const options = { ...FILES_OPTIONS_DEFAULT, compression: new CompressionRules(1) };
  await using files = await openFiles({
    ...{ meta, groups, chunks, clock: systemClock, random, log: silentLog, options, background: false },
  });
  const service = fileService(files, { user: 'owner', door: 'golden', request: 'made' }, () => {
    throw new Error('not asked');
  });
  const put = async (path: string, bytes: Uint8Array): Promise<void> => {
    await service.write(path, [bytes], { mode: 'put', parents: true, modified: '2026-01-02T03:04:05.678901234Z' });
    expected[path] = createHash('sha256').update(bytes).digest('hex');
  };

  // Records: zstd, raw, inline; a hole; versions; names that are not UTF-8; a link; attributes.
  await put('/text/compressed', text(40_000));
  await put('/random/raw', random.bytes(60_000));
  await put('/random/more', random.bytes(60_000));
  await put('/inline', utf8('inline'));
  await put('/empty', new Uint8Array());
  await put('/sparse', new Uint8Array(300_000).fill(7, 200_000, 200_100));
  await put('/versions', utf8('one'));
  expected['/versions@1'] = expected['/versions'] ?? '';
  await put('/versions', text(10_000));
  await put('/name-\\xFF-\\x80', utf8('not UTF-8'));
  await service.copy('/text', '/copied');
  expected['/copied/compressed'] = expected['/text/compressed'] ?? '';
  for await (const result of service.writeMany([{ path: '/link', kind: 'symlink', target: 'text/compressed' }])) {
    if (!result.ok) throw result.fault;
  }
  const tag = { 'user.tag': Buffer.from('red').toString('base64') };
  await service.setAttributes({ path: '/inline' }, { mode: 0o600, attributes: tag }, { idempotencyKey: 'golden' });
  await put('/replaced', utf8('older'));
  await put('/replacing', utf8('newer'));
  await service.move('/replacing', '/replaced', { overwrite: true });
  expected['/replaced'] = expected['/replacing'] ?? '';
  delete expected['/replacing'];

  // History rows: something changes and goes while the window of history needs it, and a snapshot does.
  await put('/gone', text(5_000));
  await changeInPlace(files, '/inline', [utf8('Inline'), utf8('INLINE')], async () => {
    await service.createSnapshot('golden');
  });
  expected['/gone@golden'] = expected['/gone'] ?? '';
  expected['/inline@golden'] = createHash('sha256').update(utf8('Inline')).digest('hex');
  expected['/inline'] = createHash('sha256').update(utf8('INLINE')).digest('hex');
  await service.setAttributes({ path: '/gone' }, { attributes: tag });
  await service.setAttributes({ path: '/gone' }, { attributes: { 'user.tag': null } });
  await service.remove('/gone');
  delete expected['/gone'];

  // An upload that has one of its two parts.
  const half = 1024 * 1024;
  const { upload_id } = await service.uploads.create('/uploading', { size: 2 * half, partSize: half });
  await service.uploads.putPart(upload_id, 2, [new Uint8Array(half).fill(9)]);

  await patchPack();
  await leftovers();
  await groups.close();

  /** As a mount does within one session: the content stays, its extents have a past. */
  async function changeInPlace(
    files: Files,
    path: string,
    writes: readonly Uint8Array[],
    between: () => Promise<void>,
  ): Promise<void> {
    const diskSpace = (): { totalBytes: number; freeBytes: number } => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 40 });
    await using tree = await files.openTree({ user: 'owner', diskSpace });
    const node = await tree.lookup(tree.root, utf8(path.slice(1)));
    if (node === undefined) throw new Error(`There is no ${path}.`);
    const handle = await tree.open(node.node, { read: true, write: true, append: false, truncate: false, sync: false });
    for (const [index, bytes] of writes.entries()) {
      if (index > 0) await between();
      await tree.write(handle, 0, bytes);
      await tree.fsync(handle, false);
    }
    await tree.release(handle);
  }

  /** A sealed pack with a chunk and a patch against it, and a file that needs both. */
  async function patchPack(): Promise<void> {
    const idOf = newIdHasher(format.chunks.idAlgorithm, secret);
    const plain = text(30_000);
    const changed = Uint8Array.from(plain);
    changed.set(utf8('changed'), 12_345);
    const [baseId, patchId] = [idOf(plain), idOf(changed)];
    const base = encodeRecord({ realm: REALM, id: baseId, plainLength: plain.length }, plain, 3);
    const patch = encodePatch(
      { realm: REALM, id: patchId, plainLength: changed.length },
      changed,
      { id: baseId, depth: 0, plain },
      9,
    );
    if (patch === undefined) throw new Error('The patch does not pay.');
    const pack = await meta.leaseIds('pack', 1);
    const identity = { realm: REALM, pack, idBytes: baseId.length };
    const header = encodePackHeader(identity);
    const entries: IndexEntry[] = [
      { id: baseId, offset: header.length, length: base.length },
      { id: patchId, offset: header.length + base.length, length: patch.length },
    ];
    const index = PackIndex.of(entries, baseId.length);
    const indexOffset = header.length + base.length + patch.length;
    const footer = encodeFooter(identity, { indexOffset, indexLength: index.bytes.length, entryCount: 2 });
    const bytes = Buffer.concat([header, base, patch, index.bytes, footer]);
    const object = `packs/${'60'.repeat(16)}`;
    const now = systemClock.now();
    const row = {
      ...{ realm: REALM, pack, object, state: PACK_STATE.sealed, lengthBytes: bytes.length, recordCount: 2 },
      ...{ liveBytes: 0, liveCount: 0, owner: '', createdSeconds: now.seconds, verifiedSeconds: now.seconds },
    };
    await groups.commit({
      now,
      puts: [
        { table: 'packs', mode: 'insert', row: { ...row, state: PACK_STATE.open, lengthBytes: 0, recordCount: 0 } },
      ],
    });
    await objects.put(object, bytes);
    await groups.commit({ now, puts: [{ table: 'packs', mode: 'replace', row }] });
    const content = await meta.leaseIds(`content:${SPACE}`, 1);
    const node = await meta.leaseIds(`node:${SPACE}`, 1);
    const root = files.spaceOf('owner').root;
    const zero = { refs: 0, zeroSeconds: now.seconds };
    const whole = { realm: REALM, pack, ...zero, plainLength: plain.length };
    const puts: Put[] = [
      { table: 'chunks', mode: 'keep', row: { ...whole, id: baseId, storedLength: base.length, base: null, depth: 0 } },
      {
        table: 'chunks',
        mode: 'keep',
        row: { ...whole, id: patchId, storedLength: patch.length, base: baseId, depth: 1 },
      },
      {
        table: 'contents',
        mode: 'insert',
        row: { space: SPACE, content, size: changed.length, refs: 0, base: null, hash: null },
      },
      {
        table: 'extents',
        mode: 'insert',
        row: {
          ...{ space: SPACE, content, offset: 0, length: changed.length, kind: EXTENT_KIND.chunk, chunk: patchId },
          ...{ chunkOffset: 0, unsettled: 0, data: null, born: 0 },
        },
      },
      {
        table: 'nodes',
        mode: 'insert',
        row: {
          ...{ space: SPACE, node, kind: NODE_KIND.file, parent: null, mode: 0o644, uid: 0, gid: 0, links: 1 },
          ...{ size: changed.length, content, version: 1, versionCommit: THIS_COMMIT, replacedNode: null },
          ...{ modifiedSeconds: 1, modifiedNanoseconds: 2, changedSeconds: 3, changedNanoseconds: 4 },
          ...{ accessedSeconds: 5, accessedNanoseconds: 6, createdSeconds: 7, createdNanoseconds: 8 },
          ...{ device: 0, target: null, born: 0 },
        },
      },
      {
        table: 'entries',
        mode: 'insert',
        row: { space: SPACE, parent: root, name: utf8('patched'), node, kind: NODE_KIND.file, born: 0 },
      },
    ];
    const record = { actor: 'owner', door: 'golden', request: 'made', kind: 'create', items: [] };
    await groups.commit({ space: SPACE, now, record, puts, bytes: { live: changed.length, history: 0 } });
    expected['/patched'] = createHash('sha256').update(changed).digest('hex');
  }

  /** Rows of kinds that nothing writes yet, or that are usually gone soon. */
  async function leftovers(): Promise<void> {
    const now = systemClock.now();
    const content = await meta.leaseIds(`content:${SPACE}`, 1);
    const puts: Put[] = [
      { table: 'settings', mode: 'insert', row: { name: 'golden.made', value: 'yes' } },
      { table: 'contents', mode: 'insert', row: { space: SPACE, content, size: 0, refs: 0, base: null, hash: null } },
      {
        table: 'reaps',
        mode: 'insert',
        row: { space: SPACE, kind: REAP_KIND.content, target: content, owner: 'dead', died: 1 },
      },
      {
        table: 'locks',
        mode: 'insert',
        row: {
          ...{ space: SPACE, token: 1, key: `e:${files.spaceOf('owner').root}:6c6f636b6564`, mode: 'X', isTarget: 1 },
          ...{ session: 'golden', holder: 'golden', path: '/locked', grantedMs: 1, expiresMs: Date.UTC(2500, 0) },
        },
      },
    ];
    await groups.commit({ space: SPACE, now, puts });
    const root = files.spaceOf('owner').root;
    await groups.commit({
      space: SPACE,
      now,
      puts: [{ table: 'orphans', mode: 'insert', row: { space: SPACE, node: root + 1_000_000, owner: 'dead' } }],
    });
  }
}
