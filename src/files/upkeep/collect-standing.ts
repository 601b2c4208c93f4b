/**
 * Where collections stand: the one under way, the last one, and whether those behind the operations are paused. A pause
 * is a setting of the store, so it lasts over restarts until somebody ends it; a collection that somebody asks for goes
 * on in spite of it.
 */
import type { GcStatus } from '../../api/index.ts';
import { isoOfMoment, type Moment } from '../../base/index.ts';
import type { Collection } from '../../chunks/index.ts';
import { type Context, commit } from '../context.ts';
import type { Recut } from './recut.ts';

/** What a collection did, and what was re-cut behind it. */
export interface Done {
  readonly collection: Collection;
  readonly recut: Recut;
}

const PAUSED = 'gc.paused';

type OnProgress = (done: number, total: number) => void;

export class CollectStanding {
  readonly #context: () => Context;
  #running: { readonly started: Moment; done: number; total: number } | undefined;
  #last: GcStatus['last'];
  /** When the next one behind the operations begins. */
  next: Moment | undefined;

  constructor(context: () => Context) {
    this.#context = context;
  }

  async follow(collect: (onProgress: OnProgress) => Promise<Done>): Promise<Done> {
    const { clock } = this.#context();
    const running = { started: clock.now(), done: 0, total: 0 };
    this.#running = running;
    let end: Pick<NonNullable<GcStatus['last']>, 'freed_bytes' | 'packs' | 'problems' | 'error'> | undefined;
    try {
      const whole = await collect((done, total) => Object.assign(running, { done, total }));
      const { freedBytes, packs, problems } = whole.collection;
      end = { freed_bytes: freedBytes, packs: packs.length, problems: problems.length };
      return whole;
    } catch (error) {
      end = { freed_bytes: 0, packs: 0, problems: 0, error: error instanceof Error ? error.message : String(error) };
      throw error;
    } finally {
      if (this.#running === running) this.#running = undefined;
      if (end !== undefined)
        this.#last = { started: isoOfMoment(running.started), ended: isoOfMoment(clock.now()), ...end };
    }
  }

  async pausedSince(): Promise<string | undefined> {
    return (await this.#context().meta.get('settings', [PAUSED]))?.value;
  }

  /** Durable when it answers. Pausing twice keeps the first moment. */
  async pause(isPaused: boolean): Promise<void> {
    const context = this.#context();
    if (((await this.pausedSince()) !== undefined) === isPaused) return;
    const now = context.clock.now();
    const row = { name: PAUSED, value: isoOfMoment(now) };
    if (isPaused) await commit(context, { now, puts: [{ table: 'settings', mode: 'replace', row }] });
    else await commit(context, { now, deletes: [{ table: 'settings', key: [PAUSED] }] });
  }

  async status(): Promise<GcStatus> {
    const { gc } = this.#context().options;
    const paused = await this.pausedSince();
    const running = this.#running;
    return {
      is_paused: paused !== undefined,
      ...(paused === undefined ? {} : { paused_since: paused }),
      interval_seconds: gc.intervalSeconds,
      ...(this.next === undefined || paused !== undefined ? {} : { next: isoOfMoment(this.next) }),
      ...(running === undefined
        ? {}
        : {
            running: { started: isoOfMoment(running.started), done_bytes: running.done, total_bytes: running.total },
          }),
      ...(this.#last === undefined ? {} : { last: this.#last }),
    };
  }
}
