/**
 * What a start must find of a store that was cut off, and how that is looked at:
 *
 *   1. the store opens;
 *   2. what is seen is what was acknowledged, and of a step under way one of the states it may have;
 *   3. every version that is listed reads back as bytes that somebody wrote;
 *   4. a check of everything is clean (records that no chunk row names are allowed);
 *   5. it takes the step under way once more, done or not (an idempotency key says that it is the same), and new work,
 *      and finds both again after an orderly stop.
 */
import { ManualClock, seededRandom } from '../../src/base/index.ts';
import type { SeededDisk } from '../../src/objects/index.ts';
import { EMPTY, type Question } from './actors.ts';
import {
  bytesOf,
  type Contents,
  contentOf,
  differenceOf,
  digestOf,
  isAllowed,
  isSameTree,
  markOfBytes,
  type Step,
  type Tree,
  treeOf,
} from './script.ts';
import { boot, type World } from './world.ts';

const START_MS = 60_000;

/** What an actor may find again. */
export interface Expectation {
  readonly home: string;
  readonly acknowledged: Tree;
  readonly step: Step | undefined;
}

/** What was left, and what is expected of it. */
export interface Left {
  readonly disk: SeededDisk;
  /** The time at which it was left. */
  readonly nowMs: number;
  readonly expectations: readonly Expectation[];
}

export interface Examination {
  readonly contents: Contents;
  readonly question: Question;
  /** With 5. */
  readonly goesOn: boolean;
}

/** Starts what was found and goes through the list above; answers what is wrong. */
export async function examine(left: Left, examination: Examination): Promise<string | undefined> {
  const { question, goesOn } = examination;
  const clock = new ManualClock(left.nowMs + START_MS);
  const looking = { ...examination, at: 'opening' };
  try {
    let tree: Tree;
    {
      await using world = await boot(left.disk, { ...question, seed: question.seed + 7_777, clock });
      const wrong = await wrongAfterStart(world, left, looking);
      if (wrong !== undefined || !goesOn) return wrong;
      looking.at = 'going on';
      const wrongAgain = await repeat(world, left.expectations);
      if (wrongAgain !== undefined) return wrongAgain;
      tree = await goOn(world, await treeOf(world.service), examination.contents);
    }
    looking.at = 'opening once more';
    await using world = await boot(left.disk, { ...question, seed: question.seed + 8_888, clock });
    const found = await treeOf(world.service);
    if (!isSameTree(found, tree)) return `after going on: ${differenceOf(found, tree)}`;
    await world.files.reapNow();
    return await problemOf(world);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return `${looking.at} failed: ${error.stack}${error.cause instanceof Error ? ` caused by ${error.cause.stack}` : ''}`;
  }
}

async function wrongAfterStart(
  world: World,
  left: Left,
  looking: Pick<Examination, 'contents'> & { at: string },
): Promise<string | undefined> {
  looking.at = 'reading everything';
  const found = await treeOf(world.service);
  for (const expectation of left.expectations) {
    const wrong = wrongIn(found, expectation);
    if (wrong !== undefined) return wrong;
  }
  looking.at = 'reading older versions';
  const unknown = await unknownVersion(world, found, looking.contents);
  if (unknown !== undefined) return unknown;
  looking.at = 'checking';
  return problemOf(world);
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
