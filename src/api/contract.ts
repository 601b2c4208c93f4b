/**
 * What every FileService does, whatever stands behind it: the service in this process, a client over HTTP, a client over
 * the control socket. A new way of reaching a store is finished when this suite passes over it.
 * Every test gets an empty store of its own; nothing here looks behind the interface.
 */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Fault, type FaultCode, utf8 } from '../base/index.ts';
import type { BulkItem, BulkResult, ByteSource, FileService, Target, WriteOptions } from './file-service.ts';
import type { FileRecord } from './records.ts';
import { uploads } from './upload-contract.ts';

/** A service over an empty store; disposing it ends everything it started. */
export interface OpenedService extends AsyncDisposable {
  readonly service: FileService;
}

export interface ContractOptions {
  /** Stands in every commit and so in versions; any when absent. */
  readonly door?: string;
}

const HASH_OF_NOTHING = '2d06800538d394c2';
const HASH_OF_ABC = '78af5f94892f3950';
const SHA256_OF_ABC = 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad';

export function fileServiceContract(
  name: string,
  open: () => Promise<OpenedService>,
  contract: ContractOptions = {},
): void {
  const check = (title: string, act: (service: FileService) => Promise<void>): void => {
    test(title, async () => {
      await using opened = await open();
      await act(opened.service);
    });
  };
  describe(`${name} as a FileService`, () => {
    describe('writing and reading', () => writing(check));
    describe('announced sizes and checksums', () => announcing(check));
    describe('uploads that fail', () => failing(check));
    describe('expected versions', () => expecting(check));
    describe('idempotency keys', () => repeating(check));
    describe('ranges and faults of reads', () => reading(check));
    describe('folders', () => folders(check));
    describe('lists and manifests', () => lists(check));
    describe('moves and copies', () => relocating(check));
    describe('removals', () => removing(check));
    describe('attributes', () => attributes(check));
    describe('versions', () => versions(check, contract));
    describe('snapshots and the past', () => snapshots(check, contract));
    describe('locks', () => locks(check));
    describe('batches', () => batches(check));
    describe('uploads in parts', () => uploads(check));
    describe('bringing back what was', () => turningBack(check));
    describe('search', () => searching(check));
    describe('names', () => names(check));
    describe('many at once', () => many(check));
    describe('the store', () => store(check));
  });
}

type Check = (title: string, act: (service: FileService) => Promise<void>) => void;

/** Bytes that no two positions near each other share. */
function sample(length: number, seed = 1): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed >>> 0 || 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    bytes[at] = state >>> 24;
  }
  return bytes;
}

async function* pieces(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += length) yield bytes.subarray(at, at + length);
}

function put(
  service: FileService,
  path: string,
  content: Uint8Array | string,
  options: Partial<WriteOptions> = {},
): Promise<FileRecord> {
  const bytes = typeof content === 'string' ? utf8(content) : content;
  return service.write(path, [bytes], { mode: 'put', ...options });
}

async function bytesAt(
  service: FileService,
  target: Target,
  options: { readonly offset?: number; readonly length?: number; readonly version?: number; readonly at?: string } = {},
): Promise<Uint8Array> {
  return allOf((await service.read(target, options)).bytes);
}

async function textAt(service: FileService, path: string, version?: number): Promise<string> {
  return new TextDecoder().decode(await bytesAt(service, { path }, version === undefined ? {} : { version }));
}

/** Awaits a Fault of one of the codes, with a sentence, and answers it. */
async function fault(act: Promise<unknown>, ...codes: readonly FaultCode[]): Promise<Fault> {
  const error = await act.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (!Fault.is(error, ...codes)) {
    assert.fail(`expected a fault ${codes.join(' or ')}, got ${error === undefined ? 'success' : String(error)}`);
  }
  assert.ok(error.message.length > 10, 'a fault says what happened');
  return error;
}

async function isAbsent(service: FileService, path: string): Promise<boolean> {
  return service.stat({ path }).then(
    () => false,
    (error: unknown) => Fault.is(error, 'not-found'),
  );
}

async function namesIn(service: FileService, path = '/'): Promise<string[]> {
  return (await service.list({ path })).entries.map((entry) => entry.name);
}

async function all<T>(source: AsyncIterable<T>): Promise<T[]> {
  const items: T[] = [];
  for await (const item of source) items.push(item);
  return items;
}

function writing(check: Check): void {
  for (const size of [0, 1, 4_095, 4_096, 4_097, 16_383, 16_384, 16_385, 300_000]) {
    check(`a file of ${size} bytes comes back byte for byte`, async (service) => {
      const bytes = sample(size, size);
      const record = await service.write('/file.bin', pieces(bytes, 10_000), { mode: 'create' });
      assert.equal(record.size, size);
      assert.deepEqual(await bytesAt(service, { path: '/file.bin' }), bytes);
      assert.deepEqual(await bytesAt(service, { id: record.file_id }), bytes);
    });
  }

  check('a record says what was written', async (service) => {
    const before = Date.now();
    const record = await put(service, '/abc.txt', 'abc');
    assert.equal(record.path, '/abc.txt');
    assert.equal(record.name, 'abc.txt');
    assert.equal(record.kind, 'file');
    assert.equal(record.is_directory, false);
    assert.equal(record.size, 3);
    assert.equal(record.xxhash3, HASH_OF_ABC);
    assert.equal(record.mode, 0o644);
    assert.equal(record.links, 1);
    assert.ok(record.file_id > 0 && record.version > 0);
    assert.ok(Math.abs(Date.parse(record.modified) - before) < 60_000);
    assert.equal((await put(service, '/empty', '')).xxhash3, HASH_OF_NOTHING);
  });

  check('stat by path and by id answers what the write answered', async (service) => {
    const record = await put(service, '/a', 'abc');
    const core = ({ file_id, path, name, size, version, xxhash3, mode, modified }: FileRecord) => {
      return { file_id, path, name, size, version, xxhash3, mode, modified };
    };
    assert.deepEqual(core(await service.stat({ path: '/a' })), core(record));
    assert.deepEqual(core(await service.stat({ id: record.file_id })), core(record));
  });

  check('create refuses what is there, replace what is not, put does both', async (service) => {
    await fault(put(service, '/a', 'x', { mode: 'replace' }), 'not-found');
    const made = await put(service, '/a', 'one', { mode: 'create' });
    await fault(put(service, '/a', 'x', { mode: 'create' }), 'exists');
    const replaced = await put(service, '/a', 'two', { mode: 'replace' });
    const put1 = await put(service, '/a', 'three', { mode: 'put' });
    assert.equal(replaced.file_id, made.file_id);
    assert.ok(replaced.version > made.version && put1.version > replaced.version);
    assert.equal(await textAt(service, '/a'), 'three');
    await put(service, '/b', 'new', { mode: 'put' });
    assert.deepEqual(await namesIn(service), ['a', 'b']);
  });

  check('parents are made when asked for, and missed otherwise', async (service) => {
    await fault(put(service, '/x/y/z', '1'), 'not-found');
    assert.ok(await isAbsent(service, '/x'));
    await put(service, '/x/y/z', '1', { parents: true });
    await put(service, '/x/y/w', '2', { parents: true });
    assert.deepEqual(await namesIn(service, '/x/y'), ['w', 'z']);
  });

  check('times and permissions come from the writer', async (service) => {
    const modified = '2001-02-03T04:05:06.123456789Z';
    const record = await put(service, '/a', 'abc', { modified, permissions: 0o600 });
    assert.equal(record.modified, modified);
    assert.equal(record.mode, 0o600);
    const again = await put(service, '/a', 'abcd');
    assert.equal(again.mode, 0o600, 'permissions stay as they were');
    assert.notEqual(again.modified, modified);
    await fault(put(service, '/a', 'x', { modified: 'yesterday' }), 'invalid');
    assert.equal(await textAt(service, '/a'), 'abcd');
  });

  check('a source may use one buffer for all its pieces', async (service) => {
    const bytes = sample(200_000);
    async function* reusing(): AsyncGenerator<Uint8Array> {
      const buffer = new Uint8Array(7_000);
      for (let at = 0; at < bytes.length; at += buffer.length) {
        const part = bytes.subarray(at, at + buffer.length);
        buffer.set(part);
        yield buffer.subarray(0, part.length);
      }
      buffer.fill(0);
    }
    await service.write('/a', reusing(), { mode: 'create' });
    assert.deepEqual(await bytesAt(service, { path: '/a' }), bytes);
  });

  check('empty pieces and iterables that are not asynchronous are sources as well', async (service) => {
    await service.write('/a', [utf8('a'), utf8(''), utf8('bc')], { mode: 'create' });
    assert.equal(await textAt(service, '/a'), 'abc');
    assert.equal((await service.write('/none', [], { mode: 'create' })).size, 0);
  });

  check('a file cannot take the place of a folder, nor stand in a file', async (service) => {
    await service.makeFolder('/folder');
    await put(service, '/file', 'x');
    await fault(put(service, '/folder', 'x'), 'is-folder');
    await fault(put(service, '/', 'x'), 'is-folder');
    await fault(put(service, '/file/below', 'x', { parents: true }), 'not-folder');
  });
}

function announcing(check: Check): void {
  const right: Partial<WriteOptions> = { size: 3, xxhash3: HASH_OF_ABC, sha256: SHA256_OF_ABC };
  const wrong: readonly Partial<WriteOptions>[] = [
    { size: 2 },
    { size: 4 },
    { xxhash3: HASH_OF_NOTHING },
    { sha256: SHA256_OF_ABC.replace('b', 'c') },
  ];

  check('what was announced and came is kept', async (service) => {
    const record = await put(service, '/a', 'abc', right);
    assert.equal(record.xxhash3, HASH_OF_ABC);
    assert.equal((await put(service, '/none', '', { size: 0, xxhash3: HASH_OF_NOTHING })).size, 0);
  });

  for (const options of wrong) {
    check(`nothing is visible after a wrong announcement: ${JSON.stringify(options)}`, async (service) => {
      await fault(put(service, '/new/deep', 'abc', { ...options, parents: true }), 'mismatch');
      assert.deepEqual(await namesIn(service), []);
      const before = await put(service, '/old', 'before');
      await fault(put(service, '/old', 'abc', options), 'mismatch');
      assert.equal(await textAt(service, '/old'), 'before');
      assert.equal((await service.stat({ path: '/old' })).version, before.version);
    });
  }

  check('a source that brings far more than announced is refused', async (service) => {
    await fault(service.write('/a', pieces(sample(500_000), 50_000), { mode: 'create', size: 10 }), 'mismatch');
    await fault(service.write('/a', pieces(sample(500_000), 50_000), { mode: 'create', size: 600_000 }), 'mismatch');
    assert.deepEqual(await namesIn(service), []);
  });
}

