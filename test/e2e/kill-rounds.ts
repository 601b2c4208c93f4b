/**
 * `kill -9` of a real server at random moments, while clients write, replace, move, copy and remove over HTTP; each in a
 * folder of its own, one request after the other. After every kill the server is started again on the same store, and
 *
 *   1. each client finds what was acknowledged, and of the request under way one of the states it may have: each file
 *      whole, as somebody sent it, or absent;
 *   2. `holdfast check` finds nothing wrong;
 *
 * and the work goes on where it was. Some servers are killed while they start. What is written follows from the seed;
 * when the kill comes follows from it too, as far as a machine keeps time.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FileService } from '../../src/api/index.ts';
import { Fault, type Random, seededRandom } from '../../src/base/index.ts';
import { HttpFileService } from '../../src/client/index.ts';
import { nodeTransport } from '../../src/http/index.ts';
import {
  anyKind,
  type Contents,
  differenceOf,
  isAllowed,
  type ScriptOptions,
  type Step,
  stepOf,
  type Tree,
  treeOf,
} from '../sim/script.ts';
import { HOLDFAST, type Server, startServer } from './server.ts';

const CLIENT_COUNT = 4;
const KILL_MS_MIN = 20;
const KILL_MS_MAX = 1_500;
/** One server in so many is killed while it starts. */
const STARTS_KILLED = 6;
const START_KILL_MS_MAX = 250;
const LARGE_BYTES = 3_000_000;
/** Small packs, so that some are sealed in every round. */
const ENVIRONMENT = { HOLDFAST_CHUNKS_PACK_SIZE: '4MiB' };
const EMPTY: Tree = new Map([]);

export interface KillQuestion {
  readonly seed: number;
  readonly rounds: number;
  readonly onRound?: (round: number, sentence: string) => void;
}

interface Client {
  readonly home: string;
  readonly options: ScriptOptions;
  acknowledged: Tree;
  step: Step | undefined;
  stepCount: number;
}

/** @throws AssertionError that names the seed and the round. */
export async function killRounds(question: KillQuestion): Promise<void> {
  const { seed, rounds, onRound = () => {} } = question;
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-kill-'));
  const store = join(folder, 'store');
  const random = seededRandom(seed);
  const clients = Array.from({ length: CLIENT_COUNT }, (_, index) => newClient(index, seed));
  try {
    for (let round = 1; round <= rounds + 1; round++) {
      if (round > 1 && random.below(STARTS_KILLED) === 0) await killWhileStarting(store, random);
      await using server = await startServer({ store, environment: ENVIRONMENT });
      const where = `seed ${seed}, round ${round}`;
      const nodes = await examine(server, clients, where);
      // The last start is there to see what the last kill left.
      if (round > rounds) break;
      const done = await loadUntilKilled(server, clients, random, where);
      onRound(round, `${done} steps done, ${nodes} nodes found`);
    }
  } catch (error) {
    assert.fail(`seed ${seed}, store kept in ${folder}: ${error instanceof Error ? error.stack : String(error)}`);
  }
  rmSync(folder, { recursive: true, force: true });
}

function newClient(index: number, seed: number): Client {
  const contents: Contents = new Map();
  const home = `/client-${index}`;
  const options = { random: seededRandom(seed * 10 + index), home, contents, largeBytes: LARGE_BYTES };
  return { home, options, acknowledged: EMPTY, step: undefined, stepCount: 0 };
}

async function killWhileStarting(store: string, random: Random): Promise<void> {
  const child = spawn(HOLDFAST, ['serve', '--store', store, '--port', '0'], { stdio: 'ignore' });
  const ended = new Promise((done) => child.on('exit', done));
  await new Promise((done) => setTimeout(done, random.below(START_KILL_MS_MAX)));
  child.kill('SIGKILL');
  await ended;
}

/** Compares what each client finds with what it may find, and lets the store check itself; answers the nodes found. */
async function examine(server: Server, clients: readonly Client[], where: string): Promise<number> {
  using transport = nodeTransport({ origin: server.origin });
  const found = await treeOf(new HttpFileService({ transport: transport.send }));
  for (const client of clients) {
    const { home, acknowledged, step } = client;
    const own = new Map([...found].filter(([path]) => path === home || path.startsWith(`${home}/`)));
    const shown = `${where}: ${home}, ${step === undefined ? 'idle' : `during ${step.name}`}`;
    assert.ok(isAllowed(own, acknowledged, step), `${shown}, found ${differenceOf(own, acknowledged)}`);
    client.acknowledged = own;
    client.step = undefined;
    forgetOld(client);
  }
  const { code, output } = await holdfast('check', '--store', server.store);
  assert.equal(code, 0, `${where}: check says\n${output}`);
  return found.size;
}

/** Contents that no file has any more are not needed again. */
function forgetOld({ acknowledged, options }: Client): void {
  const marks = [...acknowledged.values()].join('\n');
  for (const digest of options.contents.keys()) if (!marks.includes(digest)) options.contents.delete(digest);
}

async function holdfast(...words: string[]): Promise<{ readonly code: number | null; readonly output: string }> {
  const child = spawn(HOLDFAST, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (data: Buffer) => (output += data.toString()));
  const code = await new Promise<number | null>((done) => child.on('close', done));
  return { code, output };
}

/** Answers how many steps the clients got acknowledged. */
async function loadUntilKilled(
  server: Server,
  clients: readonly Client[],
  random: Random,
  where: string,
): Promise<number> {
  let isKilled = false;
  const before = clients.reduce((sum, { stepCount }) => sum + stepCount, 0);
  const work = Promise.all(clients.map((client) => follow(client, server.origin, () => isKilled, where)));
  const waitMs = KILL_MS_MIN + random.below(KILL_MS_MAX - KILL_MS_MIN);
  // A client that fails before the kill ends the wait.
  await Promise.race([work, new Promise((done) => setTimeout(done, waitMs))]);
  isKilled = true;
  await server.stop('SIGKILL');
  await work;
  return clients.reduce((sum, { stepCount }) => sum + stepCount, 0) - before;
}

async function follow(client: Client, origin: string, isKilled: () => boolean, where: string): Promise<void> {
  using transport = nodeTransport({ origin });
  const service = new HttpFileService({ transport: transport.send });
  while (!isKilled()) {
    const { acknowledged, options } = client;
    client.step = stepOf(anyKind(acknowledged, options.random), acknowledged, options);
    if (!(await perform(client, client.step, service, isKilled, where))) return;
  }
}

/** Answers false when the server was killed meanwhile. */
async function perform(
  client: Client,
  step: Step,
  service: FileService,
  isKilled: () => boolean,
  where: string,
): Promise<boolean> {
  try {
    await step.run(service, (tree) => {
      client.acknowledged = tree;
    });
    assert.notEqual(step.isGivenUp, true, `${where}: ${step.name} went through`);
  } catch (error) {
    if (isKilled() && Fault.is(error)) return false;
    if (step.isGivenUp !== true || !Fault.is(error, 'aborted')) throw error;
  }
  client.acknowledged = step.trees.at(-1) ?? EMPTY;
  client.step = undefined;
  client.stepCount++;
  return true;
}
