/**
 * One line on the terminal that says how far a long command is: done, rate, time left. Redrawn at most ten times a
 * second, never wider than the terminal, erased at the end and before anything else is said. Where standard error is no
 * terminal, and with --quiet, --json or --no-progress, it draws nothing.
 */
import type { Clock } from '../../base/index.ts';
import { escapedForTerminal, fitted, shownBytes, shownCount, shownRate, shownSpan } from './display.ts';

const REDRAW_MS = 100;
/** The rate is that of the last seconds: long enough to be calm, short enough to be true. */
const RATE_WINDOW_MS = 3_000;
const SAMPLES_MAX = RATE_WINDOW_MS / REDRAW_MS + 1;
const ERASE = '\r\u001b[K';

export interface ProgressOptions {
  readonly write: (text: string) => void;
  readonly columns: () => number;
  readonly clock: Pick<Clock, 'monotonicMs'>;
  readonly isOn: boolean;
}

export interface Standing {
  /** What is being done: `put`, `check`. */
  readonly what: string;
  readonly bytes: number;
  /** All bytes there are to do, when known: then there is a percentage and a time left. */
  readonly bytesTotal?: number | undefined;
  readonly files?: number | undefined;
  readonly filesTotal?: number | undefined;
  /** The item at hand. */
  readonly item?: string | undefined;
}

interface Sample {
  readonly ms: number;
  readonly bytes: number;
}

export class Progress {
  readonly #options: ProgressOptions;
  #samples: Sample[] = [];
  #drawnMs = Number.NEGATIVE_INFINITY;
  #isShown = false;

  constructor(options: ProgressOptions) {
    this.#options = options;
  }

  get isOn(): boolean {
    return this.#options.isOn;
  }

  /** Says how far things are. Cheap: `standing` is only asked for when the line is drawn. */
  update(standing: () => Standing): void {
    if (!this.#options.isOn) return;
    const nowMs = this.#options.clock.monotonicMs();
    if (nowMs - this.#drawnMs < REDRAW_MS) return;
    this.#drawnMs = nowMs;
    const now = standing();
    const rate = this.#rate(nowMs, now.bytes);
    const line = fitted(lineOf(now, rate), Math.max(1, this.#options.columns() - 1));
    this.#options.write(`\r${line}\u001b[K`);
    this.#isShown = true;
  }

  /** Takes the line away; the next update draws it again. */
  clear(): void {
    if (!this.#isShown) return;
    this.#isShown = false;
    this.#drawnMs = Number.NEGATIVE_INFINITY;
    this.#options.write(ERASE);
  }

  #rate(nowMs: number, bytes: number): number | undefined {
    const oldest = this.#samples[0];
    this.#samples.push({ ms: nowMs, bytes });
    this.#samples = this.#samples.filter((sample) => nowMs - sample.ms <= RATE_WINDOW_MS).slice(-SAMPLES_MAX);
    if (oldest === undefined || nowMs <= oldest.ms) return undefined;
    return Math.max(0, ((bytes - oldest.bytes) / (nowMs - oldest.ms)) * 1000);
  }
}

function lineOf(now: Standing, rate: number | undefined): string {
  const parts = [now.what];
  const total = now.bytesTotal;
  if (total !== undefined && total > 0) parts.push(`${Math.floor((100 * Math.min(now.bytes, total)) / total)} %`);
  if (now.files !== undefined) {
    const of = now.filesTotal === undefined ? '' : ` of ${shownCount(now.filesTotal)}`;
    parts.push(`${shownCount(now.files)}${of} files`);
  }
  parts.push(total === undefined ? shownBytes(now.bytes) : `${shownBytes(now.bytes)} of ${shownBytes(total)}`);
  if (rate !== undefined) parts.push(shownRate(rate));
  if (rate !== undefined && rate > 0 && total !== undefined && total > now.bytes) {
    parts.push(`${shownSpan(Math.ceil((total - now.bytes) / rate)).replace(/\.\d+ s$/, ' s')} left`);
  }
  if (now.item !== undefined) parts.push(escapedForTerminal(now.item));
  return parts.join('  ');
}