function failing(check: Check): void {
  async function* breaking(): AsyncGenerator<Uint8Array> {
    yield sample(100_000);
    throw new Error('the source broke');
  }

  check('nothing is visible when the source throws midway, and its error comes through', async (service) => {
    await put(service, '/old', 'before');
    await assert.rejects(service.write('/new', breaking(), { mode: 'create' }), /the source broke/);
    await assert.rejects(service.write('/old', breaking(), { mode: 'put' }), /the source broke/);
    assert.deepEqual(await namesIn(service), ['old']);
    assert.equal(await textAt(service, '/old'), 'before');
  });

  check('a signal that has fired stops a call before it does anything', async (service) => {
    const signal = AbortSignal.abort();
    await fault(service.write('/a', [utf8('abc')], { mode: 'create', signal }), 'aborted');
    await fault(service.write('/b', pieces(sample(300_000), 10_000), { mode: 'create', signal }), 'aborted');
    assert.deepEqual(await namesIn(service), []);
  });

  check('nothing is visible when the signal fires midway', async (service) => {
    const controller = new AbortController();
    async function* abortedMidway(): AsyncGenerator<Uint8Array> {
      yield sample(50_000);
      controller.abort();
      yield sample(50_000);
    }
    await fault(service.write('/a', abortedMidway(), { mode: 'create', signal: controller.signal }), 'aborted');
    assert.deepEqual(await namesIn(service), []);
  });

  check('a path that is refused is refused before the source is used up', async (service) => {
    let pulled = 0;
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (; pulled < 20_000; pulled++) yield sample(65_536);
    }
    await put(service, '/a', 'abc');
    await fault(service.write('/a', endless(), { mode: 'create' }), 'exists');
    assert.ok(pulled < 20_000, 'the whole source was pulled');
    assert.equal(await textAt(service, '/a'), 'abc');
  });
}

function expecting(check: Check): void {
  const assertNames = (error: Fault, expected: number | undefined, current: number | null): void => {
    if (expected !== undefined) assert.equal(error.about.expected_version, expected);
    assert.equal(error.about.current_version, current);
  };

  check('every change with the current version goes through', async (service) => {
    let { version } = await put(service, '/a', 'one');
    ({ version } = await put(service, '/a', 'two', { expectedVersion: version }));
    ({ version } = await service.setAttributes({ path: '/a' }, { mode: 0o600 }, { expectedVersion: version }));
    ({ version } = await service.move('/a', '/b', { expectedVersion: version }));
    await service.copy('/b', '/c', { expectedVersion: version });
    await service.remove('/b', { expectedVersion: version });
    assert.deepEqual(await namesIn(service), ['c']);
  });

  check('every change with a stale version is a conflict that names both', async (service) => {
    const stale = (await put(service, '/a', 'one')).version;
    const current = (await put(service, '/a', 'two')).version;
    const options = { expectedVersion: stale };
    const target = { path: '/a' };
    assertNames(await fault(put(service, '/a', 'x', options), 'conflict'), stale, current);
    assertNames(await fault(service.setAttributes(target, { mode: 0o600 }, options), 'conflict'), stale, current);
    assertNames(await fault(service.move('/a', '/b', options), 'conflict'), stale, current);
    assertNames(await fault(service.copy('/a', '/b', options), 'conflict'), stale, current);
    assertNames(await fault(service.remove('/a', options), 'conflict'), stale, current);
    assertNames(await fault(service.restore(target, stale, options), 'conflict'), stale, current);
    assert.deepEqual(await namesIn(service), ['a']);
    assert.equal(await textAt(service, '/a'), 'two');
    assert.equal((await service.stat(target)).mode, 0o644);
  });

  check('a version expected where nothing is any more is a conflict', async (service) => {
    const { version } = await put(service, '/a', 'one');
    await service.remove('/a');
    assertNames(await fault(put(service, '/a', 'x', { expectedVersion: version }), 'conflict'), version, null);
    assert.ok(await isAbsent(service, '/a'));
  });

  check('the same version number of another node is a conflict when the node is expected too', async (service) => {
    const first = await put(service, '/a', 'one');
    await service.remove('/a');
    const second = await put(service, '/a', 'two');
    const options = { expectedVersion: second.version, expectedId: first.file_id };
    await fault(put(service, '/a', 'x', options), 'conflict');
    await fault(service.setAttributes({ path: '/a' }, { mode: 0o600 }, options), 'conflict');
    await fault(service.move('/a', '/b', options), 'conflict');
    await fault(service.copy('/a', '/b', options), 'conflict');
    await fault(service.remove('/a', options), 'conflict');
    assert.equal(await textAt(service, '/a'), 'two');
    await put(service, '/a', 'three', { expectedVersion: second.version, expectedId: second.file_id });
  });

  check('of two that expect the same version one wins', async (service) => {
    const { version } = await put(service, '/a', 'start');
    const both = await Promise.allSettled(
      ['one', 'two'].map((text) => put(service, '/a', text, { expectedVersion: version })),
    );
    const won = both.filter(({ status }) => status === 'fulfilled');
    assert.equal(won.length, 1);
    assert.equal(await textAt(service, '/a'), both[0]?.status === 'fulfilled' ? 'one' : 'two');
  });
}

function repeating(check: Check): void {
  check('a repeated request answers what the first did, and does nothing', async (service) => {
    const idempotencyKey = 'k-1';
    const first = await put(service, '/a', 'abc', { mode: 'create', idempotencyKey });
    const second = await put(service, '/a', 'abc', { mode: 'create', idempotencyKey });
    assert.deepEqual([second.file_id, second.version, second.modified], [first.file_id, first.version, first.modified]);
    const moved = await service.move('/a', '/b', { idempotencyKey: 'k-2' });
    assert.equal((await service.move('/a', '/b', { idempotencyKey: 'k-2' })).file_id, moved.file_id);
    const removed = await service.remove('/b', { idempotencyKey: 'k-3' });
    assert.deepEqual(await service.remove('/b', { idempotencyKey: 'k-3' }), removed);
    const folder = await service.makeFolder('/f', { idempotencyKey: 'k-4' });
    assert.equal((await service.makeFolder('/f', { idempotencyKey: 'k-4' })).file_id, folder.file_id);
  });

  check('a key that was used for something else is refused', async (service) => {
    await put(service, '/a', 'abc', { idempotencyKey: 'k' });
    await fault(put(service, '/b', 'abc', { idempotencyKey: 'k' }), 'conflict');
    await fault(service.remove('/a', { idempotencyKey: 'k' }), 'conflict');
    assert.deepEqual(await namesIn(service), ['a']);
  });
}

function reading(check: Check): void {
  check('ranges answer exactly their bytes', async (service) => {
    const bytes = sample(200_000);
    await put(service, '/a', bytes);
    const ranges: [offset: number, length: number][] = [
      [0, 1],
      [199_999, 1],
      [0, 200_000],
      [65_535, 2],
      [100_000, 100_000],
      [131_071, 40_000],
    ];
    for (const [offset, length] of ranges) {
      const read = await bytesAt(service, { path: '/a' }, { offset, length });
      assert.deepEqual(read, bytes.subarray(offset, offset + length), `${offset}+${length}`);
    }
    assert.deepEqual(await bytesAt(service, { path: '/a' }, { offset: 150_000 }), bytes.subarray(150_000));
    assert.equal((await bytesAt(service, { path: '/a' }, { offset: 5, length: 0 })).length, 0);
  });

  check('a range tells the record of the whole file', async (service) => {
    await put(service, '/a', 'abcdef');
    const { record, bytes } = await service.read({ path: '/a' }, { offset: 1, length: 2 });
    await all(bytes);
    assert.equal(record.size, 6);
    assert.equal(record.path, '/a');
  });

  check('a range outside the file is a fault', async (service) => {
    await put(service, '/a', 'abc');
    const read = (offset: number, length?: number): Promise<unknown> =>
      bytesAt(service, { path: '/a' }, length === undefined ? { offset } : { offset, length });
    await fault(read(4), 'range');
    await fault(read(1, 3), 'range');
    await fault(read(0, 4), 'range');
  });

  check('what is not there, or is no file, cannot be read', async (service) => {
    await service.makeFolder('/folder');
    await put(service, '/file', 'x');
    await fault(service.read({ path: '/none' }), 'not-found');
    await fault(service.read({ path: '/none/below' }), 'not-found');
    await fault(service.read({ path: '/file/below' }), 'not-folder');
    await fault(service.read({ id: 4_000_000_000 }), 'not-found');
    await fault(service.read({ path: '/folder' }), 'is-folder');
    await fault(service.read({ path: '/' }), 'is-folder');
    await fault(service.stat({ path: '/none' }), 'not-found');
    await fault(service.stat({ path: '/file/below' }), 'not-folder');
    await fault(service.stat({ id: 4_000_000_000 }), 'not-found');
    await fault(bytesAt(service, { path: '/file' }, { version: 4_000_000 }), 'not-found');
  });

  check('a read that is left early, or never begun, disturbs nobody', async (service) => {
    await put(service, '/a', sample(2_000_000));
    for (let round = 0; round < 3; round++) {
      for await (const _ of (await service.read({ path: '/a' })).bytes) break;
    }
    await service.read({ path: '/a' });
    assert.equal((await bytesAt(service, { path: '/a' })).length, 2_000_000);
  });
}

