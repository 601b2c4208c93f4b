/**
 * One file, all that can be done to its bytes, in random order, against a plain buffer: after each step that reads, the
 * bytes are those of the buffer. Runs in epochs of a fresh file each, so that a difference comes with a short history:
 * the report has the seed, the step, the last steps and the shortest list of steps found that still fails.
 */
import { join } from 'node:path';
import { setImmediate } from 'node:timers/promises';
import { type Random, seededRandom } from '../../../src/base/index.ts';
import { FALLOCATE, Libc, type Mapping, O, SEEK, SystemError } from './libc.ts';
import { shrink } from './shrink.ts';

export interface FileExercise {
  /** A folder to work in; one file at a time is made there and removed. */
  readonly folder: string;
  readonly seed: number;
  /** Steps in all. */
  readonly operations: number;
  /** The file stays below it, in bytes. */
  readonly sizeMax?: number;
  /** After each epoch, with the steps so far. */
  readonly progress?: (operations: number) => void;
  /** What does the calls. */
  readonly sys?: () => Libc;
}

const EPOCH_STEPS = 4_000;
const SIZE_MAX = 1_048_576;
const LAST_STEPS_SHOWN = 12;
const PAGE = 4_096;

/** How often each kind comes, of the sum. */
const WEIGHTS = {
  read: 22,
  write: 22,
  append: 5,
  truncate: 8,
  mapRead: 9,
  mapWrite: 9,
  unmap: 1,
  punch: 5,
  zero: 3,
  allocate: 2,
  copy: 6,
  sync: 1,
  reopen: 2,
  seek: 3,
  size: 2,
} as const;
type Kind = keyof typeof WEIGHTS;
const DRAW: readonly Kind[] = Object.entries(WEIGHTS).flatMap(([kind, weight]) =>
  Array.from({ length: weight }, () => kind as Kind),
);

/** Data only, so that any part of a list can be done again. What does not fit the file as it is then is cut to fit. */
interface Step {
  readonly kind: Kind;
  readonly offset: number;
  readonly length: number;
  /** Where a copy goes. */
  readonly target: number;
  /** Where in the pool the bytes come from; odd ones keep the size where there is a choice. */
  readonly salt: number;
}

/** A step whose outcome was not the model's. */
class Difference extends Error {}

/** @throws Error with the report. */
export async function exerciseFile(exercise: FileExercise): Promise<void> {
  const sizeMax = exercise.sizeMax ?? SIZE_MAX;
  const bounds = {
    sizeMax,
    pool: poolOf(seededRandom(exercise.seed), sizeMax),
    sys: exercise.sys ?? (() => new Libc()),
  };
  for (let done = 0, epoch = 0; done < exercise.operations; epoch++) {
    const count = Math.min(EPOCH_STEPS, exercise.operations - done);
    const steps = stepsOf(seededRandom((exercise.seed * 1_000_003 + epoch) >>> 0), count, sizeMax);
    const failed = await run(exercise.folder, steps, bounds);
    if (failed !== undefined) {
      const isFailing = async (some: readonly Step[]): Promise<boolean> =>
        (await run(exercise.folder, some, bounds)) !== undefined;
      const least = await shrink(steps.slice(0, failed.step + 1), isFailing);
      throw new Error(told(exercise, done + failed.step, failed.why, steps.slice(0, failed.step + 1), least));
    }
    done += count;
    exercise.progress?.(done);
    await setImmediate();
  }
}

function told(
  exercise: FileExercise,
  step: number,
  why: string,
  steps: readonly Step[],
  least: readonly Step[],
): string {
  const lines = (some: readonly Step[]): string => some.map((each) => `  ${JSON.stringify(each)}`).join('\n');
  return `seed ${exercise.seed}, step ${step}: ${why}\nThe last steps:\n${lines(steps.slice(-LAST_STEPS_SHOWN))}\n${least.length} steps that fail as well:\n${lines(least)}`;
}

/** Noise, zeros, and repeats, twice as long as a file. */
function poolOf(random: Random, sizeMax: number): Buffer {
  const pool = Buffer.from(random.bytes(sizeMax * 2));
  for (let at = 0; at < pool.length; at += 200_000) {
    pool.fill(0, at, at + 30_000);
    pool.fill('repeat', at + 30_000, at + 60_000);
  }
  return pool;
}

