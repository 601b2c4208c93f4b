/** A soak over several seeds, its operations shared among them, in a given folder or on the mount of a new store. */
import type { SoakWords } from '../../tools/soak.ts';
import { mountStore } from './mounted.ts';

const SEED_COUNT = 4;
const PROGRESS_MS = 10_000;

export type Exercise = (
  folder: string,
  seed: number,
  operations: number,
  progress: (operations: number) => void,
) => Promise<void>;

/** Words: `--operations` in all, `--seeds` how many, `--seed` the first, `--folder`. */
export async function eachSeed(words: SoakWords, operations: number, exercise: Exercise): Promise<void> {
  const folder = words.text('folder');
  await using mount = folder === undefined ? await mountStore() : undefined;
  const seeds = words.number('seeds', SEED_COUNT);
  const each = Math.ceil(words.number('operations', operations) / seeds);
  const first = words.number('seed', 1);
  for (let seed = first; seed < first + seeds; seed++) {
    const started = performance.now();
    let said = started;
    const rate = (done: number): string => `${Math.round(done / ((performance.now() - started) / 1_000))} a second`;
    await exercise(folder ?? mount?.path ?? '', seed, each, (done) => {
      if (performance.now() - said < PROGRESS_MS) return;
      said = performance.now();
      process.stdout.write(`seed ${seed}: ${done} of ${each}, ${rate(done)}\n`);
    });
    process.stdout.write(`seed ${seed}: ${each} operations without a difference, ${rate(each)}\n`);
  }
}
