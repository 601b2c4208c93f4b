/**
 * The dedup race: uploaders who keep sending what was deleted a moment ago, beside a collection that takes away what
 * nobody names, with no time of grace. In each round every uploader removes its file and sends bytes that another one
 * has just removed, or the same again; what was acknowledged is read back. Orders differ with the seed: calls of the
 * disk take some turns, by chance.
 */
import { ManualClock, type Random, seededRandom } from '../../src/base/index.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { drive, shownError, Wrong } from './drive.ts';
import { problemAtRest } from './looking.ts';
import { bytesOf, type Content } from './operation.ts';
import { gathered } from './perform.ts';
import { slowDisk, turn } from './slow-disk.ts';
import { boot, type World, type Wraps } from './world.ts';

const UPLOADERS = 8;
/** Not many more than uploaders, so that the same bytes die and come again all the time. None is inline. */
const CONTENTS: readonly Content[] = Array.from({ length: 12 }, (_, id) => ({
  id,
  length: [5_000, 9_000, 16_000][id % 3] ?? 0,
}));
/** Rounds that one store lives through. */
const ROUNDS_PER_STORE = 40;
const PACK_BYTES = 24_000;

export interface RaceOptions {
  readonly rounds: number;
  /** Of the first store; each has its own. */
  readonly seed: number;
  /** A store that is wrong on purpose; see Wraps. */
  readonly wraps?: Wraps;
  readonly tell?: (line: string) => void;
}

export interface RaceReport {
  readonly rounds: number;
  /** Files that were acknowledged and read back. */
  readonly reads: number;
  /** Bytes that collections gave back. */
  readonly freedBytes: number;
  readonly problems: readonly string[];
}

export async function race({ rounds, seed, wraps = {}, tell }: RaceOptions): Promise<RaceReport> {
  const total = { rounds: 0, reads: 0, freedBytes: 0 };
  const problems: string[] = [];
  for (let store = seed; total.rounds < rounds; store++) {
    const one = new Race(store, wraps);
    try {
      await one.go(Math.min(ROUNDS_PER_STORE, rounds - total.rounds));
    } catch (error) {
      problems.push(
        `store ${store}, round ${one.rounds}: ${error instanceof Wrong ? error.message : shownError(error)}`,
      );
    }
    total.rounds += Math.max(1, one.rounds);
    total.reads += one.reads;
    total.freedBytes += one.freedBytes;
    tell?.(`${total.rounds} of ${rounds} rounds, ${total.reads} files read back, ${problems.length} problems`);
  }
  return { ...total, problems };
}

class Race {
  readonly #clock = new ManualClock();
  readonly #random: Random;
  readonly #seed: number;
  readonly #wraps: Wraps;
  rounds = 0;
  reads = 0;
  freedBytes = 0;

  constructor(seed: number, wraps: Wraps) {
    this.#seed = seed;
    this.#random = seededRandom(seed);
    this.#wraps = wraps;
  }

  async go(rounds: number): Promise<void> {
    const disk = new SeededDisk({ seed: this.#seed, clock: this.#clock });
    const { seed, wraps } = { seed: this.#seed, wraps: this.#wraps };
    const opening = boot(disk, {
      ...{ seed, clock: this.#clock, engine: 'journal', groupsWait: true, keepsVersions: false },
      idAlgorithm: seed % 3 === 0 ? 'xxh3-128' : 'blake3',
      chunkOptions: { packBytesMax: PACK_BYTES, chunkCacheBytes: 0 },
      wraps: { ...wraps, packDisk: (inner) => slowDisk(wraps.packDisk?.(inner) ?? inner, this.#random) },
    });
    await using world = await this.#drive(opening, 'opening');
    while (this.rounds < rounds) {
      await this.#drive(this.#round(world), 'a round');
      this.rounds++;
    }
    await this.#drive(world.files.reapNow(), 'reaping');
    const problem = await this.#drive(problemAtRest(world), 'checking');
    if (problem !== undefined) throw new Wrong(problem);
  }

  /** Everybody at once; the collection goes on as long as somebody sends. */
  async #round(world: World): Promise<void> {
    let left = UPLOADERS;
    const uploader = async (index: number): Promise<void> => {
      try {
        await this.#upload(world, `/f${index}`);
      } finally {
        left--;
      }
    };
    const collector = async (): Promise<void> => {
      while (left > 0) await this.#collect(world);
    };
    await Promise.all([...Array.from({ length: UPLOADERS }, (_, index) => uploader(index)), collector()]);
  }

  async #upload({ service }: World, path: string): Promise<void> {
    const content = CONTENTS[this.#random.below(CONTENTS.length)] ?? { id: 0, length: 9_000 };
    const bytes = bytesOf(content);
    if (this.rounds > 0) await service.remove(path);
    await this.#linger();
    await service.write(path, this.#slowly(bytes), { mode: 'create' });
    await this.#linger();
    const found = await gathered((await service.read({ path })).bytes);
    if (!Buffer.from(bytes).equals(found)) throw new Wrong(`${path} has other bytes than were acknowledged`);
    this.reads++;
  }

  async *#slowly(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < bytes.length; at += 3_000) {
      yield bytes.slice(at, at + 3_000);
      await this.#linger();
    }
  }

  async #linger(): Promise<void> {
    for (let turns = this.#random.below(6); turns > 0; turns--) await turn();
  }

  async #collect(world: World): Promise<void> {
    await turn();
    await world.files.sweepNow();
    await world.files.reapNow();
    // What died in this very second waits.
    this.#clock.advance(1_000);
    const { freedBytes, problems } = await world.chunks.collect({ graceSeconds: 0, freedShareMin: 0, pause: turn });
    this.freedBytes += freedBytes;
    if (problems[0] !== undefined) throw new Wrong(problems[0].sentence);
  }

  #drive<T>(work: Promise<T>, what: string): Promise<T> {
    return drive(work, { clock: this.#clock, random: this.#random, what });
  }
}
