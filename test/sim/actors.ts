/**
 * Those who work on a simulated store: each goes through a script of their own, one step after the other, and knows what
 * was acknowledged to them and what is under way. Pauses between steps are the simulation's own time.
 */
import { Fault, type Random, seededRandom } from '../../src/base/index.ts';
import type { IdAlgorithm } from '../../src/chunks/index.ts';
import {
  anyKind,
  type Contents,
  type ScriptOptions,
  STEP_KINDS,
  type Step,
  type StepKind,
  stepOf,
  type Tree,
} from './script.ts';
import type { World } from './world.ts';

const STEP_PAUSE_MS_MAX = 100_000;
/** One pause in so many is long enough for what is done every hour. */
const LONG_PAUSES = 10;
const LONG_PAUSE_MS = 3_700_000;
export const EMPTY: Tree = new Map([]);

export interface Question {
  readonly seed: number;
  readonly idAlgorithm?: IdAlgorithm;
  readonly isPowersafeOverwrite?: boolean;
  /** See BootOptions. */
  readonly engine?: 'sqlite' | 'journal';
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

/** One who goes through a script. */
export interface Actor {
  readonly home: string;
  readonly kinds: readonly (StepKind | undefined)[];
  readonly options: ScriptOptions;
  acknowledged: Tree;
  step: Step | undefined;
}

export function actorsOf(question: Question, contents: Contents): Actor[] {
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

export function nextStep(actor: Actor, kind: StepKind | undefined): Step {
  const { acknowledged, options } = actor;
  return stepOf(kind ?? anyKind(acknowledged, options.random), acknowledged, options);
}

export function pauseMs(random: Random): number {
  return random.below(LONG_PAUSES) === 0 ? LONG_PAUSE_MS : random.below(STEP_PAUSE_MS_MAX);
}

/** Goes through the whole script; nothing fails that is not meant to. */
export async function follow(world: World, actor: Actor, random: Random): Promise<void> {
  for (const kind of actor.kinds) {
    world.clock.advance(pauseMs(random));
    await perform(world, actor, nextStep(actor, kind));
  }
}

export async function perform(world: World, actor: Actor, step: Step): Promise<void> {
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
