/**
 * How much of a slow link an upload and a download use: curl to and from a Holdfast beside iperf3, over the same shaped
 * loopback device of a network namespace made for it (200 Mbit/s by a token bucket), once as it is and once with 20 ms
 * on the way. With the delay everything goes through a proxy, so every byte crosses the device twice: for both alike.
 */
import { join } from 'node:path';
import { type Comparison, inRounds, type Report } from './harness.ts';
import type { Turn, TurnResult } from './link-inside.ts';
import { makePlace, PLACE_SAYS, type Place } from './places.ts';
import { findProgram, run } from './process.ts';

const MIB = 2 ** 20;
const RATE = '200mbit';
const CONTESTANTS = [
  { name: 'link', delayMs: 0 },
  { name: 'link with 20 ms', delayMs: 10 },
] as const;
const SHARE = 0.8;

export const link: Comparison = {
  summary: `upload and download over a link of ${RATE}, beside iperf3`,
  async run(report, { rounds, isSmall }) {
    const [ip, tc, iperf, curl] = ['ip', 'tc', 'iperf3', 'curl'].map(findProgram);
    if (ip === undefined || tc === undefined || iperf === undefined || curl === undefined) {
      report.note('!! needs ip, tc, iperf3 and curl (apt-get install iproute2 iperf3 curl): not measured');
      return;
    }
    using work = makePlace('link', 4 * 1024 * MIB);
    report.note(`place: ${PLACE_SAYS[work.kind]}`);
    await using namespace = await shapedNamespace(ip, tc);
    await inRounds(report, rounds, CONTESTANTS, async ({ name, delayMs }, round) => {
      const turn: Turn = {
        folder: join(work.folder, `${delayMs}-${round}`),
        ...{ iperf, curl, delayMs, seed: round + 1 },
        bytes: (isSmall ? 10 : 64) * MIB,
        seconds: isSmall ? 1 : 4,
      };
      add(report, name, await inside(namespace.words, turn, work));
    });
    const names = CONTESTANTS.map(({ name }) => name);
    report.table('MiB/s', names, [
      { metric: 'iperfUp', title: 'iperf3 there', digits: 1 },
      { metric: 'up', title: 'upload', digits: 1 },
      { metric: 'upShare', title: 'share', digits: 2 },
      { metric: 'iperfDown', title: 'iperf3 back', digits: 1 },
      { metric: 'down', title: 'download', digits: 1 },
      { metric: 'downShare', title: 'share', digits: 2 },
    ]);
    for (const contestant of names) {
      const atLeast = SHARE;
      report.judge({ says: `${contestant}: upload ≥ ${SHARE} of iperf3`, contestant, metric: 'upShare', atLeast });
      report.judge({ says: `${contestant}: download ≥ ${SHARE} of iperf3`, contestant, metric: 'downShare', atLeast });
    }
  },
};

function add(report: Report, name: string, result: TurnResult): void {
  for (const [metric, value] of Object.entries(result)) report.add(name, metric, value / MIB);
  report.add(name, 'upShare', result.up / result.iperfUp);
  report.add(name, 'downShare', result.down / result.iperfDown);
}

async function inside(words: readonly string[], turn: Turn, work: Place): Promise<TurnResult> {
  const script = join(import.meta.dirname, 'link-inside.ts');
  const flags = ['--disable-warning=ExperimentalWarning'];
  const { said } = await run({
    words: [...words, process.execPath, ...flags, script, JSON.stringify(turn)],
    folder: work.folder,
  });
  return JSON.parse(said.trim().split('\n').at(-1) ?? '') as TurnResult;
}

interface Namespace extends AsyncDisposable {
  /** Before the words of a command that is to run in it. */
  readonly words: readonly string[];
}

/** @throws Error where namespaces may not be made. */
async function shapedNamespace(ip: string, tc: string): Promise<Namespace> {
  const name = `holdfast-bench-${process.pid}`;
  const words = [ip, 'netns', 'exec', name];
  await run({ words: [ip, 'netns', 'add', name] });
  const remove = (): Promise<unknown> => run({ words: [ip, 'netns', 'delete', name] });
  try {
    await run({ words: [...words, ip, 'link', 'set', 'lo', 'up'] });
    const shape = ['qdisc', 'add', 'dev', 'lo', 'root', 'tbf', 'rate', RATE, 'burst', '256k', 'latency', '50ms'];
    await run({ words: [...words, tc, ...shape] });
  } catch (error) {
    await remove();
    throw error;
  }
  return {
    words,
    async [Symbol.asyncDispose]() {
      await remove();
    },
  };
}
