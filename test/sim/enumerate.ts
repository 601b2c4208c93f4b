/**
 * Every sequence of up to three operations out of twelve, snapshots, older versions and collection among them, on two
 * folders and three names, with the power cut ahead of every changing call of the disk that the last of them makes (and
 * what goes on behind it), in every way: of the names and of each file with bytes not synced, all is kept, nothing, or a
 * part with a torn end. Enumerated, not sampled.
 *
 * What sequences begin with alike runs once: the disk after it is kept, and each longer sequence starts the store on a
 * copy. An operation that changes nothing ends its sequence, as what could follow is another sequence; and of what power
 * cuts leave, what is equal to the byte (and the same is expected of) is looked at once.
 */
import { createHash } from 'node:crypto';
import { Fault, ManualClock, seededRandom } from '../../src/base/index.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { digestOfDisk } from './disk-digest.ts';
import { drive, shownError, Wrong } from './drive.ts';
import { lookBelow, problemAtRest } from './looking.ts';
import { applyTo, differenceOf, EMPTY, isSame, marksOf, type Tree, withBytes } from './model.ts';
import { type Operation, shown } from './operation.ts';
import { isAdded, isMissing, perform } from './perform.ts';
import { boot, type World } from './world.ts';

/** What everything begins with. */
const BEFORE: readonly Operation[] = [
  { do: 'mkdir', path: '/p' },
  { do: 'mkdir', path: '/q' },
  { do: 'put', path: '/p/x', content: { id: 1, length: 9_000 }, mode: 'create' },
  // In the same pack, which a collection then has to write anew when /p/x is gone.
  { do: 'put', path: '/p/z', content: { id: 0, length: 6_000 }, mode: 'create' },
];

export const OPERATIONS: readonly Operation[] = [
  { do: 'put', path: '/p/x', content: { id: 2, length: 6_000 }, mode: 'put' },
  // The same bytes as stand at /p/x in the beginning.
  { do: 'put', path: '/q/y', content: { id: 1, length: 9_000 }, mode: 'put' },
  { do: 'put', path: '/q/x', content: { id: 4, length: 700 }, mode: 'put' },
  { do: 'move', from: '/p/x', to: '/q/y', overwrite: true },
  { do: 'remove', path: '/p/x', recursive: false },
  { do: 'copy', from: '/p', to: '/q/z' },
  { do: 'm.write', path: '/p/x', offset: 5_000, content: { id: 3, length: 4_097 } },
  { do: 'm.rename', from: '/q/x', to: '/p/x' },
  { do: 'restore', path: '/p/x', back: 1 },
  { do: 'snapshot', name: 'one' },
  { do: 'unsnapshot', name: 'one' },
  { do: 'collect', graceSeconds: 0, share: 0 },
];

/** Of the clock, at each start. */
const START_MS = Date.UTC(2026, 0, 1);
const LIFE_MS = 3_600_000;
const SEED = 1;

export interface EnumerateOptions {
  readonly lengthMax: number;
  /** Instead of all of them. */
  readonly operations?: readonly Operation[];
  readonly minutesMax?: number;
  readonly tell?: (line: string) => void;
}

export interface EnumerateReport {
  readonly sequences: number;
  readonly cuts: number;
  /** Starts on what cuts left: those that differ. */
  readonly starts: number;
  readonly problems: readonly string[];
  /** False when the time was up. */
  readonly isComplete: boolean;
  readonly summary: string;
}

export function enumerate(options: EnumerateOptions): Promise<EnumerateReport> {
  return new Enumeration(options).go();
}

/** A store at rest, as it is after a sequence. */
interface Rest {
  readonly disk: SeededDisk;
  readonly tree: Tree;
  readonly sequence: readonly Operation[];
}

/** What a power cut left, and what may be found in it. */
interface Cut {
  readonly disk: SeededDisk;
  readonly possible: readonly Tree[];
  readonly where: string;
}

class Enumeration {
  readonly #options: EnumerateOptions;
  readonly #startedMs = performance.now();
  /** Digests of what was looked at. */
  readonly #seen = new Set<string>();
  readonly #problems: string[] = [];
  #sequences = 0;
  #cuts = 0;
  #starts = 0;

  constructor(options: EnumerateOptions) {
    this.#options = options;
  }

