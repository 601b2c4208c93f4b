/**
 * `npm test`: every kind of check at a small fixed size, in the order in which it fails fastest.
 * `npm run check` (--quick) stops before the end-to-end tests and takes one to three minutes.
 * Unit tests share two processes (they own nothing outside them); end-to-end tests get a process each.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { withPrograms } from './programs.ts';

const root = resolve(import.meta.dirname, '..');
const isQuick = process.argv.includes('--quick');
const only = process.argv.slice(2).filter((word) => !word.startsWith('--'));

/** Processes that the unit tests are dealt out to: one for each processor that a machine has at least. */
const UNIT_PROCESSES = 2;

await step('format and lint', [['node_modules/@biomejs/cli-linux-x64/biome', 'ci', '--error-on-warnings']]);
await step('types', [['node_modules/.bin/tsc', '--noEmit']]);
await step('unit', unitCommands(tests('src/**/*.test.ts', 'test/*.test.ts', 'test/formats/*.test.ts')));
if (!isQuick) {
  const files = tests('test/e2e/**/*.test.ts', 'test/sim/**/*.test.ts', 'examples/**/*.test.ts');
  const command = [...node(), '--test-concurrency=2', ...files];
  if (files.length > 0) await step('end to end', [command], withPrograms(process.env));
}

/** Dealt out in turn, so that neighbours, which tend to take alike, go to different processes. */
function unitCommands(files: readonly string[]): string[][] {
  const hands = Array.from({ length: UNIT_PROCESSES }, (_, hand) =>
    files.filter((_, at) => at % UNIT_PROCESSES === hand),
  );
  return hands.filter((hand) => hand.length > 0).map((hand) => [...node(), '--test-isolation=none', ...hand]);
}

function node(): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', '--test', '--test-timeout=300000'];
}

function tests(...patterns: string[]): string[] {
  const found = globSync(patterns, { cwd: root }).filter((file) => !file.includes('node_modules'));
  return only.length === 0 ? found.sort() : found.filter((file) => only.some((word) => file.includes(word))).sort();
}

/** Runs commands side by side; what each says is shown when it ends, but of a single one at once. */
async function step(name: string, commands: readonly string[][], env: NodeJS.ProcessEnv = process.env): Promise<void> {
  const started = performance.now();
  process.stdout.write(`\n── ${name}\n`);
  const stdio = commands.length === 1 ? 'inherit' : 'pipe';
  const codes = await Promise.all(
    commands.map(async ([command, ...args]) => {
      const child = spawn(resolve(root, command ?? ''), args, { cwd: root, stdio: ['inherit', stdio, stdio], env });
      const said = keep(child);
      const [code] = await once(child, 'close');
      process.stdout.write(Buffer.concat(said));
      return code as number | null;
    }),
  );
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  const failed = codes.find((code) => code !== 0);
  process.stdout.write(`── ${name}: ${failed === undefined ? 'ok,' : 'FAILED after'} ${seconds} s\n`);
  if (failed !== undefined) process.exit(failed ?? 1);
}

function keep(child: ChildProcess): readonly Buffer[] {
  const said: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (piece: Buffer) => said.push(piece));
  return said;
}
