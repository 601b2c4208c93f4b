/**
 * Time comes in through constructors, so that a simulation replays. The system clock is real; the manual clock of the
 * tests stands still until it is moved and then fires its timers in order of their time.
 * Moments are (seconds, nanoseconds) since 1970-01-01T00:00:00Z; seconds may be negative, nanoseconds are 0–999,999,999.
 */
import { Fault } from './fault.ts';

export interface Moment {
  readonly seconds: number;
  readonly nanoseconds: number;
}

export interface Clock {
  /** The wall clock; may jump back. */
  now(): Moment;
  /** Milliseconds that only rise; the origin is unspecified. */
  monotonicMs(): number;
  /** Calls `fire` once after `delayMs`, unless disposed before. Never keeps a process alive on its own. */
  after(delayMs: number, fire: () => void): Disposable;
  /** Resolves after `delayMs`; rejects with Fault `aborted` when the signal fires first. Keeps the process alive. */
  sleep(delayMs: number, signal?: AbortSignal): Promise<void>;
}

export function momentOfMs(milliseconds: number): Moment {
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: Math.round((milliseconds - seconds * 1000) * 1e6) };
}

/** Milliseconds since 1970, with a fraction. */
export function msOfMoment(moment: Moment): number {
  return moment.seconds * 1000 + moment.nanoseconds / 1e6;
}

export function compareMoments(a: Moment, b: Moment): number {
  return a.seconds - b.seconds || a.nanoseconds - b.nanoseconds;
}

/** Dates are said and read again and again (the files of a tree are of a few days): the latest are kept. */
const DATES_KEPT = 512;
const SECONDS_A_DAY = 86_400;
const DATE_LENGTH = 10;
const dateOfDay = new Map<number, string>();
const dayOfDate = new Map<string, number>();

function kept<K, V>(known: Map<K, V>, key: K, make: () => V): V {
  const found = known.get(key);
  if (found !== undefined) return found;
  const made = make();
  if (known.size >= DATES_KEPT) known.clear();
  known.set(key, made);
  return made;
}

const TWO_DIGITS = Array.from({ length: 60 }, (_, number) => String(number).padStart(2, '0'));

/** ISO 8601 in UTC; the fraction has 3, 6 or 9 digits, as few as are exact. */
export function isoOfMoment(moment: Moment): string {
  const day = Math.floor(moment.seconds / SECONDS_A_DAY);
  const date = kept(dateOfDay, day, () => new Date(day * SECONDS_A_DAY * 1000).toISOString().split('T', 1)[0] ?? '');
  const inDay = moment.seconds - day * SECONDS_A_DAY;
  const minutes = Math.floor(inDay / 60);
  const time = `${TWO_DIGITS[Math.floor(minutes / 60)]}:${TWO_DIGITS[minutes % 60]}:${TWO_DIGITS[inDay % 60]}`;
  return `${date}T${time}.${fractionOf(moment.nanoseconds)}Z`;
}

function fractionOf(nanoseconds: number): string {
  const nanos = String(nanoseconds).padStart(9, '0');
  return nanos.endsWith('000000') ? nanos.slice(0, 3) : nanos.endsWith('000') ? nanos.slice(0, 6) : nanos;
}

/** As isoOfMoment writes it. */
const OWN_PATTERN = /^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{3,9}Z$/;
const OWN_FRACTION_AT = 20;
const [OWN_HOUR_AT, OWN_MINUTE_AT, OWN_SECOND_AT] = [11, 14, 17];
const ISO_PATTERN = /^(\d{4}-\d{2}-\d{2})[T ](\d{2}:\d{2}(?::\d{2})?)(?:\.(\d{1,9}))?\d*(Z|[+-]\d{2}:?\d{2})$/;

/** Reads an ISO 8601 moment with a zone; `undefined` when it is none. */
export function momentOfIso(text: string): Moment | undefined {
  if (OWN_PATTERN.test(text)) return momentOfOwn(text);
  const match = ISO_PATTERN.exec(text);
  if (match === null) return undefined;
  const zone = match[4] === 'Z' ? 'Z' : (match[4] ?? '').replace(/^(.\d\d):?(\d\d)$/, '$1:$2');
  const ms = Date.parse(`${match[1]}T${match[2]}${zone}`);
  if (Number.isNaN(ms)) return undefined;
  return { seconds: ms / 1000, nanoseconds: Number((match[3] ?? '').padEnd(9, '0')) };
}

