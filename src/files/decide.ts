/**
 * Decide, then commit: an operation reads, plans a change as data with its expectations, and hands it in. When somebody
 * else was faster the expectations are stale and the operation decides again from fresh reads, which usually ends in
 * the fault that the user should see (`exists`, `not-found`, `conflict`). The tries are bounded; and whoever was beaten a
 * few times at a row stands in line for it, so that of many who change one place at once none is beaten for ever.
 * A request with an idempotency key is answered from the row that its first run wrote in the commit of its effect.
 */
import type { Expecting } from '../api/index.ts';
import { assert, Fault } from '../base/index.ts';
import type { Change, Committed, NodeRow, Planning, Put } from '../meta/index.ts';
import { type Context, commit, type Space } from './context.ts';

/** Decisions of one operation before it gives up on a place that never stands still. */
export const DECISIONS_MAX = 50;
/** Decisions that are tried at once; then the operation waits for its turn. */
const EAGER_MAX = 3;

export interface Decision<T> {
  /** Absent: nothing is to be done, `answer` is all. */
  readonly change?: Change | undefined;
  /** Instead: what was planned to become one commit. Its guard says what it needs of locks. */
  readonly planned?: { readonly planning: Planning; readonly guard: Change } | undefined;
  readonly answer: T;
  /** Called once the change is durable. */
  readonly onCommitted?: ((committed: Committed) => void) | undefined;
  /** Called when the change is durable or refused, after that: lets go of what was made for it. */
  readonly onSettled?: (() => Promise<void>) | undefined;
}

export async function decide<T>(context: Context, what: string, plan: () => Promise<Decision<T>>): Promise<T> {
  const deciding = new Deciding(context, plan);
  let tried = await deciding.tryUntil(EAGER_MAX);
  while ('beatenAt' in tried && deciding.count < DECISIONS_MAX) {
    const place = tried.beatenAt;
    // In one line at a time: whoever stood in two could wait for somebody who waits for him.
    tried = await context.turns.run(place, () => deciding.tryUntil(DECISIONS_MAX, place));
  }
  if ('answer' in tried) return tried.answer;
  throw new Fault(
    'busy',
    `${what} could not be done: others changed the same place ${DECISIONS_MAX} times meanwhile. Try again.`,
    { what },
  );
}

/** Done, or others were faster at a row. */
type Tried<T> = { readonly answer: T } | { readonly beatenAt: string };

class Deciding<T> {
  readonly #context: Context;
  readonly #plan: () => Promise<Decision<T>>;
  /** Decisions so far. */
  count = 0;
  /** There are locks: the change says what it needs. */
  #hasLocks = false;

  constructor(context: Context, plan: () => Promise<Decision<T>>) {
    this.#context = context;
    this.#plan = plan;
  }

  /** Tries until there were `countMax` decisions in all, or the row that was changed by others is not `place`. */
  async tryUntil(countMax: number, place?: string): Promise<Tried<T>> {
    for (;;) {
      this.count++;
      const tried = await this.#try();
      if ('answer' in tried || this.count >= countMax) return tried;
      if (place !== undefined && tried.beatenAt !== place) return tried;
    }
  }

  async #commit({ change, planned }: Decision<T>): Promise<Committed> {
    if (planned !== undefined) return this.#context.groups.commitPlanned(planned.planning, planned.guard);
    assert(change !== undefined, 'something is to be done');
    return commit(this.#context, await this.#context.locks.withNeeds(change, this.#hasLocks));
  }

  async #try(): Promise<Tried<T>> {
    const decision = await this.#plan();
    if (decision.change === undefined && decision.planned === undefined) return { answer: decision.answer };
    try {
      const committed = await this.#commit(decision);
      decision.onCommitted?.(committed);
      return { answer: decision.answer };
    } catch (error) {
      // A stale expectation of ours: decide again. A conflict that the user must see is thrown by the plan itself.
      if (!Fault.is(error, 'conflict')) throw error;
      if (error.about.expectation === 'locks') this.#hasLocks = true;
      return { beatenAt: JSON.stringify([error.about.table, error.about.key]) };
    } finally {
      await decision.onSettled?.();
    }
  }
}

export interface Idempotent {
  readonly key: string | undefined;
  /** What is asked, told apart from everything else that could be. */
  readonly request: readonly unknown[];
}

/** Runs `plan` unless this very request was done before; then answers what it answered. @throws Fault `conflict` for a key used for something else. */
export async function decideOnce<T>(
  context: Context,
  space: Space,
  what: string,
  once: Idempotent,
  plan: () => Promise<Decision<T>>,
): Promise<T> {
  const key = once.key;
  if (key === undefined) return decide(context, what, plan);
  const fingerprint = JSON.stringify(once.request);
  return decide(context, what, async () => {
    const before = await context.meta.get('idempotency', [space.space, key]);
    if (before !== undefined && before.expiresSeconds > context.clock.now().seconds) {
      if (before.fingerprint === fingerprint) return { answer: JSON.parse(before.answer) as T };
      throw new Fault(
        'conflict',
        'The idempotency key was used for another request. Use a fresh key for each request.',
        { key },
      );
    }
    const decision = await plan();
    const change = decision.change ?? decision.planned?.guard;
    if (change === undefined) return decision;
    const row = {
      space: space.space,
      key,
      fingerprint,
      answer: JSON.stringify(decision.answer),
      expiresSeconds: context.clock.now().seconds + context.options.idempotencySeconds,
    };
    const put: Put = { table: 'idempotency', mode: 'replace', row };
    // Two with one key at once: the second finds the row of the first when it decides again.
    const expects =
      before === undefined
        ? ([{ kind: 'absent', table: 'idempotency', key: [space.space, key] }] as const)
        : ([
            {
              kind: 'row',
              table: 'idempotency',
              key: [space.space, key],
              equals: { expiresSeconds: before.expiresSeconds },
            },
          ] as const);
    const kept = { ...change, expects: [...expects, ...(change.expects ?? [])], puts: [...(change.puts ?? []), put] };
    if (decision.planned === undefined) return { ...decision, change: kept };
    return { ...decision, planned: { ...decision.planned, guard: kept } };
  });
}

/** @throws Fault `conflict` that names both versions, or both nodes where another file took the place. */
export function checkExpected(path: string, expecting: Expecting, node: NodeRow | undefined): void {
  const { expectedVersion: version, expectedId: id } = expecting;
  const isVersion = version === undefined || version === node?.version;
  const isNode = id === undefined || id === node?.node;
  if (isVersion && isNode) return;
  const about = {
    path,
    ...(version === undefined ? {} : { expected_version: version }),
    current_version: node?.version ?? null,
    ...(id === undefined ? {} : { expected_id: id, current_id: node?.node ?? null }),
  };
  const wanted = [...(isVersion ? [] : [`version ${version}`]), ...(isNode ? [] : [`file ${id}`])].join(' of ');
  const now =
    node === undefined
      ? 'there is nothing there'
      : isVersion
        ? `it is file ${node.node}`
        : `it is version ${node.version}`;
  throw new Fault(
    'conflict',
    `${path} was expected to be ${wanted}, but ${now} now. Read it again and decide anew.`,
    about,
  );
}
