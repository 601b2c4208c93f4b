/**
 * A tree, mounted: the connection, the session on it, the notifier beside it, and the way out.
 *
 * A mount ends in one of three ways, and in all of them everything that programs wrote is in the tree, and durable, when
 * `ended` resolves: by `unmount()`; by somebody's umount(8); by an abort of the connection. The tree stays its owner's.
 * While a mount lives, a thread of the process stands in a read that only the kernel can end. So unmount before leaving;
 * for a process that exits all the same, the mount aborts its connection on the way out.
 */
import { type Clock, type Log, silentLog, systemClock } from '../base/index.ts';
import type { PosixTree } from '../files/index.ts';
import { Device, systemCalls } from './device.ts';
import { KernelThread } from './kernel-thread.ts';
import {
  abortNow,
  isDead,
  mountDevice,
  prepareMountPoint,
  raiseReadAhead,
  UNMOUNT,
  unmountFault,
  unmountPath,
} from './mount-point.ts';
import { Notifier } from './notifier.ts';
import { ERRNO } from './protocol.ts';
import { Session, type SessionStats } from './session.ts';

export interface MountOptions {
  /** A folder that is there, empty unless `overEntries`. */
  readonly mountPoint: string;
  /** What kind of file system it is: the type is `fuse.NAME`. Default `holdfast`. */
  readonly name?: string;
  /** What is mounted, as `df` and /proc/mounts show it, and as others tell mounts apart. Default the name. */
  readonly source?: string;
  /** Users other than the one who mounts may come in, as far as permissions let them. Default false. */
  readonly allowOther?: boolean;
  readonly readOnly?: boolean;
  /** Mount over a folder that has entries. Default false. */
  readonly overEntries?: boolean;
  /** How long the kernel may answer from its memory; other doors' changes are told to it meanwhile. Default 60. */
  readonly attributeSeconds?: number;
  readonly entrySeconds?: number;
  /** How long to look for the next request before going to sleep. 0 saves power, more saves time. Default 100. */
  readonly spinMicroseconds?: number;
  /**
   * The kernel collects writes and sends them later. Only where nobody else changes the files: it keeps its own idea of
   * their size and time. Default false.
   */
  readonly writeback?: boolean;
  readonly clock?: Clock;
  readonly log?: Log;
}

export interface MountStats extends SessionStats {
  /** Changes of other doors that the kernel was told. */
  readonly notices: number;
}

export interface UnmountOptions {
  /** How long to try while programs have files open there; then the connection is cut under them. Default 5,000. */
  readonly busyMs?: number;
  /** Refuse instead of cutting. */
  readonly refuseBusy?: boolean;
  /** Ends the trying early. */
  readonly hurry?: AbortSignal | undefined;
}

export interface Mounted extends AsyncDisposable {
  /** Absolute. */
  readonly mountPoint: string;
  /** Resolves when the mount has ended, however that came about, and everything is durable. Never rejects. */
  readonly ended: Promise<void>;
  /** Why not everything was durable when it ended; `undefined` when all was. */
  readonly fault: unknown;
  readonly stats: MountStats;
  /** Waits until the kernel has been told of every change so far. */
  told(): Promise<void>;
  /**
   * Unmounts and waits for `ended`. Safe to repeat.
   * @throws Fault `locked` with `refuseBusy`; `denied`, `io`.
   */
  unmount(options?: UnmountOptions): Promise<void>;
}

const NAME = 'holdfast';
const CACHE_SECONDS = 60;
const SPIN_MICROSECONDS = 100;
const BUSY_MS = 5_000;
const BUSY_RETRY_MS = 100;

/**
 * Looks whether a tree could be shown at a folder, and takes away a mount whose server has died; answers the folder as
 * the kernel lists it. @throws Fault as mountTree does for the mount point.
 */
export function checkMountPoint(
  options: Pick<MountOptions, 'mountPoint' | 'name' | 'overEntries' | 'log'>,
): Promise<string> {
  const { mountPoint, name = NAME, overEntries = false, log = silentLog } = options;
  return prepareMountPoint({ mountPoint, name, overEntries }, systemCalls(), log);
}

/**
 * Shows the tree at a folder.
 * @throws Fault `not-found`, `not-folder`, `not-empty`, `locked`, `denied`, `unavailable`, `unsupported`, `io`, each with
 *   a sentence that says what to do.
 */
