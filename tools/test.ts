/**
 * `npm test`: every kind of check at a small fixed size, in the order in which it fails fastest.
 * `npm run check` (--quick) stops before the end-to-end tests and takes one to three minutes.
 * Unit tests share one process (they own nothing outside it); end-to-end tests get a process each.
 */
import { spawnSync } from 'node:child_process';
import { globSync } from 'node:fs';
import { resolve } from 'node:path';
import { withPrograms } from './programs.ts';

const root = resolve(import.meta.dirname, '..');
const isQuick = process.argv.includes('--quick');
const only = process.argv.slice(2).filter((word) => !word.startsWith('--'));

step('format and lint', ['node_modules/@biomejs/cli-linux-x64/biome', 'ci', '--error-on-warnings']);
step('types', ['node_modules/.bin/tsc', '--noEmit']);
step('unit', [
  ...node(),
  '--test-isolation=none',
  ...tests('src/**/*.test.ts', 'test/*.test.ts', 'test/formats/*.test.ts'),
]);
if (!isQuick) {
  const files = tests('test/e2e/**/*.test.ts', 'test/sim/**/*.test.ts', 'examples/**/*.test.ts');
  if (files.length > 0) step('end to end', [...node(), '--test-concurrency=2', ...files], withPrograms(process.env));
}

function node(): string[] {
  return [process.execPath, '--disable-warning=ExperimentalWarning', '--test', '--test-timeout=300000'];
}

function tests(...patterns: string[]): string[] {
  const found = globSync(patterns, { cwd: root }).filter((file) => !file.includes('node_modules'));
  return only.length === 0 ? found.sort() : found.filter((file) => only.some((word) => file.includes(word))).sort();
}

function step(name: string, [command, ...args]: string[], env: NodeJS.ProcessEnv = process.env): void {
  const started = performance.now();
  process.stdout.write(`\n── ${name}\n`);
  const done = spawnSync(resolve(root, command ?? ''), args, { cwd: root, stdio: 'inherit', env });
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  if (done.status === 0) {
    process.stdout.write(`── ${name}: ok, ${seconds} s\n`);
    return;
  }
  process.stdout.write(`── ${name}: FAILED after ${seconds} s\n`);
  process.exit(done.status ?? 1);
}
