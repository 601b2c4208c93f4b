/**
 * Power loss and failing calls, tried on a whole store (world.ts) while it does what a script says (script.ts).
 *
 * Power loss: the script runs once; ahead of every changing call of the disk the power is cut in a copy, with several
 * outcomes (`SeededDisk.watch` and `crash`), and what was acknowledged at that moment is noted. A cut inside a call leaves
 * nothing else than one before it or before the next. One more outcome is the end of the process alone, with everything
 * that was written. Each distinct outcome is then started and examined:
 *
 *   1. the store opens;
 *   2. what is seen is what was acknowledged, and of a step under way one of the states it may have;
 *   3. every version that is listed reads back as bytes that somebody wrote;
 *   4. a check of everything is clean (records that no chunk row names are allowed);
 *   5. it takes the step under way once more, done or not (an idempotency key says that it is the same), and new work,
 *      and finds both again after an orderly stop.
 *
 * Of some, the start itself is cut off at one of its calls, and examined at the next one.
 *
 * Failing calls: the script runs with one call of the disk failing; whoever asked gets a fault, nothing acknowledged is
 * lost, what comes later works or is refused with a fault, and the next start – after a stop, or after a power cut – passes
 * the same examination. Everything follows from the seed, and a failure names it.
 */
import { createHash } from 'node:crypto';
import { Fault, ManualClock, msOfMoment, type Random, seededRandom } from '../../src/base/index.ts';
import type { IdAlgorithm } from '../../src/chunks/index.ts';
import { SeededDisk, type SeededFailure } from '../../src/objects/index.ts';
import {
  anyKind,
  bytesOf,
  type Contents,
  contentOf,
  differenceOf,
  digestOf,
  isAllowed,
  markOfBytes,
  type ScriptOptions,
  STEP_KINDS,
  type Step,
  type StepKind,
  stepOf,
  type Tree,
  treeOf,
} from './script.ts';
import { boot, type World } from './world.ts';

const STEP_PAUSE_MS_MAX = 100_000;
/** One pause in so many is long enough for what is done every hour. */
const LONG_PAUSES = 10;
const LONG_PAUSE_MS = 3_700_000;
const EMPTY: Tree = new Map([]);

export interface Question {
  readonly seed: number;
  readonly idAlgorithm?: IdAlgorithm;
  readonly isPowersafeOverwrite?: boolean;
  /** Each with a script and a folder of their own, all at once; one, at home in the root, when absent. */
  readonly actorCount?: number;
  /** What each actor does, in order; every kind once when absent. */
  readonly kinds?: readonly StepKind[];
  /** Instead: so many steps of kinds drawn by chance. */
  readonly stepCount?: number;
  readonly largeBytes: number;
  /** See BootOptions. */
  readonly forgets?: 'packs' | 'metadata';
}

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

/** One who goes through a script. */
interface Actor {
  readonly home: string;
  readonly kinds: readonly (StepKind | undefined)[];
  readonly options: ScriptOptions;
  acknowledged: Tree;
  step: Step | undefined;
}

/** What an actor may find again. */
interface Expectation {
  readonly home: string;
  readonly acknowledged: Tree;
  readonly step: Step | undefined;
}

interface Image {
  readonly disk: SeededDisk;
  readonly where: string;
  readonly nowMs: number;
  readonly expectations: readonly Expectation[];
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
    const expectations = actors.map(({ home, acknowledged, step }) => ({ home, acknowledged, step }));
    const where = `call ${disk.mutationCount + 1} during ${stepsOf(actors)}`;
    const nowMs = msOfMoment(clock.now());
    for (const { end, disk: left } of endsOf(disk, question)) {
      const key = `${digestOfDisk(left)} ${expectations.map(keyOf).join()} ${end === KILL}`;
      images.set(key, { disk: left, where: `${end} ahead of ${where}`, nowMs, expectations });
      crashes++;
    }
  };
  {
    using _watch = disk.watch(take);
    await using world = await boot(disk, { ...question, clock });
    await Promise.all(actors.map((actor) => follow(world, actor, seededRandom(seed + 2))));
  }
  take();
  const problems: string[] = [];
  const look = async (image: Image, goesOn: boolean): Promise<void> => {
    const problem = await examine(image.disk, { ...image, goesOn }, contents, question);
    if (problem !== undefined) problems.push(`seed ${seed}, ${image.where}: ${problem}`);
  };
  let starts = 0;
  for (const image of images.values()) {
    // Before it is examined, which goes on with its disk.
    const again = chance.fraction() < cutAgainShare ? await startsCutOff(image, question, chance) : [];
    const goesOn = chance.fraction() < goOnShare;
    for (const each of [image, ...again]) await look(each, goesOn);
    starts += 1 + again.length;
  }
  return { calls: disk.mutationCount, crashes, starts, problems };
}

const KILL = 'kill';

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
    const clock = new ManualClock(image.nowMs + 30_000);
    await using world = await boot(disk, { ...question, seed: question.seed + 6_666, clock });
    await world.files.reapNow();
  }
  const chosen = images[chance.below(Math.max(1, images.length))];
  return chosen === undefined ? [] : [chosen];
}