  async go(): Promise<EnumerateReport> {
    const operations = this.#options.operations ?? OPERATIONS;
    let rests: readonly Rest[] = [await this.#first()];
    for (let length = 1; length <= this.#options.lengthMax; length++) {
      const longer: Rest[] = [];
      for (const [index, rest] of rests.entries()) {
        for (const operation of operations) {
          if (this.#isLate) return this.#report(false);
          const next = await this.#extend(rest, operation);
          if (next !== undefined && length < this.#options.lengthMax) longer.push(next);
        }
        this.#options.tell?.(
          `length ${length}: ${index + 1} of ${rests.length} beginnings; ${this.#report(false).summary}`,
        );
      }
      rests = longer;
    }
    return this.#report(true);
  }

  get #isLate(): boolean {
    return performance.now() - this.#startedMs > (this.#options.minutesMax ?? Number.POSITIVE_INFINITY) * 60_000;
  }

  #report(isComplete: boolean): EnumerateReport {
    const [sequences, cuts, starts, problems] = [this.#sequences, this.#cuts, this.#starts, this.#problems];
    const seconds = (performance.now() - this.#startedMs) / 1000;
    const summary = `${sequences} sequences, ${cuts} power cuts, ${starts} different starts, ${problems.length} problems; ${seconds.toFixed(0)} s`;
    return { sequences, cuts, starts, problems, isComplete, summary };
  }

  async #first(): Promise<Rest> {
    const disk = new SeededDisk({ seed: SEED, clock: new ManualClock(START_MS) });
    let tree = EMPTY;
    await this.#life(disk, 0, async (world) => {
      for (const operation of BEFORE) {
        await perform({ world, mount: undefined, home: '' }, operation);
        tree = applyTo(tree, operation).tree ?? tree;
      }
    });
    return { disk, tree, sequence: [] };
  }

  /** One operation more. Answers undefined when it changes nothing. */
  async #extend(rest: Rest, operation: Operation): Promise<Rest | undefined> {
    this.#sequences++;
    const sequence = [...rest.sequence, operation];
    const name = sequence.map(shown).join(' ');
    const step = applyTo(rest.tree, operation);
    let tree = step.tree ?? rest.tree;
    const disk = rest.disk.clone(SEED);
    const cuts: Cut[] = [];
    let possible: readonly Tree[] = [rest.tree];
    try {
      using _watch = disk.watch(() => this.#cut(disk, possible, name, cuts));
      await this.#life(disk, sequence.length, async (world) => {
        await using mount = await world.files.openTree({ user: 'owner', diskSpace: ROOMY });
        if (tree !== rest.tree) possible = [rest.tree, tree];
        const restores = (bytes: Uint8Array | undefined): void => {
          if (operation.do !== 'restore') return;
          tree = bytes === undefined ? rest.tree : withBytes(rest.tree, operation.path, bytes);
          possible = [rest.tree, tree];
        };
        const isDone = await outcomeOf(perform({ world, mount, home: '' }, operation, restores));
        if (isDone !== (step.tree !== undefined)) throw new Wrong(`${name}: the model says otherwise`);
        if (!isAdded(operation)) possible = [tree];
        await mount.syncFs();
        possible = [tree];
        await world.files.reapNow();
      });
      for (const cut of cuts) await this.#examine(cut);
    } catch (error) {
      this.#problems.push(`${name}: ${shownError(error)}`);
      return undefined;
    }
    if (digestOfDisk(disk) === digestOfDisk(rest.disk)) return undefined;
    return { disk, tree, sequence };
  }

  /** Every way in which the power may go now. */
  #cut(disk: SeededDisk, possible: readonly Tree[], name: string, cuts: Cut[]): void {
    for (const moods of disk.crashMoods()) {
      this.#cuts++;
      const left = disk.crash(SEED, moods);
      const key = `${digestOfDisk(left)} ${possible.map(keyOf).join(' ')}`;
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      const where = `${name}, the power cut ahead of call ${disk.mutationCount + 1}, ${JSON.stringify(moods)}`;
      cuts.push({ disk: left, possible, where });
    }
  }

  async #examine({ disk, possible, where }: Cut): Promise<void> {
    this.#starts++;
    try {
      await this.#life(disk, 9, async (world) => {
        const { marks } = await lookBelow(world, '');
        if (!possible.some((tree) => isSame(marksOf(tree), marks)))
          throw new Wrong(possible.map((tree) => differenceOf(marks, marksOf(tree))).join('; or '));
        await world.files.reapNow();
        const problem = await problemAtRest(world);
        if (problem !== undefined) throw new Wrong(problem);
      });
    } catch (error) {
      this.#problems.push(`${where}: ${shownError(error)}`);
    }
  }

  /** From a start of the store to its orderly stop. Each has a time of its own. */
  async #life(disk: SeededDisk, number: number, act: (world: World) => Promise<void>): Promise<void> {
    const clock = new ManualClock(START_MS + number * LIFE_MS);
    const random = seededRandom(SEED + number);
    const work = async (): Promise<void> => {
      await using world = await boot(disk, { seed: SEED + number, clock, engine: 'journal', groupsWait: true });
      await act(world);
    };
    await drive(work(), { clock, random, what: 'a life' });
  }
}

const ROOMY = () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 39 });

async function outcomeOf(work: Promise<unknown>): Promise<boolean> {
  try {
    await work;
    return true;
  } catch (error) {
    if (!Fault.is(error) && !isMissing(error)) throw error;
    return false;
  }
}

function keyOf(tree: Tree): string {
  return createHash('sha1')
    .update(JSON.stringify([...marksOf(tree)]))
    .digest('base64');
}
