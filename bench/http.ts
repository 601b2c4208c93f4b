/**
 * `holdfast serve` beside nginx with WebDAV, over loopback, with bytes that nothing makes smaller and that are in the
 * page cache: large files with curl, small ones with wrk (or the own load generator where wrk is missing), durable
 * small writes, metadata, a thousand idle-ish connections, and the memory that a gigabyte each way takes.
 */
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { incompressibleFile, mixedTar } from './corpora.ts';
import { type BenchOptions, type Comparison, inRounds, type Report } from './harness.ts';
import type { Load, LoadResult } from './http-load.ts';
import { makePlace, PLACE_SAYS, type Place, settle } from './places.ts';
import { findProgram, run } from './process.ts';
import { NGINX_MISSING, serveHoldfast, serveNginx, type WebServer } from './servers.ts';

const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GENERATOR = join(import.meta.dirname, 'http-load.ts');

const HOLDFAST = 'holdfast';
const NGINX = 'nginx';
/** Downloads of the large file in one turn; its median counts. */
const LARGE_GETS = 3;
const WRITING_CLIENTS = 8;
const READING_CLIENTS = 32;
const OPEN_CONNECTIONS = 1_000;

interface Sizes {
  readonly largeBytes: number;
  readonly hugeBytes: number;
  readonly loadSeconds: number;
  readonly idleSeconds: number;
  readonly placeBytes: number;
}
const SIZES: Sizes = {
  largeBytes: 100 * MIB,
  hugeBytes: 1024 * MIB,
  loadSeconds: 5,
  idleSeconds: 30,
  placeBytes: 16 * 1024 * MIB,
};
const SMALL_SIZES: Sizes = {
  largeBytes: 20 * MIB,
  hugeBytes: 64 * MIB,
  loadSeconds: 1,
  idleSeconds: 3,
  placeBytes: 2 * 1024 * MIB,
};

export const http: Comparison = {
  summary: 'GET and PUT of large and small files, metadata and many connections, beside nginx with WebDAV',
  async run(report, options) {
    const sizes = options.isSmall ? SMALL_SIZES : SIZES;
    const [curl, wrk] = [findProgram('curl'), findProgram('wrk')];
    if (curl === undefined)
      report.note('!! curl is not installed (apt-get install curl): large files are not measured');
    if (wrk === undefined)
      report.note(
        '!! wrk is not installed (apt-get install wrk): the own generator asks, and is the slower of the two',
      );
    report.note('the clients share the processors with the server they ask');
    using work = makePlace('http', sizes.placeBytes);
    report.note(`place: ${PLACE_SAYS[work.kind]} (servers run side by side on one)`);
    mkdirSync(join(work.folder, 'corpora'));
    incompressibleFile(join(work.folder, 'corpora', 'large'), sizes.largeBytes, 1);
    incompressibleFile(join(work.folder, 'corpora', 'small'), 64 * KIB, 2);
    await besideNginx(report, options, sizes, work, { curl, wrk });
    if (curl !== undefined) await huge(report, sizes, work, curl);
    judge(report);
  },
};

interface Programs {
  readonly curl: string | undefined;
  readonly wrk: string | undefined;
}

async function besideNginx(report: Report, options: BenchOptions, sizes: Sizes, work: Place, programs: Programs) {
  await using servers = new AsyncDisposableStack();
  const contestants = [
    { name: HOLDFAST, start: () => serveHoldfast(join(work.folder, 'holdfast')) },
    { name: NGINX, start: () => serveNginx(join(work.folder, 'nginx')) },
  ];
  const started: { readonly name: string; readonly server: WebServer }[] = [];
  for (const { name, start } of contestants) {
    if (name === NGINX && findProgram('nginx') === undefined) report.miss(name, NGINX_MISSING);
    else {
      try {
        started.push({ name, server: servers.use(await start()) });
      } catch (error) {
        report.miss(name, error instanceof Error ? error.message : String(error));
      }
    }
  }
  await inRounds(report, options.rounds, started, async ({ name, server }, round) => {
    if (programs.curl !== undefined)
      await largeFiles(report, name, server, work, { curl: programs.curl, round, bytes: sizes.largeBytes });
    await smallFiles(report, name, server, work, { wrk: programs.wrk, round, seconds: sizes.loadSeconds });
    if (name === HOLDFAST) await metadata(report, server, sizes);
  });
  for (const { name, server } of started) report.add(name, 'peakMiB', server.peakBytes() / MIB);
  report.table(
    'HTTP',
    [HOLDFAST, NGINX],
    [
      { metric: 'getLarge', title: `GET ${sizes.largeBytes / MIB} MiB, MiB/s`, against: NGINX },
      { metric: 'putLarge', title: `PUT ${sizes.largeBytes / MIB} MiB, MiB/s`, against: NGINX },
      { metric: 'getSmall', title: 'GET 64 KiB, 1/s', against: NGINX },
      { metric: 'putSmall', title: `PUT 64 KiB from ${WRITING_CLIENTS}, 1/s`, against: NGINX },
      { metric: 'putSmallP99', title: 'its p99 ms', digits: 1 },
      { metric: 'peakMiB', title: 'peak RSS MiB' },
    ],
  );
  report.table(
    'metadata',
    [HOLDFAST],
    [
      { metric: 'metadataP50', title: 'p50 ms', digits: 3 },
      { metric: 'metadataP99', title: 'p99 ms', digits: 3 },
      { metric: 'metadataPerSecond', title: '1/s, one client' },
      { metric: 'idleRequests', title: `requests on ${OPEN_CONNECTIONS} connections` },
      { metric: 'idleErrors', title: 'errors' },
      { metric: 'idleP50', title: 'p50 ms', digits: 2 },
      { metric: 'idleP99', title: 'p99 ms', digits: 2 },
    ],
  );
}