function folders(check: Check): void {
  check('a folder is made once', async (service) => {
    const record = await service.makeFolder('/f', { permissions: 0o700 });
    assert.deepEqual([record.kind, record.is_directory, record.path, record.mode], ['folder', true, '/f', 0o700]);
    assert.equal(record.xxhash3, null);
    await fault(service.makeFolder('/f'), 'exists');
    assert.equal((await service.makeFolder('/f', { parents: true })).file_id, record.file_id);
  });

  check('folders above are made with parents alone, and never through a file', async (service) => {
    await fault(service.makeFolder('/a/b/c'), 'not-found');
    await service.makeFolder('/a/b/c', { parents: true });
    assert.deepEqual(await namesIn(service, '/a/b'), ['c']);
    await put(service, '/file', 'x');
    await fault(service.makeFolder('/file', { parents: true }), 'exists');
    await fault(service.makeFolder('/file/below', { parents: true }), 'not-folder');
  });

  check('the root is a folder without a name', async (service) => {
    const root = await service.stat({ path: '/' });
    assert.deepEqual([root.path, root.name, root.kind], ['/', '', 'folder']);
    assert.equal((await service.stat({ path: '' })).file_id, root.file_id);
    await fault(service.remove('/'), 'invalid');
    await fault(service.move('/', '/x'), 'invalid');
  });
}

function lists(check: Check): void {
  const tree = async (service: FileService): Promise<void> => {
    for (const path of ['/b/two', '/b/one', '/a', '/b.txt', '/c/d/e'])
      await put(service, path, path, { parents: true });
  };

  check('a folder lists its own entries in byte order', async (service) => {
    await tree(service);
    const page = await service.list({ path: '/' });
    assert.equal(page.path, '/');
    assert.deepEqual(
      page.entries.map(({ path, kind }) => [path, kind]),
      [
        ['/a', 'file'],
        ['/b', 'folder'],
        ['/b.txt', 'file'],
        ['/c', 'folder'],
      ],
    );
    assert.equal(page.next, undefined);
    const { file_id } = await service.stat({ path: '/b' });
    const byId = await service.list({ id: file_id });
    assert.deepEqual([byId.path, byId.entries.map(({ name }) => name)], ['/b', ['one', 'two']]);
  });

  check('pages follow each other without gap or repeat', async (service) => {
    const wanted = Array.from({ length: 23 }, (_, index) => `n${String(index).padStart(2, '0')}`);
    for (const name of wanted.toReversed()) await put(service, `/${name}`, name);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await service.list({ path: '/' }, { limit: 5, cursor });
      assert.ok(page.entries.length <= 5);
      found.push(...page.entries.map(({ name }) => name));
      cursor = page.next;
    } while (cursor !== undefined);
    assert.deepEqual(found, wanted);
  });

  check('lists are filtered by kind and glob', async (service) => {
    await tree(service);
    const names = async (options: Parameters<FileService['list']>[1]) =>
      (await service.list({ path: '/' }, options)).entries.map(({ name }) => name);
    assert.deepEqual(await names({ kind: 'folder' }), ['b', 'c']);
    assert.deepEqual(await names({ glob: 'b*' }), ['b', 'b.txt']);
    assert.deepEqual(await names({ glob: '?' }), ['a', 'b', 'c']);
    assert.deepEqual(await names({ glob: '{a,*.txt}' }), ['a', 'b.txt']);
    assert.deepEqual(await names({ glob: '[ac]' }), ['a', 'c']);
    assert.deepEqual(await names({ glob: 'none' }), []);
  });

  check('wrong limits, cursors and places are faults', async (service) => {
    await put(service, '/file', 'x');
    await fault(service.list({ path: '/' }, { limit: 0 }), 'invalid');
    await fault(service.list({ path: '/' }, { limit: 1_001 }), 'invalid');
    await fault(service.list({ path: '/' }, { cursor: 'not a cursor' }), 'invalid');
    await fault(service.list({ path: '/none' }), 'not-found');
    await fault(service.list({ path: '/file' }), 'not-folder');
  });

  check('a manifest tells everything below, a folder right before what is in it', async (service) => {
    await tree(service);
    const paths = (await all(service.manifest({ path: '/' }))).map(({ path }) => path);
    assert.deepEqual(paths, ['/a', '/b', '/b/one', '/b/two', '/b.txt', '/c', '/c/d', '/c/d/e']);
    const { file_id } = await service.stat({ path: '/c' });
    assert.deepEqual(
      (await all(service.manifest({ id: file_id }))).map(({ path }) => path),
      ['/c/d', '/c/d/e'],
    );
    await service.makeFolder('/empty');
    assert.deepEqual(await all(service.manifest({ path: '/empty' })), []);
    await fault(all(service.manifest({ path: '/none' })), 'not-found');
    await fault(all(service.manifest({ path: '/a' })), 'not-folder');
  });

  check('a record of a manifest stands for its path, whatever has happened there since', async (service) => {
    for (const name of ['same', 'rewritten', 'replaced', 'gone'])
      await put(service, `/t/in/${name}`, name, { parents: true });
    const listed = new Map((await all(service.manifest({ path: '/t' }))).map((record) => [record.name, record]));
    const textOf = async (name: string): Promise<string> =>
      new TextDecoder().decode(await bytesAt(service, listed.get(name) ?? { path: name }));
    await put(service, '/t/in/rewritten', 'anew');
    await service.move('/t/in/replaced', '/t/away');
    await put(service, '/t/in/replaced', 'another');
    await service.remove('/t/in/gone');
    assert.equal(await textOf('same'), 'same');
    assert.equal(await textOf('rewritten'), 'anew');
    assert.equal(await textOf('replaced'), 'another');
    await fault(textOf('gone'), 'not-found');
    const read = await service.read(listed.get('rewritten') ?? { path: '' });
    await all(read.bytes);
    assert.deepEqual([read.record.path, read.record.size], ['/t/in/rewritten', 4]);
  });

  check('a manifest may be left early', async (service) => {
    await tree(service);
    for await (const _ of service.manifest({ path: '/' })) break;
    assert.equal((await all(service.manifest({ path: '/' }))).length, 8);
  });
}

function relocating(check: Check): void {
  check('a moved file keeps its id, version and bytes', async (service) => {
    const before = await put(service, '/a', 'abc');
    await service.makeFolder('/f');
    const after = await service.move('/a', '/f/b');
    assert.deepEqual([after.path, after.file_id, after.version], ['/f/b', before.file_id, before.version]);
    assert.ok(await isAbsent(service, '/a'));
    assert.equal(await textAt(service, '/f/b'), 'abc');
    await service.move('/f/b', '/new/deep/c', { parents: true });
    assert.equal(await textAt(service, '/new/deep/c'), 'abc');
  });

  check('a moved folder takes all that is in it', async (service) => {
    const { file_id } = await put(service, '/from/sub/a', 'abc', { parents: true });
    await service.move('/from', '/to');
    assert.equal((await service.stat({ id: file_id })).path, '/to/sub/a');
    assert.ok(await isAbsent(service, '/from'));
  });

  check('what stands at the goal is replaced only when asked', async (service) => {
    await put(service, '/a', 'aaa');
    await put(service, '/b', 'bbb');
    await fault(service.move('/a', '/b'), 'exists');
    await fault(service.copy('/a', '/b'), 'exists');
    await service.copy('/a', '/b', { overwrite: true });
    assert.equal(await textAt(service, '/b'), 'aaa');
    await put(service, '/c', 'ccc');
    await service.move('/c', '/b', { overwrite: true });
    assert.equal(await textAt(service, '/b'), 'ccc');
    assert.deepEqual(await namesIn(service), ['a', 'b']);
  });

  check('files and folders never replace each other', async (service) => {
    await put(service, '/file', 'x');
    await put(service, '/full/inside', 'x', { parents: true });
    await service.makeFolder('/empty');
    await fault(service.move('/file', '/empty', { overwrite: true }), 'is-folder');
    await fault(service.move('/empty', '/file', { overwrite: true }), 'not-folder');
    await fault(service.move('/empty', '/full', { overwrite: true }), 'not-empty');
  });

  check('a folder cannot go into itself', async (service) => {
    await service.makeFolder('/f/g', { parents: true });
    await fault(service.move('/f', '/f/g/h'), 'invalid');
    await fault(service.move('/f', '/f/h'), 'invalid');
    assert.deepEqual(await namesIn(service, '/f'), ['g']);
  });

  check('sources and goals that are missing are faults', async (service) => {
    await put(service, '/a', 'x');
    await fault(service.move('/none', '/b'), 'not-found');
    await fault(service.copy('/none', '/b'), 'not-found');
    await fault(service.move('/a', '/none/b'), 'not-found');
    await fault(service.copy('/a', '/a/b'), 'not-folder');
    assert.deepEqual(await namesIn(service), ['a']);
  });

  check('a copy has its own id and goes its own way', async (service) => {
    const original = await put(service, '/a', 'abc', { modified: '2001-02-03T04:05:06Z', permissions: 0o640 });
    const copy = await service.copy('/a', '/b');
    assert.notEqual(copy.file_id, original.file_id);
    assert.deepEqual([copy.size, copy.xxhash3, copy.mode], [3, HASH_OF_ABC, 0o640]);
    await put(service, '/a', 'changed');
    assert.equal(await textAt(service, '/b'), 'abc');
  });

  check('a copied folder has everything below it', async (service) => {
    await put(service, '/from/sub/a', 'abc', { parents: true });
    await put(service, '/from/b', 'def');
    await service.copy('/from', '/to');
    const paths = (await all(service.manifest({ path: '/to' }))).map(({ path }) => path);
    assert.deepEqual(paths, ['/to/b', '/to/sub', '/to/sub/a']);
    await service.remove('/from', { recursive: true });
    assert.equal(await textAt(service, '/to/sub/a'), 'abc');
  });
}

