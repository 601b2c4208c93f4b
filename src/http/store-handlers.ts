/** The routes about the store and the server itself: figures, the check with its progress, health, and the documents. */
import { type CheckOptions, type CheckReport, openApiDocument, problemOfFault, type ServerInfo } from '../api/index.ts';
import { Fault } from '../base/index.ts';
import type { Answer } from './answer.ts';
import { arrivalOf } from './arrival.ts';
import { DOCS_HEADERS, docsPage } from './docs-page.ts';
import type { Exchange, Handlers } from './exchange.ts';
import { present } from './file-handlers.ts';

async function health({ door }: Exchange<'health'>): Promise<Answer> {
  return { kind: 'json', status: 200, json: await infoOf(door) };
}

async function infoOf(door: Exchange['door']): Promise<ServerInfo> {
  const { version, store_id, uptime_seconds } = await door.info();
  return { name: 'holdfast', version, status: door.isDraining() ? 'draining' : 'ok', store_id, uptime_seconds };
}

async function check(exchange: Exchange<'check'>): Promise<Answer> {
  const { sample, rebuild_index } = await exchange.body();
  const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' };
  const lines = checkLines(exchange, present({ sample, rebuildIndex: rebuild_index }));
  return { kind: 'stream', status: 200, headers, text: lines };
}

/** Progress now and then, also while nothing moves, and the report or the problem at the end. */
async function* checkLines(exchange: Exchange<'check'>, asked: CheckOptions): AsyncGenerator<string> {
  const { service, signal, door } = exchange;
  let progress = { done: 0, total: 0 };
  let end: { readonly report: CheckReport } | { readonly error: unknown } | undefined;
  const onProgress = (done: number, total: number): void => {
    progress = { done, total };
  };
  const running = service.check({ ...asked, signal, onProgress }).then(
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
    else yield `${JSON.stringify({ progress })}\n`;
    hasBegun = true;
  }
  // Before the first line the answer has no head yet, and a fault is an answer of its own.
  if (!hasBegun && 'error' in end) throw end.error;
  yield `${JSON.stringify(lastLine(end, exchange))}\n`;
}

function lastLine(end: { report: CheckReport } | { error: unknown }, exchange: Exchange<'check'>): object {
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
  root,
  stats: async ({ service, signal }) => ({ kind: 'json', status: 200, json: await service.stats({ signal }) }),
  openapi: async (exchange) => ({ kind: 'json', status: 200, json: await documentOf(exchange) }),
  docs: async (exchange) => ({
    kind: 'text',
    status: 200,
    headers: DOCS_HEADERS,
    text: docsPage(await documentOf(exchange)),
  }),
} satisfies Partial<Handlers>;
