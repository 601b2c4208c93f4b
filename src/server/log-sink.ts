/**
 * Where log lines go: standard error, one line an event, as JSON for machines or set for a terminal's reader.
 * Lines are written at once and whole. Log data is plain data; errors in it are told by their sentences and causes, and
 * nothing under a name that sounds like a secret is written, whoever logged it.
 */
import { type Clock, isoOfMoment, type Log, type LogEvent, type LogLevel, logTo } from '../base/index.ts';

export interface LogSinkOptions {
  readonly level: LogLevel;
  readonly format: 'auto' | 'pretty' | 'json';
  readonly clock: Clock;
  /** Takes one line with its line end; the process's standard error when absent. */
  readonly write?: (line: string) => void;
  /** Is that a terminal? Asked of standard error when absent. */
  readonly isTerminal?: boolean;
}

/** Characters of one line; longer data is cut, because a log is read by people in the end. */
const LINE_CHARACTERS_MAX = 16_384;
const CAUSES_MAX = 5;
const HIDDEN = /secret|password|token|authorization|cookie/i;

export function openLog(options: LogSinkOptions): Log {
  const isPretty =
    options.format === 'pretty' || (options.format === 'auto' && (options.isTerminal ?? process.stderr.isTTY === true));
  const write = options.write ?? ((line: string) => process.stderr.write(line));
  const render = isPretty ? prettyLine : jsonLine;
  return logTo((event) => write(`${render(event, isoOfMoment(options.clock.now()))}\n`), options.level);
}

function jsonLine(event: LogEvent, time: string): string {
  const line = JSON.stringify({ time, level: event.level, event: event.event, ...plain(event.data) });
  if (line.length <= LINE_CHARACTERS_MAX) return line;
  return JSON.stringify({ time, level: event.level, event: event.event, cut: line.slice(0, LINE_CHARACTERS_MAX) });
}

const MARKS: Readonly<Record<LogLevel, string>> = {
  debug: '\u001b[2mdebug\u001b[0m',
  info: '\u001b[32minfo\u001b[0m ',
  warn: '\u001b[33mwarn\u001b[0m ',
  error: '\u001b[31merror\u001b[0m',
};

function prettyLine(event: LogEvent, time: string): string {
  const data = Object.entries(plain(event.data)).map(([name, value]) => ` ${name}=${shown(value)}`);
  return `${time.slice(11, 23)} ${MARKS[event.level]} ${event.event}${data.join('')}`.slice(0, LINE_CHARACTERS_MAX);
}

/** Bare where it can be, JSON where it has spaces or control characters, which must not reach a terminal. */
function shown(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  return typeof value !== 'string' || /^[\x21\x23-\x7e]+$/.test(text) ? text : JSON.stringify(text);
}

function plain(data: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(data).map(([name, value]) => [name, HIDDEN.test(name) ? '(hidden)' : plainValue(value)]),
  );
}

function plainValue(value: unknown): unknown {
  if (value instanceof Error) return toldError(value);
  return typeof value === 'bigint' ? String(value) : value;
}

/** Sentences from the error down to its first cause; the stack only for what is no Fault, because that is a bug. */
function toldError(error: Error): string {
  const sentences: string[] = [];
  for (let one: unknown = error; one !== undefined && sentences.length < CAUSES_MAX; ) {
    sentences.push(toldOne(one));
    one = one instanceof Error ? one.cause : undefined;
  }
  return sentences.join(' ← ');
}

function toldOne(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // Faults and errors of the system carry a code.
  return 'code' in error ? error.message : (error.stack ?? error.message);
}
