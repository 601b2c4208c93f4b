/**
 * Collections that are killed: a store is filled, nine files in ten are removed, and collections are cut off with SIGKILL
 * at every named step, and then at random moments while files come and go. After each, what is left of the files reads
 * back whole; at the end the next collection finishes, gives back to the byte what it foretold, and a check is clean.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { globSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Random, seededRandom } from '../../src/base/index.ts';
import { COLLECT_STEPS, type CollectStep } from '../../src/chunks/index.ts';
import { RECUT_STEPS, type RecutStep } from '../../src/files/index.ts';
import { sha256 } from './data.ts';
import { holdfast, run, temporaryFolder } from './holdfast.ts';
import { HOLDFAST, startServer } from './server.ts';

const FILE_BYTES_MAX = 400_000;
const CHILD = resolve(import.meta.dirname, 'gc-child.ts');
const OVERWRITE_CHILD = resolve(import.meta.dirname, 'overwrite-child.ts');
/** Nothing is kept of what is removed, so all of it is to come back. */
export const KEEP_NOTHING: Readonly<Record<string, string>> = {
  HOLDFAST_VERSIONS_KEEP: 'none',
  HOLDFAST_HISTORY_KEEP: '0s',
  HOLDFAST_GC_GRACE: '0s',
};

export interface GcRounds {
  readonly seed: number;
  /** Bytes of the store, about. */
  readonly bytes: number;
  /** All when absent. */
  readonly steps?: readonly CollectStep[];
  /** Kills at random moments, after those at each step. */
  readonly randomKills: number;
  readonly packBytes: number;
  readonly onRound?: (sentence: string) => void;
}

export function objectBytes(store: string): number {
  return globSync('objects/{packs,discards}/**', { cwd: store })
    .map((path) => statSync(join(store, path)))
    .reduce((sum, stat) => sum + (stat.isFile() ? stat.size : 0), 0);
}

interface Collected {
  readonly freed_bytes: number;
  readonly kept_bytes: number;
  readonly partial_chunks: number;
  readonly recut_chunks: number;
}

class Stand {
  readonly store: string;
  readonly folder: string;
  readonly environment: Readonly<Record<string, string>>;
  readonly random: Random;
  readonly hashes = new Map<string, string>();
  #files = 0;

  constructor(folder: string, options: GcRounds) {
    this.folder = folder;
    this.store = join(folder, 'store');
    this.environment = { ...KEEP_NOTHING, HOLDFAST_CHUNKS_PACK_SIZE: String(options.packBytes) };
    this.random = seededRandom(options.seed);
  }

  async ok(...words: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await holdfast([...words, '--store', this.store], {
      environment: this.environment,
      timeoutMs: 900_000,
    });
    assert.equal(code, 0, `${words.join(' ')}: ${stderr}${stdout}`);
    return stdout.toString();
  }

  async fill(bytes: number): Promise<void> {
    const from = join(this.folder, 'in');
    mkdirSync(from);
    const name = `d${this.#files}`;
    for (let left = bytes; left > 0; ) {
      const length = Math.ceil(this.random.fraction() * FILE_BYTES_MAX);
      const content = this.random.bytes(length);
      const file = `f${this.#files++}`;
      writeFileSync(join(from, file), content);
      this.hashes.set(`/${name}/${file}`, sha256(content));
      left -= length;
    }
    await this.ok('put', from, `/${name}`);
    rmSync(from, { recursive: true });
  }

  /** Fills, and removes all of it. */
  async fillInVain(bytes: number): Promise<void> {
    const before = new Set(this.hashes.keys());
    await this.fill(bytes);
    const gone = [...this.hashes.keys()].filter((path) => !before.has(path));
    await this.ok('rm', '-r', dirname(gone[0] ?? ''));
    for (const path of gone) this.hashes.delete(path);
  }

  /** Removes that share of the files. */
  async remove(share: number): Promise<void> {
    const gone = [...this.hashes.keys()].filter(() => this.random.fraction() < share);
    for (let at = 0; at < gone.length; at += 500) await this.ok('rm', ...gone.slice(at, at + 500));
    for (const path of gone) this.hashes.delete(path);
  }