function momentOfOwn(text: string): Moment | undefined {
  const date = text.slice(0, DATE_LENGTH);
  const day = kept(dayOfDate, date, () => Date.parse(`${date}T00:00Z`) / 1000);
  const [hour, minute, second] = [twoAt(text, OWN_HOUR_AT), twoAt(text, OWN_MINUTE_AT), twoAt(text, OWN_SECOND_AT)];
  // ISO 8601 has two names for midnight.
  const isTime = (hour < 24 && minute < 60 && second < 60) || (hour === 24 && minute === 0 && second === 0);
  if (Number.isNaN(day) || !isTime) return undefined;
  const fraction = text.slice(OWN_FRACTION_AT, -1).padEnd(9, '0');
  return { seconds: day + hour * 3_600 + minute * 60 + second, nanoseconds: Number(fraction) };
}

/** The number in two digits. */
function twoAt(text: string, at: number): number {
  return text.charCodeAt(at) * 10 + text.charCodeAt(at + 1) - 11 * 48;
}

function sleepOn(clock: Pick<Clock, 'after'>, delayMs: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return Promise.reject(Fault.aborted(signal, 'Waiting'));
  return new Promise((resolve, reject) => {
    const onAbort = (): void => {
      timer[Symbol.dispose]();
      reject(Fault.aborted(signal, 'Waiting'));
    };
    const timer = clock.after(delayMs, () => {
      signal?.removeEventListener('abort', onAbort);
      resolve();
    });
    signal?.addEventListener('abort', onAbort, { once: true });
  });
}

/** The longest delay that a timer of the platform takes; a longer one would fire at once. */
const TIMER_MS_MAX = 2 ** 31 - 1;

/** Fires once after the delay, however long, in stretches that the platform takes. */
function inStretches(delayMs: number, fire: () => void, begun: (timer: unknown) => void): Disposable {
  let timer: unknown;
  const begin = (leftMs: number): void => {
    const stretchMs = Math.min(leftMs, TIMER_MS_MAX);
    timer = setTimeout(() => (leftMs > stretchMs ? begin(leftMs - stretchMs) : fire()), stretchMs);
    begun(timer);
  };
  begin(delayMs);
  return { [Symbol.dispose]: () => clearTimeout(timer as number) };
}

/** A timer that keeps the process alive until it fires or is disposed. */
const awake: Pick<Clock, 'after'> = { after: (delayMs, fire) => inStretches(delayMs, fire, () => undefined) };

export const systemClock: Clock = {
  now: () => momentOfMs(performance.timeOrigin + performance.now()),
  monotonicMs: () => performance.now(),
  // In Node a timer is an object and would keep the process; in a browser it is a number.
  after: (delayMs, fire) => inStretches(delayMs, fire, (timer) => (timer as { unref?: () => void }).unref?.()),
  // Whoever sleeps goes on afterwards, so the process must not end meanwhile.
  sleep: (delayMs, signal) => sleepOn(awake, delayMs, signal),
};

/** A clock that moves only when told to. */
export class ManualClock implements Clock {
  #ms: number;
  #timers: { readonly atMs: number; readonly order: number; readonly fire: () => void }[] = [];
  #order = 0;

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    this.#ms = startMs;
  }

  now(): Moment {
    return momentOfMs(this.#ms);
  }

  monotonicMs(): number {
    return this.#ms;
  }

  after(delayMs: number, fire: () => void): Disposable {
    const timer = { atMs: this.#ms + Math.max(0, delayMs), order: this.#order++, fire };
    this.#timers.push(timer);
    return {
      [Symbol.dispose]: () => {
        this.#timers = this.#timers.filter((other) => other !== timer);
      },
    };
  }

  sleep(delayMs: number, signal?: AbortSignal): Promise<void> {
    return sleepOn(this, delayMs, signal);
  }

  /** Moves on by `ms`, firing what falls due on the way, each at its own time. */
  advance(ms: number): void {
    const endMs = this.#ms + ms;
    for (;;) {
      const next = this.#timers
        .filter((timer) => timer.atMs <= endMs)
        .sort((a, b) => a.atMs - b.atMs || a.order - b.order)[0];
      if (next === undefined) break;
      this.#timers = this.#timers.filter((other) => other !== next);
      this.#ms = Math.max(this.#ms, next.atMs);
      next.fire();
    }
    this.#ms = endMs;
  }

  /** Milliseconds until the next timer falls due; `undefined` when none is set. */
  nextTimerMs(): number | undefined {
    const times = this.#timers.map((timer) => timer.atMs - this.#ms);
    return times.length === 0 ? undefined : Math.max(0, Math.min(...times));
  }
}
