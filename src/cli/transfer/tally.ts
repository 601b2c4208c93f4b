/**
 * What became of the items of a long command: counted, said line by line where somebody listens, and turned into the
 * one exit code that is true. Each problem is named on standard error when it happens.
 */
import type { Clock } from '../../base/index.ts';
import { EXIT, type ExitCode, exitOf } from '../exit-codes.ts';
import { counted, shownBytes, shownRate, shownSpan } from '../saying/display.ts';
import type { Say } from '../saying/say.ts';

/** `done` moved bytes; `kept` found everything as it should be; `skipped` is nothing that can be kept. */
export type Outcome = 'done' | 'kept' | 'skipped' | 'failed';

export interface Item {
  readonly outcome: Outcome;
  /** Stable word for scripts: stored, made, linked, updated, kept, special, changed, vanished, failed, … */
  readonly action: string;
  readonly kind: 'file' | 'folder' | 'symlink' | 'special' | 'unknown';
  readonly path: string;
  readonly local?: string | undefined;
  readonly bytes?: number | undefined;
}

/** The rate of less than this says nothing. */
const RATED_BYTES_MIN = 1_000_000;

export class Tally {
  readonly #say: Say;
  readonly #clock: Pick<Clock, 'monotonicMs'>;
  readonly #startedMs: number;
  readonly #counts = { files: 0, folders: 0, symlinks: 0, bytes: 0, kept: 0, skipped: 0, failed: 0 };
  #firstFailure: unknown;

  constructor(say: Say, clock: Pick<Clock, 'monotonicMs'>) {
    this.#say = say;
    this.#clock = clock;
    this.#startedMs = clock.monotonicMs();
  }

  get counts(): Readonly<Record<string, number>> & {
    readonly bytes: number;
    readonly files: number;
    readonly kept: number;
  } {
    return this.#counts;
  }

  add(item: Item): Promise<void> | undefined {
    if (item.outcome === 'done') {
      this.#counts.bytes += item.bytes ?? 0;
      if (item.kind === 'folder') this.#counts.folders++;
      else if (item.kind === 'symlink') this.#counts.symlinks++;
      else this.#counts.files++;
    } else this.#counts[item.outcome]++;
    if (this.#say.isJson) return this.#say.record({ event: 'item', ...item, outcome: undefined });
    if (this.#say.isVerbose && item.outcome !== 'kept') return this.#say.note(`${item.action} ${item.path}`);
    return undefined;
  }

  /** Names a failure and counts it. */
  async fail(item: Omit<Item, 'outcome' | 'action'>, error: unknown): Promise<void> {
    if (this.#counts.failed === 0) this.#firstFailure = error;
    await this.#say.problem(error);
    await this.add({ ...item, outcome: 'failed', action: 'failed' });
  }

  /** The last line: what was done, how long it took. */
  async summarize(verb: string, more: Readonly<Record<string, number>> = {}): Promise<void> {
    const seconds = (this.#clock.monotonicMs() - this.#startedMs) / 1000;
    const rounded = Math.round(seconds * 1000) / 1000;
    await this.#say.record({ event: 'summary', verb, ...this.#counts, seconds: rounded, ...more });
    await this.#say.note(this.#sentence(verb, seconds));
  }

  #sentence(verb: string, seconds: number): string {
    const { files, folders, symlinks, bytes, kept, skipped, failed } = this.#counts;
    const parts = [`${verb}: ${counted(files, 'file')}`];
    if (folders > 0) parts.push(counted(folders, 'folder'));
    if (symlinks > 0) parts.push(counted(symlinks, 'symlink'));
    parts.push(shownBytes(bytes));
    if (kept > 0) parts.push(`${counted(kept, 'item')} unchanged`);
    if (skipped > 0) parts.push(`${skipped} skipped`);
    if (failed > 0) parts.push(`${failed} failed`);
    const rate = seconds > 0 && bytes >= RATED_BYTES_MIN ? ` (${shownRate(bytes / seconds)})` : '';
    return `${parts.join(', ')} in ${shownSpan(seconds)}${rate}`;
  }

  /** 0 when all went well; the one failure's own code when nothing else was to be done; `partly` otherwise. */
  exit(): ExitCode {
    const { files, folders, symlinks, kept, skipped, failed } = this.#counts;
    if (failed === 0 && skipped === 0) return EXIT.ok;
    const isOnlyFailure = failed === 1 && skipped + files + folders + symlinks + kept === 0;
    return isOnlyFailure ? exitOf(this.#firstFailure) : EXIT.partly;
  }
}
