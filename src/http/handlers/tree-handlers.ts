/** The routes about folders, versions and whole trees: list, search, manifest, move, copy, restore. */
import type { FileRecord, Target } from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import type { Answer } from '../exchange/answer.ts';
import type { Exchange, Handlers } from '../exchange/exchange.ts';
import { idempotencyKeyOf } from '../exchange/write-headers.ts';
import { findRecord, madeAnswer, present, recordAnswer, removeAnswer } from './file-handlers.ts';

/** Characters that a streamed list gathers before they are sent. */
const GATHERED_CHARACTERS = 64 * 1024;

async function list(exchange: Exchange<'folderList'> | Exchange<'folderListById'>, target: Target): Promise<Answer> {
  const { attributes, ...query } = exchange.query;
  const options = { ...present(query), withAttributes: attributes ?? false, signal: exchange.signal };
  return { kind: 'json', status: 200, json: await exchange.service.list(target, options) };
}

async function versions(
  exchange: Exchange<'versionList'> | Exchange<'versionListById'>,
  target: Target,
): Promise<Answer> {
  const options = { ...present(exchange.query), signal: exchange.signal };
  return { kind: 'json', status: 200, json: await exchange.service.versions(target, options) };
}

async function relocate(exchange: Exchange<'move'> | Exchange<'copy'>, act: 'move' | 'copy'): Promise<FileRecord> {
  const { service, signal } = exchange;
  const { from_path, to_path, overwrite, parents, ...named } = await exchange.body();
  const find = () => findRecord(service, { path: from_path }, signal);
  const { isNew, isOld: _, ...expected } = await exchange.expectation(named, find);
  // `If-None-Match: *` is about the goal: nothing may stand there.
  const flags = { overwrite: isNew !== true && (overwrite ?? false), parents: parents ?? false };
  const key = present({ idempotencyKey: idempotencyKeyOf(exchange.headers) });
  return service[act](from_path, to_path, { ...expected, ...flags, ...key, signal });
}

async function restore(exchange: Exchange<'restore'>): Promise<Answer> {
  const { service, signal } = exchange;
  const { path, file_id, version, to_path, dry_run, ...named } = await exchange.body();
  const target = oneTarget(path, file_id);
  const find = () => findRecord(service, target, signal);
  const { isNew: _, isOld: __, ...expected } = await exchange.expectation(named, find);
  const key = present({ idempotencyKey: idempotencyKeyOf(exchange.headers) });
  const options = { ...expected, ...key, ...present({ to: to_path }), dryRun: dry_run ?? false, signal };
  return recordAnswer(await service.restore(target, version, options));
}

function oneTarget(path: string | undefined, id: number | undefined): Target {
  if (path !== undefined && id === undefined) return { path };
  if (path === undefined && id !== undefined) return { id };
  throw new Fault('invalid', 'Say which file by either path or file_id.', {});
}

async function search({ service, query, signal }: Exchange<'search'>): Promise<Answer> {
  const { size_min, size_max, modified_after, modified_before, ...plain } = query;
  const renamed = {
    sizeMin: size_min,
    sizeMax: size_max,
    modifiedAfter: modified_after,
    modifiedBefore: modified_before,
  };
  return { kind: 'json', status: 200, json: await service.search({ ...present(plain), ...present(renamed), signal }) };
}

async function manifest(exchange: Exchange<'manifest'> | Exchange<'bulkManifest'>): Promise<Answer> {
  const { path, file_id, at } = exchange.query;
  const target = path === undefined && file_id === undefined ? { path: '/' } : oneTarget(path, file_id);
  const records = exchange.service.manifest(target, { ...present({ at }), signal: exchange.signal });
  const asObject = prefersObject(exchange.headers.accept);
  return {
    kind: 'stream',
    status: 200,
    headers: {
      'content-type': asObject ? 'application/json' : 'application/x-ndjson',
      'cache-control': 'no-store',
      vary: 'Accept',
    },
    pieces: gathered(asObject ? objectOf(records) : linesOf(records)),
  };
}

/** JSON where it is asked for by name and NDJSON is not. */
function prefersObject(accept: string | undefined): boolean {
  return accept !== undefined && /\bapplication\/json\b/i.test(accept) && !/\bapplication\/x-ndjson\b/i.test(accept);
}

async function* linesOf(records: AsyncIterable<FileRecord>): AsyncGenerator<string> {
  for await (const record of records) yield `${JSON.stringify(record)}\n`;
}

async function* objectOf(records: AsyncIterable<FileRecord>): AsyncGenerator<string> {
  let before = '{"files":{';
  for await (const record of records) {
    yield `${before}${JSON.stringify(record.path)}:${JSON.stringify(record)}`;
    before = ',';
  }
  yield before === ',' ? '}}\n' : '{"files":{}}\n';
}

/** The first line at once, so that a fault is found before the head is sent; then many at a time. */
async function* gathered(lines: AsyncIterable<string>): AsyncGenerator<string> {
  let held = '';
  let isFirst = true;
  for await (const line of lines) {
    held += line;
    if (!isFirst && held.length < GATHERED_CHARACTERS) continue;
    yield held;
    held = '';
    isFirst = false;
  }
  if (held !== '') yield held;
}

async function batch(exchange: Exchange<'batch'>): Promise<Answer> {
  const request = await exchange.body(exchange.door.options.batchBytesMax);
  const key = present({ idempotencyKey: idempotencyKeyOf(exchange.headers) });
  return {
    kind: 'json',
    status: 200,
    json: await exchange.service.batch(request, { ...key, signal: exchange.signal }),
  };
}

export const treeHandlers = {
  batch,
  folderCreate: async (exchange) => {
    const { parents = false, mode } = exchange.query;
    const key = idempotencyKeyOf(exchange.headers);
    const options = { parents, ...present({ permissions: mode, idempotencyKey: key }), signal: exchange.signal };
    return madeAnswer(await exchange.service.makeFolder(exchange.path, options));
  },
  folderList: (exchange) => list(exchange, { path: exchange.path }),
  folderListById: (exchange) => list(exchange, { id: exchange.id }),
  folderRemove: async (exchange) => {
    const record = await exchange.service.stat({ path: exchange.path }, { signal: exchange.signal });
    if (!record.is_directory) {
      throw new Fault('not-folder', `${record.path} is not a folder. Remove it under /v1/files.`, {
        path: record.path,
      });
    }
    return removeAnswer(exchange, exchange.query, true);
  },
  versionList: (exchange) => versions(exchange, { path: exchange.path }),
  versionListById: (exchange) => versions(exchange, { id: exchange.id }),
  deletedList: async ({ service, path, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.deleted(path, { ...present(query), signal }),
  }),
  restore,
  move: async (exchange) => recordAnswer(await relocate(exchange, 'move')),
  copy: async (exchange) => madeAnswer(await relocate(exchange, 'copy')),
  search,
  manifest,
  bulkManifest: manifest,
} satisfies Partial<Handlers>;