function removing(check: Check): void {
  check('a removed file is gone, and counted', async (service) => {
    await put(service, '/a', 'abc');
    assert.deepEqual(await service.remove('/a'), { path: '/a', files: 1, folders: 0, bytes: 3, dry_run: false });
    assert.ok(await isAbsent(service, '/a'));
    await fault(service.remove('/a'), 'not-found');
    await fault(service.read({ path: '/a' }), 'not-found');
  });

  check('a folder goes with what is in it only when asked', async (service) => {
    await put(service, '/f/g/a', 'abc', { parents: true });
    await put(service, '/f/b', 'de');
    await fault(service.remove('/f'), 'not-empty');
    const wanted = { path: '/f', files: 2, folders: 2, bytes: 5 };
    assert.deepEqual(await service.remove('/f', { recursive: true, dryRun: true }), { ...wanted, dry_run: true });
    assert.equal(await textAt(service, '/f/g/a'), 'abc');
    assert.deepEqual(await service.remove('/f', { recursive: true }), { ...wanted, dry_run: false });
    assert.deepEqual(await namesIn(service), []);
  });

  check('an empty folder goes like a file', async (service) => {
    await service.makeFolder('/f');
    assert.equal((await service.remove('/f')).folders, 1);
    assert.deepEqual(await namesIn(service), []);
  });
}

function attributes(check: Check): void {
  check('attributes are set, read where asked for, and removed', async (service) => {
    const { file_id } = await put(service, '/a', 'abc');
    await service.setAttributes({ path: '/a' }, { attributes: { 'user.tag': 'cmVk', 'user.bytes': 'AP8=' } });
    const read = async () => (await service.stat({ path: '/a' }, { withAttributes: true })).attributes;
    assert.deepEqual({ ...(await read()) }, { 'user.bytes': 'AP8=', 'user.tag': 'cmVk' });
    await service.setAttributes({ id: file_id }, { attributes: { 'user.bytes': null } });
    assert.deepEqual({ ...(await read()) }, { 'user.tag': 'cmVk' });
    const page = await service.list({ path: '/' }, { withAttributes: true });
    assert.deepEqual({ ...page.entries[0]?.attributes }, { 'user.tag': 'cmVk' });
    assert.equal((await service.stat({ path: '/a' })).attributes, undefined);
  });

  check('mode, owner and times change and the version does not', async (service) => {
    const before = await put(service, '/a', 'abc');
    const modified = '1999-12-31T23:59:59.000000001Z';
    const after = await service.setAttributes({ path: '/a' }, { mode: 0o4755, uid: 7, gid: 8, modified });
    assert.deepEqual([after.mode, after.uid, after.gid, after.modified], [0o4755, 7, 8, modified]);
    assert.equal(after.version, before.version);
    assert.equal(await textAt(service, '/a'), 'abc');
    await service.makeFolder('/f');
    assert.equal((await service.setAttributes({ path: '/f' }, { mode: 0o700 })).mode, 0o700);
  });

  check('what cannot be set is refused whole', async (service) => {
    await put(service, '/a', 'abc');
    const target = { path: '/a' };
    await fault(service.setAttributes(target, { mode: 0o600, attributes: { 'user.x': 'not base64!' } }), 'invalid');
    await fault(service.setAttributes(target, { mode: 0o600, modified: 'never' }), 'invalid');
    assert.equal((await service.stat(target)).mode, 0o644);
    await fault(service.setAttributes({ path: '/none' }, { mode: 0o600 }), 'not-found');
  });
}

const base64 = (content: string): string => Buffer.from(content).toString('base64');

function batches(check: Check): void {
  check('operations of a batch see what those before them did', async (service) => {
    await put(service, '/a', 'one');
    const answer = await service.batch({
      operations: [
        { op: 'mkdir', path: '/f' },
        { op: 'move', from_path: '/a', to_path: '/f/a' },
        { op: 'put', path: '/f/b', content: base64('two') },
        { op: 'put', path: '/f/b', content: base64('three') },
        { op: 'copy', from_path: '/f/b', to_path: '/f/c' },
        { op: 'update', path: '/f/c', change: { mode: 0o600 } },
        { op: 'move', from_path: '/f', to_path: '/g' },
        { op: 'put', path: '/h/i/j', content: base64('deep'), parents: true },
        { op: 'delete', path: '/g/a' },
        { op: 'move', from_path: '/g/c', to_path: '/g/b', overwrite: true },
      ],
    });
    assert.deepEqual([answer.mode, answer.dry_run, answer.done, answer.failed], ['atomic', false, 10, 0]);
    const paths = [];
    for await (const { path } of service.manifest({ path: '/' })) paths.push(path);
    assert.deepEqual(paths, ['/g', '/g/b', '/h', '/h/i', '/h/i/j']);
    assert.equal(await textAt(service, '/g/b'), 'three');
    assert.equal((await service.stat({ path: '/g/b' })).mode, 0o600);
    const record = answer.results[2]?.record as FileRecord | undefined;
    assert.equal(record?.path, '/f/b');
  });

  check('one that fails leaves nothing of a batch, and is named', async (service) => {
    await put(service, '/a', 'one');
    const operations = [
      { op: 'mkdir', path: '/f' },
      { op: 'delete', path: '/a' },
      { op: 'delete', path: '/none', id: 'x' },
      { op: 'mkdir', path: '/g' },
    ] as const;
    const { about } = await fault(service.batch({ operations: [...operations] }), 'not-found');
    assert.equal(about.operation, 2);
    assert.deepEqual(
      (await service.list({ path: '/' })).entries.map(({ path }) => path),
      ['/a'],
    );
    const tried = await service.batch({ operations: [...operations], mode: 'best-effort', dry_run: true });
    assert.deepEqual([tried.done, tried.failed, tried.dry_run], [3, 1, true]);
    assert.deepEqual(
      (await service.list({ path: '/' })).entries.map(({ path }) => path),
      ['/a'],
    );
  });

  check('what can be done is done by best effort, in an order that dependencies allow', async (service) => {
    const answer = await service.batch({
      mode: 'best-effort',
      operations: [
        { op: 'put', path: '/f/a', content: base64('one'), depends_on: ['folder'] },
        { op: 'mkdir', path: '/f', id: 'folder' },
        { op: 'delete', path: '/none', id: 'fails' },
        { op: 'mkdir', path: '/g', id: 'skipped', depends_on: ['folder', 'fails'] },
        { op: 'mkdir', path: '/h', depends_on: ['skipped'] },
        { op: 'mkdir', path: '/i' },
      ],
    });
    assert.deepEqual(
      answer.results.map(({ index, ok, code }) => [index, ok, code]),
      [
        [0, true, undefined],
        [1, true, undefined],
        [2, false, 'not-found'],
        [3, false, 'aborted'],
        [4, false, 'aborted'],
        [5, true, undefined],
      ],
    );
    assert.equal(await textAt(service, '/f/a'), 'one');
    assert.deepEqual(
      (await service.list({ path: '/' })).entries.map(({ path }) => path),
      ['/f', '/i'],
    );
  });

  check('a batch that is wrong is refused before anything is done', async (service) => {
    const mkdir = (id: string, ...on: string[]) =>
      ({ op: 'mkdir', path: `/${id}`, id, ...(on.length === 0 ? {} : { depends_on: on }) }) as const;
    const many = Array.from({ length: 1_001 }, (_, i) => mkdir(`n${i}`));
    await fault(service.batch({ operations: many }), 'too-large', 'invalid');
    const circle = await fault(
      service.batch({ operations: [mkdir('a', 'b'), mkdir('b', 'c'), mkdir('c', 'a')] }),
      'invalid',
    );
    assert.match(circle.message, /a → b → c → a/);
    await fault(service.batch({ operations: [mkdir('a'), mkdir('a')] }), 'invalid');
    await fault(service.batch({ operations: [mkdir('a', 'nobody')] }), 'invalid');
    const inside = [
      { op: 'mkdir', path: '/f/g', parents: true },
      { op: 'move', from_path: '/f', to_path: '/f/g/f' },
    ] as const;
    const { about } = await fault(service.batch({ operations: [...inside] }), 'invalid');
    assert.equal(about.operation, 1);
    const large = Buffer.alloc(64 * 1024 + 1).toString('base64');
    await fault(service.batch({ operations: [{ op: 'put', path: '/l', content: large }] }), 'too-large');
    await fault(service.batch({ operations: [{ op: 'move', path: '/f' }] }), 'invalid');
    assert.deepEqual((await service.list({ path: '/' })).entries, []);
    assert.equal((await service.batch({ operations: [] })).done, 0);
  });

  check('a batch keeps what its operations expect, its key, and away from locks of others', async (service) => {
    const one = await put(service, '/a', 'one');
    const stale = { op: 'delete', path: '/a', expected_version: one.version + 5 } as const;
    await fault(service.batch({ operations: [stale] }), 'conflict');
    const twice = { operations: [{ op: 'put', path: '/b', content: base64('x'), create: true } as const] };
    const first = await service.batch(twice, { idempotencyKey: 'batch-1' });
    assert.deepEqual(await service.batch(twice, { idempotencyKey: 'batch-1' }), first);
    await fault(service.batch(twice), 'exists');
    const { token } = await service.lock('/a');
    const write = { operations: [{ op: 'put', path: '/a', content: base64('two') } as const] };
    await fault(service.batch(write), 'locked');
    await service.batch(write, { lockToken: token });
    await service.unlock(token);
    await fault(service.batch(write, { lockToken: token }), 'lock-lost');
    assert.equal(await textAt(service, '/a'), 'two');
  });

  check('older versions come back in a batch, and a whole folder goes', async (service) => {
    const one = await put(service, '/f/a', 'one', { parents: true });
    await put(service, '/f/a', 'two');
    await service.batch({
      operations: [
        { op: 'restore', path: '/f/a', version: one.version },
        { op: 'copy', from_path: '/f', to_path: '/g' },
        { op: 'delete', path: '/f', recursive: true },
      ],
    });
    assert.equal(await textAt(service, '/g/a'), 'one');
    assert.deepEqual(
      (await service.list({ path: '/' })).entries.map(({ path }) => path),
      ['/g'],
    );
  });
}

