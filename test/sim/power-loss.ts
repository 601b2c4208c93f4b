/**
 * Power loss, tried on a whole store (world.ts) while it does what scripts say (actors.ts): the run goes on undisturbed,
 * and ahead of every changing call of the disk the power is cut in a copy of it, with several outcomes. A cut inside a
 * call leaves nothing else than one before it or before the next. One more outcome is the end of the process alone, with
 * everything that was written. What was acknowledged at that moment is noted, and each outcome that differs from the
 * others is started and examined (examine.ts); of some, the start is cut off at one of its own calls.
 * Everything follows from the seed, and a problem names it.
 */
import { ManualClock, msOfMoment, type Random, seededRandom } from '../../src/base/index.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { type Actor, actorsOf, EMPTY, follow, type Question } from './actors.ts';
import { digestOfDisk } from './disk-digest.ts';
import { type Expectation, examine, type Left } from './examine.ts';
import type { Contents } from './script.ts';
import { boot } from './world.ts';

const KILL = 'kill';
const RESTART_MS = 30_000;

export interface PowerLossQuestion extends Question {
  /** Outcomes of each cut. */
  readonly crashCount: number;
  /** Share of the calls ahead of which the power is cut, above 0, up to 1. */
  readonly share: number;
  /** Share of the starts that take new work (5.); all when absent. */
  readonly goOnShare?: number;
  /** Share of the starts that are cut off themselves; none when absent. */
  readonly cutAgainShare?: number;
}

export interface PowerLossReport {
  /** Changing calls of the disk in the whole run. */
  readonly calls: number;
  readonly crashes: number;
  /** Those that differ from each other, and were started. */
  readonly starts: number;
  /** What was wrong, with all that is needed to see it again. */
  readonly problems: readonly string[];
}

interface Image extends Left {
  readonly where: string;
}

export async function losePower(question: PowerLossQuestion): Promise<PowerLossReport> {
  const { seed, share, goOnShare = 1, cutAgainShare = 0 } = question;
  const contents: Contents = new Map();
  const clock = new ManualClock();
  const disk = new SeededDisk({ seed, clock });
  const actors = actorsOf(question, contents);
  const images = new Map<string, Image>();
  const chance = seededRandom(seed + 1);
  let crashes = 0;
  const take = (): void => {
    if (chance.fraction() >= share) return;
    const taken = imagesOf(disk, actors, question, msOfMoment(clock.now()));
    for (const [key, image] of taken) images.set(key, image);
    crashes += taken.length;
  };
  {
    using _watch = disk.watch(take);
    await using world = await boot(disk, { ...question, clock });
    await Promise.all(actors.map((actor) => follow(world, actor, seededRandom(seed + 2))));
  }
  take();
  const problems: string[] = [];
  let starts = 0;
  for (const image of images.values()) {
    // Before it is examined, which goes on with its disk.
    const again = chance.fraction() < cutAgainShare ? await startsCutOff(image, question, chance) : [];
    const goesOn = chance.fraction() < goOnShare;
    for (const each of [image, ...again]) {
      const problem = await examine(each, { contents, question, goesOn });
      if (problem !== undefined) problems.push(`seed ${seed}, ${each.where}: ${problem}`);
      starts++;
    }
  }
  return { calls: disk.mutationCount, crashes, starts, problems };
}

/** All that may be left if everything ended now, by what tells one from the other. */
function imagesOf(
  disk: SeededDisk,
  actors: readonly Actor[],
  question: PowerLossQuestion,
  nowMs: number,
): (readonly [string, Image])[] {
  const expectations = actors.map(({ home, acknowledged, step }) => ({ home, acknowledged, step }));
  const where = `call ${disk.mutationCount + 1} during ${stepsOf(actors)}`;
  return endsOf(disk, question).map(({ end, disk: left }) => {
    const key = `${digestOfDisk(left)} ${expectations.map(keyOf).join()} ${end === KILL}`;
    return [key, { disk: left, where: `${end} ahead of ${where}`, nowMs, expectations }];
  });
}

/** What the next start may find if everything ended now. */
function endsOf(disk: SeededDisk, { seed, crashCount }: PowerLossQuestion) {
  const cuts = Array.from({ length: crashCount }, (_, outcome) => {
    const crashSeed = seed * 1_000 + outcome;
    return { end: `power cut (crash seed ${crashSeed})`, disk: disk.crash(crashSeed) };
  });
  return [{ end: KILL, disk: disk.clone(seed) }, ...cuts];
}

/** Starts a copy, and cuts that off at one of its calls. */
async function startsCutOff(image: Image, question: PowerLossQuestion, chance: Random): Promise<readonly Image[]> {
  const disk = image.disk.clone(question.seed);
  const images: Image[] = [];
  {
    using _watch = disk.watch(() => {
      const where = `${image.where}, then a power cut ahead of call ${disk.mutationCount + 1} of the next start`;
      images.push({ ...image, disk: disk.crash(question.seed), where });
    });
    const clock = new ManualClock(image.nowMs + RESTART_MS);
    await using world = await boot(disk, { ...question, seed: question.seed + 6_666, clock });
    await world.files.reapNow();
  }
  const chosen = images[chance.below(Math.max(1, images.length))];
  return chosen === undefined ? [] : [chosen];
}

function stepsOf(actors: readonly Actor[]): string {
  const names = actors.flatMap(({ step }) => (step === undefined ? [] : [step.name]));
  return names.length === 0 ? 'nothing' : names.join(' and ');
}

/** Two images of one moment are the same when their disks are, and the same is expected of them. */
const keys = new WeakMap<object, number>();
let keyCount = 0;
function keyOf({ acknowledged, step }: Expectation): string {
  return [acknowledged, step ?? EMPTY]
    .map((part) => {
      const key = keys.get(part) ?? ++keyCount;
      keys.set(part, key);
      return key;
    })
    .join('+');
}
