/** The routes about locks: take, list, renew and change, give back. */
import type { LockChange, LockRecord } from '../../api/index.ts';
import type { Answer } from '../exchange/answer.ts';
import type { Exchange, Handlers } from '../exchange/exchange.ts';
import { present } from './file-handlers.ts';

async function take(exchange: Exchange<'lockTake'>): Promise<Answer> {
  const { path, holder, session, ...asked } = await exchange.body();
  const options = { ...changeOf(asked), ...present({ holder, session }), signal: exchange.signal };
  const lock = await exchange.service.lock(path, options);
  return { ...lockAnswer(lock), status: 201, headers: { location: `/v1/locks/${lock.token}` } };
}

async function change(exchange: Exchange<'lockChange'>): Promise<Answer> {
  const asked = changeOf(await exchange.body());
  return lockAnswer(await exchange.service.changeLock(exchange.id, { ...asked, signal: exchange.signal }));
}

function changeOf(asked: {
  readonly mode?: LockRecord['mode'];
  readonly lease_seconds?: number;
  readonly wait_seconds?: number;
}): LockChange {
  const ms = (seconds: number | undefined): number | undefined => (seconds === undefined ? undefined : seconds * 1000);
  return present({ mode: asked.mode, leaseMs: ms(asked.lease_seconds), waitMs: ms(asked.wait_seconds) });
}

function lockAnswer(lock: LockRecord): Extract<Answer, { kind: 'json' }> {
  return { kind: 'json', status: 200, json: lock };
}

export const lockHandlers = {
  lockTake: take,
  lockChange: change,
  lockRelease: async ({ service, id, signal }) => lockAnswer(await service.unlock(id, { signal })),
  lockList: async ({ service, query, signal }) => ({
    kind: 'json',
    status: 200,
    json: await service.locks({ ...present({ path: query.path }), signal }),
  }),
} satisfies Partial<Handlers>;