function locks(check: Check): void {
  check('a locked file is changed by nobody else, and the refusal names the holder', async (service) => {
    await put(service, '/a', 'one');
    const before = Date.now();
    const lock = await service.lock('/a', { holder: 'Ann', leaseMs: 30_000 });
    assert.deepEqual([lock.path, lock.mode, lock.holder], ['/a', 'X', 'Ann']);
    assert.ok(Math.abs(Date.parse(lock.expires) - before - 30_000) < 5_000);
    for (const act of [
      () => put(service, '/a', 'two'),
      () => service.setAttributes({ path: '/a' }, { mode: 0o600 }),
      () => service.move('/a', '/b'),
      () => service.remove('/a'),
    ]) {
      const { about } = await fault(act(), 'locked');
      assert.deepEqual([about.holder, about.lock_token], ['Ann', lock.token]);
      assert.ok(Number(about.held_ms) >= 0);
    }
    assert.equal(await textAt(service, '/a'), 'one');
    await put(service, '/b', 'others go on');
    await service.copy('/a', '/c');
  });

  check('whoever presents the lock may change, and hears when it is held no more', async (service) => {
    await put(service, '/a', 'one');
    const { token } = await service.lock('/a');
    await put(service, '/a', 'two', { lockToken: token });
    await service.setAttributes({ path: '/a' }, { mode: 0o600 }, { lockToken: token });
    await service.move('/a', '/b', { lockToken: token });
    await fault(put(service, '/b', 'x', { mode: 'replace' }), 'locked');
    assert.equal((await service.unlock(token)).token, token);
    await fault(put(service, '/b', 'three', { lockToken: token }), 'lock-lost');
    assert.equal(await textAt(service, '/b'), 'two');
    await fault(service.unlock(token), 'lock-lost');
    await put(service, '/b', 'three');
  });

  check('a folder is locked with all that is in it; what is beside it is not', async (service) => {
    await service.makeFolder('/f/g', { parents: true });
    await put(service, '/f/g/a', 'one');
    const { token } = await service.lock('/f');
    await fault(put(service, '/f/g/a', 'two'), 'locked');
    await fault(put(service, '/f/g/new', 'two'), 'locked');
    await fault(service.makeFolder('/f/h'), 'locked');
    await fault(service.remove('/f', { recursive: true }), 'locked');
    await fault(service.lock('/f/g/a'), 'locked');
    await fault(service.lock('/'), 'locked');
    await put(service, '/beside', 'free');
    await service.makeFolder('/f/h', { lockToken: token });
    const results = [];
    const item: BulkItem = { path: '/f/many', kind: 'folder' };
    for await (const result of service.writeMany([item])) results.push(result);
    assert.ok(results[0]?.ok === false && Fault.is(results[0].fault, 'locked'));
    for await (const result of service.writeMany([item], { lockToken: token })) assert.ok(result.ok);
  });

  check('a name that is free can be locked, and stays so when it is taken', async (service) => {
    const { token } = await service.lock('/new');
    await fault(put(service, '/new', 'other'), 'locked');
    await fault(service.makeFolder('/new'), 'locked');
    await put(service, '/new', 'mine', { lockToken: token });
    await fault(put(service, '/new', 'other'), 'locked');
    await put(service, '/else', 'x');
    await fault(service.move('/else', '/new', { overwrite: true }), 'locked');
    await fault(service.lock('/none/below'), 'not-found');
  });

  check('what is locked stays where it is, with all above it', async (service) => {
    await service.makeFolder('/f/g', { parents: true });
    await put(service, '/f/g/a', 'one');
    const { token } = await service.lock('/f/g/a');
    await fault(service.move('/f', '/h'), 'locked');
    await fault(service.remove('/f/g', { recursive: true }), 'locked');
    await put(service, '/f/g/b', 'a sibling');
    await service.move('/f', '/h', { lockToken: token });
    await fault(put(service, '/h/g/a', 'x', { mode: 'replace' }), 'locked');
  });

  check('locks are listed, renewed, shared and raised', async (service) => {
    await put(service, '/a', 'one');
    const one = await service.lock('/a', { mode: 'S', leaseMs: 5_000 });
    const two = await service.lock('/a', { mode: 'S' });
    assert.ok(two.token > one.token);
    await fault(service.lock('/a'), 'locked');
    await fault(service.changeLock(one.token, { mode: 'X' }), 'locked');
    const renewed = await service.changeLock(one.token, { leaseMs: 50_000 });
    assert.ok(renewed.expires > one.expires);
    await service.lock('/b');
    assert.deepEqual(
      (await service.locks()).locks.map(({ path }) => path),
      ['/a', '/a', '/b'],
    );
    assert.deepEqual(
      (await service.locks({ path: '/a' })).locks.map(({ token }) => token),
      [one.token, two.token],
    );
    await service.unlock(two.token);
    assert.equal((await service.changeLock(one.token, { mode: 'X' })).mode, 'X');
    await fault(service.lock('/a', { mode: 'S' }), 'locked');
    await fault(service.lock('/c', { leaseMs: 1 }), 'invalid');
    await fault(service.changeLock(9_999_999), 'lock-lost');
  });
}

function versions(check: Check, { door }: ContractOptions): void {
  check('versions are told newest first, with who made them', async (service) => {
    const made: number[] = [];
    for (const text of ['one', 'three', 'fiftyfive']) made.push((await put(service, '/a', text)).version);
    const { path, versions: told, next } = await service.versions({ path: '/a' });
    assert.equal(path, '/a');
    assert.equal(next, undefined);
    assert.deepEqual(
      told.map(({ version }) => version),
      made.toReversed(),
    );
    assert.deepEqual(
      told.map(({ size }) => size),
      [9, 5, 3],
    );
    assert.deepEqual(
      told.map(({ is_current }) => is_current),
      [true, false, false],
    );
    assert.ok(told.every(({ commit }, index) => index === 0 || commit < (told[index - 1]?.commit ?? 0)));
    assert.equal(told[0]?.actor, 'owner');
    if (door !== undefined) assert.equal(told[0]?.door, door);
  });

  check('every version can be read, by path and by id', async (service) => {
    const one = await put(service, '/a', 'one');
    await put(service, '/a', 'two');
    await service.move('/a', '/b');
    assert.equal(await textAt(service, '/b', one.version), 'one');
    assert.equal(
      new TextDecoder().decode(await bytesAt(service, { id: one.file_id }, { version: one.version })),
      'one',
    );
    const { record } = await service.read({ path: '/b' }, { version: one.version });
    assert.deepEqual([record.version, record.size, record.xxhash3], [one.version, 3, one.xxhash3]);
    assert.equal(await textAt(service, '/b'), 'two');
  });

  check('versions come in pages', async (service) => {
    const made: number[] = [];
    for (let index = 0; index < 7; index++) made.unshift((await put(service, '/a', `v${index}`)).version);
    const found: number[] = [];
    let cursor: string | undefined;
    do {
      const page = await service.versions({ path: '/a' }, { limit: 3, cursor });
      found.push(...page.versions.map(({ version }) => version));
      cursor = page.next;
    } while (cursor !== undefined);
    assert.deepEqual(found, made);
    await fault(service.versions({ path: '/a' }, { limit: 0 }), 'invalid');
  });

  check('why versions stay is said where it is asked for', async (service) => {
    for (const text of ['one', 'two', 'three']) await put(service, '/f', text);
    const reasons = async (options: object): Promise<unknown> =>
      (await service.versions({ path: '/f' }, options)).versions.map((version) => version.reasons?.length);
    assert.deepEqual(await reasons({}), [undefined, undefined, undefined]);
    assert.deepEqual((await service.versions({ path: '/f' }, { why: true })).versions[0]?.reasons, ['current']);
    assert.deepEqual(await reasons({ keep: 'all' }), [1, 1, 1]);
    await fault(service.versions({ path: '/f' }, { keep: 'nonsense' }), 'invalid');
  });

  check('a restored version becomes a new one', async (service) => {
    const one = await put(service, '/a', 'one');
    const two = await put(service, '/a', 'two');
    const restored = await service.restore({ path: '/a' }, one.version);
    assert.ok(restored.version > two.version);
    assert.equal(await textAt(service, '/a'), 'one');
    assert.equal(await textAt(service, '/a', two.version), 'two');
    await service.restore({ id: one.file_id }, two.version, { expectedVersion: restored.version });
    assert.equal(await textAt(service, '/a'), 'two');
  });

  check('a restore can be tried without doing it', async (service) => {
    const one = await put(service, '/a', 'one');
    await put(service, '/a', 'two2');
    const would = await service.restore({ path: '/a' }, one.version, { dryRun: true });
    assert.equal(would.size, 3);
    assert.equal(await textAt(service, '/a'), 'two2');
  });

  check('versions that are not there, and folders, are faults', async (service) => {
    await put(service, '/a', 'one');
    await service.makeFolder('/f');
    await fault(service.restore({ path: '/a' }, 9_999_999), 'not-found');
    await fault(service.restore({ path: '/none' }, 1), 'not-found');
    await fault(service.versions({ path: '/none' }), 'not-found');
    await fault(service.versions({ path: '/f' }), 'is-folder');
  });
}

