/**
 * The mounts of a store that this process holds. The fuse room is loaded here and nowhere else, because a process without
 * mounts never needs it.
 *
 * This process must never ask its own mounts for anything in a call that blocks its thread: the thread that waits is the
 * one that would answer. So a mount point holds neither the store nor another mount point, and each mount has a thread of
 * the pool to itself (one stands in a read of the device all the time).
 */
import { realpath } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { pathOfText } from '../api/index.ts';
import { type Clock, Fault, type Log } from '../base/index.ts';
import type { Mounted } from '../fuse/index.ts';
import type { OpenStore } from './open-store.ts';
import type { ServerOptions } from './options-table.ts';

/** Where a tree is to be shown, and how: one table of the option `mounts`. */
export type MountWish = ServerOptions['mounts'][number];

export interface MountsQuestion {
  readonly store: OpenStore;
  readonly wishes: readonly MountWish[];
  readonly options: ServerOptions;
  readonly clock: Clock;
  readonly log: Log;
}

export interface StoreMounts extends AsyncDisposable {
  /** Where they are, absolute, in the order of the wishes. */
  readonly mountPoints: readonly string[];
  /** Resolves when the last of them has ended. */
  readonly ended: Promise<void>;
  /** Resolves when the kernel has been told of every change so far, or after TOLD_MS_MAX; never rejects. */
  told(): Promise<void>;
  /**
   * Unmounts all. Programs that use them are waited for at most `busyMs`, and not at all once `hurry` fires.
   * @throws the fault that kept something written from becoming durable, or a mount from being taken away.
   */
  unmount(how: { readonly busyMs: number; readonly hurry?: AbortSignal | undefined }): Promise<void>;
}

/** Threads of the pool that file work needs beside those that stand in a read. */
const POOL_THREADS_FREE = 4;
/** The kernel takes what it is told in well under a millisecond; nobody waits for one that does not. */
const TOLD_MS_MAX = 2_000;

/**
 * Refuses, before anything is opened or made, what cannot be mounted.
 * @param question `poolThreads`: threads of the pool.
 * @throws Fault as mountTree does for mount points; `invalid` for those that get in one another's or the store's way.
 */
export async function checkMounts(
  question: Pick<MountsQuestion, 'wishes' | 'options' | 'log'> & { readonly poolThreads: number },
): Promise<void> {
  const { wishes, options, log, poolThreads } = question;
  const needed = wishes.length + POOL_THREADS_FREE;
  if (poolThreads < needed) {
    const sentence = `${wishes.length} mounts need ${needed} threads for file work, and this process has ${poolThreads}. Set UV_THREADPOOL_SIZE=${needed} in the environment.`;
    throw new Fault('invalid', sentence, { mounts: wishes.length, threads: poolThreads });
  }
  await requireApart(wishes, options.store);
  const { checkMountPoint } = await import('../fuse/index.ts');
  for (const wish of wishes) {
    pathOfText(wish.subdir);
    await checkMountPoint({ mountPoint: wish.path, overEntries: wish.over_entries, log });
  }
}

/**
 * Mounts all wishes, or none.
 * @throws Fault as mountTree does, each with a sentence that says what to do; `not-found` for a user or a folder of the
 *   store that is not there.
 */
export async function openMounts({ store, wishes, options, clock, log }: MountsQuestion): Promise<StoreMounts> {
  const { mountTree } = await import('../fuse/index.ts');
  await using building = new AsyncDisposableStack();
  const mounted: Mounted[] = [];
  for (const wish of wishes) {
    const root = pathOfText(wish.subdir);
    const { user, read_only: isReadOnly, mandatory_locks: mindsLocks } = wish;
    const tree = building.use(await store.openTree({ user, root, isReadOnly, mindsLocks }));
    const mount = await mountTree(tree, {
      mountPoint: wish.path,
      source: await realFolder(options.store),
      allowOther: wish.allow_other,
      readOnly: wish.read_only,
      overEntries: wish.over_entries,
      attributeSeconds: options['mount.cache'] / 1000,
      entrySeconds: options['mount.cache'] / 1000,
      spinMicroseconds: options['mount.spin'],
      clock,
      log,
    });
    mounted.push(building.use(mount));
  }
  const alive = new Set(mounted);
  const announce = (): void => {
    try {
      store.lock.announce({ mounts: [...alive].map(({ mountPoint }) => mountPoint) });
    } catch (error) {
      // Others are told less about who holds the store; nothing depends on it.
      log.warn('server.not-announced', { error });
    }
  };
  announce();
  for (const mount of mounted) {
    void mount.ended.then(() => {
      alive.delete(mount);
      announce();
    });
  }
  const owned = building.move();
  return {
    mountPoints: mounted.map(({ mountPoint }) => mountPoint),
    ended: Promise.all(mounted.map(({ ended }) => ended)).then(() => {}),
    async told() {
      const enough = new AbortController();
      const late = clock.sleep(TOLD_MS_MAX, enough.signal).then(
        () => log.warn('server.mounts-not-told', { waitedMs: TOLD_MS_MAX }),
        () => {},
      );
      await Promise.race([Promise.all([...alive].map((mount) => mount.told())), late]);
      enough.abort();
    },
    async unmount(how) {
      const ends = await Promise.allSettled(mounted.map((mount) => mount.unmount(how)));
      const faults = ends.flatMap((end) => (end.status === 'rejected' ? [end.reason as unknown] : []));
      for (const { fault } of mounted) if (fault !== undefined) faults.push(fault);
      await owned.disposeAsync().catch((error: unknown) => faults.push(error));
      if (faults.length > 0) throw faults[0];
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

/** @throws Fault `invalid` for a mount point in or above another one, or the store. */
async function requireApart(wishes: readonly MountWish[], storeFolder: string): Promise<void> {
  const store = await realFolder(storeFolder);
  const places = await Promise.all(wishes.map(({ path }) => realFolder(path)));
  for (const [index, place] of places.entries()) {
    const about = { mountPoint: place };
    if (isAtOrBelow(store, place) || isAtOrBelow(place, store)) {
      const sentence = `${place} cannot be the mount point: it is in, at or above the folder of the store, ${store}. Choose a folder apart from it.`;
      throw new Fault('invalid', sentence, { ...about, store });
    }
    const other = places.find((one, at) => at !== index && isAtOrBelow(place, one));
    if (other === undefined) continue;
    const sentence = `${place} cannot be a mount point: ${other === place ? 'it is named twice' : `it is below another one, ${other}`}. Choose folders apart from each other.`;
    throw new Fault('invalid', sentence, { ...about, other });
  }
}

/** Without symlinks, as far as the folder is there; the mount says what is wrong with one that is not. */
async function realFolder(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch {
    return path === dirname(path) ? path : join(await realFolder(dirname(path)), basename(path));
  }
}

function isAtOrBelow(path: string, above: string): boolean {
  return path === above || path.startsWith(above.endsWith('/') ? above : `${above}/`);
}
