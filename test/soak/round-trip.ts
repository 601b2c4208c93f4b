/** The round trips of test/e2e/round-trip.test.ts at their large size: 1 GiB mixed, 20,000 files, 5 GiB sparse. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import type { Soak } from '../../tools/soak.ts';

const TEST = resolve(import.meta.dirname, '../e2e/round-trip.test.ts');

export const soak: Soak = {
  about: 'what goes in comes out: 1 GiB mixed, 20,000 files, 5 GiB sparse: --scale 20; about 5 minutes, 6 GiB of disk',
  run: async (words) => {
    const scale = words.number('scale', 20);
    const flags = ['--disable-warning=ExperimentalWarning', '--test', '--test-timeout=1800000', TEST];
    const env = { ...process.env, TEST_HOLDFAST_SCALE: String(scale) };
    const done = spawnSync(process.execPath, flags, { stdio: 'inherit', env });
    if (done.status !== 0) throw new Error(`The round trips failed at scale ${scale}.`);
  },
};
