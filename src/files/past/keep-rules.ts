/**
 * What is kept of a row of things in time (snapshots, versions of a file), in words and as a pure plan.
 *
 * The words: `hourly 24, daily 30, monthly 12, last 20, all within 7 days`. `hourly 24` keeps the newest of each of the
 * last 24 hours in which there is one, and so on for daily, weekly (from Monday), monthly and yearly; `last 20` keeps the
 * newest 20, `versions 20` and `snapshots 20` are other words for it. `within` bounds by age instead of number: `all within
 * 7 days`, `daily within 60 days`. `all` keeps everything, `yearly all` one for every year, `none` nothing.
 * What any rule keeps is kept. Hours and days are those of UTC.
 *
 * Planning twice is planning once: a second plan over what the first kept drops nothing, as long as nothing gets older.
 */
import { Fault } from '../../base/index.ts';

export const KEEP_PERIODS = ['hourly', 'daily', 'weekly', 'monthly', 'yearly'] as const;
type Period = (typeof KEEP_PERIODS)[number];

/** A number of them, the newest; or all that are young enough. */
export type KeepRule = { readonly of: Period | 'last' } & (
  | { readonly count: number }
  | { readonly withinSeconds: number }
);
export type KeepRules = readonly KeepRule[];

/** Rules of one plan: each is a bit of a mark. */
const RULES_MAX = 24;
const COUNT_MAX = 1_000_000;
const SECONDS_MAX = 36_500 * 24 * 3600;

const UNIT_SECONDS: Readonly<Record<string, number>> = {
  ...{ s: 1, second: 1, seconds: 1, m: 60, minute: 60, minutes: 60, h: 3600, hour: 3600, hours: 3600 },
  ...{ d: 86_400, day: 86_400, days: 86_400, w: 604_800, week: 604_800, weeks: 604_800 },
};
const UNITS_WRITTEN = ['days', 'hours', 'minutes', 'seconds'] as const;

const LAST_WORDS: readonly string[] = ['last', 'versions', 'snapshots'];

/** What rules look like, for refusals and help. */
export const KEEP_RULES_EXAMPLE = 'hourly 24, daily 30, monthly 12, all within 7 days';

/** @throws Fault `invalid`, which says what rules look like. */
export function keepRulesOf(text: string): KeepRules {
  const rules = readKeepRules(text);
  if (rules !== undefined) return rules;
  const sentence = `${JSON.stringify(text.slice(0, 200))} does not say what is kept. Write it like this: ${KEEP_RULES_EXAMPLE}.`;
  throw new Fault('invalid', sentence, { keep: text.slice(0, 200) });
}

/** Undefined for a text that is none. */
export function readKeepRules(text: string): KeepRules | undefined {
  const parts = text.split(',').map((part) => part.trim().toLowerCase().replace(/\s+/g, ' '));
  if (parts.length > RULES_MAX) return undefined;
  if (parts.length === 1 && parts[0] === 'none') return [];
  const rules = parts.map(ruleOf);
  return rules.every((rule) => rule !== undefined) ? rules : undefined;
}

function ruleOf(part: string): KeepRule | undefined {
  if (part === 'all') return { of: 'last', count: Number.POSITIVE_INFINITY };
  const within = /^(\w+) within (\d{1,9}) ?([a-z]+)$/.exec(part);
  if (within !== null) {
    const of = within[1] === 'all' ? 'last' : periodOf(within[1]);
    const seconds = Number(within[2]) * (UNIT_SECONDS[within[3] ?? ''] ?? Number.NaN);
    return of === undefined || !(seconds <= SECONDS_MAX) ? undefined : { of, withinSeconds: seconds };
  }
  const [, word = '', number = ''] = /^(\w+) (\d{1,7}|all)$/.exec(part) ?? [];
  const of = LAST_WORDS.includes(word) ? 'last' : periodOf(word);
  const count = number === 'all' ? Number.POSITIVE_INFINITY : Number(number);
  const isCount = number === 'all' || count <= COUNT_MAX;
  return of === undefined || !isCount ? undefined : { of, count };
}

function periodOf(word: string | undefined): Period | undefined {
  return KEEP_PERIODS.find((period) => period === word);
}

/** As a text that reads back as the same rules. */
export function textOfKeepRules(rules: KeepRules): string {
  return rules.length === 0 ? 'none' : rules.map(textOfRule).join(', ');
}