function actorsOf(question: Question, contents: Contents): Actor[] {
  const { seed, stepCount, largeBytes, actorCount = 1, kinds: wanted = STEP_KINDS } = question;
  return Array.from({ length: actorCount }, (_, index) => {
    const random = seededRandom(seed + 100 + index);
    const home = actorCount === 1 ? '' : `/actor-${index}`;
    // Absent kinds are drawn when their turn comes.
    const kinds = stepCount === undefined ? wanted : Array.from({ length: stepCount }, () => undefined);
    const options = { random, home, contents, largeBytes };
    return { home, kinds, options, acknowledged: EMPTY, step: undefined };
  });
}

function nextStep(actor: Actor, kind: StepKind | undefined): Step {
  const { acknowledged, options } = actor;
  return stepOf(kind ?? anyKind(acknowledged, options.random), acknowledged, options);
}

function pauseMs(random: Random): number {
  return random.below(LONG_PAUSES) === 0 ? LONG_PAUSE_MS : random.below(STEP_PAUSE_MS_MAX);
}

/** Goes through the whole script; nothing fails that is not meant to. */
async function follow(world: World, actor: Actor, random: Random): Promise<void> {
  for (const kind of actor.kinds) {
    world.clock.advance(pauseMs(random));
    await perform(world, actor, nextStep(actor, kind));
  }
}

async function perform(world: World, actor: Actor, step: Step): Promise<void> {
  actor.step = step;
  try {
    await step.run(world.service, (tree) => {
      actor.acknowledged = tree;
    });
    if (step.isGivenUp === true) throw new Error(`${step.name} went through`);
  } catch (error) {
    if (step.isGivenUp !== true || !Fault.is(error, 'aborted')) throw error;
  }
  actor.acknowledged = step.trees.at(-1) ?? EMPTY;
  actor.step = undefined;
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

function digestOfDisk(disk: SeededDisk): string {
  const hash = createHash('sha1');
  const visit = (folder: string): void => {
    for (const name of disk.listSync(folder)) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const stat = disk.statSync(path);
      hash.update(`${path}\0${stat?.kind}\0${stat?.sizeBytes}\0`);
      if (stat?.kind === 'folder') visit(path);
      else hash.update(bytesAt(disk, path, stat?.sizeBytes ?? 0));
    }
  };
  visit('');
  return hash.digest('hex');
}

function bytesAt(disk: SeededDisk, path: string, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  disk.openSync(path, 'read').readSync(bytes, 0);
  return bytes;
}

/** Starts what was found and goes through the list above; answers what is wrong. */
async function examine(
  disk: SeededDisk,
  image: Pick<Image, 'nowMs' | 'expectations'> & { readonly goesOn?: boolean },
  contents: Contents,
  question: Question,
): Promise<string | undefined> {
  const clock = new ManualClock(image.nowMs + 60_000);
  let doing = 'opening';
  try {
    let left: Tree;
    {
      await using world = await boot(disk, { ...question, seed: question.seed + 7_777, clock });
      doing = 'reading everything';
      const found = await treeOf(world.service);
      for (const expectation of image.expectations) {
        const wrong = wrongIn(found, expectation);
        if (wrong !== undefined) return wrong;
      }
      doing = 'reading older versions';
      const unknown = await unknownVersion(world, found, contents);
      if (unknown !== undefined) return unknown;
      doing = 'checking';
      const problem = await problemOf(world);
      if (problem !== undefined || image.goesOn === false) return problem;
      doing = 'going on';
      const repeated = await repeat(world, image.expectations);
      if (repeated !== undefined) return repeated;
      left = await goOn(world, await treeOf(world.service), contents);
    }
    doing = 'opening once more';
    await using world = await boot(disk, { ...question, seed: question.seed + 8_888, clock });
    const found = await treeOf(world.service);
    if (!isAllowed(found, left, undefined)) return `after going on: ${differenceOf(found, left)}`;
    await world.files.reapNow();
    return await problemOf(world);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return `${doing} failed: ${error.stack}${error.cause instanceof Error ? ` caused by ${error.cause.stack}` : ''}`;
  }
}

function wrongIn(found: Tree, { home, acknowledged, step }: Expectation): string | undefined {
  const own = new Map([...found].filter(([path]) => path === home || path.startsWith(`${home}/`)));
  own.delete('/');
  if (isAllowed(own, acknowledged, step)) return undefined;
  return `found what nobody was promised: ${differenceOf(own, acknowledged)}`;
}

async function unknownVersion(world: World, found: Tree, contents: Contents): Promise<string | undefined> {
  for (const [path, mark] of found) {
    if (!mark.startsWith('file')) continue;
    const { versions } = await world.service.versions({ path });
    for (const { version } of versions) {
      const bytes = await bytesOf(world.service, path, version);
      if (!contents.has(digestOf(bytes))) return `version ${version} of ${path} has bytes that nobody wrote`;
    }
  }
  return undefined;
}