  /** Writes over most of what is in the newest folder, in place; islands of the old chunks stay. */
  async overwrite(): Promise<void> {
    const folder = dirname([...this.hashes.keys()].at(-1) ?? '/');
    const words = [OVERWRITE_CHILD, this.store, String(this.random.below(2 ** 30)), folder];
    const ran = await run(process.execPath, [...process.execArgv, ...words], { environment: this.environment });
    assert.equal(ran.code, 0, ran.stderr);
    // A child of the test runner says a few words of its own.
    for (const line of ran.stdout.toString().split('\n')) {
      if (!line.startsWith('{')) continue;
      const changed = JSON.parse(line) as { path: string; sha256: string };
      this.hashes.set(changed.path, changed.sha256);
    }
  }

  async verify(): Promise<void> {
    const to = join(this.folder, 'out');
    await this.ok('get', '/', to);
    for (const [path, hash] of this.hashes) assert.equal(sha256(readFileSync(join(to, path))), hash, path);
    rmSync(to, { recursive: true });
  }

  /** True when it got to the step. */
  async killAt(step: string, nth: number): Promise<boolean> {
    const environment = this.environment;
    const ran = await run(process.execPath, [...process.execArgv, CHILD, this.store, step, String(nth)], {
      environment,
    });
    assert.ok(ran.code === 0 || ran.code === -2, ran.stderr);
    return ran.code === -2;
  }

  async killAfter(ms: number): Promise<boolean> {
    const child = spawn(HOLDFAST, ['gc', '--store', this.store], {
      stdio: 'ignore',
      env: { ...process.env, ...this.environment },
    });
    const ended = new Promise<number | null>((done) => child.on('close', (code) => done(code)));
    const timer = setTimeout(() => child.kill('SIGKILL'), ms);
    const code = await ended;
    clearTimeout(timer);
    assert.ok(code === 0 || code === null, `gc ended with ${code}`);
    return code === null;
  }

  async collect(...flags: readonly string[]): Promise<Collected> {
    const lines = (await this.ok('gc', '--json', ...flags)).trim().split('\n');
    return JSON.parse(lines.at(-1) ?? '');
  }
}

/** @throws AssertionError for whatever is not as it must be. */
export async function gcRounds(options: GcRounds): Promise<void> {
  using folder = temporaryFolder();
  const stand = new Stand(folder.path, options);
  const say = options.onRound ?? (() => undefined);
  await stand.ok('init');
  await stand.fill(options.bytes);
  const full = objectBytes(stand.store);
  await stand.remove(0.9);
  // Packs of a folder are never small enough to be joined; collector.test.ts cuts that off.
  const steps = COLLECT_STEPS.filter((step) => !step.startsWith('join'));
  for (const step of options.steps ?? steps) {
    // Something for every step: packs of which some is needed, and packs of which nothing is.
    await stand.fillInVain(2 * options.packBytes);
    await stand.fill(options.bytes / 4);
    await stand.remove(0.7);
    const isKilled = await stand.killAt(step, step === 'rows-deleted' ? 2 : 1);
    assert.ok(isKilled, `a collection gets to ${step}`);
    await stand.verify();
    say(`killed at ${step}: ${objectBytes(stand.store)} bytes, first ${full}, ${stand.hashes.size} files`);
  }
  await collectExactly(stand, say);
  for (let round = 1; round <= options.randomKills; round++) {
    await stand.fill(options.bytes / 4);
    await stand.remove(0.7);
    const ms = 120 + Math.ceil(stand.random.fraction() * 700);
    const isKilled = await stand.killAfter(ms);
    await stand.verify();
    say(`round ${round}: ${isKilled ? 'killed' : 'done'} after ${ms} ms, ${objectBytes(stand.store)} bytes`);
  }
  await collectExactly(stand, say);
  const check = await holdfast(['check', '--store', stand.store], {
    environment: stand.environment,
    timeoutMs: 900_000,
  });
  assert.equal(check.code, 0, check.stdout.toString());
}

