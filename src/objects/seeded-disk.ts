/**
 * A disk in memory for simulation: it behaves like NodeDisk until it is told to fail, and knows what a power cut would
 * leave. The same seed and the same calls give the same outcome, crash included.
 *
 * The core is synchronous (`openSync`, `readSync`, …), so that a database's file system can sit on the very same disk;
 * the asynchronous face of `Disk` only wraps it. Every call that changes something is counted, so that a test can run a
 * script once, see the count, and then cut the power at each of them.
 *
 * What survives is said in seeded-bytes.ts (bytes of files) and seeded-names.ts (names).
 */
import { assert, type Clock, concatBytes, ManualClock, msOfMoment, type Random, seededRandom } from '../base/index.ts';
import { inByteOrder } from './byte-order.ts';
import type { Disk, DiskFile, DiskOpenMode, DiskStat } from './disk.ts';
import { diskFault } from './disk-fault.ts';
import type { CrashMood } from './seeded-bytes.ts';
import {
  type CrashMoods,
  type NameStep,
  newFileNode,
  newFolderNode,
  type SeededFileNode,
  type SeededFolderNode,
  SeededNames,
  type SeededNode,
} from './seeded-names.ts';

/** The power is gone: thrown by the call in which it happens and by every later one. Not a Fault: nobody handles it. */
export class PowerCut extends Error {
  constructor() {
    super('The power is cut. Take what crash() gives as the disk of the next start.');
    this.name = 'PowerCut';
  }
}

export interface SeededDiskOptions {
  readonly seed: number;
  /** For modification times; one that stands still when absent. */
  readonly clock?: Clock;
  /** Bytes that all files together may have; a write beyond it is cut short with `full`. No bound when absent. */
  readonly bytesMax?: number;
}

/** How a failing call fails: `io` as a broken disk, `full` as one without room. */
export type SeededFailure = 'io' | 'full';

/** What becomes of one changing call. */
type Fate = 'go' | 'cut' | SeededFailure;

const ERRNO = { io: 'EIO', full: 'ENOSPC' } as const satisfies Record<SeededFailure, string>;
const SEEDS = 2 ** 32;

export class SeededDisk implements Disk {
  readonly #names: SeededNames;
  readonly #random: Random;
  readonly #clock: Clock;
  readonly #fates = new Map<number, Fate>();
  #bytesMax: number;
  #mutationCount = 0;
  #isCut = false;
  #watch: (() => void) | undefined;

  constructor(options: SeededDiskOptions, names?: SeededNames) {
    this.#random = seededRandom(options.seed);
    this.#clock = options.clock ?? new ManualClock();
    this.#bytesMax = options.bytesMax ?? Number.POSITIVE_INFINITY;
    this.#names = names ?? new SeededNames(newFolderNode(msOfMoment(this.#clock.now())));
  }

  /** Calls so far that changed something or synced. */
  get mutationCount(): number {
    return this.#mutationCount;
  }

  get isCut(): boolean {
    return this.#isCut;
  }

