/**
 * The house rules that a machine can check: rooms import rooms on lower floors only, through their index.ts, never
 * sideways, never up, no circles; every source file opens with a head that says what it is.
 */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { dirname, relative, resolve, sep } from 'node:path';
import { test } from 'node:test';

/** Which floor a room of src/ stands on. A new room is added here and in docs/architecture.md. */
const FLOORS: Readonly<Record<string, number>> = {
  base: 0,
  objects: 1,
  sync: 1,
  meta: 2,
  api: 2,
  chunks: 3,
  vault: 4,
  access: 4,
  files: 5,
  jobs: 6,
  fuse: 7,
  http: 7,
  grpc: 7,
  client: 7,
  server: 8,
  daemon: 8,
  cli: 9,
};
/** Rooms that a browser may load: nothing of Node in them. */
const BROWSER_SAFE = new Set(['base', 'sync', 'api', 'client']);
/** Rooms above, that a browser-safe room may use although it stands higher. */
const ROOMS_OF_CLIENT = new Set(['base', 'sync', 'api']);

const root = resolve(import.meta.dirname, '..');
const src = resolve(root, 'src');
const files = globSync('src/**/*.ts', { cwd: root }).sort();

interface Import {
  readonly file: string;
  readonly specifier: string;
}

function importsOf(file: string): Import[] {
  const text = readFileSync(resolve(root, file), 'utf8');
  const found = text.matchAll(
    /(?:^|\n)\s*(?:import|export)\s[^'";]*?from\s+'([^']+)'|import\(\s*'([^']+)'\s*\)|(?:^|\n)import\s+'([^']+)'/g,
  );
  return [...found].map((match) => ({ file, specifier: match[1] ?? match[2] ?? match[3] ?? '' }));
}

function roomOf(file: string): string {
  return relative(src, resolve(root, file)).split(sep)[0] ?? '';
}

const imports = files.flatMap(importsOf);
const isTest = (file: string): boolean => /\.test\.ts$|(^|\/)([a-z]+-)?contract\.ts$/.test(file);

test('every room stands on a floor', () => {
  const rooms = new Set(files.map(roomOf));
  assert.deepEqual(
    [...rooms].filter((room) => FLOORS[room] === undefined),
    [],
  );
});

test('rooms import lower floors only, through index.ts', () => {
  const wrong: string[] = [];
  for (const { file, specifier } of imports) {
    if (!specifier.startsWith('.')) continue;
    const target = relative(root, resolve(root, dirname(file), specifier))
      .split(sep)
      .join('/');
    const [from, to] = [roomOf(file), roomOf(target)];
    if (from === to) continue;
    if (!target.startsWith('src/')) {
      if (!isTest(file)) wrong.push(`${file} imports ${target}, outside src/`);
      continue;
    }
    if ((FLOORS[to] ?? 99) >= (FLOORS[from] ?? -1))
      wrong.push(`${file} (floor ${FLOORS[from]}) imports ${to} (floor ${FLOORS[to]})`);
    const isDoor = target === `src/${to}/index.ts` || (isTest(file) && /\/contract\.ts$/.test(target));
    if (!isDoor) wrong.push(`${file} imports ${target}, not the room's index.ts`);
    if (from === 'client' && !ROOMS_OF_CLIENT.has(to))
      wrong.push(`${file}: client may use ${[...ROOMS_OF_CLIENT]} only`);
  }
  assert.deepEqual(wrong, []);
});

test('browser-safe rooms import nothing of Node', () => {
  const wrong = imports.filter(
    ({ file, specifier }) => BROWSER_SAFE.has(roomOf(file)) && !isTest(file) && specifier.startsWith('node:'),
  );
  assert.deepEqual(
    wrong.map(({ file, specifier }) => `${file} imports ${specifier}`),
    [],
  );
});

test('there are no circles between files', () => {
  const edges = new Map<string, string[]>();
  for (const { file, specifier } of imports) {
    if (!specifier.startsWith('.')) continue;
    const target = relative(root, resolve(root, dirname(file), specifier))
      .split(sep)
      .join('/');
    edges.set(file, [...(edges.get(file) ?? []), target]);
  }
  const done = new Set<string>();
  const circles: string[] = [];
  const walk = (file: string, path: readonly string[]): void => {
    if (path.includes(file)) {
      circles.push([...path.slice(path.indexOf(file)), file].join(' → '));
      return;
    }
    if (done.has(file)) return;
    for (const next of edges.get(file) ?? []) walk(next, [...path, file]);
    done.add(file);
  };
  for (const file of files) walk(file, []);
  assert.deepEqual(circles, []);
});

test('folders inside a room form no circle with each other', () => {
  const uses = new Map<string, string>();
  for (const { file, specifier } of imports) {
    if (!specifier.startsWith('.') || isTest(file)) continue;
    const [from, to] = [dirname(file), dirname(relative(root, resolve(root, dirname(file), specifier)))];
    // What stands in the room itself is the vocabulary of its folders, and puts them together.
    const isInside =
      from !== to && roomOf(file) === roomOf(to) && [from, to].every((each) => each !== `src/${roomOf(to)}`);
    if (isInside) uses.set(`${from} → ${to}`, file);
  }
  const circles = [...uses].filter(([use]) => uses.has(use.split(' → ').reverse().join(' → ')));
  assert.deepEqual(circles, []);
});

test('every source file opens with a head', () => {
  const without = files.filter((file) => !/^(#!.*\n)?\/\*\*/.test(readFileSync(resolve(root, file), 'utf8')));
  assert.deepEqual(without, []);
});

test('only server, daemon and cli/main read the environment', () => {
  const wrong = files.filter(
    (file) =>
      !isTest(file) &&
      !['server', 'daemon', 'cli'].includes(roomOf(file)) &&
      /process\.env\b/.test(readFileSync(resolve(root, file), 'utf8')),
  );
  assert.deepEqual(wrong, []);
});

test('tests reach libc in one file', () => {
  const reaching = globSync('{test,tools,bench,examples}/**/*.ts', { cwd: root })
    .filter((file) => !file.includes('node_modules'))
    .filter((file) => importsOf(file).some(({ specifier }) => specifier === 'koffi'));
  assert.deepEqual(reaching, ['test/e2e/posix/libc.ts']);
});

test('nothing is called utils, helpers or common', () => {
  assert.deepEqual(
    files.filter((file) => /(^|\/)(utils?|helpers?|common|misc)(\/|\.ts$)/.test(file)),
    [],
  );
});
