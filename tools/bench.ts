/**
 * `npm run bench`: lists the comparisons. `npm run bench -- NAME [--rounds N] [--small] [--json FILE]` runs one;
 * `mount` takes also `--size MIB`, `--files N` and `--pin`.
 * The exit code says whether it could run, never how fast anything was. docs/operating/benchmarks.md explains them all.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, writeFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { type Comparison, machineSays, Report } from '../bench/harness.ts';

const folder = resolve(import.meta.dirname, '../bench');

/** Loaded on demand: listing them must not need what one of them needs. */
const COMPARISONS: Readonly<Record<string, () => Promise<Comparison>>> = {
  ingest: async () => (await import('../bench/ingest.ts')).ingest,
  mount: async () => (await import('../bench/mount.ts')).mount,
  http: async () => (await import('../bench/http.ts')).http,
  codec: async () => (await import('../bench/codec.ts')).codec,
  bulk: async () => (await import('../bench/bulk.ts')).bulk,
  batch: async () => (await import('../bench/batch.ts')).batch,
  locks: async () => (await import('../bench/locks.ts')).locks,
  snapshots: async () => (await import('../bench/snapshots.ts')).snapshots,
  'reader-beside-writer': async () => (await import('../bench/reader-beside-writer.ts')).readerBesideWriter,
  link: async () => (await import('../bench/link.ts')).link,
  chunking: async () => (await import('../bench/chunking.ts')).chunking,
};

// Ending by a signal must still unmount and end what was started; that is done when the process exits.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130));

const { name, json, options } = readWords();
const { rounds, isSmall } = options;
const load = COMPARISONS[name ?? ''];
if (load === undefined) await list(name);
else await compare(name ?? '', await load());

async function compare(name: string, comparison: Comparison): Promise<void> {
  if (comparison.needsPackages === true) installPackages();
  const report = new Report();
  report.note(`${name}: ${comparison.summary}`);
  report.note(`machine: ${machineSays()}`);
  if (isSmall) report.note('SMALL: shows that the bench works; the figures decide nothing');
  const started = new Date().toISOString();
  await comparison.run(report, options);
  if (json === undefined) return;
  writeFileSync(json, `${JSON.stringify({ name, started, rounds, isSmall, ...report.toData() }, undefined, 2)}\n`);
}

async function list(wanted: string | undefined): Promise<void> {
  if (wanted !== undefined) {
    process.stderr.write(`There is no comparison named ${wanted}.\n`);
    process.exitCode = 2;
  }
  process.stdout.write('npm run bench -- NAME [--rounds N] [--small] [--json FILE]\n');
  process.stdout.write('mount takes also: [--size MIB] [--files N] [--pin]\n\n');
  for (const [name, load] of Object.entries(COMPARISONS)) {
    process.stdout.write(`  ${name.padEnd(20)} ${(await load()).summary}\n`);
  }
}

function readWords() {
  const [text, flag] = [{ type: 'string' }, { type: 'boolean' }] as const;
  const options = { rounds: text, small: flag, json: text, size: text, files: text, pin: flag };
  try {
    const { values, positionals } = parseArgs({ options, allowPositionals: true });
    const isSmall = values.small === true;
    const rounds = countOf('--rounds', values.rounds) ?? (isSmall ? 1 : 3);
    const sizes = { sizeMiB: countOf('--size', values.size), fileCount: countOf('--files', values.files) };
    if (positionals.length > 1) throw new Error('One comparison at a time: they would disturb each other.');
    const isPinned = values.pin === true;
    return { name: positionals[0], json: values.json, options: { rounds, isSmall, isPinned, ...sizes } };
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : error}\n`);
    process.exit(2);
  }
}

function countOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const count = Number(text);
  if (!Number.isInteger(count) || count < 1) throw new Error(`${option} takes a whole number from 1.`);
  return count;
}

/** Packages that only comparisons need have a lock of their own, so that neither product nor tests carry them. */
function installPackages(): void {
  if (existsSync(resolve(folder, 'node_modules/.package-lock.json'))) return;
  process.stderr.write('bench: installing its own packages (once)…\n');
  const done = spawnSync('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--loglevel=error'], {
    cwd: folder,
    stdio: ['ignore', 2, 2],
  });
  if (done.status !== 0) process.stderr.write('bench: npm could not install them; its own words are above.\n');
}
