/**
 * What a command says, and where. Standard output carries data only: lines for people, or one JSON object a line with
 * --json. Everything else (notes, problems, progress) goes to standard error. Writing waits when the reader is slow, so
 * that a long listing never piles up in memory.
 */
import { Fault } from '../../base/index.ts';
import { escapedForTerminal } from './display.ts';
import type { Progress } from './progress.ts';

/** One of the standard streams. */
export interface Sink {
  /** Resolves when there is room for more. @throws BrokenPipe when the reader is gone. */
  write(data: Uint8Array | string): Promise<void>;
  readonly isTerminal: boolean;
  /** Width of the terminal; 80 when it is none. */
  readonly columns: number;
}

/** The reader of our output has gone away: the program ends without a word. */
export class BrokenPipe extends Error {}

export interface SayOptions {
  readonly stdout: Sink;
  readonly stderr: Sink;
  readonly isJson: boolean;
  readonly isQuiet: boolean;
  readonly isVerbose: boolean;
  readonly progress: Progress;
}

/** Characters gathered before they are written. */
const LINES_BUFFERED_MAX = 64 * 1024;

export class Say {
  readonly isJson: boolean;
  readonly isVerbose: boolean;
  readonly progress: Progress;
  readonly #options: SayOptions;
  #lines = '';
  #problemCount = 0;

  constructor(options: SayOptions) {
    this.#options = options;
    this.isJson = options.isJson;
    this.isVerbose = options.isVerbose;
    this.progress = options.progress;
  }

  /** True when lines go to a person's terminal: there control characters are shown escaped. */
  get isTerminal(): boolean {
    return this.#options.stdout.isTerminal;
  }

  get columns(): number {
    return this.#options.stdout.columns;
  }

  /** Problems told so far. */
  get problemCount(): number {
    return this.#problemCount;
  }

  /** A line of data for people; nothing with --json. Must be awaited when it answers a promise. */
  line(text: string): Promise<void> | undefined {
    return this.isJson ? undefined : this.#add(`${text}\n`);
  }

  /** A line without its line end, for --null. */
  raw(text: string): Promise<void> | undefined {
    return this.isJson ? undefined : this.#add(text);
  }

  /** An object of data; nothing without --json. Must be awaited when it answers a promise. */
  record(value: Readonly<Record<string, unknown>>): Promise<void> | undefined {
    return this.isJson ? this.#add(`${JSON.stringify(value)}\n`) : undefined;
  }

  #add(text: string): Promise<void> | undefined {
    this.#lines += text;
    return this.#lines.length >= LINES_BUFFERED_MAX ? this.flush() : undefined;
  }

  /** Writes what is gathered. */
  async flush(): Promise<void> {
    const lines = this.#lines;
    this.#lines = '';
    if (lines === '') return;
    if (this.isTerminal) this.progress.clear();
    await this.#options.stdout.write(lines);
  }

  /** Bytes of a file, behind the lines said so far. */
  async bytes(bytes: Uint8Array): Promise<void> {
    if (this.#lines !== '') await this.flush();
    await this.#options.stdout.write(bytes);
  }

  /** What somebody at a terminal wants to know and a script does not: silent with --quiet and --json. */
  async note(text: string): Promise<void> {
    if (this.#options.isQuiet || this.isJson) return;
    await this.#tell(text);
  }

  /** Something went wrong, here with one item of many, or with the whole command. Also with --quiet. */
  async problem(error: unknown): Promise<void> {
    this.#problemCount++;
    const { code, sentence, about } = problemOf(error);
    if (this.isJson) await this.#tell(JSON.stringify({ error: sentence, code, about }));
    else await this.#tell(`holdfast: ${escapedForTerminal(sentence, { keepLines: true })}`);
    if (this.isVerbose && !this.isJson && error instanceof Error && error.stack !== undefined) {
      await this.#tell(error.stack);
    }
  }

  async #tell(text: string): Promise<void> {
    this.progress.clear();
    await this.#options.stderr.write(`${text}\n`);
  }
}

interface Problem {
  readonly code: string;
  readonly sentence: string;
  readonly about: Readonly<Record<string, unknown>>;
}

export function problemOf(error: unknown): Problem {
  if (Fault.is(error)) return { code: error.code, sentence: error.message, about: error.about };
  const message = error instanceof Error ? error.message : String(error);
  const sentence = `this is a bug in Holdfast: ${message} Run it again with --verbose and report what it prints.`;
  return { code: 'internal', sentence, about: {} };
}
