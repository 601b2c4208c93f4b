/**
 * A snapshot of a large tree costs what one of an empty tree does: a million entries are made, then snapshots of all of
 * it, each in its own durable commit; how long each takes, and what the metadata grows by, is measured and judged. Then
 * the tree is changed, and the snapshots still show what was.
 *
 * The entries are written as rows, in changes as large as changes may be: what makes a tree is not what is measured.
 */
import { closeSync, fdatasyncSync, mkdtempSync, openSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileService } from '../../src/api/index.ts';
import { utf8 } from '../../src/base/index.ts';
import { NODE_KIND, type NodeId, type NodeRow, type Put } from '../../src/meta/index.ts';
import { configOf, type OpenStore, openStore } from '../../src/server/index.ts';
import type { Soak } from '../../tools/soak.ts';

const FOLDER_ENTRIES = 1_000;
/** Folders that one change makes: it may have 10,000 rows. */
const CHANGE_FOLDERS = 4;
const SNAPSHOTS = 50;
const MS_MAX = 10;
const BYTES_MAX = 100_000;
/** Opening costs the first commit more than it costs those behind it. */
const WARM_UP = 3;

export const soak: Soak = {
  about: 'snapshots of a tree of --entries 1000000: each at most 10 ms and 100 KB; two minutes',
  run: async (words) => {
    const entries = words.number('entries', 1_000_000);
    const folder = mkdtempSync(join(tmpdir(), 'holdfast-snapshots-'));
    try {
      const options = configOf({ store: join(folder, 'store') }).values;
      {
        await using made = await openStore({ options, create: true, command: 'soak' });
        const { median } = await snapshotsOf(made.service({ door: 'soak', request: '' }), made.folder, 'empty');
        process.stdout.write(`of an empty tree: median ${median.toFixed(2)} ms\n`);
        process.stdout.write(`4 KiB and fsync on this disk: median ${syncMs(folder).toFixed(2)} ms\n`);
        await measured('making a tree', () => makeTree(made, entries));
      }
      // Opened anew, its log is empty: what a snapshot writes can be seen.
      await using store = await openStore({ options, command: 'soak' });
      const service = store.service({ door: 'soak', request: '' });
      await judge(service, store.folder);
      await looksBack(service, entries);
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};

async function measured<T>(what: string, act: () => Promise<T>): Promise<T> {
  const started = performance.now();
  const answer = await act();
  process.stdout.write(`${what}: ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return answer;
}

/** Folders of a thousand symlinks each: entries with a node, and no bytes. */
async function makeTree({ files }: OpenStore, entries: number): Promise<void> {
  const { context, spaces } = files;
  const [space] = spaces;
  if (space === undefined) throw new Error('the store has no space');
  const like = await context.meta.get('nodes', [space.space, space.root]);
  if (like === undefined) throw new Error('the root is missing');
  let last: Promise<unknown> = Promise.resolve();
  for (let begin = 0; begin < entries; begin += CHANGE_FOLDERS * FOLDER_ENTRIES) {
    const end = Math.min(entries, begin + CHANGE_FOLDERS * FOLDER_ENTRIES);
    const puts: Put[] = [];
    for (let at = begin; at < end; at += FOLDER_ENTRIES) {
      const folder = await context.ids.node(space.space);
      puts.push(...rowsOf(like, { node: folder, kind: NODE_KIND.folder, parent: space.root, name: `folder ${at}` }));
      for (let child = 1; child < Math.min(FOLDER_ENTRIES, entries - at); child++) {
        const node = await context.ids.node(space.space);
        puts.push(...rowsOf(like, { node, kind: NODE_KIND.symlink, parent: folder, name: `entry ${child}` }));
      }
    }
    // One is written while the next is made.
    await last;
    last = context.groups.commit({
      space: space.space,
      now: context.clock.now(),
      record: { actor: 'owner', door: 'soak', request: '', kind: 'soak', items: [] },
      touches: [{ space: space.space, folder: space.root, links: Math.ceil((end - begin) / FOLDER_ENTRIES) }],
      puts,
    });
  }
  await last;
}

interface Wanted {
  readonly node: NodeId;
  readonly kind: NodeRow['kind'];
  readonly parent: NodeId;
  readonly name: string;
}

function rowsOf(like: NodeRow, { node, kind, parent, name }: Wanted): Put[] {
  const isFolder = kind === NODE_KIND.folder;
  const target = isFolder ? null : utf8('target');
  const row = { ...like, node, kind, parent: isFolder ? parent : null, links: isFolder ? 2 : 1, target };
  return [
    { table: 'nodes', mode: 'insert', row: { ...row, size: target?.length ?? 0, content: null } },
    { table: 'entries', mode: 'insert', row: { space: like.space, parent, name: utf8(name), node, kind, born: 0 } },
  ];
}

interface Cost {
  readonly median: number;
  readonly worst: number;
  /** Bytes each, as far as files grew. */
  readonly grown: number;
}

async function snapshotsOf(service: FileService, folder: string, name: string): Promise<Cost> {
  const [times, growths]: [number[], number[]] = [[], []];
  for (let at = 0; at < WARM_UP; at++) await service.createSnapshot(`${name}-first-${at}`);
  for (let at = 0; at < SNAPSHOTS; at++) {
    const before = metadataBytes(folder);
    const started = performance.now();
    await service.createSnapshot(`${name}-${at}`);
    times.push(performance.now() - started);
    growths.push(metadataBytes(folder) - before);
  }
  const sorted = times.toSorted((a, b) => a - b);
  const grown = growths.reduce((sum, bytes) => sum + Math.max(0, bytes), 0) / SNAPSHOTS;
  return { median: sorted[Math.floor(SNAPSHOTS / 2)] ?? 0, worst: sorted.at(-1) ?? 0, grown };
}

async function judge(service: FileService, folder: string): Promise<void> {
  const { median, worst, grown } = await snapshotsOf(service, folder, 's');
  if (grown === 0) throw new Error('what a snapshot takes could not be seen');
  const figures = `median ${median.toFixed(2)} ms, longest ${worst.toFixed(2)} ms, ${Math.round(grown)} bytes each`;
  process.stdout.write(`${SNAPSHOTS} snapshots: ${figures}\n`);
  if (median > MS_MAX) throw new Error(`a snapshot takes ${median.toFixed(1)} ms; ${MS_MAX} is the most`);
  if (grown > BYTES_MAX) throw new Error(`a snapshot takes ${Math.round(grown)} bytes; ${BYTES_MAX} is the most`);
}

/** What the disk alone takes: a snapshot waits for it once. */
function syncMs(folder: string): number {
  const [page, times]: [Uint8Array, number[]] = [new Uint8Array(4096), []];
  const file = openSync(join(folder, 'synced'), 'w');
  for (let at = 0; at < SNAPSHOTS; at++) {
    const started = performance.now();
    writeSync(file, page);
    fdatasyncSync(file);
    times.push(performance.now() - started);
  }
  closeSync(file);
  return times.toSorted((a, b) => a - b)[Math.floor(SNAPSHOTS / 2)] ?? 0;
}

/** The database and its log. */
function metadataBytes(store: string): number {
  const folder = join(store, 'meta');
  return readdirSync(folder).reduce((sum, name) => sum + statSync(join(folder, name)).size, 0);
}

async function looksBack(service: FileService, entries: number): Promise<void> {
  const at = { at: 's-0' };
  await service.remove('/folder 0', { recursive: true });
  await service.move(`/folder ${FOLDER_ENTRIES}`, '/moved');
  const count = async (path: string, options: object): Promise<number> => {
    let found = 0;
    let cursor: string | undefined;
    do {
      const page = await service.list({ path }, { ...options, cursor });
      found += page.entries.length;
      cursor = page.next;
    } while (cursor !== undefined);
    return found;
  };
  const folders = Math.ceil(entries / FOLDER_ENTRIES);
  const [now, then] = [await count('/', {}), await count('/', at)];
  if (now !== folders - 1 || then !== folders) throw new Error(`${now} folders now and ${then} then, of ${folders}`);
  const inside = await measured('listing a removed folder of a thousand', () => count('/folder 0', at));
  if (inside !== FOLDER_ENTRIES - 1) throw new Error(`${inside} entries were in the folder that is gone`);
  await measured('deleting a snapshot', () => service.removeSnapshot('s-1'));
}
