/**
 * A small tree, everything that can be done to names and attributes, in random order, here and on a file system of the
 * kernel's at the same time: each step answers alike, and every so many steps both trees look alike – names, kinds, modes,
 * owners, links, sizes, contents, targets, attributes. Epochs, report and shortening as in exercise-file.ts.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Random, seededRandom } from '../../../src/base/index.ts';
import { AT, Libc, O, RENAME, S, SystemError } from './libc.ts';
import { shrink } from './shrink.ts';

export interface NamesExercise {
  /** The folder that is tested. */
  readonly folder: string;
  /** One on ext4. */
  readonly oracle: string;
  readonly seed: number;
  readonly operations: number;
  readonly progress?: (operations: number) => void;
  /** What does the calls on the tested side. */
  readonly sys?: () => Libc;
}

const EPOCH_STEPS = 1_000;
const COMPARE_EVERY_STEPS = 100;
const LAST_STEPS_SHOWN = 12;
const NAMES = ['a', 'b', 'c', 'd', 'ä', 'a name of some more length, since some are kept elsewhere than short ones'];
const DEPTH_MAX = 3;
const HELD_COUNT = 3;
/** Without waiting for the other side of a fifo. */
const WRITE = O.WRONLY | O.NONBLOCK;
const XATTRS = ['user.one', 'user.two', 'trusted.three'];

const WEIGHTS = {
  create: 12,
  exclusive: 4,
  write: 8,
  truncate: 4,
  mkdir: 14,
  rmdir: 5,
  unlink: 8,
  rename: 12,
  renameFlags: 6,
  link: 6,
  symlink: 5,
  mkfifo: 2,
  unnamed: 2,
  chmod: 4,
  chown: 3,
  setxattr: 5,
  removexattr: 2,
  hold: 3,
  writeHeld: 4,
  dropHeld: 2,
} as const;
type Kind = keyof typeof WEIGHTS;
const DRAW: readonly Kind[] = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as Kind),
);

interface Step {
  readonly kind: Kind;
  readonly path: string;
  readonly other: string;
  readonly number: number;
}

/** @throws Error with the report. */
export async function exerciseNames(exercise: NamesExercise): Promise<void> {
  for (let done = 0, epoch = 0; done < exercise.operations; epoch++) {
    const count = Math.min(EPOCH_STEPS, exercise.operations - done);
    const steps = stepsOf(seededRandom((exercise.seed * 1_000_003 + epoch) >>> 0), count);
    const failed = await run(exercise, steps);
    if (failed !== undefined) {
      const until = steps.slice(0, failed.step + 1);
      const least = await shrink(until, async (some) => (await run(exercise, some)) !== undefined);
      throw new Error(told(exercise.seed, done + failed.step, failed.why, until, least));
    }
    done += count;
    exercise.progress?.(done);
  }
}

function told(seed: number, step: number, why: string, steps: readonly Step[], least: readonly Step[]): string {
  const lines = (some: readonly Step[]): string => some.map((each) => `  ${JSON.stringify(each)}`).join('\n');
  return `seed ${seed}, step ${step}: ${why}\nThe last steps:\n${lines(steps.slice(-LAST_STEPS_SHOWN))}\n${least.length} steps that fail as well:\n${lines(least)}`;
}

function stepsOf(random: Random, count: number): Step[] {
  const path = (): string => {
    const depth = 1 + random.below(DEPTH_MAX);
    return Array.from({ length: depth }, () => NAMES[random.below(NAMES.length)]).join('/');
  };
  return Array.from({ length: count }, () => ({
    kind: DRAW[random.below(DRAW.length)] ?? 'create',
    path: path(),
    other: path(),
    number: random.below(100_000),
  }));
}