/** What curl itself says about its transfer, so that starting it does not count. */
async function largeFiles(
  report: Report,
  name: string,
  server: WebServer,
  work: Place,
  { curl, round, bytes }: { readonly curl: string; readonly round: number; readonly bytes: number },
): Promise<void> {
  const upload = join(work.folder, 'corpora', 'upload');
  incompressibleFile(upload, bytes, 100 + round + (name === NGINX ? 1000 : 0));
  const speedOf = async (which: 'upload' | 'download', ...words: string[]): Promise<number> => {
    settle(work);
    const { said } = await run({ words: [curl, '-fsS', '-o', '/dev/null', '-w', `\\n%{speed_${which}}`, ...words] });
    return Number(said.trim().split('\n').at(-1)) / MIB;
  };
  const urlOf = (path: string): string => `http://127.0.0.1:${server.port}${path}`;
  report.add(name, 'putLarge', await speedOf('upload', '-T', upload, urlOf(server.newPathOf(`upload-${round}`))));
  if (round === 0)
    await speedOf('upload', '-T', join(work.folder, 'corpora', 'large'), urlOf(server.newPathOf('large')));
  await speedOf('download', urlOf(server.pathOf('large')));
  for (let i = 0; i < LARGE_GETS; i++) {
    report.add(name, 'getLarge', await speedOf('download', urlOf(server.pathOf('large'))));
  }
}

async function smallFiles(
  report: Report,
  name: string,
  server: WebServer,
  work: Place,
  { wrk, round, seconds }: { readonly wrk: string | undefined; readonly round: number; readonly seconds: number },
): Promise<void> {
  if (round === 0)
    await load({ ...PUT_SMALL, port: server.port, path: server.newPathOf('small'), clients: 1, seconds: 0.05 });
  report.add(name, 'getSmall', await readsPerSecond(server, wrk, seconds));
  settle(work);
  const path = server.newPathOf(`small-${round}-#`);
  const puts = await load({
    ...PUT_SMALL,
    port: server.port,
    path,
    clients: WRITING_CLIENTS,
    seconds,
    seed: round + (name === NGINX ? 1000 : 1),
  });
  refuseErrors(puts);
  report.add(name, 'putSmall', puts.perSecond);
  report.add(name, 'putSmallP99', puts.p99Ms);
}

const PUT_SMALL = { method: 'PUT', bodyBytes: 64 * KIB } as const;

async function readsPerSecond(server: WebServer, wrk: string | undefined, seconds: number): Promise<number> {
  const path = server.pathOf('small');
  if (wrk === undefined) {
    const gets = await load({ port: server.port, method: 'GET', path, clients: READING_CLIENTS, seconds });
    refuseErrors(gets);
    return gets.perSecond;
  }
  const words = [wrk, '-t1', `-c${READING_CLIENTS}`, `-d${seconds}s`, `http://127.0.0.1:${server.port}${path}`];
  const { said } = await run({ words });
  if (/Socket errors|Non-2xx/.test(said)) throw new Error(`wrk saw errors: ${said}`);
  return Number(/Requests\/sec: +([\d.]+)/.exec(said)?.[1]);
}