export async function mountTree(tree: PosixTree, options: MountOptions): Promise<Mounted> {
  const log = options.log ?? silentLog;
  const clock = options.clock ?? systemClock;
  const system = systemCalls();
  const place = {
    mountPoint: options.mountPoint,
    name: options.name ?? NAME,
    source: options.source ?? options.name ?? NAME,
    allowOther: options.allowOther ?? false,
    readOnly: options.readOnly ?? false,
    overEntries: options.overEntries ?? false,
  };
  const path = await prepareMountPoint(place, system, log);
  const device = new Device(system, await mountDevice(path, place, system));
  const session = new Session({
    tree,
    device,
    clock,
    log,
    attributeSeconds: options.attributeSeconds ?? CACHE_SECONDS,
    entrySeconds: options.entrySeconds ?? CACHE_SECONDS,
    spinMicroseconds: options.spinMicroseconds ?? SPIN_MICROSECONDS,
    writeback: options.writeback ?? false,
  });
  let minor: number;
  try {
    ({ minor } = session.negotiate());
  } catch (error) {
    abortNow(path, system);
    device[Symbol.dispose]();
    throw error;
  }
  const mount = new Mount({ tree, path, device, session, minor, clock, log, writeback: options.writeback ?? false });
  await raiseReadAhead(path, log);
  log.info('fuse.mounted', { mountPoint: path, protocol: `7.${minor}` });
  return mount;
}

interface Parts {
  readonly tree: PosixTree;
  readonly path: string;
  readonly device: Device;
  readonly session: Session;
  readonly minor: number;
  readonly clock: Clock;
  readonly log: Log;
  readonly writeback: boolean;
}

class Mount implements Mounted {
  readonly mountPoint: string;
  readonly ended: Promise<void>;
  readonly #parts: Parts;
  readonly #thread = new KernelThread();
  readonly #notifier: Notifier;
  #unmounting: Promise<void> | undefined;
  #hasEnded = false;

  constructor(parts: Parts) {
    this.#parts = parts;
    const { tree, path, device, session, minor, log } = parts;
    this.mountPoint = path;
    const openNodes = () => session.operations.openNodes();
    this.#notifier = new Notifier({ tree, thread: this.#thread, fd: device.waiting, minor, openNodes, log });
    process.on('exit', this.#onExit);
    session.start();
    this.ended = session.ended.then(() => this.#close());
  }

  get fault(): unknown {
    return this.#parts.session.fault;
  }

  get stats(): MountStats {
    return { ...this.#parts.session.stats, notices: this.#notifier.sentCount };
  }

  async told(): Promise<void> {
    await this.#notifier.flushed();
  }

  unmount(options: UnmountOptions = {}): Promise<void> {
    this.#unmounting ??= this.#unmount(options).finally(() => (this.#unmounting = undefined));
    return this.#unmounting;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.unmount();
  }

  async #unmount({ busyMs = BUSY_MS, refuseBusy = false, hurry }: UnmountOptions): Promise<void> {
    const { path, clock, log } = this.#parts;
    const untilMs = clock.monotonicMs() + busyMs;
    let isBusy = false;
    while (!this.#hasEnded) {
      const errno = await unmountPath(path, 0, this.#thread);
      // Nothing is mounted there: somebody was faster.
      if (errno === 0 || errno === ERRNO.EINVAL) break;
      if (errno !== ERRNO.EBUSY) throw unmountFault(path, errno);
      if (clock.monotonicMs() >= untilMs || hurry?.aborted) {
        if (refuseBusy) throw unmountFault(path, errno);
        await this.#cut();
        break;
      }
      if (!isBusy) log.info('fuse.in-use', { mountPoint: path, waitMs: busyMs });
      isBusy = true;
      await clock.sleep(BUSY_RETRY_MS);
    }
    await this.ended;
  }

  /** Programs hold on: what the kernel has not sent yet is asked for, then the connection ends under them. */
  async #cut(): Promise<void> {
    const { path, log, writeback } = this.#parts;
    log.warn('fuse.unmounted-in-use', { mountPoint: path });
    if (writeback) await this.#thread.call({ kind: 'sync', target: path });
    const errno = await unmountPath(path, UNMOUNT.force | UNMOUNT.detach, this.#thread);
    if (errno !== 0 && errno !== ERRNO.EINVAL) throw unmountFault(path, errno);
  }

  /** After the kernel has ended the connection and the session is done. */
  async #close(): Promise<void> {
    const { path, device, log } = this.#parts;
    this.#hasEnded = true;
    process.off('exit', this.#onExit);
    // The notifier writes to the device from its thread: the thread ends before the descriptor is free for others.
    await this.#notifier[Symbol.asyncDispose]();
    // An aborted connection leaves the mount in place, dead.
    if (await isDead(path)) {
      await unmountPath(path, UNMOUNT.detach, this.#thread);
    }
    await this.#thread[Symbol.asyncDispose]();
    device[Symbol.dispose]();
    log.info('fuse.ended', { mountPoint: path });
  }

  readonly #onExit = (): void => abortNow(this.mountPoint, this.#parts.device.system);
}
