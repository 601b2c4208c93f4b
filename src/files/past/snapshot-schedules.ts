/**
 * Makes the snapshots that schedules ask for, behind the operations of a server. When a schedule last had its turn stands
 * in the store, written in the commit of its snapshot: so each turn is taken once, however often the server starts, and
 * of those that were missed while none ran the last one is made up for. Then its old ones go (prune.ts).
 */
import { pathOfText } from '../../api/index.ts';
import { Fault, isoOfMoment, momentOfIso } from '../../base/index.ts';
import type { Caller, Context, Space } from '../context.ts';
import { pruneSnapshots } from './prune.ts';
import { lastDue, nextDue, type SnapshotSchedule, snapshotNameOf } from './schedule.ts';
import { createSnapshot } from './snapshots.ts';

/** After the start; opening is not held up by it. */
const FIRST_LOOK_MS = 1_000;
/** It looks at least this often: a wall clock may jump, and a machine may sleep. */
const LOOK_MS_MAX = 60_000;
const LOOK_MS_MIN = 100;

const DOOR = 'schedule';

export class SnapshotSchedules {
  readonly #context: () => Context;
  readonly #spaces: () => readonly (readonly [user: string, space: Space])[];
  readonly #settle: () => Promise<void>;
  readonly #signal: AbortSignal;
  #timer: Disposable | undefined;
  #running: Promise<void> = Promise.resolve();
  /** Turns that cannot be taken as things are, which was said: until the next turn they are not tried again. */
  readonly #givenUp = new Map<string, number>();

  /**
   * `settle` waits until what mounts did so far can be seen, so that a snapshot shows it. Ends when the signal fires; wait
   * for `close` then.
   */
  constructor(
    context: () => Context,
    spaces: () => readonly (readonly [user: string, space: Space])[],
    settle: () => Promise<void>,
    signal: AbortSignal,
  ) {
    this.#context = context;
    this.#spaces = spaces;
    this.#settle = settle;
    this.#signal = signal;
  }

  plan(delayMs = FIRST_LOOK_MS): void {
    const { clock, options } = this.#context();
    if (options.schedules.length === 0 || this.#signal.aborted) return;
    this.#timer = clock.after(delayMs, () => {
      this.#running = this.look().finally(() => this.plan(this.#untilNextMs()));
    });
  }

  #untilNextMs(): number {
    const { clock, options } = this.#context();
    const now = clock.now();
    const next = Math.min(...options.schedules.map(({ every }) => nextDue(every, now.seconds)));
    const untilMs = (next - now.seconds) * 1000 - now.nanoseconds / 1e6;
    return Math.min(LOOK_MS_MAX, Math.max(LOOK_MS_MIN, untilMs));
  }

  async close(): Promise<void> {
    this.#timer?.[Symbol.dispose]();
    await this.#running;
  }

  /** Takes every turn that is due and was not taken. */
  async look(): Promise<void> {
    for (const [user, space] of this.#spaces()) {
      for (const schedule of this.#context().options.schedules) {
        if (this.#signal.aborted) return;
        await this.#takeTurn(user, space, schedule);
      }
    }
  }

  async #takeTurn(user: string, space: Space, schedule: SnapshotSchedule): Promise<void> {
    const context = this.#context();
    const due = lastDue(schedule.every, context.clock.now().seconds);
    const key = `schedule.${space.space}.${schedule.name}`;
    if (this.#givenUp.get(key) === due) return;
    const name = snapshotNameOf(schedule, due);
    const caller: Caller = { user, door: DOOR, request: '' };
    try {
      const done = momentOfIso((await context.meta.get('settings', [key]))?.value ?? '');
      if (done !== undefined && done.seconds >= due) return;
      await this.#settle();
      const value = isoOfMoment({ seconds: due, nanoseconds: 0 });
      await createSnapshot(context, space, caller, name, {
        path: pathOfText(schedule.path),
        schedule: schedule.name,
        also: [{ table: 'settings', mode: 'replace', row: { name: key, value } }],
      });
      context.log.info('files.snapshot-made', { name, schedule: schedule.name, path: schedule.path });
      await this.#prune(space, caller, schedule);
    } catch (error) {
      // What stands in the way of these stays until somebody does something; anything else is tried again soon.
      if (Fault.is(error, 'exists', 'not-found', 'not-folder', 'invalid')) this.#givenUp.set(key, due);
      context.log.warn('files.snapshot-failed', { name, schedule: schedule.name, error: String(error) });
    }
  }

  async #prune(space: Space, caller: Caller, schedule: SnapshotSchedule): Promise<void> {
    const context = this.#context();
    const plan = await pruneSnapshots(context, space, caller, { schedule: schedule.name, signal: this.#signal });
    const gone = plan.snapshots.filter(({ action }) => action === 'delete').map(({ name }) => name);
    if (gone.length > 0) context.log.info('files.snapshots-pruned', { schedule: schedule.name, gone });
  }
}
