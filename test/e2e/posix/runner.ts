/**
 * Runs cases in a folder: `runner.ts FOLDER FROM MODULE`, those of the module from the FROM-th on. Two JSON lines per case: its number when it
 * starts, and its outcome; so that whoever reads along knows which case is under way when nothing more comes.
 * A process of its own because a system call may block for ever, and because cases change the current folder.
 */
import { mkdirSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { type Case, plain, Sys } from './case.ts';
import { SystemError } from './libc.ts';

export type Line = { readonly start: number } | { readonly end: number; readonly outcome: unknown };

const [folder = '.', from = '0', module = ''] = process.argv.slice(2);
const { CASES } = (await import(module)) as { readonly CASES: readonly Case[] };
const sys = new Sys();
sys.umask(0o022);
for (const [number, each] of CASES.entries()) {
  if (number < Number(from)) continue;
  say({ start: number });
  const at = join(folder, `case-${number}`);
  mkdirSync(at, { mode: 0o755 });
  sys.enter(at);
  let outcome: unknown;
  try {
    outcome = plain(await each.run(sys, at));
  } catch (error) {
    outcome = error instanceof SystemError ? { stopped: error.message } : { broke: String(error) };
  }
  await sys.settle(folder);
  say({ end: number, outcome });
}
sys.end();

function say(line: Line): void {
  writeSync(1, `${JSON.stringify(line)}\n`);
}
