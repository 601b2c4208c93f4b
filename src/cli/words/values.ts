/**
 * Values that only people on a command line type: moments as ages, shares as percentages. Everything else is read by
 * the option types of base. Each reader answers `undefined` for what it cannot read.
 */
import { type Clock, Fault, isoOfMoment, momentOfIso, momentOfMs, msOfMoment } from '../../base/index.ts';

const SECONDS_OF = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800, y: 31_557_600 } as const;

/** ISO 8601, `YYYY-MM-DD` (midnight UTC), or an age before now: `90s`, `15m`, `2h`, `7d`, `4w`, `1y`. As ISO in UTC. */
export function momentOfText(text: string, clock: Pick<Clock, 'now'>): string | undefined {
  const age = /^(\d+(?:\.\d+)?)([smhdwy])$/.exec(text);
  if (age !== null) {
    const seconds = Number(age[1]) * SECONDS_OF[age[2] as keyof typeof SECONDS_OF];
    return isoOfMoment(momentOfMs(Math.round(msOfMoment(clock.now()) - seconds * 1000)));
  }
  const moment = momentOfIso(/^\d{4}-\d{2}-\d{2}$/.test(text) ? `${text}T00:00:00Z` : text);
  return moment === undefined ? undefined : isoOfMoment(moment);
}

/** `10%`, `0.1`; from 0 to 1. */
export function shareOfText(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text);
  if (match === null) return undefined;
  const share = Number(match[1]) / (match[2] === '%' ? 100 : 1);
  return share <= 1 ? share : undefined;
}

/** The value of a flag that was given, or the fault that says what it should look like. */
export function readFlag<T>(flag: string, text: string, read: (text: string) => T | undefined, wanted: string): T {
  const value = read(text);
  if (value !== undefined) return value;
  throw new Fault('invalid', `${flag} is ${JSON.stringify(text)}; it needs ${wanted}.`, { flag });
}
