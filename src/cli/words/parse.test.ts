/** Command lines: what is taken, and what the sentences say about what is not. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mistakesOfTable } from '../../base/index.ts';
import { SERVER_OPTIONS } from '../../server/index.ts';
import { EXIT, EXIT_MEANINGS } from '../exit-codes.ts';
import { Stage } from '../stage.ts';
import { VERBS } from '../verbs.ts';
import { COMMANDS, GLOBAL_FLAGS, STORE_FLAGS } from './commands.ts';
import { parse, tableOf } from './parse.ts';

const line = (text: string) => parse(text.split(' '), async () => SERVER_OPTIONS);

test('every command has a table without mistakes, examples, and an end that is known', () => {
  for (const command of COMMANDS) {
    assert.deepEqual(mistakesOfTable(tableOf(command, SERVER_OPTIONS)), [], command.verb);
    assert.ok(command.examples.length > 0, command.verb);
    assert.ok(command.examples.every((example) => example.line.includes(command.verb)));
    assert.ok(!command.summary.endsWith('.'), command.verb);
  }
  assert.deepEqual(COMMANDS.map((command) => command.verb).sort(), Object.keys(VERBS).sort());
  assert.equal(new Set(COMMANDS.map((command) => command.verb)).size, COMMANDS.length);
  assert.deepEqual(Object.keys(EXIT_MEANINGS), Object.keys(EXIT));
});

test('the store flags are the options of the configuration', () => {
  for (const name of ['store', 'server'] as const) {
    assert.equal(STORE_FLAGS[name].default, SERVER_OPTIONS[name].default);
    assert.equal(STORE_FLAGS[name].type.kind, SERVER_OPTIONS[name].type.kind);
  }
  assert.ok(Object.keys(GLOBAL_FLAGS).every((name) => !(name in SERVER_OPTIONS)));
});

test('parse takes flags before and behind the verb, and options of the configuration', async () => {
  const parsed = await line('--store /s --json put -cn --compression-level 3 a b -- -c');
  assert.ok(parsed.kind === 'run');
  assert.equal(parsed.command.verb, 'put');
  assert.equal(parsed.globals.json, true);
  assert.deepEqual(
    { ...parsed.flags },
    {
      ...{ again: false, checksum: true, exclude: [], dry_run: true, lock_token: undefined },
    },
  );
  assert.deepEqual(parsed.words, ['a', 'b', '-c']);
  assert.deepEqual([...parsed.configFlags.keys()], ['store', 'compression.level']);
});

test('parse names the nearest word it knows', async () => {
  await assert.rejects(line('putt a'), /no command `putt`. Did you mean `put`\?/);
  await assert.rejects(line('put --cheksum a'), /no flag --cheksum here. Did you mean --checksum\?/);
  await assert.rejects(line('xyzzy'), /`holdfast --help` lists all/);
  await assert.rejects(line('ls --limit 3'), /no flag --limit/);
});

test('parse counts arguments and says the usage', async () => {
  await assert.rejects(line('put'), /`put` needs an argument. Usage: holdfast put SOURCE… \[DEST\]/);
  await assert.rejects(line('mv a'), /needs 2 arguments/);
  await assert.rejects(line('stats x'), /got too many arguments \("x"\)/);
  await assert.rejects(line('cat --offset much f'), /--offset is "much"; it needs a size/);
});

test('help wins over everything else on the line, and needs no store', async () => {
  assert.deepEqual(await line('put --nonsense --help'), {
    kind: 'help',
    command: COMMANDS.find(({ verb }) => verb === 'put'),
  });
  assert.deepEqual(await line('--json'), { kind: 'help', command: undefined });
  assert.deepEqual(await line('--version'), { kind: 'version' });
  using stage = new Stage();
  assert.equal(await stage.run('rm', '-h'), EXIT.ok);
  assert.match(stage.stdout.text, /^Usage: holdfast rm \[FLAGS\] PATH…\n\nRemove files and folders\.\n/);
  assert.match(stage.stdout.text, /-n, --dry-run +Say what would be done/);
  assert.match(stage.stdout.text, /Exit codes: 0, 2, 3, 4, 5, 6, 8, 9, 70, 130, 143/);
  assert.equal(stage.asked.length, 0);
});

test('the overview lists every command', async () => {
  using stage = new Stage();
  await stage.run('--help');
  for (const { verb, summary } of COMMANDS)
    assert.ok(stage.stdout.text.includes(`  ${verb.padEnd(11)} ${summary}\n`), verb);
  assert.equal(await stage.run('help', 'ptu'), EXIT.usage);
  assert.match(stage.stderr.text, /Did you mean `put`/);
});