async function run(
  { folder, oracle, sys }: NamesExercise,
  steps: readonly Step[],
): Promise<{ readonly step: number; readonly why: string } | undefined> {
  using here = new Tree(join(folder, 'exercised'), sys?.() ?? new Libc());
  using there = new Tree(join(oracle, 'exercised'), new Libc());
  for (const [at, step] of steps.entries()) {
    const [found, expected] = [here.do(step), there.do(step)];
    if (found !== expected) return { step: at, why: `${step.kind} answers ${found}, on the oracle ${expected}` };
    if ((at + 1) % COMPARE_EVERY_STEPS !== 0 && at + 1 !== steps.length) continue;
    const why = firstDifference(here.snapshot(), there.snapshot());
    if (why !== undefined) return { step: at, why };
    await setImmediate();
  }
  return undefined;
}

function firstDifference(
  found: ReadonlyMap<string, string>,
  expected: ReadonlyMap<string, string>,
): string | undefined {
  for (const path of new Set([...expected.keys(), ...found.keys()])) {
    const [is, must] = [found.get(path), expected.get(path)];
    if (is !== must) return `${path}: is ${is ?? 'not there'}, on the oracle ${must ?? 'not there'}`;
  }
  return undefined;
}

/** A folder that is there as long as this. */
class Tree implements Disposable {
  readonly #sys: Libc;
  readonly #root: string;
  readonly #held: (number | undefined)[] = [];