/** Re-cuts that are killed: files are written over in place, and a process is killed at each step of a re-cut. */
export async function recutRounds(
  options: Omit<GcRounds, 'randomKills' | 'steps'> & { readonly recutSteps?: readonly RecutStep[] },
): Promise<void> {
  using folder = temporaryFolder();
  const stand = new Stand(folder.path, { ...options, randomKills: 0 });
  await stand.ok('init');
  for (const step of options.recutSteps ?? RECUT_STEPS) {
    await stand.fill(options.bytes);
    await stand.overwrite();
    const { partial_chunks: before } = await stand.collect('--dry-run');
    assert.ok(before > 3, `${before} chunks are mostly unused`);
    assert.ok(await stand.killAt(step, 2), `a collection gets to ${step}`);
    await stand.verify();
    const { partial_chunks: after } = await stand.collect('--dry-run');
    assert.ok(after < before && after > 0, `${after} of ${before} are left`);
    const { recut_chunks: recut } = await stand.collect();
    assert.equal(recut, after);
    await stand.verify();
    options.onRound?.(`killed at ${step}: ${after} of ${before} chunks left, then none`);
  }
  await collectExactly(stand, options.onRound ?? (() => undefined));
  const { partial_chunks: left } = await stand.collect('--dry-run');
  assert.equal(left, 0);
  await stand.ok('check');
}

/** The preview is right to the byte, and what is left is what is needed. */
async function collectExactly(stand: Stand, say: (sentence: string) => void): Promise<void> {
  const before = objectBytes(stand.store);
  const foretold = await stand.collect('--dry-run');
  assert.equal(objectBytes(stand.store), before);
  const done = await stand.collect();
  const after = objectBytes(stand.store);
  assert.equal(before - after, foretold.freed_bytes);
  assert.equal(done.freed_bytes, foretold.freed_bytes);
  await stand.verify();
  say(`collected ${done.freed_bytes} bytes as foretold; ${done.kept_bytes} unused ones are kept, ${after} left`);
  const dead = done.freed_bytes + done.kept_bytes;
  assert.ok(dead === 0 || after < before || done.freed_bytes === 0);
}

/** Reads files, one after the other, until it is told to end; each must be whole. */
async function readAll(stand: Stand, origin: string, seed: number, signal: AbortSignal): Promise<number> {
  const random = seededRandom(seed);
  const files = [...stand.hashes];
  let count = 0;
  while (!signal.aborted) {
    const [path, hash] = files[random.below(files.length)] ?? ['', ''];
    const answer = await fetch(`${origin}/v1/files${path}`);
    const bytes = Buffer.from(await answer.arrayBuffer());
    assert.equal(answer.status, 200, bytes.toString().slice(0, 500));
    assert.equal(sha256(bytes), hash, path);
    count++;
  }
  return count;
}

/** Fills, removes nine in ten, collects through a server that is read from: at least 95 % of the dead bytes come back. */
export async function gcGivesBack(options: Omit<GcRounds, 'randomKills'>): Promise<void> {
  using folder = temporaryFolder();
  const stand = new Stand(folder.path, { ...options, randomKills: 0 });
  await stand.ok('init');
  await stand.fill(options.bytes);
  const full = objectBytes(stand.store);
  await stand.remove(0.9);
  // The preview takes apart first what is not kept any longer: then what has a reference is what is needed.
  await stand.collect('--dry-run');
  const before = JSON.parse(await stand.ok('stats', '--json')) as { stored_bytes: number };
  const dead = full - before.stored_bytes;
  await using server = await startServer({ store: stand.store, environment: stand.environment });
  const ending = new AbortController();
  const reading = Promise.all([1, 2].map((seed) => readAll(stand, server.origin, seed, ending.signal)));
  await collectExactly(stand, options.onRound ?? (() => undefined));
  ending.abort();
  const reads = (await reading).reduce((sum, count) => sum + count, 0);
  options.onRound?.(`${reads} files read back whole beside it`);
  assert.ok(reads > 0);
  await server.stop();
  const back = full - objectBytes(stand.store);
  options.onRound?.(`${back} of ${dead} dead bytes came back: ${((100 * back) / dead).toFixed(2)} %`);
  assert.ok(dead >= 0.8 * full && dead <= full, `${dead} of ${full} bytes are dead`);
  assert.ok(back >= 0.95 * dead, `${back} of ${dead}`);
}
