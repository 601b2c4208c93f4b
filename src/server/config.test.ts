/** The configuration: which file counts, what stands in it, and how its mistakes are told. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault, mistakesOfTable, readArguments, textOfOrigin } from '../base/index.ts';
import { type ConfigQuestion, loadConfig } from './config.ts';
import { lineFinder } from './config-file.ts';
import { configurationPage } from './configuration-page.ts';
import { SERVER_OPTIONS } from './options-table.ts';

async function refusalOf(question: ConfigQuestion): Promise<Fault> {
  try {
    await loadConfig(question);
  } catch (error) {
    assert.ok(Fault.is(error), String(error));
    return error;
  }
  throw new Error('the configuration was taken');
}

function folder(): Promise<{ readonly path: string } & AsyncDisposable> {
  return mkdtempDisposable(join(tmpdir(), 'holdfast-'));
}

test('the options table has no mistakes', () => {
  assert.deepEqual(mistakesOfTable(SERVER_OPTIONS), []);
});

test('the configuration page is current', () => {
  const page = readFileSync(new URL('../../docs/operating/configuration.md', import.meta.url), 'utf8');
  assert.equal(page, configurationPage(), 'write it again: node src/server/configuration-page.ts');
});

test('the first file that counts is read: --config, HOLDFAST_CONFIG, ./holdfast.toml, the own folder of settings', async () => {
  await using place = await folder();
  const at = (name: string): string => join(place.path, name);
  mkdirSync(at('home/holdfast'), { recursive: true });
  const environment: Record<string, string> = { XDG_CONFIG_HOME: at('home') };
  const question = { environment, workingFolder: place.path };
  const port = async (more: ConfigQuestion = {}): Promise<[number, string | undefined]> => {
    const config = await loadConfig({ ...question, ...more });
    return [config.values['http.port'], config.file];
  };
  assert.deepEqual(await port(), [8420, undefined]);
  writeFileSync(at('home/holdfast/config.toml'), '[http]\nport = 1\n');
  assert.deepEqual(await port(), [1, at('home/holdfast/config.toml')]);
  writeFileSync(at('holdfast.toml'), 'http.port = 2\n');
  assert.deepEqual(await port(), [2, at('holdfast.toml')]);
  writeFileSync(at('three.json'), '{"http": {"port": 3}}');
  environment.HOLDFAST_CONFIG = 'three.json';
  assert.deepEqual(await port(), [3, at('three.json')]);
  writeFileSync(at('four.toml'), '[http]\nport = 4\n');
  assert.deepEqual(await port({ file: 'four.toml' }), [4, at('four.toml')]);
  const { flags } = readArguments(SERVER_OPTIONS, ['--port', '5']);
  assert.deepEqual(await port({ flags }), [5, at('three.json')]);
});

test('a file that was named must be there', async () => {
  const question = { environment: {}, workingFolder: tmpdir() };
  assert.equal((await refusalOf({ ...question, file: 'nowhere.toml' })).code, 'not-found');
  assert.equal((await refusalOf({ ...question, environment: { HOLDFAST_CONFIG: 'nowhere.toml' } })).code, 'not-found');
  assert.equal((await refusalOf({ ...question, file: '.' })).code, 'invalid');
});

test('mistakes in a file are told with the line', async () => {
  await using place = await folder();
  const path = join(place.path, 'holdfast.toml');
  const refusal = async (text: string, name = 'holdfast.toml'): Promise<string> => {
    writeFileSync(join(place.path, name), text);
    return (await refusalOf({ environment: {}, workingFolder: place.path, file: name })).message;
  };
  assert.match(await refusal('a = 1\n\nb = = 2\n'), /holdfast\.toml line 3, column \d+ is not valid TOML: /);
  assert.match(await refusal('{"a": 1,\n "b" 2}', 'x.json'), /x\.json line 2, column \d+ is not valid JSON: /);
  assert.equal(
    await refusal('# a comment\n[http]\nprot = 80\n'),
    `There is no option \`http.prot\` (${path} line 3). Did you mean \`http.port\`?`,
  );
  assert.equal(
    await refusal('memory = "tiny"\n'),
    `\`memory\` in ${path} line 1 is "tiny"; it needs one of \`normal\`, \`small\`.`,
  );
  assert.match(
    await refusal('[[compression.rules]]\nmatch = "*.gz"\nlevel = "none"\n[[compression.rules]]\nmatch = "x"\n'),
    /in table 2 of the list, `level` to be/,
  );
  assert.match(await refusal(' '.repeat(1024 * 1024 + 1)), /1048576 is the most/);
});

test('the store of a configuration file stands beside that file, of a flag in the working folder', async () => {
  await using place = await folder();
  mkdirSync(join(place.path, 'etc'));
  const file = join(place.path, 'etc', 'x.toml');
  writeFileSync(file, 'store = "data"\n');
  const question = { environment: {}, workingFolder: place.path, file };
  assert.equal((await loadConfig(question)).values.store, join(place.path, 'etc', 'data'));
  const { flags } = readArguments(SERVER_OPTIONS, ['--store', 'data']);
  assert.equal((await loadConfig({ ...question, flags })).values.store, join(place.path, 'data'));
  const config = await loadConfig({ environment: {}, workingFolder: place.path });
  assert.equal(config.values.store, join(place.path, 'holdfast-data'));
  assert.equal(textOfOrigin(config.origins.store), 'default');
});

test('compression rules come from TOML tables', async () => {
  await using place = await folder();
  const text =
    '[compression]\nlevel = 3\n[[compression.rules]]\nmatch = "photos/**"\nlevel = "none"\n[[compression.rules]]\nmatch = "*.log"\nlevel = 19\n';
  writeFileSync(join(place.path, 'holdfast.toml'), text);
  const { values } = await loadConfig({ environment: {}, workingFolder: place.path });
  assert.equal(values['compression.level'], 3);
  assert.deepEqual(values['compression.rules'], [
    { match: 'photos/**', level: 'none' },
    { match: '*.log', level: 19 },
  ]);
});

test('mounts come from TOML tables, and a relative one starts at the file', async () => {
  await using place = await folder();
  writeFileSync(join(place.path, 'h.toml'), '[[mounts]]\npath = "a"\nread_only = true\n[[mounts]]\npath = "/mnt/b"\n');
  const question = { environment: {}, workingFolder: '/', file: join(place.path, 'h.toml') };
  const { values } = await loadConfig(question);
  const usual = {
    ...{ subdir: '/', user: 'owner', read_only: false, allow_other: false, over_entries: false },
    mandatory_locks: false,
  };
  assert.deepEqual(values.mounts, [
    { ...usual, path: join(place.path, 'a'), read_only: true },
    { ...usual, path: '/mnt/b' },
  ]);
  const environment = { HOLDFAST_MOUNTS: '[{"path":"c"}]' };
  const here = await loadConfig({ ...question, environment, workingFolder: place.path });
  assert.deepEqual(here.values.mounts, [{ ...usual, path: join(place.path, 'c') }]);
});

test('lines are found under headings and never inside multi-line texts', () => {
  const lineOf = lineFinder('a = 1\nb.c = """\nd = 2\n"""\n[ e . f ] # more\ng = \'x\'\n[[h]]\ni=1\n[[h]]\ni=2\n');
  assert.deepEqual(['a', 'b', 'b.c', 'd', 'e.f', 'e.f.g', 'h', 'h.i', 'j'].map(lineOf), [
    1,
    2,
    2,
    undefined,
    5,
    6,
    7,
    8,
    undefined,
  ]);
});
