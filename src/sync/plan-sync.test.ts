/** Plans of syncing: by table, and against an obvious model that looks at one path at a time. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { type Random, seededRandom } from '../base/index.ts';
import { planSync, SYNC_STRATEGIES, type SyncEntry, type SyncPlan, type SyncTree } from './plan-sync.ts';

const SEEDS = 3_000;

function treeOf(entries: Readonly<Record<string, string | null>>): SyncTree {
  return new Map(Object.entries(entries).map(([path, text]) => [path, entryOf(text)]));
}

/** Text is a file with it, null a folder, `->` something else; `@` ends a content and begins its time. */
function entryOf(text: string | null): SyncEntry {
  if (text === null) return { kind: 'folder', identity: null };
  if (text.startsWith('->')) return { kind: 'other', identity: text };
  const [content = '', day] = text.split('@');
  const modified = day === undefined ? {} : { modified: `2026-01-${day}T00:00:00Z` };
  return { kind: 'file', identity: content === '?' ? null : content, ...modified };
}

const NOTHING: SyncPlan = {
  clientUpload: [],
  clientDownload: [],
  clientCreateFolders: [],
  serverCreateFolders: [],
  clientDelete: [],
  serverDelete: [],
  conflicts: [],
};

test('without a base nothing is deleted, and what differs is a conflict', () => {
  const client = treeOf({ '/same': 'x', '/mine': 'm', '/both': 'c', '/f': null, '/f/in': 'i', '/unknown': '?' });
  const server = treeOf({ '/same': 'x', '/theirs': 't', '/both': 's', '/g': null, '/unknown': '?' });
  const plan = planSync({ client, server, strategy: 'prefer_remote' });
  const both = { path: '/both', resolution: 'use_remote', client: entryOf('c'), server: entryOf('s') };
  const unknown = { path: '/unknown', resolution: 'use_remote', client: entryOf('?'), server: entryOf('?') };
  assert.deepEqual(plan, {
    ...NOTHING,
    clientUpload: ['/f/in', '/mine'],
    clientDownload: ['/both', '/theirs', '/unknown'],
    clientCreateFolders: ['/g'],
    serverCreateFolders: ['/f'],
    conflicts: [both, unknown],
  });
});

test('with a base whoever did not change something takes what the other did', () => {
  const base = treeOf({ '/a': '1', '/b': '1', '/c': '1', '/d': '1', '/e': '1', '/g': '1', '/h': '1' });
  const client = treeOf({ '/a': '1', '/b': '2', '/c': '1', '/e': '2', '/g': '2', '/h': '2' });
  const server = treeOf({ '/a': '2', '/b': '1', '/d': '1', '/e': '3', '/h': '2' });
  const plan = planSync({ client, server, base, strategy: 'manual' });
  const conflict = { path: '/e', resolution: 'manual', client: entryOf('2'), server: entryOf('3') };
  assert.deepEqual(plan, {
    ...NOTHING,
    clientUpload: ['/b', '/g'],
    clientDownload: ['/a'],
    clientDelete: ['/c'],
    serverDelete: ['/d'],
    conflicts: [conflict],
  });
});

test('a folder that was removed goes with all that is in it, and stays for what is new or changed in it', () => {
  const base = treeOf({ '/f/a': '1', '/f/g/b': '1', '/h/c': '1', '/k/l': '->x' });
  const client = treeOf({ '/f/a': '1', '/f/g/b': '1', '/h/c': '1', '/h/new': '2', '/k/l': '->x' });
  const plan = planSync({ client, server: treeOf({}), base, strategy: 'manual' });
  assert.deepEqual(plan, {
    ...NOTHING,
    clientUpload: ['/h/new'],
    clientDelete: ['/h/c', '/f/g/b', '/f/g', '/f/a', '/f'],
    // The link in /k is left alone, so its folder stays too.
    serverCreateFolders: ['/h', '/k'],
  });
});

test('of one folder only what is in it is compared, not the folder itself', () => {
  const base = treeOf({ '/f/g/a': '1' });
  const plan = planSync({ client: treeOf({}), server: base, base, strategy: 'manual', folder: '/f/g' });
  assert.deepEqual(plan, { ...NOTHING, serverDelete: ['/f/g/a'] });
});

