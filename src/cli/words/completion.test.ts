/** The completion scripts are good shell, and complete what they should. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { COMMANDS } from './commands.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completion.ts';

const has = (shell: string): boolean => spawnSync(shell, ['-c', ':']).status === 0;

function complete(line: readonly string[]): string[] {
  const words = line.map((word) => `'${word}'`).join(' ');
  const script = `${bashCompletion()}
COMP_WORDS=(${words}); COMP_CWORD=${line.length - 1}; _holdfast; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const done = spawnSync('bash', ['--norc', '-c', script], { encoding: 'utf8' });
  assert.equal(done.stderr, '');
  return done.stdout.split('\n').filter((word) => word !== '');
}

test('the scripts parse', () => {
  assert.equal(spawnSync('bash', ['-n'], { input: bashCompletion() }).status, 0);
  if (has('zsh')) assert.equal(spawnSync('zsh', ['-n'], { input: zshCompletion() }).status, 0);
  if (has('fish')) assert.equal(spawnSync('fish', ['-n'], { input: fishCompletion() }).status, 0);
  for (const { verb } of COMMANDS) assert.ok(zshCompletion().includes(`        ${verb})`), verb);
});

test('bash completes verbs, flags, and words that a flag or an argument chooses from', () => {
  assert.deepEqual(complete(['holdfast', 'st']), ['stat', 'stats']);
  assert.deepEqual(complete(['holdfast', '--store', '/s', 'vers']), ['versions']);
  assert.deepEqual(complete(['holdfast', 'put', '--che']), ['--checksum']);
  assert.deepEqual(complete(['holdfast', 'get', '--no']), ['--no-clobber', '--no-progress']);
  assert.deepEqual(complete(['holdfast', 'find', '--kind', 'f']), ['file', 'folder', 'fifo']);
  assert.deepEqual(complete(['holdfast', 'completion', 'z']), ['zsh']);
  assert.deepEqual(complete(['holdfast', 'help', 'rest']), ['restore']);
});

test('fish is told verbs, flags with their short forms, and what they take', () => {
  const lines = fishCompletion().split('\n');
  const told = (start: string): string[] => lines.filter((line) => line.startsWith(`complete -c holdfast -n ${start}`));
  const verbs = told("'not __holdfast_verb >/dev/null' -a ");
  assert.equal(verbs.length, COMMANDS.length);
  const find = told("'contains -- find (__holdfast_verb)'");
  assert.ok(find.some((line) => / -l kind -x -a 'file folder .*' -d /.test(line)));
  assert.ok(told("'contains -- put (__holdfast_verb)' -F").length === 1);
  assert.ok(told("'contains -- get (__holdfast_verb)' -l checksum -s c -d ").length === 1);
  assert.ok(told("'contains -- completion (__holdfast_verb)' -a 'bash zsh fish'").length === 1);
  // Nothing of a text ends its quotes early.
  for (const line of lines.filter((one) => one.startsWith('complete')))
    assert.equal(line.replace(/\\./g, '').split("'").length % 2, 1, line);
});