function stepsOf(random: Random, count: number, sizeMax: number): Step[] {
  const place = (): number => {
    const at = random.below(sizeMax);
    return random.below(3) === 0 ? at - (at % PAGE) : at;
  };
  return Array.from({ length: count }, () => {
    const kind = DRAW[random.below(DRAW.length)] ?? 'read';
    const offset = place();
    // Small ones mostly, some of tens of KiB, a few of any size.
    const bound = random.below(64) === 0 ? sizeMax : random.below(8) === 0 ? 65_536 : 4_096;
    return { kind, offset, length: 1 + random.below(bound), target: place(), salt: random.below(sizeMax) };
  });
}

interface Bounds {
  readonly sizeMax: number;
  readonly pool: Buffer;
  readonly sys: () => Libc;
}

/** Does the steps with a fresh file; answers the first that differs. */
async function run(
  folder: string,
  steps: readonly Step[],
  bounds: Bounds,
): Promise<{ readonly step: number; readonly why: string } | undefined> {
  using file = new ModelledFile(join(folder, 'exercised'), bounds);
  let at = 0;
  try {
    for (; at < steps.length; at++) file.do(steps[at]!);
    file.compareAll();
    file.reopen();
    file.compareAll();
    return undefined;
  } catch (error) {
    if (error instanceof Difference || error instanceof SystemError) return { step: at, why: error.message };
    throw error;
  }
}

class ModelledFile implements Disposable {
  readonly #sys: Libc;
  readonly #path: string;
  readonly #sizeMax: number;
  readonly #pool: Buffer;
  /** Zero behind `#size`. */
  readonly #model: Buffer;
  readonly #found: Buffer;
  #size = 0;
  #fd: number;
  #map: Mapping | undefined;

  constructor(path: string, { sizeMax, pool, sys }: Bounds) {
    this.#sys = sys();
    this.#path = path;
    this.#sizeMax = sizeMax;
    this.#pool = pool;
    this.#model = Buffer.alloc(sizeMax);
    this.#found = Buffer.alloc(sizeMax);
    this.#fd = this.#sys.open(path, O.RDWR | O.CREAT | O.TRUNC);
  }

  [Symbol.dispose](): void {
    this.#map?.unmap();
    this.#sys.closeAll();
    this.#sys.unlink(this.#path);
  }

  do(step: Step): void {
    this[step.kind](step);
  }