test('a file here and a folder there are left to a person, with all that is below', () => {
  const plan = planSync({
    client: treeOf({ '/n': 'x' }),
    server: treeOf({ '/n/a': '1', '/n/b/c': '2' }),
    strategy: 'prefer_local',
  });
  const conflict = { path: '/n', resolution: 'manual', client: entryOf('x'), server: entryOf(null) };
  assert.deepEqual(plan, { ...NOTHING, conflicts: [conflict] });
});

test('the newer one wins where times decide, and nobody where they are equal or unknown', () => {
  const client = treeOf({ '/old': 'a@01', '/new': 'a@03', '/same': 'a@02', '/none': 'a' });
  const server = treeOf({ '/old': 'b@02', '/new': 'b@02', '/same': 'b@02', '/none': 'b@01' });
  const plan = planSync({ client, server, strategy: 'prefer_newer' });
  assert.deepEqual([plan.clientUpload, plan.clientDownload], [['/new'], ['/old']]);
  const resolutions = plan.conflicts.map(({ path, resolution }) => `${path} ${resolution}`);
  assert.deepEqual(resolutions, ['/new use_newer', '/none manual', '/old use_newer', '/same manual']);
});

// ---- the model

type Model = Map<string, string | null>;

const NAMES = ['a', 'b', 'c'];

function randomTree(random: Random, folder = '', depth = 0): [string, string | null][] {
  return NAMES.flatMap((name): [string, string | null][] => {
    const path = `${folder}/${name}`;
    const dice = random.below(10);
    if (dice < 4) return [];
    if (dice < 8 || depth === 2) return [[path, String(random.below(3))]];
    return [[path, null], ...randomTree(random, path, depth + 1)];
  });
}

/** What somebody makes of a tree: files changed, things removed with what is in them, things made. */
function edited(tree: Model, random: Random): Model {
  const after = new Map(tree);
  for (const [path, text] of tree) {
    if (!after.has(path)) continue;
    const dice = random.below(8);
    if (dice === 0) for (const other of [...after.keys()]) if (`${other}/`.startsWith(`${path}/`)) after.delete(other);
    if (dice === 1 && text !== null) after.set(path, String(random.below(3)));
    if (dice === 2 && text === null) after.set(`${path}/new${random.below(2)}`, String(random.below(3)));
  }
  for (const [path, text] of random.below(2) === 0 ? randomTree(random) : []) {
    const above = path.slice(0, path.lastIndexOf('/'));
    if (!after.has(path) && (above === '' || after.get(above) === null)) after.set(path, text);
  }
  return after;
}

const syncTree = (model: Model): SyncTree => new Map([...model].map(([path, text]) => [path, entryOf(text)]));
const isBelow = (path: string, folder: string): boolean => path.startsWith(`${folder}/`);

/** What a path holds on both sides in the end, looked up in the table of the head of plan-sync.ts; 'clash' to leave it. */
function expected(path: string, client: Model, server: Model, base: Model | undefined): string | null | undefined {
  const [c, s, b] = [client.get(path), server.get(path), base?.get(path)];
  if (c === s) return c;
  if (base !== undefined && c === b) return s;
  if (base !== undefined && s === b) return c;
  // Both changed it: what is there stays; the client's where both are, as the strategy of the test says.
  return c === undefined ? s : c;
}

function applied(
  tree: Model,
  gets: readonly string[],
  from: Model,
  creates: readonly string[],
  deletes: readonly string[],
): Model {
  const after = new Map(tree);
  for (const path of deletes) {
    const inside = [...after.keys()].filter((other) => isBelow(other, path));
    assert.deepEqual(inside, [], `${path} is removed with something in it`);
    assert.ok(after.delete(path), `${path} is removed and was not there`);
  }
  for (const path of creates) {
    assert.ok(!after.has(path), `${path} is made and is there`);
    after.set(path, null);
  }
  for (const path of gets) {
    const content = from.get(path);
    assert.equal(typeof content, 'string', `${path} is sent and is no file`);
    assert.notEqual(after.get(path), null, `${path} is written over a folder`);
    after.set(path, content ?? '');
  }
  for (const path of after.keys()) {
    const above = path.slice(0, path.lastIndexOf('/'));
    assert.ok(above === '' || after.get(above) === null, `${path} has no folder`);
  }
  return after;
}

