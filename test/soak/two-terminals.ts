/** One terminal reads for long while another writes, renames, deletes, makes snapshots and collects garbage. */
import type { Soak } from '../../tools/soak.ts';
import { bothFor, mountForReader } from '../e2e/two-terminals.ts';

export const soak: Soak = {
  about: 'find, cat and sha256sum beside a writer, snapshots and collections: --seconds 300 --seed N',
  run: async (words) => {
    const seed = words.number('seed', Date.now() % 1_000_000);
    process.stdout.write(`seed ${seed}\n`);
    await using mounted = await mountForReader(seed);
    const { reader, writer } = await bothFor(mounted, words.number('seconds', 300), seed + 1);
    process.stdout.write(`${JSON.stringify({ reader, writer })}\n`);
    if (reader.problems.length > 0) throw new Error(`the reader erred:\n${reader.problems.join('\n')}`);
    if (writer.freedBytes === 0) throw new Error('no collection gave anything back');
  },
};