  read({ offset, length }: Step): void {
    this.#compare(offset, length);
  }
  write({ offset, length, salt }: Step): void {
    this.#put(offset, Math.min(length, this.#sizeMax - offset), salt);
  }
  append({ length, salt }: Step): void {
    const bytes = this.#bytes(salt, Math.min(length, this.#sizeMax - this.#size));
    const fd = this.#sys.open(this.#path, O.WRONLY | O.APPEND);
    const count = this.#sys.write(fd, bytes);
    this.#sys.close(fd);
    this.#expect('append', count, bytes.length);
    bytes.copy(this.#model, this.#size);
    this.#size += count;
  }
  truncate({ offset, salt }: Step): void {
    const size = salt % 8 === 0 ? 0 : offset;
    this.#sys.ftruncate(this.#fd, size);
    this.#model.fill(0, Math.min(size, this.#size), this.#size);
    this.#size = size;
  }
  mapRead({ offset, length }: Step): void {
    const count = Math.min(length, this.#size - offset);
    if (count <= 0) return;
    const found = this.#found.subarray(0, count);
    this.#mapped().readInto(found, offset);
    this.#same('map', found, offset);
  }
  mapWrite({ offset, length, salt }: Step): void {
    const count = Math.min(length, this.#size - offset);
    if (count <= 0) return;
    const bytes = this.#bytes(salt, count);
    this.#mapped().write(bytes, offset);
    bytes.copy(this.#model, offset);
  }
  unmap(): void {
    this.#map?.unmap();
    this.#map = undefined;
  }
  punch({ offset, length }: Step): void {
    this.#sys.fallocate(this.#fd, FALLOCATE.PUNCH_HOLE | FALLOCATE.KEEP_SIZE, offset, length);
    this.#zeroed(offset, length);
  }
  zero({ offset, length, salt }: Step): void {
    const count = Math.min(length, this.#sizeMax - offset);
    const keeps = salt % 2 === 1;
    const mode = FALLOCATE.ZERO_RANGE | (keeps ? FALLOCATE.KEEP_SIZE : 0);
    try {
      this.#sys.fallocate(this.#fd, mode, offset, count);
    } catch (error) {
      // A file system may have no such operation, as tmpfs; then nothing has changed.
      if (error instanceof SystemError && error.errno === 'EOPNOTSUPP') return;
      throw error;
    }
    if (!keeps) this.#size = Math.max(this.#size, offset + count);
    this.#zeroed(offset, count);
  }
  allocate({ offset, length, salt }: Step): void {
    const count = Math.min(length, this.#sizeMax - offset);
    const keeps = salt % 2 === 1;
    this.#sys.fallocate(this.#fd, keeps ? FALLOCATE.KEEP_SIZE : 0, offset, count);
    if (!keeps) this.#size = Math.max(this.#size, offset + count);
  }
  copy({ offset, target, length }: Step): void {
    const apart = Math.abs(target - offset);
    const count = Math.min(length, apart, this.#sizeMax - target);
    const available = Math.max(0, Math.min(count, this.#size - offset));
    if (count === 0) return;
    const fd = this.#fd;
    let copied = 0;
    for (let some = -1; some !== 0 && copied < available; copied += some) {
      const left = count - copied;
      some = this.#sys.copyFileRange({ fd, offset: offset + copied }, { fd, offset: target + copied }, left);
    }
    this.#expect('copy_file_range', copied, available);
    this.#model.copyWithin(target, offset, offset + copied);
    if (copied > 0) this.#size = Math.max(this.#size, target + copied);
  }
  sync({ salt }: Step): void {
    if (salt % 2 === 0) this.#sys.fsync(this.#fd);
    else this.#sys.fdatasync(this.#fd);
  }
  reopen(): void {
    this.unmap();
    this.#sys.close(this.#fd);
    this.#fd = this.#sys.open(this.#path, O.RDWR);
  }
  /** Only zeros may be told to be holes, and the end of the file is one. */
  seek({ offset }: Step): void {
    if (offset >= this.#size) return;
    // The kernel asks a FUSE server for holes without sending it first what was written through maps.
    this.#map?.sync();
    let data = this.#size;
    try {
      data = this.#sys.lseek(this.#fd, offset, SEEK.DATA);
    } catch (error) {
      if (!(error instanceof SystemError && error.errno === 'ENXIO')) throw error;
    }
    const isWithin = data >= offset && data <= this.#size;
    if (!isWithin || !this.#isZero(offset, data)) throw new Difference(`SEEK_DATA from ${offset} says ${data}`);
    const hole = this.#sys.lseek(this.#fd, offset, SEEK.HOLE);
    if (hole < offset || hole > this.#size || (hole < this.#size && this.#model[hole] !== 0)) {
      throw new Difference(`SEEK_HOLE from ${offset} says ${hole} of ${this.#size}`);
    }
  }
  size(): void {
    this.#expect('size', this.#sys.fstat(this.#fd).size, this.#size);
  }

  compareAll(): void {
    this.size();
    this.#compare(0, this.#sizeMax);
  }

  #compare(offset: number, length: number): void {
    const expected = Math.max(0, Math.min(length, this.#size - offset));
    const found = this.#found.subarray(0, Math.min(length, this.#sizeMax));
    const count = this.#sys.preadInto(this.#fd, found, offset);
    this.#expect(`read of ${length} at ${offset}`, count, expected);
    this.#same('read', found.subarray(0, count), offset);
  }
  #same(how: string, found: Buffer, offset: number): void {
    if (this.#model.compare(found, 0, found.length, offset, offset + found.length) === 0) return;
    let at = 0;
    while (found[at] === this.#model[offset + at]) at++;
    const place = `byte ${offset + at} of ${this.#size}, in ${how} of ${found.length} at ${offset}`;
    throw new Difference(`${place}: is ${found[at]}, must be ${this.#model[offset + at]}`);
  }
  #expect(what: string, found: number, expected: number): void {
    if (found !== expected) throw new Difference(`${what}: is ${found}, must be ${expected}`);
  }
  #put(offset: number, length: number, salt: number): void {
    const bytes = this.#bytes(salt, length);
    this.#expect('write', this.#sys.pwrite(this.#fd, bytes, offset), length);
    bytes.copy(this.#model, offset);
    this.#size = Math.max(this.#size, offset + length);
  }
  #bytes(salt: number, length: number): Buffer {
    return this.#pool.subarray(salt, salt + length);
  }
  #zeroed(offset: number, length: number): void {
    this.#model.fill(0, Math.min(offset, this.#size), Math.min(offset + length, this.#size));
  }
  #isZero(from: number, to: number): boolean {
    for (let at = from; at < to; at++) if (this.#model[at] !== 0) return false;
    return true;
  }
  #mapped(): Mapping {
    // As long as the largest file: reading stays below the size as it is, so no access falls behind its last page.
    this.#map ??= this.#sys.map(this.#fd, this.#sizeMax);
    return this.#map;
  }
}
