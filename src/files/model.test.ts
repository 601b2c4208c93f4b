/**
 * The file service against a simple model of a tree, under random operations, several at once: results, errors, listings,
 * contents and counters must be what some order of the operations gives. Afterwards references add up and nothing that
 * is unreachable is left.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bytesOf, openStand, type Stand } from '../../test/stand.ts';
import { Fault, type Random, seededRandom } from '../base/index.ts';
import { openSqliteFile } from '../meta/index.ts';

const NAMES = ['a', 'b', 'c', 'd'];
const SEEDS = 12;
const STEPS = 150;

/** Path → bytes of a file, or null for a folder. The root is not in it. */
type Tree = Map<string, Buffer | null>;

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

class Model {
  readonly tree: Tree = new Map();

  isFolder(path: string): boolean {
    return path === '/' || this.tree.get(path) === null;
  }

  under(path: string): string[] {
    return [...this.tree.keys()].filter((other) => other.startsWith(`${path}/`));
  }

  /** The fault of looking up a path's folder: a file on the way, or nothing. */
  wayFault(path: string): string | undefined {
    const names = path.split('/').slice(1, -1);
    for (let depth = 1; depth <= names.length; depth++) {
      const at = `/${names.slice(0, depth).join('/')}`;
      if (!this.tree.has(at)) return 'not-found';
      if (!this.isFolder(at)) return 'not-folder';
    }
    return undefined;
  }

  makeFolder(path: string): string {
    const fault = this.wayFault(path) ?? (this.tree.has(path) ? 'exists' : undefined);
    if (fault === undefined) this.tree.set(path, null);
    return fault ?? 'ok';
  }

  write(path: string, bytes: Buffer, mode: string): string {
    const fault =
      this.wayFault(path) ??
      (this.tree.get(path) === null
        ? 'is-folder'
        : mode === 'create' && this.tree.has(path)
          ? 'exists'
          : mode === 'replace' && !this.tree.has(path)
            ? 'not-found'
            : undefined);
    if (fault === undefined) this.tree.set(path, bytes);
    return fault ?? 'ok';
  }

  remove(path: string, recursive: boolean): string {
    const fault =
      this.wayFault(path) ??
      (!this.tree.has(path) ? 'not-found' : !recursive && this.under(path).length > 0 ? 'not-empty' : undefined);
    if (fault === undefined) for (const gone of [path, ...this.under(path)]) this.tree.delete(gone);
    return fault ?? 'ok';
  }

  relocate(from: string, to: string, isMove: boolean): string {
    const source = this.tree.get(from);
    const fault =
      this.wayFault(from) ??
      (source === undefined
        ? 'not-found'
        : source === null && to.startsWith(`${from}/`)
          ? 'invalid'
          : (this.goalFault(from, to, isMove) ?? undefined));
    if (fault !== undefined) return fault;
    if (from === to) return 'ok';
    const moving = [from, ...this.under(from)].map((path) => [path, this.tree.get(path) ?? null] as const);
    if (isMove) for (const [path] of moving) this.tree.delete(path);
    for (const [path, bytes] of moving) this.tree.set(to + path.slice(from.length), bytes);
    return 'ok';
  }

  goalFault(from: string, to: string, isMove: boolean): string | undefined {
    const way = this.wayFault(to);
    if (way !== undefined) return way;
    if (from === to && isMove) return undefined;
    return this.tree.has(to) ? 'exists' : undefined;
  }
}

interface Step {
  readonly shown: string;
  readonly real: (stand: Stand) => Promise<unknown>;
  readonly model: (model: Model) => string;
}

function randomPath(random: Random): string {
  const depth = 1 + random.below(3);
  return Array.from({ length: depth }, () => `/${NAMES[random.below(NAMES.length)]}`).join('');
}

function randomStep(random: Random): Step {
  const [path, other] = [randomPath(random), randomPath(random)];
  const kind = random.below(10);
  if (kind < 2) {
    return {
      shown: `mkdir ${path}`,
      real: ({ service }) => service.makeFolder(path),
      model: (model) => model.makeFolder(path),
    };
  }
  if (kind < 6) {
    const size = random.below(4) === 0 ? random.below(300_000) : random.below(6_000);
    const bytes = Buffer.from(random.bytes(size));
    const mode = (['create', 'replace', 'put'] as const)[random.below(3)] ?? 'put';
    return {
      shown: `${mode} ${path} ${size}`,
      real: ({ service }) => service.write(path, [bytes], { mode }),
      model: (model) => model.write(path, bytes, mode),
    };
  }
  if (kind < 7) {
    const recursive = random.below(2) === 0;
    return {
      shown: `rm ${recursive} ${path}`,
      real: ({ service }) => service.remove(path, { recursive }),
      model: (model) => model.remove(path, recursive),
    };
  }
  const isMove = kind < 9;
  return {
    shown: `${isMove ? 'mv' : 'cp'} ${path} ${other}`,
    real: ({ service }) => (isMove ? service.move(path, other) : service.copy(path, other)),
    model: (model) => model.relocate(path, other, isMove),
  };
}

async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (Fault.is(error)) return error.code;
    throw error;
  }
}

