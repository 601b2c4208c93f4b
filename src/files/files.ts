/**
 * The file system itself, opened on metadata and chunks: the spaces of its users, and the work that goes on behind
 * their operations (taking apart what is unreachable, thinning old versions). Doors reach it through fileService.
 */
import { type Path, textOfPath } from '../api/index.ts';
import { type Clock, Fault, hexOf, type Log, type Maybe, type Random, Turns } from '../base/index.ts';
import type { ChunkStore } from '../chunks/index.ts';
import { type Groups, type MetaStore, NODE_KIND, type SpaceRow, THIS_COMMIT } from '../meta/index.ts';
import type { Context, FilesOptions, OnRecutStep, Space } from './context.ts';
import { IdSource } from './id-source.ts';
import { Locks } from './locks/locks.ts';
import { isSweepOwed, moveWindow, sweepHistory } from './past/history-sweep.ts';
import { trimLog } from './past/log-trim.ts';
import { sweepVersions } from './past/retention.ts';
import { SnapshotSchedules } from './past/snapshot-schedules.ts';
import { MODE_DEFAULT } from './plan.ts';
import { HandleSource } from './posix/handle-source.ts';
import { PastTree } from './posix/past-tree.ts';
import type { PosixTree } from './posix/posix.ts';
import { PendingPosixTree } from './posix/posix-tree.ts';
import { TimeTree } from './posix/time-tree.ts';
import { getPath } from './tree.ts';
import { BackgroundCollector } from './upkeep/background-collector.ts';
import { CollectStanding } from './upkeep/collect-standing.ts';
import { dropDeadOrphans, Reaper, releaseDeadBuilds } from './upkeep/reaper.ts';
import { BackgroundScrubber } from './upkeep/scrub.ts';
import { Sharers } from './upkeep/sharers.ts';
import { Uploads } from './uploads/uploads.ts';

/** The one user until there are accounts. */
export const OWNER = 'owner';
const OWNER_SPACE = 1;
const ONLY_REALM = 1;
/** How long a short command goes on taking apart what it made unreachable; the rest waits for the next one. */
const REAP_AT_CLOSE_MS = 2_000;
/** How often kept versions are looked over. */
const SWEEP_MS = 3600 * 1000;
/** How often the window of history moves on, and what has left it is taken away. */
const HISTORY_MS = 600 * 1000;
/** How often uploads that are over their time are looked for. */
const UPLOADS_MS = 600 * 1000;

export interface OpenFilesOptions {
  readonly meta: MetaStore;
  readonly groups: Groups;
  readonly chunks: ChunkStore;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly options: FilesOptions;
  /** Go on with work behind the operations: reaping at once, sweeping now and then. False for a short command. */
  readonly background?: boolean;
  /** Opens a second copy of content, by its place on this machine. */
  readonly secondCopyOf?: Context['secondCopyOf'];
  /** Told where a re-cut is: tests cut it off there. */
  readonly onRecutStep?: OnRecutStep | undefined;
}

export interface OpenTreeOptions {
  readonly user: string;
  /** The folder that is shown as the root; the user's own when absent. */
  readonly root?: Path;
  readonly isReadOnly?: boolean;
  /** Refuse with EBUSY what somebody has locked through another door. Default false. */
  readonly mindsLocks?: boolean;
  /** What the store's disk has. */
  readonly diskSpace: () => Maybe<{ readonly totalBytes: number; readonly freeBytes: number }>;
}

