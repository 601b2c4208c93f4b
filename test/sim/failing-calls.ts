/**
 * Failing calls, tried on a whole store (world.ts) while it does what a script says: one call of the disk fails, or the
 * disk has no more room. Whoever asked gets a fault, what readers see afterwards is what they go on seeing, what comes
 * later works or is refused with a fault, and the next start – after a stop, or after a power cut – passes the
 * examination (examine.ts). Everything follows from the seed, and a problem names it.
 */
import { assert, Fault, ManualClock, msOfMoment, seededRandom } from '../../src/base/index.ts';
import { SeededDisk, type SeededFailure } from '../../src/objects/index.ts';
import { type Actor, actorsOf, follow, nextStep, pauseMs, perform, type Question } from './actors.ts';
import { examine } from './examine.ts';
import { type Contents, differenceOf, isAllowed, isSameTree, type Step, treeOf } from './script.ts';
import { boot, type World } from './world.ts';

export interface FailureQuestion extends Question {
  readonly failure: SeededFailure;
  /** Which changing call fails, counted from the first of the run. */
  readonly call: number;
}

export interface FailureReport {
  /** False when the run ended before that call. */
  readonly isReached: boolean;
  readonly problems: readonly string[];
}

/** Runs the script with one failing call. */
export async function failOnce(question: FailureQuestion): Promise<FailureReport> {
  const { seed, failure, call } = question;
  const { contents, clock, disk, actor } = stageOf(question);
  disk.failAt(call, failure);
  const run = await runWithFailure(disk, actor, question, clock);
  const problems = run.problem === undefined ? [] : [run.problem];
  const expectations = [{ home: actor.home, acknowledged: actor.acknowledged, step: run.unknown }];
  const ends = [
    ['a stop', disk.clone(seed)],
    // Shows whether somebody counted on a sync that failed, or on one after it.
    ['a power cut', disk.crash(seed + call)],
  ] as const;
  for (const [end, left] of ends) {
    const nowMs = msOfMoment(clock.now());
    const problem = await examine({ disk: left, nowMs, expectations }, { contents, question, goesOn: true });
    if (problem !== undefined) problems.push(`after ${end}: ${problem}`);
  }
  const where = `seed ${seed}, call ${call} fails with ${failure}`;
  return { isReached: disk.mutationCount >= call, problems: problems.map((problem) => `${where}, ${problem}`) };
}

interface Stage {
  readonly contents: Contents;
  readonly clock: ManualClock;
  readonly disk: SeededDisk;
  readonly actor: Actor;
}

function stageOf(question: Question, bytesMax = Number.POSITIVE_INFINITY): Stage {
  const contents: Contents = new Map();
  const clock = new ManualClock();
  const disk = new SeededDisk({ seed: question.seed, clock, bytesMax });
  const [actor] = actorsOf({ ...question, actorCount: 1 }, contents);
  assert(actor !== undefined, 'somebody acts');
  return { contents, clock, disk, actor };
}

interface FailedRun {
  /** A step that failed, and of which only the next start tells whether it happened. */
  readonly unknown: Step | undefined;
  readonly problem: string | undefined;
}

async function runWithFailure(
  disk: SeededDisk,
  actor: Actor,
  question: Question,
  clock: ManualClock,
): Promise<FailedRun> {
  let world: World;
  try {
    world = await boot(disk, { ...question, clock });
  } catch (error) {
    const problem = Fault.is(error) ? undefined : `opening failed with no fault: ${String(error)}`;
    return { unknown: undefined, problem };
  }
  try {
    return await followWithFailure(world, actor, question);
  } finally {
    await world.close().catch((error: unknown) => {
      if (!Fault.is(error)) throw error;
    });
  }
}

async function followWithFailure(world: World, actor: Actor, question: Question): Promise<FailedRun> {
  const random = seededRandom(question.seed + 2);
  let unknown: Step | undefined;
  for (const kind of actor.kinds) {
    world.clock.advance(pauseMs(random));
    const step = nextStep(actor, kind);
    try {
      await perform(world, actor, step);
      // A commit that works shows that nothing is unknown any more.
      if (step.name !== 'idle' && step.isGivenUp !== true) unknown = undefined;
    } catch (error) {
      if (!Fault.is(error)) return { unknown, problem: `${step.name} failed with no fault: ${String(error)}` };
      const problem = await seenAfter(world, actor, step);
      if (problem !== undefined) return { unknown, problem };
      unknown ??= step;
    }
  }
  return { unknown, problem: undefined };
}

/** What the running store shows after a step that failed becomes what is acknowledged: readers saw it. */
async function seenAfter(world: World, actor: Actor, step: Step): Promise<string | undefined> {
  let found: Map<string, string>;
  try {
    found = new Map(await treeOf(world.service));
  } catch (error) {
    return `after ${step.name} failed, nothing can be read: ${error instanceof Error ? error.stack : String(error)}`;
  }
  found.delete('/');
  const allowed = isAllowed(found, actor.acknowledged, step);
  if (!allowed) return `after ${step.name} failed: ${differenceOf(found, actor.acknowledged)}`;
  actor.acknowledged = [actor.acknowledged, ...step.trees].find((tree) => isSameTree(found, tree)) ?? found;
  actor.step = undefined;
  return undefined;
}

export interface FillQuestion extends Question {
  /** Bytes that the disk has room for. */
  readonly bytesMax: number;
}

export interface FillReport {
  /** Steps that were refused for want of room. */
  readonly refused: number;
  readonly problems: readonly string[];
}

/** Runs the script on a disk that is too small for it, then gives it room: what follows works without a new start. */
export async function fillUp(question: FillQuestion): Promise<FillReport> {
  const { seed, bytesMax } = question;
  const { contents, clock, disk, actor } = stageOf(question, bytesMax);
  const problems: string[] = [];
  let refused = 0;
  {
    await using world = await boot(disk, { ...question, clock });
    const random = seededRandom(seed + 2);
    for (const kind of actor.kinds) {
      clock.advance(pauseMs(random));
      const step = nextStep(actor, kind);
      try {
        await perform(world, actor, step);
      } catch (error) {
        if (!Fault.is(error, 'full')) throw error;
        refused++;
        const seen = await seenAfter(world, actor, step);
        if (seen !== undefined) problems.push(seen);
      }
    }
    disk.setBytesMax(Number.POSITIVE_INFINITY);
    await follow(world, actor, random);
  }
  const expectations = [{ home: actor.home, acknowledged: actor.acknowledged, step: undefined }];
  const left = { disk: disk.crash(seed), nowMs: msOfMoment(clock.now()), expectations };
  const problem = await examine(left, { contents, question, goesOn: true });
  if (problem !== undefined) problems.push(problem);
  return { refused, problems: problems.map((each) => `seed ${seed}, ${bytesMax} bytes of room, ${each}`) };
}