  readonly #acts: Readonly<Record<Kind, (step: Step, path: string, other: string) => void>> = {
    create: ({ number }, path) => this.#fill(path, WRITE | O.CREAT | O.TRUNC, 0, number),
    exclusive: ({ number }, path) => this.#fill(path, WRITE | O.CREAT | O.EXCL, 0, number),
    write: ({ number }, path) => this.#fill(path, WRITE, number % 20_000, number),
    truncate: ({ number }, path) => this.#sys.truncate(path, number),
    mkdir: ({ number }, path) => this.#sys.mkdir(path, number % 3 === 0 ? 0o2775 : 0o755),
    rmdir: (_, path) => this.#sys.rmdir(path),
    unlink: (_, path) => this.#sys.unlink(path),
    rename: (_, path, other) => this.#sys.rename(path, other),
    renameFlags: ({ number }, path, other) =>
      this.#sys.renameat2(path, other, number % 2 === 0 ? RENAME.NOREPLACE : RENAME.EXCHANGE),
    link: ({ number }, path, other) => this.#sys.link(path, other, number % 4 === 0 ? AT.SYMLINK_FOLLOW : 0),
    symlink: ({ other }, path) => this.#sys.symlink(other, path),
    mkfifo: (_, path) => this.#sys.mknod(path, S.IFIFO | 0o644),
    unnamed: ({ number }, path) => this.#nameUnnamed(path, number),
    chmod: ({ number }, path) => this.#sys.chmod(path, number & 0o7777),
    chown: ({ number }, path) => this.#sys.lchown(path, number % 5, number % 7),
    setxattr: ({ number }, path) =>
      this.#sys.setxattr(path, XATTRS[number % 3] ?? '', 'v'.repeat(number % 500), number % 3),
    removexattr: ({ number }, path) => this.#sys.removexattr(path, XATTRS[number % 3] ?? ''),
    hold: ({ number }, path) => this.#hold(path, number),
    writeHeld: ({ number }) => this.#writeHeld(number),
    dropHeld: ({ number }) => this.#drop(number % HELD_COUNT),
  };

  constructor(root: string, sys: Libc) {
    this.#sys = sys;
    this.#root = root;
    rmSync(root, { recursive: true, force: true });
    mkdirSync(root, { mode: 0o755 });
  }

  [Symbol.dispose](): void {
    this.#sys.closeAll();
    rmSync(this.#root, { recursive: true, force: true });
  }

  /** `ok` or the errno. */
  do(step: Step): string {
    try {
      this.#acts[step.kind](step, `${this.#root}/${step.path}`, `${this.#root}/${step.other}`);
      return 'ok';
    } catch (error) {
      if (error instanceof SystemError) return error.errno;
      throw error;
    }
  }

  #fill(path: string, flags: number, offset: number, number: number): void {
    const fd = this.#sys.open(path, flags, number % 4 === 0 ? 0o600 : 0o644);
    try {
      if (number % 5 !== 0) this.#sys.pwrite(fd, `${number} `.repeat(number % 1_000), offset);
    } finally {
      this.#sys.close(fd);
    }
  }
  #nameUnnamed(path: string, number: number): void {
    const fd = this.#sys.open(this.#root, O.TMPFILE | O.RDWR, 0o640);
    try {
      this.#sys.write(fd, `unnamed ${number}`);
      this.#sys.link(`/proc/self/fd/${fd}`, path, AT.SYMLINK_FOLLOW);
    } finally {
      this.#sys.close(fd);
    }
  }
  /** Keeps a file open, whatever becomes of its name. */
  #hold(path: string, number: number): void {
    this.#drop(number % HELD_COUNT);
    this.#held[number % HELD_COUNT] = this.#sys.open(path, O.RDWR | O.NONBLOCK);
  }
  #writeHeld(number: number): void {
    const fd = this.#held[number % HELD_COUNT];
    if (fd === undefined) return;
    this.#sys.pwrite(fd, `held ${number}`, number % 3_000);
    if (number % 3 === 0) this.#sys.fsync(fd);
  }
  #drop(slot: number): void {
    const fd = this.#held[slot];
    this.#held[slot] = undefined;
    if (fd !== undefined) this.#sys.close(fd);
  }

  /** Path → what is there; also what the held descriptors see. */
  snapshot(): Map<string, string> {
    const seen = new Map<string, string>();
    const pathsOfId = new Map<bigint, string>();
    const walk = (path: string): void => {
      seen.set(path, this.#described(path, pathsOfId));
      const absolute = `${this.#root}${path}`;
      if (this.#sys.lstat(absolute).kind !== 'folder') return;
      const fd = this.#sys.open(absolute, O.RDONLY | O.DIRECTORY);
      const names: string[] = [];
      for (let some = this.#sys.entries(fd); some.length > 0; some = this.#sys.entries(fd)) {
        names.push(...some.map(({ name }) => name.toString()));
      }
      this.#sys.close(fd);
      for (const name of names.sort()) if (name !== '.' && name !== '..') walk(`${path}/${name}`);
    };
    walk('');
    for (const [slot, fd] of this.#held.entries()) {
      if (fd === undefined) continue;
      const { kind, size, links } = this.#sys.fstat(fd);
      const content = kind === 'file' ? this.#sys.pread(fd, size, 0).toString('latin1') : '';
      seen.set(`held ${slot}`, JSON.stringify({ kind, size, links: kind === 'folder' ? 0 : links, content }));
    }
    return seen;
  }

  #described(path: string, pathsOfId: Map<bigint, string>): string {
    const absolute = `${this.#root}${path}`;
    const { kind, mode, links, uid, gid, size, id } = this.#sys.lstat(absolute);
    const sameAs = pathsOfId.get(id);
    if (sameAs !== undefined && kind !== 'folder') return `the same as ${sameAs}`;
    pathsOfId.set(id, path);
    const attributes = kind === 'symlink' ? [] : this.#sys.listxattr(absolute);
    const values = attributes.map((name) => [name, this.#sys.getxattr(absolute, name).toString()]);
    const target = kind === 'symlink' ? this.#sys.readlink(absolute).toString() : undefined;
    const counted = kind === 'folder' ? {} : { links, size };
    const content = kind === 'file' ? this.#content(absolute, size) : undefined;
    return JSON.stringify({ kind, mode: mode.toString(8), uid, gid, ...counted, target, values, content });
  }
  #content(path: string, size: number): string {
    const fd = this.#sys.open(path, O.RDONLY);
    const bytes = this.#sys.pread(fd, size + 1, 0);
    this.#sys.close(fd);
    return bytes.toString('latin1').replace(/\0{16,}/g, (zeros) => `(${zeros.length} zeros)`);
  }
}
