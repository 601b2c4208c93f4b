/**
 * Bugs planted on purpose between the parts of a simulated store, each of a kind that a simulation must find: the order
 * of what is made durable, what belongs into one transaction, what must wait. None of them needs a line in the product.
 */
import { momentOfMs, msOfMoment } from '../../src/base/index.ts';
import type { MetaStore } from '../../src/meta/index.ts';
import type { RowWrite } from '../../src/meta/rows/row-source.ts';
import type { Disk, DiskFile } from '../../src/objects/index.ts';
import { turn } from './slow-disk.ts';
import type { Wraps } from './world.ts';

const LATE_TURNS = 8;
const DAY_MS = 86_400_000;

/** A commit does not wait for the sync of the records it names: that comes some turns later. */
export const COMMIT_BEFORE_SYNC: Wraps = {
  packDisk: (disk) => ({ ...callsOf(disk), open: async (path, mode) => lateFile(await disk.open(path, mode)) }),
};

function lateFile(file: DiskFile): DiskFile {
  return {
    read: (into, offset) => file.read(into, offset),
    write: (parts, offset) => file.write(parts, offset),
    truncate: (lengthBytes) => file.truncate(lengthBytes),
    sync: async () => {
      void syncLate(file);
    },
    sizeBytes: () => file.sizeBytes(),
    close: () => file.close(),
    [Symbol.asyncDispose]: () => file.close(),
  };
}

async function syncLate(file: DiskFile): Promise<void> {
  for (let left = LATE_TURNS; left > 0; left--) await turn();
  // It may be closed by then; that is part of the bug.
  await file.sync().catch(() => {});
}

/** Counts of references are written in a transaction of their own, behind the rows that cause them. */
export const COUNTS_OUTSIDE: Wraps = {
  meta: (meta) => ({
    ...callsOfMeta(meta),
    write: async (writes) => {
      const rows = [...writes];
      const isCount = ({ table, isNew }: RowWrite): boolean => table === 'chunks' && !isNew;
      await meta.write(rows.filter((row) => !isCount(row)));
      await meta.write(rows.filter(isCount));
    },
  }),
};

/**
 * A collection without the grace epoch: nobody is waited for, neither who reads what just died nor the time that was
 * asked for. The chunk store's clock is a day ahead of that by which chunks die, so everything that is dead is so for
 * long; what a collection changes carries the right time.
 */
export const COLLECT_WITHOUT_GRACE: Wraps = {
  chunksClock: (clock) => ({
    now: () => momentOfMs(msOfMoment(clock.now()) + DAY_MS),
    monotonicMs: () => clock.monotonicMs(),
    after: (delayMs, fire) => clock.after(delayMs, fire),
    sleep: (delayMs, signal) => clock.sleep(delayMs, signal),
  }),
  commit: (commit, clock) => (change) => commit({ ...change, now: clock.now() }),
};

/** A collection takes away what the last checkpoint of the metadata needs, and no newer one is made before. */
export const COLLECT_UNKEPT: Wraps = { collectsUnkept: true };

/** The log is trimmed before its time. */
export const LOG_TRIMMED_EARLY: Wraps = { logKeptSeconds: 1 };

/** What an upload is told to be there is taken for its own, and not counted as a reference. */
export const HAVE_UNCOUNTED: Wraps = {
  meta: (meta) => ({
    ...callsOfMeta(meta),
    write: (writes) => {
      const rows = [...writes];
      const isHave = rows.some(({ table }) => table === 'extents') && rows.every(({ table }) => HAVE_TABLES.has(table));
      return meta.write(isHave ? rows.filter(({ table }) => table === 'extents') : rows);
    },
  }),
};

/** Rows that are written when nothing but extents of known chunks is put. */
const HAVE_TABLES: ReadonlySet<string> = new Set(['extents', 'chunks', 'packs', 'contents', 'spaces']);

function callsOf(disk: Disk): Disk {
  return {
    open: (path, mode) => disk.open(path, mode),
    stat: (path) => disk.stat(path),
    list: (path) => disk.list(path),
    makeFolder: (path) => disk.makeFolder(path),
    rename: (from, to) => disk.rename(from, to),
    remove: (path) => disk.remove(path),
    removeFolder: (path) => disk.removeFolder(path),
    syncFolder: (path) => disk.syncFolder(path),
  };
}

function callsOfMeta(meta: MetaStore): MetaStore {
  return {
    abilities: meta.abilities,
    rows: meta.rows,
    get: (table, key) => meta.get(table, key),
    scan: (name, range) => meta.scan(name, range),
    write: (writes) => meta.write(writes),
    commit: (changes, options) => meta.commit(changes, options),
    leaseIds: (kind, count) => meta.leaseIds(kind, count),
    check: (options) => meta.check(options),
    recount: (now) => meta.recount(now),
    sizeBytes: () => meta.sizeBytes(),
    close: () => meta.close(),
    [Symbol.asyncDispose]: () => meta[Symbol.asyncDispose](),
  };
}
