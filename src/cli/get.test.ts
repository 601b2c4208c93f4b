/** `get` against a store in memory and a real local folder. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import type { FileRecord, WholeRead } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import { EXIT } from './exit-codes.ts';
import { realDisk } from './local/local-disk.ts';
import { Stage } from './stage.ts';

const EXACT = '2021-05-06T07:08:09.987654321Z';
const EXACT_NS = 1_620_284_889_987_654_321n;

function seedTree(stage: Stage): void {
  stage.service.seed('/t/a', 'alpha', { mode: 0o600, modified: EXACT });
  stage.service.seed('/t/sub/b', 'beta');
  stage.service.seedLink('/t/sub/link', '../a');
  const folder = stage.service.nodes.get('/t/sub');
  if (folder !== undefined) {
    folder.modified = EXACT;
    folder.mode = 0o555;
  }
}

test('get brings a tree out with contents, modes, times to the nanosecond and symlinks', async () => {
  using stage = new Stage();
  seedTree(stage);
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.ok);
  assert.equal(readFileSync(stage.path('out/a'), 'utf8'), 'alpha');
  assert.equal(readFileSync(stage.path('out/sub/b'), 'utf8'), 'beta');
  assert.equal(readlinkSync(stage.path('out/sub/link')), '../a');
  const file = lstatSync(stage.path('out/a'), { bigint: true });
  assert.equal(Number(file.mode) & 0o777, 0o600);
  assert.equal(file.mtimeNs, EXACT_NS);
  const folder = lstatSync(stage.path('out/sub'), { bigint: true });
  assert.equal(Number(folder.mode) & 0o777, 0o555);
  assert.equal(folder.mtimeNs, EXACT_NS);
  assert.deepEqual(readdirSync(stage.path('out')).sort(), ['a', 'sub'], 'nothing temporary stays');
});

test('get reads nothing for files that are equal, and replaces those that differ', async () => {
  using stage = new Stage();
  seedTree(stage);
  await stage.run('get', '/t', stage.path('out'));
  stage.service.calls.length = 0;
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.ok);
  assert.deepEqual(stage.service.calls, []);
  writeFileSync(stage.path('out/a'), 'edited here');
  await stage.run('get', '--no-clobber', '/t', stage.path('out'));
  assert.equal(readFileSync(stage.path('out/a'), 'utf8'), 'edited here');
  assert.match(stage.stderr.text, /is there and differs; left as it is/);
  await stage.run('get', '/t', stage.path('out'));
  assert.equal(readFileSync(stage.path('out/a'), 'utf8'), 'alpha');
});

test('get never leaves half a file under its name, also when bytes are damaged or short', async () => {
  using stage = new Stage();
  stage.service.seed('/big', 'x'.repeat(600_000));
  stage.service.seed('/bad', 'y');
  writeFileSync(stage.path('big'), 'what stood here');
  const read = stage.service.read.bind(stage.service);
  stage.service.read = async (target, options) => {
    const whole = await read(target, options);
    return {
      ...whole,
      bytes: (async function* () {
        for await (const part of whole.bytes) {
          yield part;
          if ('path' in target && target.path === '/big') throw new Fault('corrupt', 'Chunk 12 is damaged.', {});
        }
      })(),
    };
  };
  assert.equal(await stage.run('get', '/big', stage.path('big')), EXIT.corrupt);
  assert.equal(readFileSync(stage.path('big'), 'utf8'), 'what stood here');
  assert.deepEqual(readdirSync(stage.folder), ['big']);
});

test('get makes holes where there are long runs of zeros, and every byte is right', async () => {
  using stage = new Stage();
  const size = 6 * 1024 * 1024 + 123;
  const bytes = Buffer.alloc(size);
  bytes.write('head', 0);
  bytes.write('middle', 3_000_000);
  bytes.write('tail', size - 4);
  stage.service.seed('/sparse', '');
  const node = stage.service.nodes.get('/sparse');
  if (node !== undefined) node.bytes = bytes;
  assert.equal(await stage.run('get', '/sparse', stage.path('sparse')), EXIT.ok);
  assert.ok(readFileSync(stage.path('sparse')).equals(bytes));
  assert.ok(statSync(stage.path('sparse')).blocks * 512 < 1024 * 1024);
});

test('get follows its rules of where things go, and makes the folders above', async () => {
  using stage = new Stage();
  seedTree(stage);
  stage.service.seed('/f', 'f');
  mkdirSync(stage.path('there'));
  const cases: readonly (readonly [readonly string[], string])[] = [
    [['/t', 'new'], 'new/a'],
    [['/t', 'there/'], 'there/t/a'],
    [['/t/', 'contents'], 'contents/a'],
    [['/f', 'there'], 'there/f'],
    [['/f', 'deep/down/g'], 'deep/down/g'],
    [['/f', '/t', 'both'], 'both/t/a'],
    [['/', 'all'], 'all/t/sub/b'],
  ];
  for (const [words, path] of cases) {
    assert.equal(
      await stage.run('get', ...words.slice(0, -1), `${stage.folder}/${words.at(-1)}`),
      EXIT.ok,
      words.join(' '),
    );
    assert.ok(existsSync(stage.path(path)), `${words.join(' ')} makes ${path}`);
  }
});

test('get does not write through a symlink that stands in the place of a folder', async () => {
  using stage = new Stage();
  seedTree(stage);
  mkdirSync(stage.path('elsewhere'));
  mkdirSync(stage.path('out'));
  symlinkSync('../elsewhere', stage.path('out/sub'));
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.partly);
  assert.deepEqual(readdirSync(stage.path('elsewhere')), []);
  assert.match(stage.stderr.text, /\/t\/sub is a folder, and .*\/sub is a symlink here/);
  assert.equal(readFileSync(stage.path('out/a'), 'utf8'), 'alpha', 'the rest comes');
});

test('get puts a file in the place of a symlink, never through it, and never replaces what is no file', async () => {
  using stage = new Stage();
  seedTree(stage);
  writeFileSync(stage.path('target'), 'old');
  execFileSync('mkfifo', [stage.path('pipe')]);
  for (const target of ['target', 'pipe', 'nowhere', stage.path('target')]) {
    symlinkSync(target, stage.path('link'));
    assert.equal(await stage.run('get', '/t/a', stage.path('link')), EXIT.ok);
    assert.ok(lstatSync(stage.path('link')).isFile(), target);
    assert.equal(readFileSync(stage.path('link'), 'utf8'), 'alpha');
    assert.equal(readFileSync(stage.path('target'), 'utf8'), 'old');
    unlinkSync(stage.path('link'));
  }
  assert.throws(() => lstatSync(stage.path('nowhere')));
  assert.equal(await stage.run('get', '/t/a', stage.path('pipe')), EXIT.conflict);
  assert.ok(!lstatSync(stage.path('pipe')).isFile());
});

test('get skips and names special files, and files that cannot be written', async () => {
  using stage = new Stage();
  seedTree(stage);
  stage.service.seedSpecial('/t/pipe');
  stage.disk = {
    ...realDisk,
    rename: (from, to) => {
      if (to.endsWith('/b')) throw new Fault('denied', `Writing ${to} failed: not allowed.`);
      realDisk.rename(from, to);
    },
  };
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.partly);
  assert.match(stage.stderr.text, /\/t\/pipe is a fifo, which is not brought out/);
  assert.match(stage.stderr.text, /b failed: not allowed/);
  assert.deepEqual(readdirSync(stage.path('out/sub')), ['link']);
});

test('get --version brings an older version, get - writes to standard output', async () => {
  using stage = new Stage();
  stage.service.seed('/f', 'first');
  await stage.service.write('/f', [Buffer.from('second')], { mode: 'put' });
  assert.equal(await stage.run('get', '--version', '1', '/f', stage.path('old')), EXIT.ok);
  assert.equal(readFileSync(stage.path('old'), 'utf8'), 'first');
  await stage.run('get', '/f', stage.path('old'));
  assert.equal(readFileSync(stage.path('old'), 'utf8'), 'second');
  await stage.run('get', '--version', '1', '/f', stage.path('old'));
  assert.equal(readFileSync(stage.path('old'), 'utf8'), 'first', 'also over a file that equals the current version');
  assert.equal(await stage.run('get', '/f', '-'), EXIT.ok);
  assert.equal(stage.stdout.text, 'second');
  assert.equal(await stage.run('get', '/missing', stage.path('x')), EXIT.notFound);
  assert.equal(await stage.run('get', '--version', '9', '/f', stage.path('x')), EXIT.notFound);
});

test('get --fsync syncs files and folders', async () => {
  using stage = new Stage();
  seedTree(stage);
  const synced: string[] = [];
  stage.disk = {
    ...realDisk,
    writeWhole: (path, bytes, options) => {
      if (options.isDurable) synced.push('file');
      realDisk.writeWhole(path, bytes, options);
    },
    syncFolder: (path) => {
      synced.push(path.slice(stage.folder.length));
      realDisk.syncFolder(path);
    },
  };
  await stage.run('get', '--fsync', '/t', stage.path('out'));
  assert.deepEqual(synced.sort(), ['/out', '/out/sub', 'file', 'file']);
});

/** The service reads many together, all but one that is damaged; answers the paths that it is asked for. */
function readTogether(stage: Stage, damaged?: string): readonly string[] {
  const paths: string[] = [];
  async function* readMany(records: AsyncIterable<FileRecord> | Iterable<FileRecord>): AsyncGenerator<WholeRead> {
    for await (const record of records) {
      paths.push(record.path);
      if (record.path === damaged) yield { ok: false, record, fault: new Fault('corrupt', 'Chunk 12 is damaged.', {}) };
      else {
        const { bytes } = await stage.service.read({ path: record.path });
        const parts: Uint8Array[] = [];
        for await (const part of bytes) parts.push(Uint8Array.from(part));
        yield { ok: true, record, bytes: Buffer.concat(parts) };
      }
    }
  }
  Object.assign(stage.service, { readMany });
  return paths;
}