async function treeOf({ service }: Stand): Promise<Tree> {
  const tree: Tree = new Map();
  for await (const record of service.manifest({ path: '/' })) {
    if (record.is_directory) tree.set(record.path, null);
    else tree.set(record.path, await bytesOf((await service.read({ id: record.file_id })).bytes));
  }
  return tree;
}

async function assertWhole(stand: Stand, model: Model, seed: number): Promise<void> {
  const tree = await treeOf(stand);
  assert.deepEqual([...tree.keys()].sort(), [...model.tree.keys()].sort(), `seed ${seed}`);
  for (const [path, bytes] of model.tree) {
    if (bytes !== null) assert.ok(tree.get(path)?.equals(bytes), `seed ${seed}: ${path}`);
    const record = await stand.service.stat({ path });
    const folders = [...model.tree].filter(([other, kind]) => kind === null && parentOf(other) === path).length;
    assert.equal(record.links, bytes === null ? 2 + folders : 1, `seed ${seed}: links of ${path}`);
  }
  await stand.files.reapNow();
  const report = await stand.service.check();
  assert.deepEqual(report.problems, [], `seed ${seed}`);
  const stats = await stand.service.stats();
  const logical = [...model.tree.values()].reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0);
  assert.equal(stats.logical_bytes, logical, `seed ${seed}`);
  assert.equal(stats.files + stats.folders, model.tree.size, `seed ${seed}`);
}

test('the file service does what a simple tree does, whatever comes one after the other', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await using stand = await openStand({ seed });
    const random = seededRandom(seed);
    const model = new Model();
    const script: string[] = [];
    for (let number = 0; number < STEPS; number++) {
      const step = randomStep(random);
      script.push(step.shown);
      const expected = step.model(model);
      assert.equal(
        await outcomeOf(step.real(stand)),
        expected,
        `seed ${seed}, step ${number}:\n${script.slice(-10).join('\n')}`,
      );
    }
    await assertWhole(stand, model, seed);
  }
});

test('operations at the same time leave a tree that adds up, and every answer was true of some moment', async () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    await using stand = await openStand({ seed });
    const random = seededRandom(seed);
    for (let round = 0; round < 12; round++) {
      const steps = Array.from({ length: 8 }, () => randomStep(random));
      await Promise.all(steps.map((step) => outcomeOf(step.real(stand))));
    }
    // The tree as it is now is the model: what counts is that all that is counted agrees with it.
    const model = new Model();
    for (const [path, bytes] of await treeOf(stand)) model.tree.set(path, bytes);
    await assertWhole(stand, model, seed);
  }
});

test('with no versions kept, removing everything gives back every content and leaves no reference', async () => {
  await using stand = await openStand({
    options: { versionsKept: [], historyKeptSeconds: 0 },
  });
  const random = seededRandom(7);
  for (let number = 0; number < 100; number++) await outcomeOf(randomStep(random).real(stand));
  const { entries } = await stand.service.list({ path: '/' });
  for (const { path } of entries) await stand.service.remove(path, { recursive: true });
  await stand.files.reapNow();
  stand.clock.advance(1_000);
  await stand.files.sweepNow();
  await stand.files.reapNow();
  for (const table of ['contents', 'extents', 'versions', 'entries', 'reaps'] as const) {
    assert.deepEqual(await stand.meta.scan(table, { prefix: [], limit: 10 }), [], table);
  }
  const chunks = await stand.meta.scan('chunks', { prefix: [], limit: 1_000 });
  assert.deepEqual(
    chunks.filter(({ refs }) => refs !== 0),
    [],
  );
  const stats = await stand.service.stats();
  assert.equal(stats.logical_bytes + stats.history_bytes, 0);
});

test('a short command takes apart what it removed before it ends', async () => {
  const meta = openSqliteFile(':memory:');
  {
    await using stand = await openStand({ meta, background: false });
    await stand.service.write('/f/g/file', [Buffer.from('x')], { mode: 'create', parents: true });
    await stand.service.remove('/f', { recursive: true });
  }
  assert.deepEqual(await meta.scan('reaps', { prefix: [], limit: 10 }), []);
  assert.deepEqual(await meta.scan('entries', { prefix: [], limit: 10 }), []);
  await meta.close();
});

test('versions of a path rise through a file that took its place, each with a number of its own', async () => {
  await using stand = await openStand();
  const { service } = stand;
  const write = (path: string, text: string): Promise<unknown> =>
    service.write(path, [Buffer.from(text)], { mode: 'put' });
  await write('/kept', 'one');
  await write('/kept', 'two');
  await write('/new', 'three');
  await service.move('/new', '/kept', { overwrite: true });
  const { versions } = await service.versions({ path: '/kept' });
  assert.deepEqual(
    versions.map(({ version }) => version),
    [3, 2, 1],
  );
  await service.restore({ path: '/kept' }, 1);
  assert.equal((await bytesOf((await service.read({ path: '/kept' })).bytes)).toString(), 'one');
  assert.equal((await bytesOf((await service.read({ path: '/kept' }, { version: 2 })).bytes)).toString(), 'two');
});
