/** The routes about the past: snapshots, the log, undo and bringing trees back. */
import { urlOfPath } from '../api/index.ts';
import { utf8 } from '../base/index.ts';
import type { Exchange, Handlers } from './exchange.ts';
import { present } from './file-handlers.ts';
import { idempotencyKeyOf } from './write-headers.ts';

/** A name stands where a path does, without its slash. */
function nameOf(exchange: Exchange<'snapshotRead'> | Exchange<'snapshotRemove'>): string {
  return exchange.path.slice(1);
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
  treeRestore: async (exchange) => {
    const { at, path, dry_run } = await exchange.body();
    const options = { dryRun: dry_run ?? false, signal: exchange.signal };
    return { kind: 'json', status: 200, json: await exchange.service.restoreTree(path, at, options) };
  },
  undo: async (exchange) => {
    const { commit, dry_run } = await exchange.body();
    const options = { dryRun: dry_run ?? false, signal: exchange.signal };
    return { kind: 'json', status: 200, json: await exchange.service.undo(commit, options) };
  },
  log: async ({ service, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.log({ ...present(query), signal }),
  }),
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
