/**
 * A verb over several words: each stands or fails alone, as with the tools everybody knows. One word's failure is the
 * command's; of several, each is named, and the exit code says that some failed.
 */

import type { BatchOperation, FileService } from '../../api/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode, endsTheRun, exitOf } from '../exit-codes.ts';
import { type Batched, inBatches } from './batched.ts';

export async function eachWord<T>(
  words: readonly T[],
  context: Context,
  act: (word: T) => Promise<void>,
): Promise<ExitCode> {
  let failed: ExitCode = EXIT.ok;
  for (const word of words) {
    try {
      await act(word);
    } catch (error) {
      if (endsTheRun(error)) throw error;
      await context.say.flush();
      await context.say.problem(error);
      failed = words.length === 1 ? exitOf(error) : EXIT.partly;
    }
  }
  return failed;
}

export interface Together<R> {
  readonly service: FileService;
  /** @throws what is wrong with the word itself. */
  readonly operationOf: (word: string) => BatchOperation | Promise<BatchOperation>;
  /** The same by itself. */
  readonly alone: (word: string) => Promise<R>;
}

/** As eachWord; several words become one commit, and each still stands or fails alone. `R` is what the operation answers. */
export async function eachTogether<R>(
  words: readonly string[],
  context: Context,
  { service, operationOf, alone }: Together<R>,
  done: (word: string, record: R) => Promise<void>,
  isFine: (error: unknown) => boolean = () => false,
): Promise<ExitCode> {
  const one = async (word: string): Promise<void> => {
    try {
      await done(word, await alone(word));
    } catch (error) {
      if (!isFine(error)) throw error;
    }
  };
  if (words.length <= 1) return eachWord(words, context, one);
  const faults = new Map<number, unknown>();
  const batched: Batched<number>[] = [];
  for (const [at, word] of words.entries()) {
    try {
      batched.push({ work: at, operation: await operationOf(word) });
    } catch (error) {
      if (endsTheRun(error)) throw error;
      faults.set(at, error);
    }
  }
  const records = new Map<number, unknown>();
  const aloneAt = (at: number): Promise<unknown> => alone(words[at] ?? '');
  for await (const result of inBatches(service, batched, aloneAt, context.signal)) {
    if ('record' in result) records.set(result.work, result.record);
    else faults.set(result.work, result.fault);
  }
  return eachWord([...words.entries()], context, async ([at, word]) => {
    const fault = faults.get(at);
    if (fault === undefined) await done(word, records.get(at) as R);
    else if (!isFine(fault)) throw fault;
  });
}
