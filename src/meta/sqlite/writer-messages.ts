/** What the thread that writes SQLite metadata is told, and what it answers. One write at a time. */
import { Fault, type FaultAbout, type FaultCode } from '../../base/index.ts';
import type { SettleRequest, SqliteSettings } from './sqlite-writing.ts';

/** Handed over once, when the thread starts. */
export interface WriterStart {
  readonly path: string;
  /** Of the file that is meant. */
  readonly inode: number;
  readonly settings: SqliteSettings;
}

/**
 * `rows`: a part of a write (row-runs.ts), which begins with the first after the last one of the write before. With the
 * last one they become durable. `drop`: they are forgotten. `settle`: see SqliteWriting; between two writes. `close`: lets
 * go of the file.
 */
export type WriterRequest =
  | { readonly kind: 'rows'; readonly bytes: Uint8Array<ArrayBuffer>; readonly isLast: boolean }
  | { readonly kind: 'drop' }
  | { readonly kind: 'settle'; readonly what: SettleRequest }
  | { readonly kind: 'close' };

/** `ready` comes unasked when the thread has opened the file; `done` or `failed` answer the last rows, `drop`, `settle`, `close`. */
export type WriterAnswer =
  | { readonly kind: 'ready' }
  | { readonly kind: 'done' }
  | {
      readonly kind: 'failed';
      readonly error: SentError;
      /** The same, kept: nothing more will be taken. */
      readonly isBroken: boolean;
    };

/** An error on its way between threads: a clone of one keeps neither its class nor what Faults are about. */
export interface SentError {
  /** Absent for what is no Fault. */
  readonly code?: FaultCode;
  readonly name: string;
  readonly message: string;
  readonly about: FaultAbout;
  readonly stack: string;
  /** Cloned as errors are. */
  readonly cause: unknown;
}

export function sentOf(error: unknown): SentError {
  if (!(error instanceof Error)) return sentOf(new Error(String(error)));
  const { name, message, stack = '', cause } = error;
  const kept = { name, message, stack, cause: cause instanceof Error ? cause : undefined };
  return Fault.is(error) ? { ...kept, code: error.code, about: error.about } : { ...kept, about: {} };
}

export function errorOf({ code, name, message, about, stack, cause }: SentError): Error {
  const error = code === undefined ? new Error(message, { cause }) : new Fault(code, message, about, cause);
  if (code === undefined) error.name = name;
  error.stack = stack;
  return error;
}
