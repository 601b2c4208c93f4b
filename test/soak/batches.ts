/**
 * Overlapping batches from many clients: a thousand mixed operations each, on the same names, so that every two meet. No
 * deadlock, none is lost, and there is one order of all of them that explains what is left: the committed ones are done
 * again, in the order of the log, on a model that does one thing after the other, and both trees must be the same.
 *
 * `--clients N` (20), `--batches N` each (2), `--operations N` (1,000), `--seed N`.
 */
import assert from 'node:assert/strict';
import type { BatchOperation, FileService } from '../../src/api/index.ts';
import { Fault, type Random, seededRandom } from '../../src/base/index.ts';
import { fileService } from '../../src/files/index.ts';
import { FakeStore } from '../../src/http/fake-file-service.ts';
import type { Soak } from '../../tools/soak.ts';
import { openStand, type Stand } from '../stand.ts';

const FOLDERS = 8;
const noInfo = (): never => {
  throw new Error('nobody asks');
};

export const soak: Soak = {
  about:
    'batches of 1,000 from 20 clients on the same names, against a model that does one after the other; two minutes',
  async run(words) {
    const seed = words.number('seed', Math.floor(Math.random() * 1e9));
    const sizes = {
      clients: words.number('clients', 20),
      batches: words.number('batches', 2),
      operations: words.number('operations', 1_000),
    };
    process.stdout.write(`seed ${seed}\n`);
    const { done, refused } = await overlap(seed, sizes);
    process.stdout.write(`${done} batches of ${sizes.operations} were done, ${refused} were refused whole\n`);
  },
};

export interface Overlap {
  readonly clients: number;
  readonly batches: number;
  readonly operations: number;
}

/** @throws AssertionError when no order explains what is left. */
export async function overlap(
  seed: number,
  sizes: Overlap,
): Promise<{ readonly done: number; readonly refused: number }> {
  await using stand = await openStand();
  const sent = new Map<string, readonly BatchOperation[]>();
  const first = Array.from({ length: FOLDERS }, (_, i): BatchOperation => ({ op: 'mkdir', path: `/d${i}` }));
  const batchAs = async (request: string, operations: readonly BatchOperation[]): Promise<void> => {
    sent.set(request, operations);
    const caller = { user: 'owner', door: 'test', request };
    await fileService(stand.files, caller, noInfo).batch({ operations: [...operations] });
  };
  await batchAs('first', first);
  let [done, refused] = [1, 0];
  const client = async (number: number): Promise<void> => {
    const random = seededRandom(seed * 1_000 + number);
    for (let round = 0; round < sizes.batches; round++) {
      try {
        await batchAs(`client ${number}, batch ${round}`, operationsOf(random, sizes.operations, `${number}-${round}`));
        done++;
      } catch (error) {
        // Something of it is not so after what another one did: then nothing of it was done.
        assert.ok(
          Fault.is(error, 'not-found', 'exists', 'not-folder', 'is-folder', 'invalid', 'not-empty'),
          String(error),
        );
        refused++;
      }
    }
  };
  await Promise.all(Array.from({ length: sizes.clients }, (_, number) => client(number)));
  assert.equal(stand.files.locks.manager.keyCount, 0, 'no lock is left behind');
  const model = new FakeStore().service();
  const order = await committed(stand);
  assert.equal(order.length, done);
  for (const request of order) await model.batch({ operations: [...(sent.get(request) ?? [])] });
  assert.deepEqual(await treeOf(stand.service), await treeOf(model));
  assert.deepEqual((await stand.service.check()).problems, []);
  return { done, refused };
}

/** Puts, copies, moves over what is there, changes and removals of what the batch itself has put; everything in a few folders. */
function operationsOf(random: Random, count: number, name: string): readonly BatchOperation[] {
  const all: BatchOperation[] = [];
  for (let i = 0; all.length < count; i++) {
    const [from, to] = [`/d${random.below(FOLDERS)}`, `/d${random.below(FOLDERS)}`];
    const shared = `${to}/s${random.below(40)}`;
    const content = Buffer.from(`${name} ${i}`).toString('base64');
    const own = `${from}/o${name}-${i}`;
    all.push(
      { op: 'put', path: own, content },
      { op: 'put', path: shared, content },
      { op: 'copy', from_path: shared, to_path: `${own}c`, overwrite: true },
      { op: 'move', from_path: own, to_path: shared, overwrite: true },
      { op: 'update', path: shared, change: { mode: 0o600 + random.below(8) } },
      { op: 'delete', path: `${own}c` },
    );
  }
  return all.slice(0, count);
}

/** Requests of the batches, the first first. */
async function committed({ service }: Stand): Promise<readonly string[]> {
  const requests: string[] = [];
  for (let after: string | undefined; ; ) {
    const page = await service.changes({ after });
    for (const { kind, request } of page.commits) if (kind === 'batch') requests.push(request);
    if (page.commits.length === 0) return requests;
    after = page.next;
  }
}

async function treeOf(service: FileService): Promise<readonly string[]> {
  const lines: string[] = [];
  for await (const { path, kind, size, mode, xxhash3 } of service.manifest({ path: '/' }))
    lines.push(`${path} ${kind} ${size} ${mode.toString(8)} ${xxhash3}`);
  return lines;
}