function snapshots(check: Check, contract: ContractOptions): void {
  check('a snapshot shows the tree as it was, whatever becomes of it', async (service) => {
    await put(service, '/d/kept', 'one', { parents: true, permissions: 0o640, modified: '2026-01-02T03:04:05.000Z' });
    await put(service, '/d/gone', 'two');
    await service.setAttributes({ path: '/d/kept' }, { attributes: { 'user.a': btoa('1') } });
    const before = await service.stat({ path: '/d/kept' }, { withAttributes: true });
    const made = await service.createSnapshot('first');
    assert.deepEqual([made.name, made.path], ['first', '/']);
    if (contract.door !== undefined) assert.equal(made.door, contract.door);
    await put(service, '/d/kept', 'another', { permissions: 0o600 });
    await service.setAttributes({ path: '/d/kept' }, { attributes: { 'user.a': null, 'user.b': btoa('2') } });
    await service.remove('/d/gone');
    await put(service, '/d/new', 'three');
    await service.move('/d', '/e');
    const at = 'first';
    assert.deepEqual(await service.stat({ path: '/d/kept' }, { at, withAttributes: true }), before);
    assert.deepEqual(
      (await service.list({ path: '/d' }, { at })).entries.map(({ path }) => path),
      ['/d/gone', '/d/kept'],
    );
    const all: string[] = [];
    for await (const { path } of service.manifest({ path: '/' }, { at })) all.push(path);
    assert.deepEqual(all, ['/d', '/d/gone', '/d/kept']);
    const read = await service.read({ path: '/d/gone' }, { at });
    assert.equal(read.record.path, '/d/gone');
    assert.equal(new TextDecoder().decode(await allOf(read.bytes)), 'two');
    assert.equal(
      new TextDecoder().decode(await allOf((await service.read({ id: before.file_id }, { at })).bytes)),
      'one',
    );
    assert.deepEqual(
      (await service.search({ pattern: '*', at })).entries.map(({ path }) => path),
      ['/d', '/d/gone', '/d/kept'],
    );
    const { versions } = await service.versions({ path: '/d/kept' }, { at });
    assert.deepEqual(
      versions.map(({ version, is_current }) => [version, is_current]),
      [[before.version, true]],
    );
    await fault(service.stat({ path: '/e' }, { at }), 'not-found');
    await fault(service.list({ path: '/d' }), 'not-found');
  });

  check('of a folder a snapshot shows that folder alone, under the path it had', async (service) => {
    await put(service, '/in/f', 'in', { parents: true });
    await put(service, '/out', 'out');
    const made = await service.createSnapshot('of the folder', { path: '/in' });
    assert.equal(made.path, '/in');
    await service.remove('/in', { recursive: true });
    const at = made.name;
    assert.equal((await service.list({ path: '/in' }, { at })).entries.length, 1);
    await fault(service.stat({ path: '/out' }, { at }), 'not-found');
    await fault(service.list({ path: '/' }, { at }), 'not-found');
    await fault(service.createSnapshot('file', { path: '/out' }), 'not-folder');
    await fault(service.createSnapshot('none', { path: '/none' }), 'not-found');
  });

  check('what was removed is listed, the last first, by folder and by name', async (service) => {
    await put(service, '/d/a', 'one', { parents: true });
    await put(service, '/d/e/b', 'two', { parents: true });
    await put(service, '/d/still', 'here');
    const first = await service.stat({ path: '/d/a' });
    await service.remove('/d/a');
    await service.remove('/d/e/b');
    await put(service, '/d/a', 'three');
    await service.remove('/d/a');
    await service.remove('/d/e', { recursive: true });
    const told = async (path: string, recursive = false): Promise<unknown> => {
      const { entries } = await service.deleted(path, { recursive });
      return entries.map(({ path: where, kind, size }) => [where, kind, size]);
    };
    const [e, again, once] = [
      ['/d/e', 'folder', 0],
      ['/d/a', 'file', 5],
      ['/d/a', 'file', 3],
    ];
    assert.deepEqual(await told('/d'), [e, again, once]);
    assert.deepEqual(await told('/d/a'), [again, once]);
    assert.deepEqual(await told('/d/none'), []);
    assert.deepEqual(await told('/'), []);
    const page = await service.deleted('/d', { limit: 2 });
    assert.ok(page.next !== undefined && page.entries.length === 2);
    const [last] = (await service.deleted('/d', { limit: 2, cursor: page.next })).entries;
    assert.equal(last?.file_id, first.file_id);
    assert.equal(last?.version, first.version);
    const [record] = (await service.deleted('/d/e')).entries;
    assert.equal((await service.stat({ path: '/d/e' }, { at: String(record?.at) })).kind, 'folder');
    await fault(service.deleted('/none/at/all'), 'not-found');
  });

  check('snapshots are listed by name, looked at and deleted', async (service) => {
    for (const name of ['b', 'a', 'Ümlaut & more']) await service.createSnapshot(name);
    const first = await service.snapshots({ limit: 2 });
    assert.deepEqual(
      first.snapshots.map(({ name }) => name),
      ['a', 'b'],
    );
    const second = await service.snapshots({ limit: 2, cursor: first.next });
    assert.deepEqual(
      second.snapshots.map(({ name }) => name),
      ['Ümlaut & more'],
    );
    assert.equal((await service.snapshot('Ümlaut & more')).name, 'Ümlaut & more');
    assert.equal((await service.removeSnapshot('a', { dryRun: true })).name, 'a');
    assert.equal((await service.removeSnapshot('a')).name, 'a');
    await fault(service.removeSnapshot('a'), 'not-found');
    await fault(service.snapshot('a'), 'not-found');
    await fault(service.list({ path: '/' }, { at: 'a' }), 'not-found');
    await service.createSnapshot('a');
    await fault(service.createSnapshot('a'), 'exists');
  });

  check('pruning leaves snapshots that somebody made, and refuses what it does not know', async (service) => {
    await service.createSnapshot('mine');
    for (const dryRun of [true, false]) {
      const plan = await service.pruneSnapshots({ keep: 'last 1, all within 7 days', dryRun });
      assert.deepEqual([plan.deleted, plan.dry_run], [0, dryRun]);
    }
    assert.equal((await service.snapshot('mine')).name, 'mine');
    await fault(service.pruneSnapshots({ keep: 'some of them' }), 'invalid');
    await fault(service.pruneSnapshots({ schedule: 'none-of-that-name' }), 'not-found');
  });

  check('names that read as something else are refused', async (service) => {
    for (const name of [
      '',
      '17',
      '@x',
      '.x',
      '-x',
      'a/b',
      'a\\b',
      '2026-01-02',
      '2026-01-02T03:04:05Z',
      'x'.repeat(129),
    ])
      await fault(service.createSnapshot(name), 'invalid');
  });

  check('a snapshot made with a key is made once', async (service) => {
    const made = await service.createSnapshot('once', { idempotencyKey: 'k' });
    assert.deepEqual(await service.createSnapshot('once', { idempotencyKey: 'k' }), made);
  });

  check('the past is read by commit and by time too, and what is not kept is refused', async (service) => {
    const made = await put(service, '/f', 'one');
    const [version] = (await service.versions({ path: '/f' })).versions;
    assert.ok(version !== undefined);
    await put(service, '/f', 'two');
    const at = String(version.commit);
    assert.equal(new TextDecoder().decode(await bytesAt(service, { path: '/f' }, { at })), 'one');
    assert.equal((await service.stat({ path: '/f' }, { at })).version, made.version);
    const later = new Date(Date.now() + 86_400_000).toISOString();
    for (const time of [later, `@${later}`])
      assert.equal(new TextDecoder().decode(await bytesAt(service, { path: '/f' }, { at: time })), 'two');
    await fault(service.stat({ path: '/f' }, { at: '999999999' }), 'not-kept');
    await fault(service.stat({ path: '/f' }, { at: '@2001-01-01T00:00:00Z' }), 'not-kept');
    await fault(service.stat({ path: '/f' }, { at: 'nothing-of-that-name' }), 'not-found');
  });
}

function turningBack(check: Check): void {
  check('a folder is brought back to a snapshot in one commit, after a plan that changes nothing', async (service) => {
    await put(service, '/d/changed', 'one', { parents: true });
    await put(service, '/d/in/gone', 'two', { parents: true });
    await put(service, '/other', 'other');
    await service.createSnapshot('s');
    await put(service, '/d/changed', 'ONE');
    await service.remove('/d/in', { recursive: true });
    await put(service, '/d/new', 'three');
    await put(service, '/other', 'another');
    const plan = await service.restoreTree('/d', 's', { dryRun: true });
    assert.ok(plan.dry_run && plan.changes.length >= 3, JSON.stringify(plan));
    assert.equal(await textAt(service, '/d/changed'), 'ONE');
    const before = (await service.log({ limit: 1 })).commits[0]?.commit ?? 0;
    const done = await service.restoreTree('/d', 's');
    assert.deepEqual([done.added, done.removed, done.changed], [plan.added, plan.removed, plan.changed]);
    assert.equal((await service.log({ limit: 1 })).commits[0]?.commit, before + 1);
    assert.equal(await textAt(service, '/d/changed'), 'one');
    assert.equal(await textAt(service, '/d/in/gone'), 'two');
    await fault(service.stat({ path: '/d/new' }), 'not-found');
    assert.equal(await textAt(service, '/other'), 'another');
    await fault(service.restoreTree('/none', 's'), 'not-found');
    await fault(service.restoreTree('/d', 'none'), 'not-found');
  });

  check('the last commit is undone, and undoing again brings it back', async (service) => {
    await put(service, '/d/f', 'one', { parents: true });
    await service.remove('/d/f');
    const last = async (): Promise<number> => (await service.log({ limit: 1 })).commits[0]?.commit ?? 0;
    const removal = await last();
    assert.ok((await service.undo(removal, { dryRun: true })).dry_run);
    await fault(service.stat({ path: '/d/f' }), 'not-found');
    await service.undo(removal);
    assert.equal(await textAt(service, '/d/f'), 'one');
    await put(service, '/d/f', 'two');
    await service.undo(await last());
    assert.equal(await textAt(service, '/d/f'), 'one');
    await fault(service.undo(removal), 'conflict');
    await fault(service.undo(99_999), 'not-found');
  });

  check('the change feed gives every commit once, in order, and goes on where one left off', async (service) => {
    await put(service, '/a', 'a');
    await put(service, '/b', 'b');
    await service.move('/a', '/c');
    const seen: number[] = [];
    let after: string | undefined;
    for (;;) {
      const page = await service.changes({ after, limit: 2 });
      seen.push(...page.commits.map(({ commit }) => commit));
      after = page.next;
      if (page.commits.length === 0) break;
    }
    assert.deepEqual(seen, (await service.log()).commits.map(({ commit }) => commit).toReversed());
    const { next } = await service.changes({ after: 'now' });
    await put(service, '/d', 'd');
    const [first, ...rest] = (await service.changes({ after: next, waitMs: 5_000 })).commits;
    assert.deepEqual([first?.commit, rest.length], [(seen.at(-1) ?? 0) + 1, 0]);
    await fault(service.changes({ after: 'nonsense' }), 'invalid');
  });

  check('the log says what was done, newest first, page by page', async (service) => {
    await put(service, '/a', 'a');
    await put(service, '/b', 'b');
    await put(service, '/c', 'c');
    const all = (await service.log()).commits.map(({ commit }) => commit);
    assert.deepEqual(
      all,
      all.toSorted((a, b) => b - a),
    );
    const first = await service.log({ limit: 2 });
    const second = await service.log({ limit: 2, cursor: first.next });
    assert.deepEqual(
      [...first.commits, ...second.commits].map(({ commit }) => commit),
      all.slice(0, 4),
    );
  });
}

