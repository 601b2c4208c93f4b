/** Cases for the test of the suite itself: one blocks, one ends its process, one throws, one differs each time. */
import type { Case } from './case.ts';
import { O, S } from './libc.ts';

export const CASES: readonly Case[] = [
  { name: 'well', run: () => 'well' },
  {
    name: 'blocks',
    run: (sys) => {
      sys.mknod('fifo', S.IFIFO | 0o600);
      // Nobody ever opens the other side.
      return sys.open('fifo', O.RDONLY);
    },
  },
  { name: 'ends', run: () => process.kill(process.pid, 'SIGKILL') },
  { name: 'throws', run: (sys) => sys.mkdir('missing/folder') },
  { name: 'differs', run: () => ({ same: 1, other: process.hrtime().join('.') }) },
];
