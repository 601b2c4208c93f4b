/**
 * Random bytes work on a file of a mounted store, against a buffer: test/e2e/posix/exercise-file.ts at its large size.
 * `--folder` works in any folder instead, `--seed` starts at another seed than 1.
 */
import type { Soak } from '../../tools/soak.ts';
import { exerciseFile } from '../e2e/posix/exercise-file.ts';
import { eachSeed } from '../e2e/seeds.ts';

export const soak: Soak = {
  about:
    'random work on a file of a mount, against a buffer: --operations 1000000 --seeds 4 --size 1048576 [--folder DIR]',
  run: (words) =>
    eachSeed(words, 1_000_000, (folder, seed, operations, progress) =>
      exerciseFile({ folder, seed, operations, progress, sizeMax: words.number('size', 1_048_576) }),
    ),
};