async function problemOf(world: World): Promise<string | undefined> {
  const report = await world.service.check();
  return report.is_clean ? undefined : `check finds ${JSON.stringify(report.problems.slice(0, 5))}`;
}

/** Does what was under way once more, and then again: either way it is there, once. */
async function repeat(world: World, expectations: readonly Expectation[]): Promise<string | undefined> {
  const repeatable = expectations.filter(({ step }) => step?.isRepeatable === true);
  if (repeatable.length === 0) return undefined;
  for (let time = 0; time < 2; time++) for (const { step } of repeatable) await step?.run(world.service, () => {});
  const found = await treeOf(world.service);
  for (const { home, step } of repeatable) {
    const wrong = wrongIn(found, { home, acknowledged: step?.trees.at(-1) ?? EMPTY, step: undefined });
    if (wrong !== undefined) return `${step?.name} was sent twice more, and then ${wrong}`;
  }
  return undefined;
}

/** New work on what was found: a new file, one replaced, one removed. */
async function goOn(world: World, found: Tree, contents: Contents): Promise<Tree> {
  const tree = new Map(found);
  const random = seededRandom(found.size);
  const files = [...found].filter(([, mark]) => mark.startsWith('file'));
  const write = async (path: string, bytes: Uint8Array): Promise<void> => {
    const { mode } = await world.service.write(path, [bytes], { mode: 'put' });
    tree.set(path, markOfBytes(bytes, mode, contents, / tag (\S+)$/.exec(tree.get(path) ?? '')?.[1]));
  };
  await write('/after', random.bytes(20_000));
  const [first, second] = files;
  // The same bytes under another name: what the crash left of their chunks must not be counted on.
  if (first !== undefined) await write('/after-again', contentOf(first[1], contents));
  if (first !== undefined) await write(first[0], random.bytes(6_000));
  if (second !== undefined) {
    await world.service.remove(second[0]);
    tree.delete(second[0]);
  }
  await world.files.reapNow();
  return tree;
}

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
  const contents: Contents = new Map();
  const clock = new ManualClock();
  const disk = new SeededDisk({ seed, clock });
  disk.failAt(call, failure);
  const [actor] = actorsOf({ ...question, actorCount: 1 }, contents);
  if (actor === undefined) throw new Error('There is an actor.');
  const run = await runWithFailure(disk, actor, question, clock);
  const problems = run.problem === undefined ? [] : [run.problem];
  const expectations = [{ home: actor.home, acknowledged: actor.acknowledged, step: run.unknown }];
  const starts = [
    ['a stop', disk.clone(seed)],
    ['a power cut', disk.crash(seed + call)],
  ] as const;
  for (const [end, start] of starts) {
    // A sync that failed may have lost what it was for; a power cut then shows it. Nothing is promised of that.
    const problem = await examine(start, { nowMs: msOfMoment(clock.now()), expectations }, contents, question);
    if (problem !== undefined) problems.push(`after ${end}: ${problem}`);
  }
  const where = `seed ${seed}, call ${call} fails with ${failure}`;
  return { isReached: disk.mutationCount >= call, problems: problems.map((problem) => `${where}, ${problem}`) };
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
    return {
      unknown: undefined,
      problem: Fault.is(error) ? undefined : `opening failed with no fault: ${String(error)}`,
    };
  }
  let unknown: Step | undefined;
  try {
    const random = seededRandom(question.seed + 2);
    for (const kind of actor.kinds) {
      clock.advance(pauseMs(random));
      const step = nextStep(actor, kind);
      try {
        await perform(world, actor, step);
        // What works shows that nothing is unknown: the step that failed did not happen, or was seen to have.
        if (step.name !== 'idle' && step.isGivenUp !== true) unknown = undefined;
      } catch (error) {
        if (!Fault.is(error)) return { unknown, problem: `${step.name} failed with no fault: ${String(error)}` };
        const seen = await seenAfter(world, actor, step);
        if (seen !== undefined) return { unknown, problem: seen };
        unknown ??= step;
        actor.step = undefined;
      }
    }
    return { unknown, problem: undefined };
  } finally {
    await world.close().catch((error: unknown) => {
      if (!Fault.is(error)) throw error;
    });
  }
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
  actor.acknowledged = [actor.acknowledged, ...step.trees].find((tree) => isAllowed(found, tree, undefined)) ?? found;
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
  const contents: Contents = new Map();
  const clock = new ManualClock();
  const disk = new SeededDisk({ seed, clock, bytesMax });
  const [actor] = actorsOf({ ...question, actorCount: 1 }, contents);
  if (actor === undefined) throw new Error('There is an actor.');
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
    actor.step = undefined;
    disk.setBytesMax(Number.POSITIVE_INFINITY);
    await follow(world, actor, random);
  }
  const expectations = [{ home: actor.home, acknowledged: actor.acknowledged, step: undefined }];
  const problem = await examine(disk.crash(seed), { nowMs: msOfMoment(clock.now()), expectations }, contents, question);
  if (problem !== undefined) problems.push(problem);
  return { refused, problems: problems.map((each) => `seed ${seed}, ${bytesMax} bytes of room, ${each}`) };
}
