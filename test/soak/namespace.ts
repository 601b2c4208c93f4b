/**
 * Random work on names and attributes in a mounted store and on ext4 at once: test/e2e/posix/exercise-names.ts at its
 * large size. Needs root, for the ext4. `--folder` compares any folder instead.
 */
import type { Soak } from '../../tools/soak.ts';
import { mountExt4 } from '../e2e/ext4.ts';
import { exerciseNames } from '../e2e/posix/exercise-names.ts';
import { eachSeed } from '../e2e/seeds.ts';

export const soak: Soak = {
  about: 'random names and attributes on a mount, against ext4: --operations 200000 --seeds 4 [--folder DIR]',
  run: async (words) => {
    using oracle = mountExt4();
    await eachSeed(words, 200_000, (folder, seed, operations, progress) =>
      exerciseNames({ folder, oracle: oracle.path, seed, operations, progress }),
    );
  },
};