test('get of many small files leaves each as it is stored, and the times of folders, and names what the disk refuses', async () => {
  using stage = new Stage();
  const names = Array.from({ length: 300 }, (_, number) => `/t/s${number % 7}/f${number}`);
  for (const name of names) stage.service.seed(name, `bytes of ${name}`, { mode: 0o600, modified: EXACT });
  for (const [path, node] of stage.service.nodes) if (/^\/t\/s\d$/.test(path)) node.modified = EXACT;
  readTogether(stage);
  mkdirSync(stage.path('out/s6/f6'), { recursive: true });
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.partly);
  assert.match(stage.stderr.text, /out\/s6\/f6/);
  for (const name of names.filter((each) => each !== '/t/s6/f6')) {
    const path = stage.path(`out${name.slice(2)}`);
    assert.equal(readFileSync(path, 'utf8'), `bytes of ${name}`);
    const stat = lstatSync(path, { bigint: true });
    assert.deepEqual([Number(stat.mode) & 0o777, stat.mtimeNs], [0o600, EXACT_NS]);
  }
  for (let folder = 0; folder < 7; folder++)
    assert.equal(lstatSync(stage.path(`out/s${folder}`), { bigint: true }).mtimeNs, EXACT_NS);
  const all = readdirSync(stage.path('out'), { recursive: true });
  assert.equal(all.length, 7 + 300, 'nothing temporary stays');
});

test('get takes small files of a tree together where the service does that, and each fails alone', async () => {
  using stage = new Stage();
  seedTree(stage);
  const paths = readTogether(stage, '/t/a');
  assert.equal(await stage.run('get', '/t', stage.path('out')), EXIT.partly);
  assert.ok(paths.includes('/t/a') && paths.length > 1);
  assert.match(stage.stderr.text, /Chunk 12 is damaged/);
  assert.throws(() => lstatSync(stage.path('out/a')), { code: 'ENOENT' });
  assert.ok(readdirSync(stage.path('out'), { recursive: true }).every((name) => !String(name).includes('.holdfast-')));
});
