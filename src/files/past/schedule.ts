/**
 * When a schedule makes its snapshots, in words and as pure functions of the time. `hour at :15`, `day at 03:00`, `week on
 * sunday at 03:00`, `month on 15 at 03:00`, or a length of time such as `6h`, counted from the beginning of 1970. All in
 * UTC. Each moment at which one is due has a name of its own, which never changes: whoever makes it twice finds it made.
 */
import { Fault } from '../../base/index.ts';
import { type KeepRules, keepRulesOf } from './keep-rules.ts';

/** Every so many seconds, so many after the beginning of 1970; or once a month. */
export type Every =
  | { readonly periodSeconds: number; readonly offsetSeconds: number }
  | { readonly monthDay: number; readonly offsetSeconds: number };

export interface SnapshotSchedule {
  readonly name: string;
  /** The folder, in text form. */
  readonly path: string;
  readonly every: Every;
  /** Of the snapshots that this schedule made. */
  readonly keep: KeepRules;
}

export const EVERY_EXAMPLE = 'day at 03:00';
export const SCHEDULE_NAME_PATTERN = /^[a-z0-9][a-z0-9_-]{0,40}$/;

const HOUR = 3600;
const DAY = 24 * HOUR;
const WEEK = 7 * DAY;
const DAYS = ['monday', 'tuesday', 'wednesday', 'thursday', 'friday', 'saturday', 'sunday'];
/** The first Monday of 1970. */
const MONDAY_SECONDS = 4 * DAY;
/** Every month has this day. */
const MONTH_DAY_MAX = 28;
const LENGTH_SECONDS_MIN = 60;
const LENGTH_SECONDS_MAX = 366 * DAY;
const LENGTHS: Readonly<Record<string, number>> = { m: 60, h: HOUR, d: DAY };

/** Undefined for a text that is none. */
export function readEvery(text: string): Every | undefined {
  const words = text.trim().toLowerCase().replace(/\s+/g, ' ');
  const length = /^(\d{1,6})([mhd])$/.exec(words);
  if (length !== null) {
    const periodSeconds = Number(length[1]) * (LENGTHS[length[2] ?? ''] ?? 0);
    const isFine = periodSeconds >= LENGTH_SECONDS_MIN && periodSeconds <= LENGTH_SECONDS_MAX;
    return isFine ? { periodSeconds, offsetSeconds: 0 } : undefined;
  }
  const [, unit, day, time] = /^(hour|day|week|month)(?: on (\w+))?(?: at (\d{0,2}:\d\d))?$/.exec(words) ?? [];
  const at = secondsOfTime(time ?? (unit === 'hour' ? ':00' : '00:00'), unit === 'hour');
  if (at === undefined) return undefined;
  switch (unit) {
    case 'hour':
      return day === undefined ? { periodSeconds: HOUR, offsetSeconds: at } : undefined;
    case 'day':
      return day === undefined ? { periodSeconds: DAY, offsetSeconds: at } : undefined;
    case 'week': {
      const place = day === undefined ? 0 : DAYS.findIndex((name) => name === day || name.slice(0, 3) === day);
      return place < 0 ? undefined : { periodSeconds: WEEK, offsetSeconds: MONDAY_SECONDS + place * DAY + at };
    }
    case 'month': {
      const monthDay = day === undefined ? 1 : Number(day);
      const isFine = Number.isInteger(monthDay) && monthDay >= 1 && monthDay <= MONTH_DAY_MAX;
      return isFine ? { monthDay, offsetSeconds: at } : undefined;
    }
    default:
      return undefined;
  }
}

/** `03:00`, or `:15` past every hour. */
function secondsOfTime(text: string, isMinute: boolean): number | undefined {
  const [hours = '', minutes = ''] = text.split(':');
  if (isMinute !== (hours === '') || Number(hours) > 23 || Number(minutes) > 59) return undefined;
  return Number(hours) * HOUR + Number(minutes) * 60;
}

/** The last moment at which one was due, at or before now. */
export function lastDue(every: Every, nowSeconds: number): number {
  if ('monthDay' in every) {
    const now = new Date(nowSeconds * 1000);
    const due = monthMoment(every, now.getUTCFullYear(), now.getUTCMonth());
    return due <= nowSeconds ? due : monthMoment(every, now.getUTCFullYear(), now.getUTCMonth() - 1);
  }
  const { periodSeconds, offsetSeconds } = every;
  return Math.floor((nowSeconds - offsetSeconds) / periodSeconds) * periodSeconds + offsetSeconds;
}

/** The first moment behind `afterSeconds` at which one is due. */
export function nextDue(every: Every, afterSeconds: number): number {
  if (!('monthDay' in every)) return lastDue(every, afterSeconds) + every.periodSeconds;
  const last = new Date(lastDue(every, afterSeconds) * 1000);
  // In the middle of the month, so that the next one is certainly the next.
  return monthMoment(every, last.getUTCFullYear(), last.getUTCMonth() + 1);
}

function monthMoment(
  { monthDay, offsetSeconds }: Extract<Every, { monthDay: number }>,
  year: number,
  month: number,
): number {
  return Date.UTC(year, month, monthDay) / 1000 + offsetSeconds;
}

/** `auto-daily-2026-11-20`, with the time where there may be several on a day. */
export function snapshotNameOf({ name, every }: Pick<SnapshotSchedule, 'name' | 'every'>, dueSeconds: number): string {
  const iso = new Date(dueSeconds * 1000).toISOString();
  const isDaily = 'monthDay' in every || every.periodSeconds % DAY === 0;
  const time = isDaily ? '' : `-${iso.slice(11, 13)}${iso.slice(14, 16)}`;
  return `auto-${name}-${iso.slice(0, 10)}${time}`;
}

/** A schedule as it is configured. */
export interface ScheduleWish {
  readonly name: string;
  readonly path: string;
  readonly every: string;
  readonly keep: string;
}

/** @throws Fault `invalid` for what is no name, no time or no rule, and for two of one name. */
export function schedulesOf(wishes: readonly ScheduleWish[]): readonly SnapshotSchedule[] {
  const names = new Set<string>();
  return wishes.map(({ name, path, every: text, keep }) => {
    if (!SCHEDULE_NAME_PATTERN.test(name) || names.has(name)) {
      const why = names.has(name)
        ? 'there are two of that name'
        : 'a name has at most 41 characters: small letters, digits, - and _, and begins with a letter or digit';
      throw new Fault('invalid', `The schedule of snapshots ${JSON.stringify(name)} cannot be used: ${why}.`, { name });
    }
    names.add(name);
    const every = readEvery(text);
    if (every === undefined) {
      const sentence = `${JSON.stringify(text)} does not say when the schedule ${name} makes snapshots. Write it like this: ${EVERY_EXAMPLE}, hour at :15, week on sunday at 03:00, month on 1, 6h.`;
      throw new Fault('invalid', sentence, { name, every: text });
    }
    return { name, path, every, keep: keepRulesOf(keep) };
  });
}