test('a plan that is carried out makes both trees what the model says, and loses nothing', () => {
  for (let seed = 1; seed <= SEEDS; seed++) {
    const random = seededRandom(seed);
    const origin: Model = new Map(randomTree(random));
    const base = random.below(3) === 0 ? undefined : origin;
    const [client, server] = [edited(origin, random), edited(origin, random)];
    const facts = { client: syncTree(client), server: syncTree(server), base: base && syncTree(base) };
    const plan = planSync({ ...facts, strategy: 'prefer_local' });
    try {
      checkPlan(plan, client, server, base);
    } catch (error) {
      throw new Error(
        `seed ${seed}: ${JSON.stringify({ client: [...client], server: [...server], base: base && [...base], plan })}`,
        {
          cause: error,
        },
      );
    }
  }
});

function checkPlan(plan: SyncPlan, client: Model, server: Model, base: Model | undefined): void {
  const newClient = applied(client, plan.clientDownload, server, plan.clientCreateFolders, plan.clientDelete);
  const newServer = applied(server, plan.clientUpload, client, plan.serverCreateFolders, plan.serverDelete);
  if (base === undefined) assert.deepEqual([plan.clientDelete, plan.serverDelete], [[], []]);
  const clashes = [...client.keys()].filter((path) => {
    const [c, s] = [client.get(path), server.get(path)];
    return c !== undefined && s !== undefined && (c === null) !== (s === null);
  });
  const isLeft = (path: string): boolean => clashes.some((clash) => path === clash || isBelow(path, clash));
  const wanted = new Map<string, string | null>();
  for (const path of new Set([...client.keys(), ...server.keys()])) {
    const content = expected(path, client, server, base);
    if (isLeft(path)) continue;
    if (content !== undefined) wanted.set(path, content);
  }
  // Folders stay for what stays in them, on either side.
  const staying = [...wanted.keys(), ...[...client.keys(), ...server.keys()].filter(isLeft)];
  for (const path of staying)
    for (let above = path; above.lastIndexOf('/') > 0; ) {
      above = above.slice(0, above.lastIndexOf('/'));
      if (!isLeft(above)) wanted.set(above, null);
    }
  for (const [side, before, after] of [
    ['client', client, newClient],
    ['server', server, newServer],
  ] as const) {
    const [moved, left] = [new Map<string, string | null>(), new Map<string, string | null>()];
    for (const [path, text] of after) (isLeft(path) ? left : moved).set(path, text);
    assert.deepEqual(sortedOf(moved), sortedOf(wanted), side);
    assert.deepEqual(
      sortedOf(left),
      sortedOf(new Map([...before].filter(([path]) => isLeft(path)))),
      `${side}, left alone`,
    );
  }
  for (const path of plan.clientDelete)
    assert.equal(client.get(path), base?.get(path), 'a change of the client is lost');
  for (const path of plan.serverDelete)
    assert.equal(server.get(path), base?.get(path), 'a change of the server is lost');
}

function sortedOf(model: Model): readonly (readonly [string, string | null])[] {
  return [...model].sort(([one], [other]) => (one < other ? -1 : 1));
}

test('every strategy moves the same files, and only who wins differs', () => {
  for (let seed = 1; seed <= 300; seed++) {
    const random = seededRandom(seed);
    const origin: Model = new Map(randomTree(random));
    const [client, server, base] = [edited(origin, random), edited(origin, random), origin].map(syncTree);
    const plans = SYNC_STRATEGIES.map((strategy) =>
      planSync({ client: client ?? new Map(), server: server ?? new Map(), base, strategy }),
    );
    const conflicts = plans.map((plan) => plan.conflicts.map(({ path }) => path));
    for (const paths of conflicts) assert.deepEqual(paths, conflicts[0]);
    const rest = plans.map((plan) => {
      const isConflict = new Set(plan.conflicts.map(({ path }) => path));
      const without = (paths: readonly string[]): string[] => paths.filter((path) => !isConflict.has(path));
      return {
        ...plan,
        conflicts: [],
        clientUpload: without(plan.clientUpload),
        clientDownload: without(plan.clientDownload),
      };
    });
    for (const plan of rest) assert.deepEqual(plan, rest[0]);
  }
});