export class Files implements AsyncDisposable {
  readonly context: Context;
  readonly locks: Locks;
  readonly uploads = new Uploads(() => this.context);
  readonly #spaces: Map<string, Space>;
  readonly #reaper: Reaper;
  readonly #isBackground: boolean;
  /** Something became unreachable while nothing is reaped in the background. */
  #isReapOwed = false;
  #sweepTimer: Disposable | undefined;
  #sweep: Promise<unknown> = Promise.resolve();
  #historyTimer: Disposable | undefined;
  /** One sweep of history at a time. */
  #history: Promise<unknown> = Promise.resolve();
  #isHistoryOwed = false;
  #uploadsTimer: Disposable | undefined;
  #uploads: Promise<unknown> = Promise.resolve();
  readonly #closing = new AbortController();
  readonly collecting = new CollectStanding(() => this.context);
  readonly #collector = new BackgroundCollector(
    () => this.context,
    () => this.spaces,
    this.collecting,
    this.#closing.signal,
  );
  readonly #scrubber = new BackgroundScrubber(() => this.context, this.#closing.signal);
  readonly #schedules = new SnapshotSchedules(
    () => this.context,
    () => [...this.#spaces],
    () => this.settle(),
    this.#closing.signal,
  );
  readonly #trees = new Set<PendingPosixTree>();
  #treeCount = 0;

  constructor(options: OpenFilesOptions, spaces: readonly (readonly [string, Space])[], ids: IdSource) {
    this.#spaces = new Map(spaces);
    this.#isBackground = options.background ?? true;
    this.#reaper = new Reaper(
      () => this.context,
      () => [...this.#spaces.values()],
    );
    this.locks = new Locks(() => this.context, options);
    const sharers = new Sharers(() => this.context);
    this.context = {
      ...options,
      ids,
      owner: hexOf(options.random.bytes(8)),
      reading: new Map(),
      readingPast: new Map(),
      turns: new Turns(),
      locks: this.locks,
      spaceOf: (id) => this.spaces.find(({ space }) => space === id),
      sharingOf: (space, chunk) => sharers.of(space, chunk),
      onUnreachable: () => {
        if (this.#isBackground) this.#reaper.kick();
        else this.#isReapOwed = true;
      },
      onHistoryOwed: () => {
        this.#isHistoryOwed = true;
        if (this.#isBackground) this.#sweepHistoryBehind();
      },
    };
  }

  /** Takes over what dead processes left and starts the work behind the operations. */
  async start(): Promise<void> {
    for (const space of this.#spaces.values()) {
      await releaseDeadBuilds(this.context, space);
      await dropDeadOrphans(this.context, space);
      await moveWindow(this.context, space, { isFirst: !this.#isBackground });
      this.#isHistoryOwed ||= await isSweepOwed(this.context, space);
      await this.locks.load(space);
    }
    if (!this.#isBackground) return;
    this.#reaper.kick();
    this.#planSweep();
    this.#planHistory();
    this.#planUploads();
    this.#collector.plan();
    this.#scrubber.plan();
    this.#schedules.plan();
    if (this.#isHistoryOwed) this.#sweepHistoryBehind();
  }

  /** @throws Fault `not-found` for a user that has no space. */
  spaceOf(user: string): Space {
    const space = this.#spaces.get(user);
    if (space === undefined) throw new Fault('not-found', `There is no user ${JSON.stringify(user)}.`, { user });
    return space;
  }

  get spaces(): readonly Space[] {
    return [...this.#spaces.values()];
  }

  /**
   * A user's tree for a POSIX door. Its owner disposes it, before these files are closed.
   * @throws Fault `not-found`, `not-folder` for the folder that is to be its root.
   */
  async openTree(options: OpenTreeOptions): Promise<PosixTree> {
    const space = this.spaceOf(options.user);
    const root = await getPath(this.context, space, options.root ?? []);
    if (root.node.kind !== NODE_KIND.folder) {
      const path = textOfPath(root.path);
      throw new Fault('not-folder', `${path} is not a folder, so it cannot be mounted.`, { path });
    }
    const handles = new HandleSource();
    const tree: PendingPosixTree = new PendingPosixTree({
      ...{ context: this.context, space, user: options.user, root: root.node.node, diskSpace: options.diskSpace },
      isReadOnly: options.isReadOnly ?? false,
      mindsLocks: options.mindsLocks ?? false,
      handles,
      joint: `tree ${++this.#treeCount}`,
      onClose: () => this.#trees.delete(tree),
    });
    this.#trees.add(tree);
    return new TimeTree(tree, new PastTree({ context: this.context, space, root: root.node.node, handles }));
  }

  /** Waits until other doors may see what POSIX doors did so far. @throws the fault of a group that was lost. */
  async settle(): Promise<void> {
    for (const tree of this.#trees) if (tree.hasUnsettled) await tree.syncFs();
  }

  /** Collections behind the operations wait until they may go on. */
  async pauseCollections(isPaused: boolean): Promise<void> {
    await this.#collector.pause(isPaused);
  }

  /** Resolves when everything unreachable has been taken apart (what is being read excepted). */
  async reapNow(): Promise<void> {
    await this.#reaper.drain();
  }

  /** Thins kept versions of all users now; answers how many went. */
  async sweepNow(): Promise<number> {
    let dropped = 0;
    for (const space of this.spaces) dropped += await sweepVersions(this.context, space, this.#closing.signal);
    return dropped;
  }

  /** Makes the snapshots that schedules owe now. */
  async makeDueSnapshots(): Promise<void> {
    await this.#schedules.look();
  }

  /** Moves the window of history on, takes away what nobody needs of it and of the log; answers how many rows went. */
  sweepHistoryNow(): Promise<number> {
    const sweeping = this.#history.then(async () => {
      this.#isHistoryOwed = false;
      let dropped = 0;
      for (const space of this.spaces) {
        await moveWindow(this.context, space);
        dropped += await sweepHistory(this.context, space, this.#closing.signal);
        dropped += await trimLog(this.context, space, this.#closing.signal);
      }
      return dropped;
    });
    this.#history = sweeping.catch(() => undefined);
    return sweeping;
  }

  #sweepHistoryBehind(): void {
    void this.sweepHistoryNow().catch((error: unknown) =>
      this.context.log.warn('files.history-sweep-failed', { error: String(error) }),
    );
  }

  #planHistory(): void {
    this.#historyTimer = this.context.clock.after(HISTORY_MS, () => {
      this.#sweepHistoryBehind();
      void this.#history.then(() => {
        if (!this.#closing.signal.aborted) this.#planHistory();
      });
    });
  }

  async #tidyForAWhile(): Promise<void> {
    const enough = new AbortController();
    const bound = this.context.clock.sleep(REAP_AT_CLOSE_MS, enough.signal).catch(() => undefined);
    const work = async (): Promise<void> => {
      if (this.#isHistoryOwed) await this.sweepHistoryNow();
      await this.#reaper.drain();
    };
    const working = work().catch((error: unknown) =>
      this.context.log.warn('files.tidy-failed', { error: String(error) }),
    );
    await Promise.race([working, bound]);
    enough.abort();
  }

  #planSweep(): void {
    this.#sweepTimer = this.context.clock.after(SWEEP_MS, () => {
      this.#sweep = this.sweepNow()
        .catch((error: unknown) => this.context.log.warn('files.sweep-failed', { error: String(error) }))
        .finally(() => {
          if (!this.#closing.signal.aborted) this.#planSweep();
        });
    });
  }

  /** Removes uploads that are over their time; answers how many. */
  async expireUploadsNow(): Promise<number> {
    let removed = 0;
    for (const space of this.spaces) removed += await this.uploads.removeExpired(space, this.#closing.signal);
    return removed;
  }

  #planUploads(): void {
    this.#uploadsTimer = this.context.clock.after(UPLOADS_MS, () => {
      this.#uploads = this.expireUploadsNow()
        .catch((error: unknown) => this.context.log.warn('files.uploads-failed', { error: String(error) }))
        .finally(() => {
          if (!this.#closing.signal.aborted) this.#planUploads();
        });
    });
  }

  /** Ends the work behind; what is left of it goes on at the next opening. Metadata and chunks stay open. */
  async close(): Promise<void> {
    this.#sweepTimer?.[Symbol.dispose]();
    this.#historyTimer?.[Symbol.dispose]();
    this.#uploadsTimer?.[Symbol.dispose]();
    if (!this.#isBackground && (this.#isReapOwed || this.#isHistoryOwed)) await this.#tidyForAWhile();
    this.#closing.abort(new Fault('unavailable', 'The store is closing.'));
    await this.#collector.close();
    await this.#scrubber.close();
    await this.#schedules.close();
    await this.#sweep;
    await this.#history;
    await this.#uploads;
    await this.uploads.close();
    await this.locks.close();
    await this.#reaper.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

/** Opens the file system; the first opening of a store makes the owner's space. */
export async function openFiles(options: OpenFilesOptions): Promise<Files> {
  const ids = new IdSource(options.meta);
  const row = (await options.meta.get('spaces', [OWNER_SPACE])) ?? (await makeSpace(options, ids));
  const space: Space = { space: row.space, realm: row.realm, root: row.root };
  const files = new Files(options, [[row.name, space]], ids);
  await files.start();
  return files;
}

async function makeSpace(options: OpenFilesOptions, ids: IdSource): Promise<SpaceRow> {
  const now = options.clock.now();
  const root = await ids.node(OWNER_SPACE);
  const row: SpaceRow = {
    space: OWNER_SPACE,
    realm: ONLY_REALM,
    name: OWNER,
    root,
    head: 0,
    headSeconds: now.seconds,
    headNanoseconds: now.nanoseconds,
    liveBytes: 0,
    historyBytes: 0,
    quotaBytes: null,
  };
  const folder = {
    space: OWNER_SPACE,
    node: root,
    kind: NODE_KIND.folder,
    parent: root,
    mode: MODE_DEFAULT.folder,
    uid: options.options.uid,
    gid: options.options.gid,
    links: 2,
    size: 0,
    content: null,
    version: 1,
    versionCommit: THIS_COMMIT,
    replacedNode: null,
    modifiedSeconds: now.seconds,
    modifiedNanoseconds: now.nanoseconds,
    changedSeconds: now.seconds,
    changedNanoseconds: now.nanoseconds,
    accessedSeconds: now.seconds,
    accessedNanoseconds: now.nanoseconds,
    createdSeconds: now.seconds,
    createdNanoseconds: now.nanoseconds,
    device: 0,
    target: null,
    born: 0,
  };
  await options.groups.commit({
    space: OWNER_SPACE,
    now,
    puts: [
      { table: 'spaces', mode: 'insert', row },
      { table: 'nodes', mode: 'insert', row: folder },
    ],
  });
  return row;
}
