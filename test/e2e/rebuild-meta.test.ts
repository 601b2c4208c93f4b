/** Metadata that is lost or damaged comes back from objects alone, and what came after the last checkpoint is said. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { EXIT } from '../../src/cli/exit-codes.ts';
import { sha256 } from './data.ts';
import { holdfast, type Ran, temporaryFolder } from './holdfast.ts';
import { HOLDFAST } from './server.ts';

const EVERY = { HOLDFAST_META_CHECKPOINT_EVERY: '1ms' };
const NEVER = { HOLDFAST_META_CHECKPOINT_EVERY: '0' };

interface Stand {
  readonly folder: string;
  readonly store: string;
  readonly files: Map<string, string>;
}

/** Runs a command in the store; a checkpoint is made at its end, unless `environment` says otherwise. */
async function run(stand: Stand, args: readonly string[], environment: Record<string, string> = EVERY): Promise<Ran> {
  const [verb = '', ...rest] = args;
  return holdfast([verb, '--store', stand.store, ...rest], { environment });
}

async function put(
  stand: Stand,
  name: string,
  bytes: Uint8Array,
  environment: Record<string, string> = EVERY,
): Promise<void> {
  const path = join(stand.folder, 'file');
  writeFileSync(path, bytes);
  const { code, stderr } = await run(stand, ['put', path, `/${name}`], environment);
  assert.equal(code, 0, stderr);
  stand.files.set(name, sha256(Buffer.from(bytes)));
}

async function makeStand(folder: string): Promise<Stand> {
  const stand: Stand = { folder, store: join(folder, 'store'), files: new Map() };
  assert.equal((await run(stand, ['init'])).code, 0);
  const random = seededRandom(3);
  const source = join(folder, 'd');
  mkdirSync(source);
  for (let number = 0; number < 4; number++) {
    const bytes = random.bytes(200_000 * number + 10);
    writeFileSync(join(source, `f${number}`), bytes);
    stand.files.set(`d/f${number}`, sha256(bytes));
  }
  const { code, stderr } = await run(stand, ['put', source, '/d']);
  assert.equal(code, 0, stderr);
  return stand;
}

function rebuilt({ stdout }: Ran): Record<string, unknown> {
  return JSON.parse(stdout.toString().split('\n')[0] ?? '') as Record<string, unknown>;
}

let outCount = 0;

async function assertWhole(stand: Stand): Promise<void> {
  const out = join(stand.folder, `out-${outCount++}`);
  const { code, stderr } = await run(stand, ['get', '/', out]);
  assert.equal(code, 0, stderr);
  for (const [name, hash] of stand.files) assert.equal(sha256(readFileSync(join(out, name))), hash, name);
}

async function versionOf(stand: Stand, name: string): Promise<number> {
  return JSON.parse((await run(stand, ['stat', '--json', `/${name}`], NEVER)).stdout.toString()).version;
}

test('with the metadata deleted whole, every file of the last checkpoint is back and check is clean', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  const version = await versionOf(stand, 'd/f1');
  rmSync(join(stand.store, 'meta'), { recursive: true });
  const refused = await run(stand, ['ls', '/']);
  assert.notEqual(refused.code, 0);
  assert.match(refused.stderr, /check --rebuild-meta/);
  const back = await run(stand, ['check', '--rebuild-meta', '--json']);
  assert.equal(back.code, 0, back.stdout.toString() + back.stderr);
  assert.deepEqual([rebuilt(back).newer_chunks, rebuilt(back).passed_over], [0, []]);
  assert.match(back.stdout.toString(), /"is_clean":true/);
  await assertWhole(stand);
  // Nothing that was given out is given out again.
  await put(stand, 'd/f1', new Uint8Array(50_000).fill(7));
  assert.ok((await versionOf(stand, 'd/f1')) > version + 1000);
  await put(stand, 'new', new Uint8Array(50_000).fill(8));
  await assertWhole(stand);
  // And once more, from what was written since.
  rmSync(join(stand.store, 'meta'), { recursive: true });
  const again = await run(stand, ['check', '--rebuild-meta']);
  assert.equal(again.code, 0, again.stdout.toString() + again.stderr);
  assert.match(again.stdout.toString(), /metadata as of .* brought back/);
  await assertWhole(stand);
  // Lost twice without a checkpoint between: what was given out after the first time is not given out again.
  const given: number[] = [];
  for (const fill of [9, 10]) {
    rmSync(join(stand.store, 'meta'), { recursive: true });
    assert.equal((await run(stand, ['check', '--rebuild-meta'], NEVER)).code, 0);
    await put(stand, 'new', new Uint8Array(50_000).fill(fill), NEVER);
    given.push(await versionOf(stand, 'new'));
  }
  assert.ok(Number(given[1]) > Number(given[0]), `${given}`);
  await assertWhole(stand);
});