function textOfRule(rule: KeepRule): string {
  if ('withinSeconds' in rule) {
    const { withinSeconds: seconds } = rule;
    const unit = UNITS_WRITTEN.find((name) => seconds % (UNIT_SECONDS[name] ?? 1) === 0) ?? 'seconds';
    const count = seconds / (UNIT_SECONDS[unit] ?? 1);
    return `${rule.of === 'last' ? 'all' : rule.of} within ${count} ${count === 1 ? unit.slice(0, -1) : unit}`;
  }
  if (rule.count === Number.POSITIVE_INFINITY) return rule.of === 'last' ? 'all' : `${rule.of} all`;
  return `${rule.of} ${rule.count}`;
}

/** Of what is gone nothing is kept by number, or for ever: only what an age bounds. */
export function boundedByAge(rules: KeepRules): KeepRules {
  return rules.filter((rule) => 'withinSeconds' in rule);
}

export interface KeepPlan<T> {
  readonly kept: readonly { readonly item: T; readonly reasons: readonly string[] }[];
  readonly dropped: readonly T[];
}

export interface KeepQuestion<T> {
  /** Newest first. */
  readonly items: readonly T[];
  readonly secondsOf: (item: T) => number;
  readonly rules: KeepRules;
  /** From when ages count. */
  readonly asOfSeconds: number;
}

export function planKeep<T>(question: KeepQuestion<T>): KeepPlan<T> {
  const { items, rules } = question;
  const { marks, places } = marksOf(question, true);
  const kept: { readonly item: T; readonly reasons: readonly string[] }[] = [];
  const dropped: T[] = [];
  for (const [at, item] of items.entries()) {
    const mark = marks[at] ?? 0;
    if (mark === 0) dropped.push(item);
    else kept.push({ item, reasons: rules.flatMap((rule, of) => reasonOf(rule, places[of]?.get(at))) });
  }
  return { kept, dropped };
}

/** As planKeep, for whoever asks often and wants no reasons. */
export function itemsToDrop<T>(question: KeepQuestion<T>): readonly T[] {
  const { marks } = marksOf(question, false);
  return question.items.filter((_, at) => marks[at] === 0);
}

/** `daily 3 of 30`: the third that the rule keeps. */
function reasonOf(rule: KeepRule, place: number | undefined): readonly string[] {
  if (place === undefined) return [];
  if ('withinSeconds' in rule || rule.count === Number.POSITIVE_INFINITY) return [textOfRule(rule)];
  return [`${rule.of} ${place} of ${rule.count}`];
}

interface Marks {
  /** For each item which rules keep it, a bit for each. */
  readonly marks: Uint32Array;
  /** For each rule, which of those that it keeps an item is; where they are asked for. */
  readonly places: readonly Map<number, number>[];
}

function marksOf<T>({ items, secondsOf, rules, asOfSeconds }: KeepQuestion<T>, withPlaces: boolean): Marks {
  const marks = new Uint32Array(items.length);
  const places = withPlaces ? rules.map(() => new Map<number, number>()) : [];
  const states = rules.map(() => ({ bucket: Number.NaN, kept: 0 }));
  let seconds = Number.POSITIVE_INFINITY;
  for (const [at, item] of items.entries()) {
    // A wall clock may have gone back; what is older by its place is never younger by its time.
    seconds = Math.min(seconds, secondsOf(item));
    for (const [of, rule] of rules.entries()) {
      const state = states[of];
      if (state === undefined || !isWithin(rule, state.kept, asOfSeconds - seconds)) continue;
      const bucket = bucketOf(rule.of, seconds, at);
      if (bucket === state.bucket) continue;
      state.bucket = bucket;
      state.kept++;
      marks[at] = (marks[at] ?? 0) | (1 << of);
      places[of]?.set(at, state.kept);
    }
  }
  return { marks, places };
}

function isWithin(rule: KeepRule, kept: number, ageSeconds: number): boolean {
  return 'count' in rule ? kept < rule.count : ageSeconds < rule.withinSeconds;
}

const DAY_SECONDS = 86_400;
/** 1970 began on a Thursday; weeks begin on Mondays. */
const DAYS_SINCE_MONDAY = 3;

/** The same number for all in one hour, day, …; `last` has one for each. */
function bucketOf(of: KeepRule['of'], seconds: number, place: number): number {
  switch (of) {
    case 'last':
      return place;
    case 'hourly':
      return Math.floor(seconds / 3600);
    case 'daily':
      return Math.floor(seconds / DAY_SECONDS);
    case 'weekly':
      return Math.floor((Math.floor(seconds / DAY_SECONDS) + DAYS_SINCE_MONDAY) / 7);
    default: {
      const date = new Date(seconds * 1000);
      return of === 'yearly' ? date.getUTCFullYear() : date.getUTCFullYear() * 12 + date.getUTCMonth();
    }
  }
}