  /** Bytes of all files that have a name now. */
  get usedBytes(): number {
    return bytesBelow(this.#names.root);
  }

  setBytesMax(bytesMax: number): void {
    this.#bytesMax = bytesMax;
  }

  /**
   * Calls `before` ahead of every changing call, while the disk is still as it was: `crash()` there gives what a power
   * cut in that call would leave, without ending the run. One watcher at a time, until it is disposed.
   */
  watch(before: () => void): Disposable {
    assert(this.#watch === undefined, 'a seeded disk has one watcher at a time');
    this.#watch = before;
    return {
      [Symbol.dispose]: () => {
        this.#watch = undefined;
      },
    };
  }

  /** The `n`th changing call from now (1 is the next) fails; a write may have written any prefix, a sync loses bytes. */
  failAt(n: number, failure: SeededFailure): void {
    this.#fates.set(this.#mutationCount + n, failure);
  }

  /** The power goes in the `n`th changing call from now: it throws PowerCut, as does everything after it. */
  crashAt(n: number): void {
    this.#fates.set(this.#mutationCount + n, 'cut');
  }

  /**
   * The disk as the next start would find it if the power went now; this one stays as it is, so that one moment can be
   * crashed with many seeds. Without a seed chance continues from this disk's own. `moods` decides instead of chance
   * what is lost in the large; which sectors of a torn write are is chance still.
   */
  crash(seed = this.#random.below(SEEDS), moods?: CrashMoods): SeededDisk {
    const random = seededRandom(seed);
    return this.#another(seed, new SeededNames(this.#names.afterCrash(random, moods)));
  }

  /** What a power cut now may do, each way once: all of names, and of each file with bytes not synced, or none, or a part. */
  *crashMoods(): Generator<CrashMoods> {
    const waysOfNames = this.#names.areNamesSynced ? (['keep'] as const) : CRASH_WAYS;
    for (const names of waysOfNames) for (const files of waysOf(this.#names.unsyncedFileCount)) yield { names, files };
  }

  /** The whole disk once more, what is not synced included; open files stay with this one. */
  clone(seed = this.#random.below(SEEDS)): SeededDisk {
    return this.#another(seed, this.#names.clone());
  }

  openSync(path: string, mode: DiskOpenMode): SeededFile {
    this.#checkPower();
    const did = mode === 'create' ? 'Making' : 'Opening';
    const found = this.#names.find(path);
    if (found === undefined && mode !== 'create') throw diskFault('ENOENT', did, path);
    if (found !== undefined && mode === 'create') throw diskFault('EEXIST', did, path);
    if (found?.kind === 'folder') throw diskFault('EISDIR', did, path);
    const node = found ?? this.#make(did, path, newFileNode(this.#nowMs()));
    return new SeededFile(this.#access(node, path), path, mode !== 'read');
  }

  statSync(path: string): DiskStat | undefined {
    this.#checkPower();
    const node = this.#names.find(path);
    if (node === undefined) return undefined;
    const sizeBytes = node.kind === 'file' ? node.bytes.length : 0;
    return { kind: node.kind, sizeBytes, modifiedMs: node.modifiedMs };
  }

  listSync(path: string): string[] {
    this.#checkPower();
    const node = this.#names.find(path);
    if (node === undefined) return [];
    if (node.kind !== 'folder') throw diskFault('ENOTDIR', 'Listing', path);
    return inByteOrder([...node.entries.keys()]);
  }

  makeFolderSync(path: string): void {
    this.#checkPower();
    const found = this.#names.find(path);
    if (found?.kind === 'folder') return;
    if (found !== undefined) throw diskFault('EEXIST', 'Making folder', path);
    this.#make('Making folder', path, newFolderNode(this.#nowMs()));
  }

  renameSync(from: string, to: string): void {
    this.#checkPower();
    const did = `Renaming ${from} to`;
    const node = this.#names.find(from);
    if (node === undefined) throw diskFault('ENOENT', did, to);
    const [source, target] = [this.#parent(did, from), this.#parent(did, to)];
    if (this.#names.find(to) === node) return;
    checkReplaceable(node, this.#names.find(to), did, to);
    this.#change(did, to, [
      { ...source, node: undefined },
      { ...target, node },
    ]);
  }

  removeSync(path: string): void {
    this.#checkPower();
    const node = this.#names.find(path);
    if (node === undefined) return;
    if (node.kind === 'folder') throw diskFault('EISDIR', 'Removing', path);
    this.#change('Removing', path, [{ ...this.#parent('Removing', path), node: undefined }]);
  }

  removeFolderSync(path: string): void {
    this.#checkPower();
    const node = this.#names.find(path);
    if (node === undefined) return;
    if (node.kind === 'file') throw diskFault('ENOTDIR', 'Removing folder', path);
    if (node.entries.size > 0) throw diskFault('ENOTEMPTY', 'Removing folder', path);
    this.#change('Removing folder', path, [{ ...this.#parent('Removing folder', path), node: undefined }]);
  }

  syncFolderSync(path: string): void {
    this.#checkPower();
    const node = this.#names.find(path);
    if (node === undefined) throw diskFault('ENOENT', 'Syncing folder', path);
    if (node.kind !== 'folder') throw diskFault('ENOTDIR', 'Syncing folder', path);
    if (this.#nextFate('Syncing folder', path) === 'go') this.#names.syncFolder(node);
    else throw this.#cut();
  }

  async open(path: string, mode: DiskOpenMode): Promise<DiskFile> {
    return this.openSync(path, mode);
  }
  async stat(path: string): Promise<DiskStat | undefined> {
    return this.statSync(path);
  }
  async list(path: string): Promise<string[]> {
    return this.listSync(path);
  }
  async makeFolder(path: string): Promise<void> {
    this.makeFolderSync(path);
  }
  async rename(from: string, to: string): Promise<void> {
    this.renameSync(from, to);
  }
  async remove(path: string): Promise<void> {
    this.removeSync(path);
  }
  async removeFolder(path: string): Promise<void> {
    this.removeFolderSync(path);
  }
  async syncFolder(path: string): Promise<void> {
    this.syncFolderSync(path);
  }

  #another(seed: number, names: SeededNames): SeededDisk {
    return new SeededDisk({ seed, clock: this.#clock, bytesMax: this.#bytesMax }, names);
  }

  #nowMs(): number {
    return msOfMoment(this.#clock.now());
  }

  #checkPower(): void {
    if (this.#isCut) throw new PowerCut();
  }

  #cut(): PowerCut {
    this.#isCut = true;
    return new PowerCut();
  }

  /** Counts a changing call. @throws the fault that is set for it. */
  #nextFate(did: string, path: string, onFailure: () => void = () => {}): 'go' | 'cut' {
    this.#watch?.();
    this.#mutationCount++;
    const fate = this.#fates.get(this.#mutationCount) ?? 'go';
    if (fate === 'go' || fate === 'cut') return fate;
    onFailure();
    throw diskFault(ERRNO[fate], did, path);
  }

  /** A change that the power cut interrupts has begun: like everything not synced it may be found or not. */
  #change(did: string, path: string, steps: readonly NameStep[]): void {
    const fate = this.#nextFate(did, path);
    this.#names.apply(steps);
    for (const { folder } of steps) folder.modifiedMs = this.#nowMs();
    if (fate === 'cut') throw this.#cut();
  }

  #make<T extends SeededNode>(did: string, path: string, node: T): T {
    this.#change(did, path, [{ ...this.#parent(did, path), node }]);
    return node;
  }

  #parent(did: string, path: string): { readonly folder: SeededFolderNode; readonly name: string } {
    const slash = path.lastIndexOf('/');
    const folder = this.#names.find(slash < 0 ? '' : path.slice(0, slash));
    if (folder === undefined || path === '') throw diskFault('ENOENT', did, path);
    if (folder.kind !== 'folder') throw diskFault('ENOTDIR', did, path);
    return { folder, name: path.slice(slash + 1) };
  }

  /** What an open file may do with its node, under this disk's rules. */
  #access(node: SeededFileNode, path: string): FileAccess {
    return {
      node: () => {
        this.#checkPower();
        return node;
      },
      write: (bytes, offset) => this.#write(node, path, bytes, offset),
      truncate: (lengthBytes) => {
        const fate = this.#nextFate('Shortening', path);
        node.bytes.truncate(lengthBytes);
        node.modifiedMs = this.#nowMs();
        if (fate === 'cut') throw this.#cut();
      },
      sync: () => {
        const fate = this.#nextFate('Syncing', path, () => node.bytes.failSync(this.#random));
        if (fate === 'cut') throw this.#cut();
        node.bytes.sync();
      },
    };
  }

  #write(node: SeededFileNode, path: string, bytes: Uint8Array, offset: number): void {
    const writePrefix = (length: number): void => {
      if (length > 0) node.bytes.write(bytes.subarray(0, length), offset);
      node.modifiedMs = this.#nowMs();
    };
    const fate = this.#nextFate('Writing to', path, () => writePrefix(this.#random.below(bytes.length + 1)));
    const room = this.#roomFor(node);
    writePrefix(Math.min(bytes.length, Math.max(0, room - offset)));
    if (fate === 'cut') throw this.#cut();
    if (offset + bytes.length > room) throw diskFault('ENOSPC', 'Writing to', path);
  }

  /** Length in bytes that a file may have without passing the bound. */
  #roomFor(node: SeededFileNode): number {
    if (this.#bytesMax === Number.POSITIVE_INFINITY) return this.#bytesMax;
    return Math.max(node.bytes.length, this.#bytesMax - this.usedBytes + node.bytes.length);
  }
}

interface FileAccess {
  node(): SeededFileNode;
  write(bytes: Uint8Array, offset: number): void;
  truncate(lengthBytes: number): void;
  sync(): void;
}

/** An open file of a seeded disk. Made by `openSync` and `open` only. */
export class SeededFile implements DiskFile {
  readonly #access: FileAccess;
  readonly #path: string;
  readonly #isWritable: boolean;
  #isClosed = false;

  constructor(access: FileAccess, path: string, isWritable: boolean) {
    this.#access = access;
    this.#path = path;
    this.#isWritable = isWritable;
  }

  readSync(into: Uint8Array, offset: number): number {
    return this.#node('Reading').bytes.read(into, offset);
  }

  writeSync(parts: readonly Uint8Array[], offset: number): void {
    this.#checkWritable('Writing to');
    const bytes = concatBytes(parts);
    if (bytes.length > 0) this.#access.write(bytes, offset);
  }

  truncateSync(lengthBytes: number): void {
    this.#checkWritable('Shortening');
    this.#access.truncate(lengthBytes);
  }

  syncSync(): void {
    this.#node('Syncing');
    this.#access.sync();
  }

  sizeBytesSync(): number {
    return this.#node('Measuring').bytes.length;
  }

  closeSync(): void {
    this.#isClosed = true;
  }

  async read(into: Uint8Array, offset: number): Promise<number> {
    return this.readSync(into, offset);
  }
  async write(parts: readonly Uint8Array[], offset: number): Promise<void> {
    this.writeSync(parts, offset);
  }
  async truncate(lengthBytes: number): Promise<void> {
    this.truncateSync(lengthBytes);
  }
  async sync(): Promise<void> {
    this.syncSync();
  }
  async sizeBytes(): Promise<number> {
    return this.sizeBytesSync();
  }
  async close(): Promise<void> {
    this.closeSync();
  }
  async [Symbol.asyncDispose](): Promise<void> {
    this.closeSync();
  }

  #node(did: string): SeededFileNode {
    const node = this.#access.node();
    if (this.#isClosed) throw diskFault('EBADF', did, this.#path);
    return node;
  }

  #checkWritable(did: string): void {
    this.#node(did);
    if (!this.#isWritable) throw diskFault('EBADF', did, this.#path);
  }
}

/** Of moods those that need no dice, and the torn last write. */
const CRASH_WAYS = ['lose', 'keep', 'prefix'] as const satisfies readonly CrashMood[];

function* waysOf(fileCount: number): Generator<readonly CrashMood[]> {
  if (fileCount === 0) yield [];
  else for (const rest of waysOf(fileCount - 1)) for (const mood of CRASH_WAYS) yield [...rest, mood];
}

function bytesBelow(folder: SeededFolderNode): number {
  let sum = 0;
  for (const node of folder.entries.values()) sum += node.kind === 'file' ? node.bytes.length : bytesBelow(node);
  return sum;
}

/** POSIX: a file replaces a file; a folder replaces an empty folder. */
function checkReplaceable(node: SeededNode, target: SeededNode | undefined, did: string, to: string): void {
  if (target === undefined) return;
  if (node.kind === 'file' && target.kind === 'folder') throw diskFault('EISDIR', did, to);
  if (node.kind === 'folder' && target.kind === 'file') throw diskFault('ENOTDIR', did, to);
  if (target.kind === 'folder' && target.entries.size > 0) throw diskFault('ENOTEMPTY', did, to);
}