test('what is newer than the checkpoint is said to be lost, and what is damaged is kept', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  const before = new Map(stand.files);
  await put(stand, 'late', seededRandom(9).bytes(400_000), NEVER);
  const whole = await run(stand, ['check', '--rebuild-meta']);
  assert.equal(whole.code, EXIT.conflict, whole.stderr);
  assert.match(whole.stderr, /is whole/);
  await assertWhole(stand);
  const [file = ''] = globSync('meta/metadata.sqlite', { cwd: stand.store });
  const path = join(stand.store, file);
  const bytes = readFileSync(path);
  writeFileSync(path, seededRandom(1).bytes(bytes.length));
  const back = await run(stand, ['check', '--rebuild-meta', '--json'], NEVER);
  assert.equal(back.code, 0, back.stdout.toString() + back.stderr);
  const { newer_chunks: chunks, newer_bytes: newer, kept_at: kept } = rebuilt(back);
  assert.ok(Number(chunks) > 2 && Number(newer) >= 400_000, JSON.stringify(rebuilt(back)));
  assert.deepEqual(readdirSync(join(stand.store, String(kept))), ['metadata.sqlite']);
  assert.notEqual((await run(stand, ['cat', '/late'])).code, 0);
  await assertWhole({ ...stand, files: before });
  // Its bytes are still there: putting the file again stores next to nothing.
  const size = packBytes(stand);
  await put(stand, 'late', seededRandom(9).bytes(400_000));
  assert.ok(packBytes(stand) - size < 50_000, `${packBytes(stand) - size} bytes more`);
  await assertWhole(stand);
});

function packBytes({ store }: Stand): number {
  return globSync('objects/packs/**/*', { cwd: store, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + readFileSync(join(entry.parentPath, entry.name)).length, 0);
}

test('a damaged checkpoint is passed over and the one before brought back; without any the old metadata stays', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  const before = new Map(stand.files);
  await put(stand, 'late', new Uint8Array(9_000).fill(3));
  const checkpoints = globSync('objects/checkpoints/**', { cwd: stand.store })
    .filter((path) => /\.(base|delta)\./.test(path))
    .sort()
    .map((path) => join(stand.store, path));
  flip(checkpoints.at(-1) ?? '');
  const copy: Stand = { ...stand, store: join(folder.path, 'copy') };
  cpSync(stand.store, copy.store, { recursive: true });
  rmSync(join(copy.store, 'meta'), { recursive: true });
  const back = await run(copy, ['check', '--rebuild-meta']);
  assert.equal(back.code, 0, back.stdout.toString() + back.stderr);
  assert.match(back.stdout.toString(), /passed over checkpoints\/.*damaged/);
  await assertWhole({ ...copy, files: before });
  for (const path of checkpoints) rmSync(path);
  const none = await run(stand, ['check', '--rebuild-meta', '--force']);
  assert.equal(none.code, EXIT.notFound, none.stderr);
  await assertWhole(stand);
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  const at = bytes.length >> 1;
  bytes[at] = (bytes[at] ?? 0) ^ 4;
  writeFileSync(path, bytes);
}

test('a rebuild that is killed anywhere leaves a store that the next one brings back', {
  timeout: 300_000,
}, async () => {
  using folder = temporaryFolder();
  const stand = await makeStand(folder.path);
  rmSync(join(stand.store, 'meta'), { recursive: true });
  const flags = ['check', '--store', stand.store, '--rebuild-meta', '--force'];
  for (const afterMs of [120, 200, 280, 360, 480]) {
    const child = spawn(HOLDFAST, flags, { stdio: 'ignore' });
    const timer = setTimeout(() => child.kill('SIGKILL'), afterMs);
    await once(child, 'exit');
    clearTimeout(timer);
    // Without metadata nothing is shown, least of all an empty tree; with it, all.
    const { code, stdout } = await run(stand, ['ls', '/d']);
    if (code === 0) assert.match(stdout.toString(), /f0[\s\S]*f3/);
  }
  // What a crash between the two renames leaves, and what one while rows were written does.
  rmSync(join(stand.store, 'meta'), { recursive: true, force: true });
  mkdirSync(join(stand.store, 'meta.new'), { recursive: true });
  writeFileSync(join(stand.store, 'meta.new', 'metadata.sqlite'), 'half');
  writeFileSync(join(stand.store, 'meta.new', 'metadata.sqlite-wal'), 'half');
  const back = await run(stand, ['check', '--rebuild-meta']);
  assert.equal(back.code, 0, back.stdout.toString() + back.stderr);
  await assertWhole(stand);
});