async function allOf(bytes: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  for await (const piece of bytes) parts.push(piece.slice());
  return new Uint8Array(await new Blob(parts as Uint8Array<ArrayBuffer>[]).arrayBuffer());
}

function searching(check: Check): void {
  const tree = async (service: FileService): Promise<void> => {
    await put(service, '/Report.txt', 'abc', { modified: '2001-01-01T00:00:00Z' });
    await put(service, '/a/report.md', 'abcdef', { parents: true, modified: '2002-01-01T00:00:00Z' });
    await put(service, '/a/b/photo.jpg', sample(1_000), { parents: true, modified: '2003-01-01T00:00:00Z' });
    await service.setAttributes({ path: '/a/report.md' }, { attributes: { 'user.tag': btoa('red') } });
  };
  const cases: [title: string, query: Parameters<FileService['search']>[0], wanted: string[]][] = [
    ['everything', {}, ['/Report.txt', '/a', '/a/b', '/a/b/photo.jpg', '/a/report.md']],
    ['a folder alone', { path: '/a', recursive: false }, ['/a/b', '/a/report.md']],
    ['a name, upper and lower case alike', { name: 'REPORT' }, ['/Report.txt', '/a/report.md']],
    ['a glob over names', { pattern: '*.md' }, ['/a/report.md']],
    ['a glob over paths', { pattern: 'a/*.md' }, ['/a/report.md']],
    ['a glob that crosses folders', { pattern: '**/*.jpg' }, ['/a/b/photo.jpg']],
    ['a glob below a folder', { path: '/a', pattern: 'b/*' }, ['/a/b/photo.jpg']],
    ['a kind', { kind: 'folder' }, ['/a', '/a/b']],
    ['sizes', { kind: 'file', sizeMin: 4, sizeMax: 999 }, ['/a/report.md']],
    [
      'times',
      { kind: 'file', modifiedAfter: '2001-06-01T00:00:00Z', modifiedBefore: '2002-06-01T00:00:00Z' },
      ['/a/report.md'],
    ],
    ['an attribute', { attribute: 'user.tag' }, ['/a/report.md']],
    ['the value of an attribute', { attribute: 'user.tag=red' }, ['/a/report.md']],
    ['another value', { attribute: 'user.tag=blue' }, []],
  ];
  for (const [title, query, wanted] of cases) {
    check(`finds ${title}`, async (service) => {
      await tree(service);
      const { entries } = await service.search(query);
      assert.deepEqual(entries.map(({ path }) => path).sort(), wanted.toSorted());
    });
  }

  check('answers come in pages', async (service) => {
    await tree(service);
    const found: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await service.search({ limit: 2, cursor });
      found.push(...page.entries.map(({ path }) => path));
      cursor = page.next;
    } while (cursor !== undefined);
    assert.deepEqual(found.sort(), ['/Report.txt', '/a', '/a/b', '/a/b/photo.jpg', '/a/report.md']);
  });

  check('wrong queries are faults', async (service) => {
    await fault(service.search({ path: '/none' }), 'not-found');
    await fault(service.search({ pattern: '{a,b' }), 'invalid');
    await fault(service.search({ modifiedAfter: 'lately' }), 'invalid');
    await fault(service.search({ limit: -1 }), 'invalid');
  });
}

function names(check: Check): void {
  const strange = [
    'caf\\xE9',
    '\\xFF\\x80\u0001',
    'a\\x5Cx41',
    'back\\slash',
    'ünïcödé 名前 🙂',
    'e\u0301',
    '\u00e9',
    'space and\ttab',
    'line\nbreak',
    'percent%41%',
    'q?a=b&c#d',
    'plus+and;semi',
    '"quotes"\'',
    '..hidden',
    '...',
    '-',
    'n'.repeat(255),
    'é'.repeat(127),
    '\u0001\u007f',
    '__proto__',
    'constructor',
  ];
  check('every name comes back as it went in, through every method', async (service) => {
    for (const [index, name] of strange.entries()) {
      const path = `/d/${name}/f${name.slice(0, 200)}`;
      const record = await put(service, path, `content ${index}`, { parents: true });
      assert.equal(record.path, path);
      assert.equal((await service.stat({ path })).file_id, record.file_id);
      assert.equal(await textAt(service, path), `content ${index}`);
      assert.equal((await service.versions({ path })).path, path);
      assert.equal((await service.list({ path: `/d/${name}` })).entries[0]?.path, path);
    }
    const listed = await namesIn(service, '/d');
    assert.deepEqual(listed.toSorted(), strange.toSorted());
    const walked = (await all(service.manifest({ path: '/d' }))).filter(({ is_directory }) => is_directory);
    assert.deepEqual(
      walked.map(({ name }) => name),
      listed,
    );
    for (const name of strange) {
      await service.copy(`/d/${name}`, '/copy');
      await service.move('/copy', `/moved-${strange.indexOf(name)}`);
      await service.remove(`/d/${name}`, { recursive: true });
    }
    assert.deepEqual(await namesIn(service, '/d'), []);
  });

  check('names that are not UTF-8 have their bytes beside their text', async (service) => {
    const record = await put(service, '/caf\\xE9', 'x');
    assert.deepEqual([record.name, record.name_raw, record.path_raw], ['caf\\xE9', 'caf%E9', '/caf%E9']);
    assert.equal((await put(service, '/plain', 'x')).name_raw, undefined);
    await service.makeFolder('/d\\xFF');
    const inside = await put(service, '/d\\xFF/plain', 'x');
    assert.deepEqual([inside.name, inside.name_raw, inside.path_raw], ['plain', undefined, '/d%FF/plain']);
  });

  check('a name that only looks like escaped bytes is text, and nothing stands beside it', async (service) => {
    const record = await put(service, '/\\x5CxE9', 'x');
    assert.deepEqual([record.name, record.name_raw, record.path_raw], ['\\x5CxE9', undefined, undefined]);
  });

  check('names are neither folded nor normalised', async (service) => {
    for (const path of ['/a', '/A', '/e\u0301', '/\u00e9']) await put(service, path, path);
    assert.equal((await namesIn(service)).length, 4);
    assert.equal(await textAt(service, '/e\u0301'), '/e\u0301');
  });

  check('slashes in front and behind change nothing', async (service) => {
    const { file_id } = await put(service, 'f/a', 'x', { parents: true });
    assert.equal((await service.stat({ path: '/f/a' })).file_id, file_id);
    assert.equal((await service.list({ path: '/f/' })).path, '/f');
  });

  const wrong: [why: string, path: string][] = [
    ['`..`', '/a/../b'],
    ['`.`', '/./b'],
    ['a NUL byte', '/a\u0000b'],
    ['an escaped NUL byte', '/a\\x00b'],
    ['an escaped slash as part of a name that is empty', '/a\\x2F\\x2Fb'],
    ['an empty name', '/a//b'],
    ['a name of 256 bytes', `/${'n'.repeat(256)}`],
    ['a name of 256 bytes in two-byte characters', `/${'é'.repeat(128)}`],
    ['a path of more than 4,095 bytes', `/${'d/'.repeat(2_100)}x`],
    ['a reserved name in the root', '/.snapshots/x'],
    ['another reserved name', '/.holdfast'],
    ['half a surrogate pair', '/\ud800'],
  ];
  for (const [why, path] of wrong) {
    check(`a path with ${why} is refused by every method`, async (service) => {
      const target = { path };
      await put(service, '/ok', 'x');
      await fault(service.stat(target), 'invalid');
      await fault(service.read(target), 'invalid');
      await fault(service.list(target), 'invalid');
      await fault(all(service.manifest(target)), 'invalid');
      await fault(put(service, path, 'x', { parents: true }), 'invalid');
      await fault(service.makeFolder(path, { parents: true }), 'invalid');
      await fault(service.setAttributes(target, { mode: 0o600 }), 'invalid');
      await fault(service.move('/ok', path), 'invalid');
      await fault(service.move(path, '/ok2'), 'invalid');
      await fault(service.copy('/ok', path), 'invalid');
      await fault(service.copy(path, '/ok2'), 'invalid');
      await fault(service.remove(path), 'invalid');
      await fault(service.search({ path }), 'invalid');
      await fault(service.versions(target), 'invalid');
      await fault(service.restore(target, 1), 'invalid');
      const [result] = await all(service.writeMany([{ path, kind: 'folder' }]));
      assert.ok(result?.ok === false && Fault.is(result.fault, 'invalid'));
      assert.deepEqual(await namesIn(service), ['ok']);
    });
  }

  check('reserved names are free below the root', async (service) => {
    await put(service, '/a/.snapshots/x', 'x', { parents: true });
    assert.equal(await textAt(service, '/a/.snapshots/x'), 'x');
  });
}

