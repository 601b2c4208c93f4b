/**
 * Ten thousand small files over HTTP: as one form, as forms from two connections, and each by itself from eight; beside
 * nginx with WebDAV, which has only the last. And back: in one answer, and each by itself. Holdfast answers when all is
 * durable; nginx syncs nothing.
 */
import { join } from 'node:path';
import type { BulkLoad } from './bulk-load.ts';
import { type Comparison, inRounds, type Report } from './harness.ts';
import { makePlace, PLACE_SAYS } from './places.ts';
import { findProgram, run } from './process.ts';
import { NGINX_MISSING, serveHoldfast, serveNginx, type WebServer } from './servers.ts';

const KIB = 2 ** 10;
const GENERATOR = join(import.meta.dirname, 'bulk-load.ts');
const FILES_PER_SECOND_MIN = 4_000;

interface Contestant {
  readonly name: string;
  readonly up: BulkLoad['how'];
  readonly down: BulkLoad['how'];
  readonly serve: (folder: string) => Promise<WebServer>;
}

const CONTESTANTS: readonly Contestant[] = [
  { name: 'one form', up: 'form', down: 'frames', serve: serveHoldfast },
  { name: 'forms of 500', up: 'forms', down: 'frames', serve: serveHoldfast },
  { name: 'single requests', up: 'puts', down: 'gets', serve: serveHoldfast },
  { name: 'nginx', up: 'puts', down: 'gets', serve: serveNginx },
];

export const bulk: Comparison = {
  summary: 'thousands of small files in one request, up and down, beside single requests and nginx with WebDAV',
  async run(report, { rounds, isSmall }) {
    const count = isSmall ? 1_000 : 10_000;
    report.note(`${count} files of 1 to 16 KiB; the clients share the processors with the server they ask`);
    const contestants = CONTESTANTS.filter(({ name }) => {
      const isThere = name !== 'nginx' || findProgram('nginx') !== undefined;
      if (!isThere) report.miss(name, NGINX_MISSING);
      return isThere;
    });
    let seed = 1;
    await inRounds(report, rounds, contestants, async (contestant) => {
      using place = makePlace('bulk', 2 ** 31);
      if (seed === 1) report.note(`place: ${PLACE_SAYS[place.kind]}`);
      await using server = await contestant.serve(join(place.folder, 'served'));
      await turn(report, contestant, server, { count, seed: seed++ });
    });
    const names = CONTESTANTS.map(({ name }) => name);
    report.table('bulk', names, [
      { metric: 'up', title: 'files/s up', against: 'single requests' },
      { metric: 'upCpu', title: 'server µs/file', digits: 0 },
      { metric: 'down', title: 'files/s down', against: 'single requests' },
      { metric: 'downCpu', title: 'server µs/file', digits: 0 },
      { metric: 'peakMiB', title: 'peak RSS MiB' },
    ]);
    const form = { contestant: 'one form', metric: 'up' };
    report.judge({ says: `a form ≥ ${FILES_PER_SECOND_MIN} files/s`, ...form, atLeast: FILES_PER_SECOND_MIN });
    report.judge({ says: 'a form ≥ 3x single requests', ...form, against: 'single requests', atLeast: 3 });
  },
};

async function turn(
  report: Report,
  { name, up, down }: Contestant,
  server: WebServer,
  { count, seed }: { readonly count: number; readonly seed: number },
): Promise<void> {
  const order = { port: server.port, count, bytesMin: KIB, bytesMax: 16 * KIB, seed };
  // Started once, so that nobody measures how a server loads its code.
  await measured({ ...order, count: 8, how: up, path: server.newPathOf('warm-#') });
  for (const [how, metric] of [
    [up, 'up'],
    [down, 'down'],
  ] as const) {
    const before = server.cpuSeconds();
    const path = metric === 'up' ? server.newPathOf('f#') : server.pathOf('f#');
    const seconds = await measured({ ...order, how, path });
    report.add(name, metric, count / seconds);
    report.add(name, `${metric}Cpu`, ((server.cpuSeconds() - before) / count) * 1e6);
  }
  report.add(name, 'peakMiB', server.peakBytes() / 2 ** 20);
}

async function measured(load: BulkLoad): Promise<number> {
  const { said } = await run({
    words: [process.execPath, '--disable-warning=ExperimentalWarning', GENERATOR, JSON.stringify(load)],
  });
  return (JSON.parse(said) as { readonly seconds: number }).seconds;
}
