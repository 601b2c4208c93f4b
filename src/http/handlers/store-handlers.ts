/** The routes about the store and the server itself: figures, the check with its progress, health, and the documents. */
import { openApiDocument, problemOfFault, type ServerInfo } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import { DOCS_HEADERS, docsPage } from '../docs-page.ts';
import type { Answer } from '../exchange/answer.ts';
import { arrivalOf } from '../exchange/arrival.ts';
import type { Exchange, Handlers } from '../exchange/exchange.ts';
import { present } from './file-handlers.ts';

async function health({ door }: Exchange<'health'>): Promise<Answer> {
  return { kind: 'json', status: 200, json: await infoOf(door) };
}

async function infoOf(door: Exchange['door']): Promise<ServerInfo> {
  const { version, store_id, uptime_seconds } = await door.info();
  return { name: 'holdfast', version, status: door.isDraining() ? 'draining' : 'ok', store_id, uptime_seconds };
}

const LINES_HEADERS = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' };

async function check(exchange: Exchange<'check'>): Promise<Answer> {
  const { sample, rebuild_index } = await exchange.body();
  const asked = present({ sample, rebuildIndex: rebuild_index });
  const pieces = reportLines(exchange, (options) => exchange.service.check({ ...asked, ...options }));
  return { kind: 'stream', status: 200, headers: LINES_HEADERS, pieces };
}

async function repair(exchange: Exchange<'repair'>): Promise<Answer> {
  const { from, dry_run } = await exchange.body();
  const asked = { from, ...present({ dryRun: dry_run }) };
  const pieces = reportLines(exchange, (options) => exchange.service.repair({ ...asked, ...options }));
  return { kind: 'stream', status: 200, headers: LINES_HEADERS, pieces };
}

async function gc(exchange: Exchange<'gc'>): Promise<Answer> {
  const { dry_run, grace_seconds } = await exchange.body();
  const asked = present({ dryRun: dry_run, graceSeconds: grace_seconds });
  const pieces = reportLines(exchange, (options) => exchange.service.gc({ ...asked, ...options }));
  return { kind: 'stream', status: 200, headers: LINES_HEADERS, pieces };
}

interface LongCall {
  readonly signal: AbortSignal;
  readonly onProgress: (done: number, total: number, what?: string) => void;
}

type End = { readonly report: unknown } | { readonly error: unknown };

/** Progress now and then, also while nothing moves, and the report or the problem at the end. */
async function* reportLines(
  exchange: Exchange<'check'> | Exchange<'gc'> | Exchange<'repair'>,
  run: (options: LongCall) => Promise<unknown>,
): AsyncGenerator<string> {
  const { signal, door } = exchange;
  let progress: { done: number; total: number; what?: string } = { done: 0, total: 0 };
  let end: End | undefined;
  const onProgress = (done: number, total: number, what?: string): void => {
    progress = { done, total, ...(what === undefined ? {} : { what }) };
  };
  const running = run({ signal, onProgress }).then(
    (report) => {
      end = { report };
    },
    (error: unknown) => {
      end = { error };
    },
  );
  let hasBegun = false;
  while (end === undefined) {
    const waiting = new AbortController();
    await Promise.race([running, door.clock.sleep(door.options.progressMs, waiting.signal)]);
    if (end !== undefined) waiting.abort();
    else {
      hasBegun = true;
      yield `${JSON.stringify({ progress })}\n`;
    }
  }
  // Before the first line the answer has no head yet, and a fault is an answer of its own.
  if (!hasBegun && 'error' in end) throw end.error;
  yield `${JSON.stringify(lastLine(end, exchange))}\n`;
}

function lastLine(end: End, exchange: Exchange<'check'> | Exchange<'gc'> | Exchange<'repair'>): object {
  if ('report' in end) return end;
  // A bug, or a client that has gone: both end the connection.
  if (!Fault.is(end.error) || exchange.signal.aborted) throw end.error;
  return { problem: problemOfFault(end.error, { request: arrivalOf(exchange.message).request }) };
}

async function root(exchange: Exchange<'root'>): Promise<Answer> {
  if (/\btext\/html\b/i.test(exchange.headers.accept ?? '')) {
    return { kind: 'empty', status: 303, headers: { location: '/v1/docs' } };
  }
  const info = await infoOf(exchange.door);
  const next = {
    docs: '/v1/docs',
    openapi: '/v1/openapi.json',
    health: '/v1/health',
    list: '/v1/directories/',
    put: `curl -T FILE 'http://${exchange.headers.host ?? '127.0.0.1:8420'}/v1/files/FILE?create'`,
  };
  return { kind: 'json', status: 200, json: { ...info, next } };
}

async function documentOf(
  exchange: Exchange<'openapi'> | Exchange<'docs'>,
): Promise<ReturnType<typeof openApiDocument>> {
  const { version } = await exchange.door.info();
  return openApiDocument(version);
}

export const storeHandlers = {
  health,
  check,
  gc,
  repair,
  root,
  gcStatus: async ({ service, signal }) => ({ kind: 'json', status: 200, json: await service.gcStatus({ signal }) }),
  gcPause: async (exchange) => {
    const { is_paused } = await exchange.body();
    const json = await exchange.service.pauseGc(is_paused, { signal: exchange.signal });
    return { kind: 'json', status: 200, json };
  },
  stats: async ({ service, signal }) => ({ kind: 'json', status: 200, json: await service.stats({ signal }) }),
  usage: async ({ service, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.usage({ ...present(query), signal }),
  }),
  openapi: async (exchange) => ({ kind: 'json', status: 200, json: await documentOf(exchange) }),
  docs: async (exchange) => ({
    kind: 'text',
    status: 200,
    headers: DOCS_HEADERS,
    text: docsPage(await documentOf(exchange)),
  }),
} satisfies Partial<Handlers>;
