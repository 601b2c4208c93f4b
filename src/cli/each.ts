/**
 * A verb over several words: each stands or fails alone, as with the tools everybody knows. One word's failure is the
 * command's; of several, each is named, and the exit code says that some failed.
 */

import type { Context } from './context.ts';
import { EXIT, type ExitCode, endsTheRun, exitOf } from './exit-codes.ts';

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