function many(check: Check): void {
  const file = (path: string, text: string, more: Partial<BulkItem> = {}): BulkItem => {
    const bytes = utf8(text);
    return { path, kind: 'file', source: (): ByteSource => [bytes], size: bytes.length, ...more };
  };
  const told = (results: readonly BulkResult[]) =>
    results.map((result) => (result.ok ? 'ok' : Fault.is(result.fault) ? result.fault.code : 'error'));

  check('many things stand in the order they were given, folders before what is in them', async (service) => {
    const items: BulkItem[] = [{ path: '/f', kind: 'folder', permissions: 0o700 }];
    for (let index = 0; index < 60; index++) items.push(file(`/f/n${index}`, `text ${index}`));
    items.push({ path: '/f/sub', kind: 'folder' }, file('/f/sub/deep', 'deep'));
    items.push({ path: '/f/link', kind: 'symlink', target: '../n\\xE9' });
    const results = await all(service.writeMany(items));
    assert.deepEqual(
      results.map(({ path }) => path),
      items.map(({ path }) => path),
    );
    assert.deepEqual(
      told(results),
      items.map(() => 'ok'),
    );
    assert.equal(await textAt(service, '/f/n59'), 'text 59');
    assert.equal(await textAt(service, '/f/sub/deep'), 'deep');
    const link = await service.stat({ path: '/f/link' });
    assert.deepEqual([link.kind, link.target], ['symlink', '../n\\xE9']);
    assert.equal((await service.stat({ path: '/f' })).mode, 0o700);
  });

  check('a folder that is made with a time keeps it while what goes into it follows', async (service) => {
    const modified = '2020-02-03T04:05:06.789Z';
    const folder = (path: string): BulkItem => ({ path, kind: 'folder', modified });
    // More than go into one commit.
    const below = Array.from({ length: 600 }, (_, index) => file(`/f/a/n${index}`, `text ${index}`));
    const items = [folder('/f'), folder('/f/a'), ...below, file('/f/last', 'last'), folder('/g')];
    assert.ok((await all(service.writeMany(items))).every(({ ok }) => ok));
    for (const path of ['/f', '/f/a', '/g']) assert.equal((await service.stat({ path })).modified, modified, path);
  });

  check('each item fails alone', async (service) => {
    await put(service, '/file', 'x');
    const broken = { ...file('/broken', 'x'), source: (): ByteSource => throwing() };
    const items = [
      file('/a', 'a'),
      file('/none/below', 'b'),
      file('/file/below', 'c'),
      file('/short', 'd', { size: 5 }),
      broken,
      { path: '/file', kind: 'folder' } as const,
      { path: '/a/../b', kind: 'folder' } as const,
      file('/z', 'z'),
    ];
    const results = await all(service.writeMany(items));
    assert.deepEqual(told(results).slice(0, 4), ['ok', 'not-found', 'not-folder', 'mismatch']);
    assert.deepEqual(told(results).slice(4), ['error', 'exists', 'invalid', 'ok']);
    assert.deepEqual(await namesIn(service), ['a', 'file', 'z']);
  });
  async function* throwing(): AsyncGenerator<Uint8Array> {
    yield utf8('x');
    throw new Error('the source broke');
  }

  check('what is there already is replaced, and folders stay', async (service) => {
    await put(service, '/f/a', 'old', { parents: true });
    const { file_id } = await service.stat({ path: '/f' });
    const items = [{ path: '/f', kind: 'folder' } as const, file('/f/a', 'new'), file('/f/a', 'newer')];
    const results = await all(service.writeMany(items));
    assert.deepEqual(told(results), ['ok', 'ok', 'ok']);
    assert.equal(await textAt(service, '/f/a'), 'newer');
    assert.equal((await service.stat({ path: '/f' })).file_id, file_id);
  });

  check('times and permissions of items are kept', async (service) => {
    const modified = '2001-02-03T04:05:06.000000007Z';
    const items: BulkItem[] = [
      { path: '/f', kind: 'folder', modified, permissions: 0o750 },
      file('/a', 'a', { modified, permissions: 0o640 }),
      { path: '/l', kind: 'symlink', target: 'a', modified },
    ];
    const results = await all(service.writeMany(items));
    assert.deepEqual(told(results), ['ok', 'ok', 'ok']);
    const found = (await service.list({ path: '/' })).entries;
    assert.deepEqual(
      found.map((entry) => [entry.name, entry.modified]),
      [
        ['a', modified],
        ['f', modified],
        ['l', modified],
      ],
    );
    assert.deepEqual(
      found.slice(0, 2).map(({ mode }) => mode),
      [0o640, 0o750],
    );
  });

  check('a symlink has no bytes and no folder behind it', async (service) => {
    await all(service.writeMany([{ path: '/l', kind: 'symlink', target: '/nowhere' }]));
    await fault(service.read({ path: '/l' }), 'invalid');
    await fault(service.list({ path: '/l' }), 'not-folder');
    const removed = await service.remove('/l');
    assert.deepEqual([removed.files, removed.links], [1, 1]);
  });

  check('nothing at all is fine', async (service) => {
    assert.deepEqual(await all(service.writeMany([])), []);
  });

  check('100 files at once come back each as itself', async (service) => {
    const files = Array.from({ length: 100 }, (_, index) => ({
      path: `/n${index}`,
      bytes: sample(2_000 + index, index),
    }));
    await Promise.all(files.map(({ path, bytes }) => put(service, path, bytes, { mode: 'create' })));
    await Promise.all(
      files.map(async ({ path, bytes }) => assert.deepEqual(await bytesAt(service, { path }), bytes, path)),
    );
    assert.equal((await namesIn(service)).length, 100);
  });
}

function store(check: Check): void {
  check('it says who it is', async (service) => {
    const info = await service.info();
    assert.equal(info.name, 'holdfast');
    assert.equal(info.status, 'ok');
    assert.ok(info.store_id.length > 0 && info.uptime_seconds >= 0);
  });

  check('its figures count what is there', async (service) => {
    const before = await service.stats();
    await put(service, '/f/a', sample(10_000), { parents: true });
    const after = await service.stats();
    assert.equal(after.files - before.files, 1);
    assert.equal(after.folders - before.folders, 1);
    assert.equal(after.symlinks, before.symlinks);
    assert.equal(after.logical_bytes - before.logical_bytes, 10_000);
    assert.ok(after.disk_bytes > 0 && after.total_ratio > 0);
    await all(service.writeMany([{ path: '/l', kind: 'symlink', target: 'f' }]));
    const { files, symlinks } = await service.stats();
    assert.deepEqual([files, symlinks], [after.files, after.symlinks + 1], 'a symlink is no file');
  });

  check('a check of a sound store is clean and tells its progress', async (service) => {
    await put(service, '/a', sample(300_000));
    const report = await service.check({ onProgress: (done, total) => assert.ok(done <= total) });
    assert.deepEqual([report.is_clean, report.problems], [true, []]);
    assert.ok(report.chunks_verified > 0);
    assert.equal((await service.check({ sample: 0 })).is_clean, true);
  });

  check('an index written anew gives the same check', async (service) => {
    await put(service, '/a', sample(300_000));
    const report = await service.check({ rebuildIndex: true });
    assert.equal(report.is_clean, true);
    assert.ok(report.rebuilt_chunks !== undefined);
    assert.equal((await bytesAt(service, { path: '/a' })).length, 300_000);
  });

  check('a collection says what would come back, and then gives it back', async (service) => {
    await put(service, '/a', sample(300_000));
    const foretold = await service.gc({ dryRun: true, graceSeconds: 0, onProgress: (d, t) => assert.ok(d <= t) });
    assert.equal(foretold.dry_run, true);
    const report = await service.gc({ graceSeconds: 0 });
    assert.deepEqual([report.dry_run, report.problems], [false, []]);
    assert.equal(report.freed_bytes, foretold.freed_bytes);
    assert.equal((await bytesAt(service, { path: '/a' })).length, 300_000);
    await fault(service.gc({ signal: AbortSignal.abort() }), 'aborted');
  });

  check('collections behind the operations are paused until they may go on', async (service) => {
    assert.equal((await service.gcStatus()).is_paused, false);
    const paused = await service.pauseGc(true);
    assert.equal(paused.is_paused, true);
    assert.deepEqual(await service.pauseGc(true), paused);
    assert.equal((await service.gcStatus()).paused_since, paused.paused_since);
    assert.equal((await service.gc({ graceSeconds: 0 })).dry_run, false, 'who asks for one gets it');
    assert.equal((await service.pauseGc(false)).is_paused, false);
    assert.equal((await service.gcStatus()).paused_since, undefined);
  });

  check('of a path it is said how much is in it, and how much it alone holds', async (service) => {
    await put(service, '/a/x', sample(300_000), { parents: true });
    await put(service, '/y', sample(100_000));
    assert.deepEqual(await service.usage({ path: '/a' }), { path: '/a', files: 1, folders: 1, bytes: 300_000 });
    const all = await service.usage({ exclusive: true });
    assert.deepEqual([all.path, all.files, all.folders, all.bytes], ['/', 2, 2, 400_000]);
    assert.ok(
      all.exclusive_bytes !== undefined && all.exclusive_chunks !== undefined && all.next_gc_bytes !== undefined,
    );
    await service.createSnapshot('s', { path: '/a' });
    const shown = await service.usage({ snapshot: 's' });
    assert.deepEqual(shown, { path: '/a', snapshot: 's', files: 1, folders: 1, bytes: 300_000 });
    assert.equal((await service.usage({ snapshot: 's', exclusive: true })).snapshot, 's');
    await put(service, '/a/later', sample(1_000));
    const before = await service.usage({ path: '/a', at: 's' });
    assert.deepEqual(before, { path: '/a', at: 's', files: 1, folders: 1, bytes: 300_000 });
    assert.equal((await service.usage({ path: '/a' })).files, 2);
    await fault(service.usage({ at: 'none' }), 'not-found');
    await fault(service.usage({ at: 's', snapshot: 's' }), 'invalid');
    await fault(service.usage({ at: 's', exclusive: true }), 'invalid');
    await fault(service.usage({ path: '/z' }), 'not-found');
    await fault(service.usage({ snapshot: 'none' }), 'not-found');
    await fault(service.usage({ path: '/a', snapshot: 's', exclusive: true }), 'invalid');
  });

  check('a check stops when it is told to', async (service) => {
    await put(service, '/a', sample(300_000));
    await fault(service.check({ signal: AbortSignal.abort() }), 'aborted');
  });
}