async function metadata(report: Report, server: WebServer, sizes: Sizes): Promise<void> {
  const ask = { port: server.port, method: 'GET', path: '/v1/metadata/small' } as const;
  const one = await load({ ...ask, clients: 1, seconds: sizes.loadSeconds });
  refuseErrors(one);
  report.add(HOLDFAST, 'metadataP50', one.p50Ms);
  report.add(HOLDFAST, 'metadataP99', one.p99Ms);
  report.add(HOLDFAST, 'metadataPerSecond', one.perSecond);
  const many = await load({ ...ask, clients: OPEN_CONNECTIONS, seconds: sizes.idleSeconds, intervalMs: 1000 });
  if (many.firstError !== undefined) report.note(`!! ${many.errors} errors, the first: ${many.firstError}`);
  report.add(HOLDFAST, 'idleRequests', many.requests);
  report.add(HOLDFAST, 'idleErrors', many.errors);
  report.add(HOLDFAST, 'idleP50', many.p50Ms);
  report.add(HOLDFAST, 'idleP99', many.p99Ms);
}

async function load(order: Load): Promise<LoadResult> {
  const flags = ['--disable-warning=ExperimentalWarning'];
  const { said } = await run({ words: [process.execPath, ...flags, GENERATOR, JSON.stringify(order)] });
  return JSON.parse(said) as LoadResult;
}

function refuseErrors({ errors, requests, firstError }: LoadResult): void {
  if (errors > 0) throw new Error(`${errors} of ${requests} requests failed, the first: ${firstError}`);
}

/** A server that has done nothing else takes a gigabyte and gives it back. Once only: memory is not noisy. */
async function huge(report: Report, sizes: Sizes, work: Place, curl: string): Promise<void> {
  const original = join(work.folder, 'corpora', 'huge.tar');
  const back = join(work.folder, 'huge.back');
  report.note(`huge: ${mixedTar(original, sizes.hugeBytes)}`);
  const variants = [
    { name: 'holdfast curl', memory: 'normal' },
    { name: 'holdfast curl memory=small', memory: 'small' },
  ] as const;
  await inRounds(report, 1, variants, async ({ name, memory }) => {
    await using server = await serveHoldfast(join(work.folder, name), memory);
    const url = `http://127.0.0.1:${server.port}`;
    const put = await run({
      words: [curl, '-fsS', '-o', '/dev/null', '-T', original, `${url}${server.newPathOf('huge.tar')}`],
    });
    report.add(name, 'putPeakMiB', server.peakBytes() / MIB);
    const get = await run({ words: [curl, '-fsS', '-o', back, `${url}${server.pathOf('huge.tar')}`] });
    await run({ words: ['cmp', original, back] });
    rmSync(back);
    report.add(name, 'putMiBs', sizes.hugeBytes / MIB / put.seconds);
    report.add(name, 'getMiBs', sizes.hugeBytes / MIB / get.seconds);
    report.add(name, 'peakMiB', server.peakBytes() / MIB);
  });
  report.table(
    `curl ${(sizes.hugeBytes / MIB / 1024).toFixed(1)} GiB`,
    variants.map(({ name }) => name),
    [
      { metric: 'putMiBs', title: 'curl -T MiB/s' },
      { metric: 'getMiBs', title: 'curl MiB/s' },
      { metric: 'putPeakMiB', title: 'server peak MiB after it came' },
      { metric: 'peakMiB', title: 'and went' },
    ],
  );
}

function judge(report: Report): void {
  const beside = (says: string, metric: string, atLeast: number): void =>
    report.judge({ says: `${says} ≥ ${atLeast}x nginx`, contestant: HOLDFAST, metric, against: NGINX, atLeast });
  beside('GET of a large file', 'getLarge', 0.4);
  beside('PUT of a large file', 'putLarge', 0.5);
  beside('GET of 64 KiB', 'getSmall', 0.25);
  beside(`durable PUT of 64 KiB from ${WRITING_CLIENTS} clients`, 'putSmall', 0.25);
  const below = (says: string, contestant: string, metric: string, atMost: number, unit: string): void =>
    report.judge({ says, contestant, metric, atMost, unit });
  below('metadata GET p50 < 1 ms', HOLDFAST, 'metadataP50', 0.999, 'ms');
  below(`no error on ${OPEN_CONNECTIONS} connections asking once a second`, HOLDFAST, 'idleErrors', 0, 'errors');
  below('server peak RSS of all that ≤ 320 MiB', HOLDFAST, 'peakMiB', 320, 'MiB');
  below('server peak RSS for one huge file each way ≤ 320 MiB', 'holdfast curl', 'peakMiB', 320, 'MiB');
  below('the same with memory=small < 256 MiB', 'holdfast curl memory=small', 'peakMiB', 255.99, 'MiB');
}
