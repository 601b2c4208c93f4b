/**
 * A reader that never stops, as a process of its own: again and again `find` and `sha256sum` over a folder that nobody
 * changes, the same through a snapshot, and single reads that are timed, also of files which somebody replaces all the
 * time. Whatever it reads is checked. It prints one line of JSON, a ReaderReport.
 *
 *   node terminal-a.ts MOUNTPOINT SECONDS
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

export interface ReaderReport {
  /** Times that everything was read. */
  readonly rounds: number;
  /** Calls that were timed, in milliseconds. */
  readonly calls: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  /** The longest that one round took. */
  readonly roundMsMax: number;
  readonly problems: readonly string[];
}

const PROBLEMS_MAX = 20;
/** Names in hex at the head of a file that is replaced: what the rest of it hashes to. */
export const HEAD_BYTES = 64;

if (import.meta.main) {
  const [mount = '', seconds = ''] = process.argv.slice(2);
  process.stdout.write(`${JSON.stringify(read(mount, Number(seconds)))}\n`);
}

function read(mount: string, seconds: number): ReaderReport {
  const samples: number[] = [];
  const problems: string[] = [];
  const noting = <T>(what: string, act: () => T): T | undefined => {
    try {
      return act();
    } catch (error) {
      if (problems.length < PROBLEMS_MAX) problems.push(`${what}: ${error}`);
      return undefined;
    }
  };
  const timed = <T>(act: () => T): T => {
    const started = performance.now();
    const answer = act();
    samples.push(performance.now() - started);
    return answer;
  };
  const [kept, past] = [join(mount, 'kept'), join(mount, '.snapshots/base/kept')];
  const [sums, hashes] = [sumsOf(kept), new Map<string, string>()];
  const until = performance.now() + seconds * 1000;
  let [rounds, roundMsMax] = [0, 0];
  do {
    const started = performance.now();
    for (const folder of [kept, past])
      noting(folder, () => {
        if (sumsOf(folder) !== sums) throw new Error('find and sha256sum say something else');
      });
    for (const folder of [kept, join(mount, 'live')]) {
      for (const name of noting(folder, () => timed(() => readdirSync(folder))) ?? []) {
        if (name === 'deep') continue;
        const path = join(folder, name);
        noting(path, () => {
          const { size } = timed(() => statSync(path));
          const bytes = timed(() => readFileSync(path));
          if (folder !== kept) checkHead(bytes);
          else if (bytes.length !== size || (hashes.get(name) ?? hashOf(bytes)) !== hashOf(bytes))
            throw new Error(`${bytes.length} bytes of ${size}, or other ones`);
          else hashes.set(name, hashOf(bytes));
        });
      }
    }
    rounds++;
    roundMsMax = Math.max(roundMsMax, performance.now() - started);
  } while (performance.now() < until);
  const sorted = samples.toSorted((a, b) => a - b);
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
  return { rounds, calls: samples.length, p50: at(0.5), p99: at(0.99), max: at(1), roundMsMax, problems };
}

function sumsOf(folder: string): string {
  const command = 'find . -type f -print0 | sort -z | xargs -0 sha256sum';
  const { status, stdout, stderr } = spawnSync('sh', ['-c', command], { cwd: folder, encoding: 'utf8' });
  if (status !== 0 || stderr !== '') throw new Error(`exit ${status}: ${stderr}`);
  return stdout;
}

function checkHead(bytes: Buffer): void {
  const said = bytes.subarray(0, HEAD_BYTES).toString('latin1');
  const is = hashOf(bytes.subarray(HEAD_BYTES));
  if (said !== is) throw new Error(`${bytes.length} bytes begin with ${said} and hash to ${is}`);
}

function hashOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}
