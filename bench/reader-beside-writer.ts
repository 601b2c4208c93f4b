/**
 * What a reader of a mount feels of another terminal that writes, renames, deletes, makes snapshots and collects garbage
 * without pause: the same calls alone and beside it, on one store that stays mounted.
 */
import { bothFor, mountForReader, readFor } from '../test/e2e/two-terminals.ts';
import { type Comparison, inRounds } from './harness.ts';

const ALONE = 'alone';
const BESIDE = 'beside the other terminal';

export const readerBesideWriter: Comparison = {
  summary: 'calls of a reader on a mount, alone and beside writes, renames, snapshots, deletes and collections',
  async run(report, { rounds, isSmall }) {
    const seconds = isSmall ? 3 : 15;
    await using mounted = await mountForReader(1);
    await inRounds(report, rounds, [{ name: ALONE }, { name: BESIDE }], async ({ name }, round) => {
      const both = name === BESIDE ? await bothFor(mounted, seconds, round) : undefined;
      const reader = both?.reader ?? (await readFor(mounted, seconds));
      if (reader.problems.length > 0) throw new Error(reader.problems.join('\n'));
      for (const metric of ['p50', 'p99', 'max', 'rounds'] as const) report.add(name, metric, reader[metric]);
      if (both !== undefined) report.note(`meanwhile: ${JSON.stringify(both.writer)}`);
    });
    report.table(
      'reader',
      [ALONE, BESIDE],
      [
        { metric: 'p50', title: 'p50 ms', digits: 2 },
        { metric: 'p99', title: 'p99 ms', digits: 2, against: ALONE },
        { metric: 'max', title: 'longest ms', digits: 1 },
        { metric: 'rounds', title: `rounds in ${seconds} s` },
      ],
    );
    report.verdict({
      target: 'the reader never errs',
      reached: report.isMissing(BESIDE) ? 'it erred' : 'no error',
      isMet: !report.isMissing(BESIDE),
    });
  },
};
