/**
 * `diff`: what is different between a local tree and a stored one, or between two stored ones. Two sorted streams side
 * by side, so trees of any size are compared; bytes are read only where size and time cannot decide.
 */
import type { FileRecord, FileService } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode, endsTheRun } from '../exit-codes.ts';
import { identityOfStore } from '../local/local-disk.ts';
import { localHash } from '../local/local-hash.ts';
import { checkGlobs, type WalkEntry, walkLocal } from '../local/local-walk.ts';
import { isSameMoment } from '../local/moments.ts';
import { comparePaths, textOfRaw } from '../local/raw.ts';
import { pastService, placeOf } from '../past.ts';
import { shownName } from '../saying/show-record.ts';
import { mergeSorted, type Stream } from '../transfer/merge.ts';
import { manifestOf } from '../transfer/stored.ts';
import { rawOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { DIFF_FLAGS } from '../words/commands.ts';

type DiffFlags = Given<typeof DIFF_FLAGS>['flags'];

/** One entry of either side, as far as differences go. */
interface Side {
  readonly relative: string;
  readonly kind: string;
  readonly size: number;
  readonly mode: number;
  /** Says whether the other side's ISO moment is the same. */
  readonly modified: (other: string) => boolean;
  readonly iso: string | undefined;
  readonly target: () => string | undefined;
  /** XXH3 in hex; `null` when the store has none. */
  readonly hash: () => Promise<string | null>;
  readonly fault?: Fault;
}

export async function run(given: Given<typeof DIFF_FLAGS>, context: Context): Promise<ExitCode> {
  checkGlobs(given.flags.exclude);
  const [wordA = '', wordB = ''] = given.words;
  const service = await context.reach();
  const { path, at } = await placeOf(service, wordB, context);
  const right = await storedSide(pastService(service, at), path, context);
  const left = given.flags.stored
    ? await storedAt(service, wordA, context)
    : await localSide(rawOfWord(wordA), given.flags, context);
  return new Differ(given.flags, context).run(left, right);
}

async function storedAt(service: FileService, word: string, context: Context): Promise<Tree> {
  const { path, at } = await placeOf(service, word, context);
  return storedSide(pastService(service, at), path, context);
}

/** What is different at one path between two moments; the second one is now when absent. */
export async function diffMoments(
  context: Context,
  service: FileService,
  path: string,
  moments: readonly [string, string | undefined],
): Promise<ExitCode> {
  const [left, right] = moments.map((at) => pastService(service, at));
  const flags: DiffFlags = { stored: true, checksum: false, times: false, exclude: [] };
  const sides = [await storedSide(left ?? service, path, context), await storedSide(right ?? service, path, context)];
  return new Differ(flags, context).run(sides[0] as Tree, sides[1] as Tree);
}

interface Tree {
  readonly root: Side;
  readonly below: Stream<Side>;
}

async function storedSide(service: FileService, path: string, context: Context): Promise<Tree> {
  const record = await service.stat({ path }, { signal: context.signal });
  const below = async function* (): AsyncGenerator<Side, void> {
    if (record.kind !== 'folder') return;
    for await (const entry of manifestOf(service, path, { signal: context.signal }))
      yield sideOfRecord(entry.relative, entry.record);
  };
  return { root: sideOfRecord('', record), below: below() };
}

function sideOfRecord(relative: string, record: FileRecord): Side {
  return {
    relative,
    kind: record.kind,
    size: record.size,
    mode: record.mode,
    modified: (other) => other === record.modified,
    iso: record.modified,
    target: () => record.target,
    hash: async () => record.xxhash3,
  };
}

async function localSide(source: string, flags: DiffFlags, context: Context): Promise<Tree> {
  const stat = context.disk.stat(source, { follow: source.endsWith('/') });
  if (stat === undefined) {
    const local = textOfRaw(source);
    throw new Fault('not-found', `${local} is not there. Say --stored when A is a path in the store too.`, { local });
  }
  const root: WalkEntry = { kind: 'entry', relative: '', path: source, stat };
  // As put leaves it out.
  const leaveOut = flags.stored ? undefined : await identityOfStore(context);
  const walk = stat.kind === 'folder' ? walkLocal(context.disk, source, { exclude: flags.exclude, leaveOut }) : [];
  const below = function* (): Generator<Side, void> {
    for (const entry of walk) yield sideOfEntry(entry, context);
  };
  return { root: sideOfEntry(root, context), below: below() };
}

function sideOfEntry(entry: WalkEntry, context: Context): Side {
  if (entry.kind === 'problem') {
    const nothing = {
      kind: 'unknown',
      size: 0,
      mode: 0,
      modified: () => true,
      iso: undefined,
      target: () => undefined,
    };
    return { relative: entry.relative, ...nothing, hash: async () => null, fault: entry.fault };
  }
  const { relative, path, stat } = entry;
  return {
    relative,
    kind: stat.kind,
    size: stat.size,
    mode: stat.mode,
    modified: (other) => isSameMoment(other, stat.mtimeNs),
    iso: undefined,
    target: () => textOfRaw(context.disk.readLink(path)),
    hash: () => localHash(context, path, stat),
  };
}

class Differ {
  readonly #flags: DiffFlags;
  readonly #context: Context;
  readonly #counts = { added: 0, removed: 0, changed: 0, equal: 0 };
  #failedCount = 0;

  constructor(flags: DiffFlags, context: Context) {
    this.#flags = flags;
    this.#context = context;
  }

  async run(left: Tree, right: Tree): Promise<ExitCode> {
    const { say, signal } = this.#context;
    await this.#both(left.root, right.root);
    for await (const pair of mergeSorted(left.below, right.below, (l, r) => comparePaths(l.relative, r.relative))) {
      if (signal.aborted) throw Fault.aborted(signal, 'The comparison');
      if (pair.left?.fault !== undefined) await this.#failed(pair.left.fault);
      else if (pair.right === undefined) await this.#differs('removed', pair.left);
      else if (pair.left === undefined) await this.#differs('added', pair.right);
      else await this.#both(pair.left, pair.right);
    }
    say.progress.clear();
    await say.record({ event: 'summary', verb: 'diff', ...this.#counts });
    if (this.#failedCount > 0) return EXIT.partly;
    const { added, removed, changed } = this.#counts;
    return added + removed + changed > 0 ? EXIT.different : EXIT.ok;
  }

  async #failed(error: unknown): Promise<void> {
    if (endsTheRun(error)) throw error;
    this.#failedCount++;
    await this.#context.say.problem(error);
  }

  async #both(left: Side, right: Side): Promise<void> {
    try {
      const why = await this.#why(left, right);
      if (why.length > 0) await this.#differs('changed', right, why);
      else this.#counts.equal++;
    } catch (error) {
      await this.#failed(error);
    }
  }

  async #why(left: Side, right: Side): Promise<string[]> {
    if (left.kind !== right.kind) return [`kind: ${left.kind} and ${right.kind}`];
    const why: string[] = [];
    const isSameTime = left.modified(right.iso ?? '');
    if (left.kind === 'file' && !(await this.#isSameContent(left, right, isSameTime))) why.push('content');
    if (left.kind === 'symlink' && left.target() !== right.target()) why.push('target');
    // The bits of a symlink mean nothing.
    if (left.kind !== 'symlink' && left.mode !== right.mode) why.push('mode');
    if (this.#flags.times && !isSameTime) why.push('time');
    return why;
  }

  async #isSameContent(left: Side, right: Side, isSameTime: boolean): Promise<boolean> {
    if (left.size !== right.size) return false;
    // Between two stored files the checksums are at hand; a local one has to be read.
    if (!this.#flags.stored && isSameTime && !this.#flags.checksum) return true;
    const [hashLeft, hashRight] = [await left.hash(), await right.hash()];
    return hashLeft !== null && hashRight !== null ? hashLeft === hashRight : isSameTime;
  }

  async #differs(change: 'added' | 'removed' | 'changed', side: Side, why: readonly string[] = []): Promise<void> {
    this.#counts[change]++;
    const { say } = this.#context;
    const path = side.relative === '' ? '.' : textOfRaw(side.relative);
    await say.record({ event: 'difference', change, why, path, kind: side.kind });
    const mark = { added: '+', removed: '-', changed: '~' }[change];
    const reason = why.length > 0 ? `  (${why.join(', ')})` : '';
    await say.line(`${mark} ${shownName(say, path)}${side.kind === 'folder' ? '/' : ''}${reason}`);
  }
}
