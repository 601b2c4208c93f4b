/** The routes about the past: snapshots, the log, undo and bringing trees back. */
import { type ChangePage, urlOfPath } from '../../api/index.ts';
import { Fault, utf8 } from '../../base/index.ts';
import type { Answer } from '../exchange/answer.ts';
import type { Exchange, Handlers } from '../exchange/exchange.ts';
import { idempotencyKeyOf } from '../exchange/write-headers.ts';
import { present } from './file-handlers.ts';

/** A name stands where a path does, without its slash. */
function nameOf(exchange: Exchange<'snapshotRead'> | Exchange<'snapshotRemove'>): string {
  return exchange.path.slice(1);
}

/** How long one wait for a commit takes; then it is looked whether the door closes, and a client gets a sign of life. */
const WAIT_MS = 1_000;
const LIFE_MS = 15_000;
const EVENT_COMMITS = 100;
/** Feeds that are open at once in one process; more are asked to come again. */
const FEEDS_MAX = 256;
let feedCount = 0;

/** The first page before the head, so that a cursor that is wrong or too old is a status of its own. */
async function eventsAnswer(exchange: Exchange<'changes'>, after: string | undefined): Promise<Answer> {
  if (feedCount >= FEEDS_MAX)
    throw new Fault('busy', `${FEEDS_MAX} change feeds are open already. Ask for pages, or try again later.`, {
      feeds: FEEDS_MAX,
    });
  const { service, signal } = exchange;
  const first = await service.changes({ ...present({ after }), limit: EVENT_COMMITS, signal });
  const headers = { 'content-type': 'text/event-stream', 'cache-control': 'no-store', 'x-accel-buffering': 'no' };
  return { kind: 'stream', status: 200, headers, pieces: events(exchange, first) };
}

async function* events({ service, signal, door }: Exchange<'changes'>, first: ChangePage): AsyncGenerator<string> {
  feedCount++;
  try {
    yield ': the change feed\n\n';
    for (let [page, quietMs] = [first, 0]; !signal.aborted && !door.isDraining(); ) {
      quietMs += WAIT_MS;
      if (page.commits.length > 0 || quietMs >= LIFE_MS) {
        // One event a commit; its id is where to go on behind it.
        yield page.commits.length > 0 ? page.commits.map(eventOf).join('') : ': still here\n\n';
        quietMs = 0;
      }
      page = await service.changes({ after: page.next, limit: EVENT_COMMITS, waitMs: WAIT_MS, signal });
    }
  } finally {
    feedCount--;
  }
}

function eventOf({ cursor, ...commit }: ChangePage['commits'][number]): string {
  return `event: commit\nid: ${cursor}\ndata: ${JSON.stringify(commit)}\n\n`;
}

export const snapshotHandlers = {
  snapshotList: async ({ service, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.snapshots({ ...present(query), signal }),
  }),
  snapshotCreate: async (exchange) => {
    const { service, signal } = exchange;
    const { name, path } = await exchange.body();
    const key = present({ idempotencyKey: idempotencyKeyOf(exchange.headers) });
    const json = await service.createSnapshot(name, { ...present({ path }), ...key, signal });
    return { kind: 'json', status: 201, headers: { location: `/v1/snapshot/${urlOfPath([utf8(name)])}` }, json };
  },
  snapshotPrune: async (exchange) => {
    const { keep, schedule, dry_run } = await exchange.body();
    const options = { keep, schedule, dryRun: dry_run ?? false, signal: exchange.signal };
    return { kind: 'json', status: 200, json: await exchange.service.pruneSnapshots(options) };
  },
  treeRestore: async (exchange) => {
    const { at, path, dry_run, force } = await exchange.body();
    const options = { dryRun: dry_run ?? false, force, signal: exchange.signal };
    return { kind: 'json', status: 200, json: await exchange.service.restoreTree(path, at, options) };
  },
  undo: async (exchange) => {
    const { commit, dry_run, force } = await exchange.body();
    const options = { dryRun: dry_run ?? false, force, signal: exchange.signal };
    return { kind: 'json', status: 200, json: await exchange.service.undo(commit, options) };
  },
  log: async ({ service, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.log({ ...present(query), signal }),
  }),
  changes: async (exchange) => {
    const { service, query, signal } = exchange;
    const { limit, wait } = query;
    const lastId = exchange.headers['last-event-id'];
    const after = typeof lastId === 'string' && lastId !== '' ? lastId : query.after;
    if (/\btext\/event-stream\b/i.test(exchange.headers.accept ?? '')) return eventsAnswer(exchange, after);
    const waitMs = wait === undefined ? undefined : wait * 1_000;
    return { kind: 'json', status: 200, json: await service.changes({ ...present({ after, limit, waitMs }), signal }) };
  },
  snapshotRead: async (exchange) => ({
    kind: 'json',
    status: 200,
    json: await exchange.service.snapshot(nameOf(exchange), { signal: exchange.signal }),
  }),
  snapshotRemove: async (exchange) => {
    const options = { dryRun: exchange.query.dry_run ?? false, signal: exchange.signal };
    return { kind: 'json', status: 200, json: await exchange.service.removeSnapshot(nameOf(exchange), options) };
  },
} satisfies Partial<Handlers>;
