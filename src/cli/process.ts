/**
 * The process around one run: signals become one abort, which everything hears; a second one ends the process at once.
 * The exit code is set when all is said, and the process ends by itself or, when something still holds it, soon after.
 */
import { systemClock, systemRandom } from '../base/index.ts';
import { EXIT } from './exit-codes.ts';
import { Interrupted, runProgram } from './program.ts';
import { sinkOf, standardInput } from './saying/streams.ts';
import { wordsOfProcess } from './words/arguments.ts';

export async function runProcess(): Promise<void> {
  const [abort, hurry] = [new AbortController(), new AbortController()];
  let handlesHurry = false;
  const onSignal = (exit: typeof EXIT.interrupted | typeof EXIT.terminated) => () => {
    if (!abort.signal.aborted) abort.abort(new Interrupted(exit));
    else if (handlesHurry && !hurry.signal.aborted) hurry.abort(new Interrupted(exit));
    else process.exit(exit);
  };
  process.on('SIGINT', onSignal(EXIT.interrupted));
  process.on('SIGTERM', onSignal(EXIT.terminated));
  // The terminal was closed.
  process.on('SIGHUP', onSignal(EXIT.terminated));
  const exit = await runProgram(wordsOfProcess(process.argv), {
    stdout: sinkOf(process.stdout),
    stderr: sinkOf(process.stderr),
    stdin: () => standardInput(abort.signal),
    clock: systemClock,
    random: systemRandom,
    signal: abort.signal,
    hurry: () => {
      handlesHurry = true;
      return hurry.signal;
    },
    disk: async () => (await import('./local/local-disk.ts')).realDisk,
    server: async () => (await import('./compose.ts')).serverRoom,
  });
  process.exit(exit);
}
