/** Metadata in a file that a thread writes: the contract, what readers see meanwhile, order, refusals, kills, the log. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { Worker } from 'node:worker_threads';
import { Fault, type Maybe } from '../../base/index.ts';
import { testMetaStore } from '../contract/contract.ts';
import { at, contentRow, fileNode, firstChanges } from '../contract/contract-rows.ts';
import { Groups } from '../groups/groups.ts';
import { type MetaProblem, SCAN_ROWS_MAX } from '../meta-store.ts';
import type { RowWrite } from '../rows/row-source.ts';
import { openSqliteFile, ROWS_HERE_MAX, SqliteFile, type SqliteFileOptions, WRITES_HERE_MAX } from './sqlite-file.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-meta-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let number = 0;
const freshPath = (): string => join(folder, `${number++}.db`);
const openThreaded = (path = freshPath(), options: SqliteFileOptions = {}): SqliteFile =>
  SqliteFile.open(path, { isThreadedAtOnce: true, ...options });

testMetaStore('SQLite metadata in a file, written by a thread', () => openThreaded());
testMetaStore('SQLite metadata in a file, that a thread may come to write', () => SqliteFile.open(freshPath()));

const isFault =
  (...codes: readonly Fault['code'][]) =>
  (error: unknown): boolean =>
    Fault.is(error, ...codes);

function setting(name: number | string, value: string, isNew = false): RowWrite {
  return { table: 'settings', key: [`${name}`], row: { name: `${name}`, value }, isNew };
}

const settings = (count: number, value: string): RowWrite[] =>
  Array.from({ length: count }, (_, i) => setting(i, value));

function valuesOf(meta: SqliteFile): readonly string[] {
  return meta.scan('settings', { prefix: [], limit: SCAN_ROWS_MAX }).map(({ value }) => value);
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

/** Looks at something in every turn of the event loop until the promise has settled; answers how often. */
async function meanwhile(work: Maybe<unknown>, look: () => void): Promise<number> {
  let [isOver, count] = [false, 0];
  const over = Promise.resolve(work).finally(() => {
    isOver = true;
  });
  for (; !isOver; count++) {
    look();
    await turn();
  }
  await over;
  return count;
}

test('few writes start no thread, more of them do, and a large one at once', async () => {
  await using few = SqliteFile.open(freshPath());
  for (let i = 0; i < WRITES_HERE_MAX; i++) assert.equal(few.write([setting(i, 'x')]), undefined, 'done at once');
  await new Promise((resolve) => setTimeout(resolve, 50));
  assert.ok(!few.isThreaded);
  for (let i = 0; !few.isThreaded; i++) {
    await few.write([setting(i, `${i}`)]);
    assert.equal(few.get('settings', [`${i}`])?.value, `${i}`);
    await turn();
  }
  await few.write([setting('last', 'y')]);
  assert.equal(few.get('settings', ['last'])?.value, 'y');
  await using large = SqliteFile.open(freshPath());
  await large.write(settings(ROWS_HERE_MAX + 1, 'x'));
  assert.ok(large.isThreaded);
  assert.equal(valuesOf(large).length, ROWS_HERE_MAX + 1);
});

test('a thread that is readied holds nothing up, and writes when it is there', async () => {
  await using meta = SqliteFile.open(freshPath(), { isThreadReadied: true });
  assert.equal(meta.write([setting(0, 'x')]), undefined, 'done at once');
  while (!meta.isThreaded) await turn();
  await meta.write([setting(1, 'y')]);
  assert.deepEqual([meta.get('settings', ['0'])?.value, meta.get('settings', ['1'])?.value], ['x', 'y']);
});

test('ten thousand rows leave the event loop its turns', async () => {
  await using meta = openThreaded();
  await meta.write([]);
  const turns = await meanwhile(meta.write(settings(10_000, 'x'.repeat(100))), () => {});
  assert.ok(turns >= 10, `${turns} turns`);
});

test('a read sees a write whole or not at all, and once it is durable always', async () => {
  await using meta = openThreaded();
  const rows = 3_000;
  await meta.write(settings(rows, 'v0'));
  const seen = new Set<string>();
  for (let version = 1; version <= 10; version++) {
    await meanwhile(meta.write(settings(rows, `v${version}`)), () => {
      const values = new Set(valuesOf(meta));
      assert.equal(values.size, 1, [...values].join(' and '));
      for (const value of values) seen.add(value);
    });
    assert.deepEqual(new Set(valuesOf(meta)), new Set([`v${version}`]));
    assert.equal(meta.get('settings', ['17'])?.value, `v${version}`);
  }
  assert.ok(seen.size > 5, 'reads went on while it was written');
});

test('counts are taken at one moment while a thread writes', async () => {
  await using meta = openThreaded();
  await meta.commit(firstChanges());
  const groups = new Groups({ meta, prepare: async () => [] });
  const found: MetaProblem[] = [];
  let isOver = false;
  const checks = (async () => {
    for (let i = 0; i < 20; i++) for await (const problem of meta.check()) found.push(problem);
    isOver = true;
  })();
  // Contents and the nodes that name them come and go together.
  for (let id = 10; !isOver; id++) {
    await groups.commit({
      space: 1,
      now: at(id),
      puts: [
        { table: 'contents', mode: 'insert', row: contentRow(1, id) },
        { table: 'nodes', mode: 'insert', row: fileNode(1, id, id) },
      ],
    });
  }
  await checks;
  await groups.close();
  assert.deepEqual(found, []);
});

test('writes, commits and leases keep their order and miss nothing of each other', async () => {
  await using meta = openThreaded();
  const answers: string[] = [];
  const leases: Promise<number>[] = [];
  const all: Promise<unknown>[] = [];
  const asked = <T>(name: string, answer: Maybe<T>): Promise<T> => {
    const settled = Promise.resolve(answer).then((value) => {
      answers.push(name);
      return value;
    });
    all.push(settled);
    return settled;
  };
  for (let i = 0; i < 30; i++) {
    void asked(`write ${i}`, meta.write([setting('a', `${i}`)]));
    leases.push(asked(`lease ${i}`, meta.leaseIds('node', 7)));
    // It decides on what is there: `keep` puts nothing over what the write before it put.
    const keep = { table: 'settings', mode: 'keep', row: { name: `kept ${i}`, value: 'first' } } as const;
    void asked(`commit ${i}`, meta.commit([{ now: at(1), puts: [keep] }]));
    void asked(
      `commit again ${i}`,
      meta.commit([{ now: at(1), puts: [{ ...keep, row: { ...keep.row, value: 'no' } }] }]),
    );
  }
  await Promise.all(all);
  assert.deepEqual(
    await Promise.all(leases),
    Array.from({ length: 30 }, (_, i) => 1 + 7 * i),
  );
  assert.deepEqual(
    answers,
    Array.from({ length: 30 }, (_, i) => [`write ${i}`, `lease ${i}`, `commit ${i}`, `commit again ${i}`]).flat(),
  );
  assert.deepEqual(new Set(valuesOf(meta)), new Set(['29', 'first']));
  const wrong = meta.recount(at(1));
  assert.equal(await wrong, 0);
});

test('a write that fails drops nothing but itself', async () => {
  await using meta = openThreaded();
  await meta.write([setting('a', '1')]);
  const wide = { ...setting('b', '2'), row: { name: 'b', value: 2 } } as const;
  const all = [
    meta.write([setting('b', '1'), setting('a', '2', true)]),
    meta.write([...settings(700, 'x'), wide]),
    meta.write([setting('c', '1')]),
  ];
  const settled = await Promise.allSettled(all);
  assert.deepEqual(
    settled.map((each) => (each.status === 'rejected' ? (each.reason as Error).name : each.status)),
    ['InvariantError', 'InvariantError', 'fulfilled'],
  );
  assert.deepEqual(meta.scan('settings', { prefix: [], limit: 10 }), [
    { name: 'a', value: '1' },
    { name: 'c', value: '1' },
  ]);
});

test('metadata that a thread writes is open in one process once, with nothing but its log beside it', async () => {
  const path = freshPath();
  const meta = openThreaded(path);
  await meta.write([setting('a', '1')]);
  assert.throws(() => SqliteFile.open(path), isFault('locked'));
  assert.throws(() => openSqliteFile(path), isFault('locked'));
  const opens = ['SqliteFile.open(PATH)', 'openSqliteFile(PATH)', 'openSqliteMeta(openNodeSqlite(PATH))'];
  for (const open of opens) {
    const { output } = await child(`try { ${open.replace('PATH', JSON.stringify(path))} } catch (e) { say(e.code) }`);
    assert.equal(output, 'locked\n', open);
  }
  const beside = readdirSync(folder).filter((name) => path.endsWith(name.replace(/-.*$/, '')) && name.includes('-'));
  assert.deepEqual(beside, [`${path.slice(folder.length + 1)}-wal`]);
  assert.ok(meta.sizeBytes() > 100_000);
  await meta.write([setting('b', '1')]);
  await meta.close();
  assert.ok(!existsSync(`${path}-wal`), 'the log is moved into the database');
  await using again = SqliteFile.open(path);
  assert.equal(valuesOf(again).length, 2);
});

test('closing waits for what was handed in and takes nothing more', async () => {
  const path = freshPath();
  const meta = openThreaded(path);
  const handed = [meta.write(settings(1_000, 'x')), meta.write([setting('a', '1')])];
  const closing = meta.close();
  assert.throws(() => meta.write([setting('b', '1')]), isFault('unavailable'));
  await Promise.all([closing, ...handed]);
  await meta.close();
  assert.throws(() => meta.leaseIds('node', 1), isFault('unavailable'));
  assert.throws(() => meta.get('settings', ['a']), isFault('unavailable'));
  await using again = openSqliteFile(path);
  assert.equal(again.scan('settings', { prefix: [], limit: SCAN_ROWS_MAX }).length, 1_001);
});

test('a thread that ends in the middle is believed to have left the unknown, until the store is opened anew', async () => {
  const path = freshPath();
  const meta = openThreaded(path);
  const started = once(process, 'worker');
  const first = meta.write([setting('a', '1')]);
  const [worker] = (await started) as [Worker];
  await first;
  const cut = meta.write(settings(10_000, 'x'));
  await turn();
  await worker.terminate();
  await assert.rejects(async () => cut, isFault('io'));
  assert.throws(() => meta.write([setting('b', '1')]), isFault('io'));
  assert.throws(() => meta.leaseIds('node', 1), isFault('io'));
  assert.deepEqual(valuesOf(meta), ['1'], 'reads go on');
  await meta.close();
  await using again = openThreaded(path);
  await again.write([setting('b', '2')]);
  assert.deepEqual(valuesOf(again), ['1', '2']);
});

test('where no thread can be started, everything is written here', async () => {
  const path = freshPath();
  await using meta = openThreaded(path);
  // The thread finds another file, or none, under the name, and must not write to it.
  renameSync(path, `${path}.moved`);
  await meta.write([setting('a', '1')]);
  assert.ok(!meta.isThreaded);
  assert.ok(!existsSync(path));
  await turn();
  assert.equal(meta.write([setting('b', '1')]), undefined, 'and no thread is tried again');
  assert.equal(valuesOf(meta).length, 2);
  renameSync(`${path}.moved`, path);
});

test('the log stays bounded over many groups, while others read', async () => {
  const path = freshPath();
  const logBytes = 256 * 1024;
  await using meta = openThreaded(path, { logBytes });
  let [logMax, isOver] = [0, false];
  const reading = (async () => {
    for (; !isOver; await turn()) valuesOf(meta);
  })();
  let bytes = 0;
  for (let group = 0; group < 1_000; group++) {
    await meta.write(settings(20, 'x'.repeat(300) + group));
    bytes += 20 * 300;
    logMax = Math.max(logMax, statSync(`${path}-wal`).size);
  }
  isOver = true;
  await reading;
  assert.ok(bytes > 10 * logBytes);
  assert.ok(logMax < 4 * logBytes, `${logMax}`);
});

test('a killed process leaves every write that was answered, and no part of another', async () => {
  for (let round = 0; round < 3; round++) {
    const path = freshPath();
    const script = `
      const meta = SqliteFile.open(${JSON.stringify(path)}, { isThreadedAtOnce: true });
      for (let n = 1; ; n++) {
        const rows = Array.from({ length: 1500 }, (_, i) => ({ table: 'settings', key: ['' + i], row: { name: '' + i, value: '' + n }, isNew: false }));
        await meta.write(rows);
        say(n);
      }`;
    const { output } = await child(script, { killAfterLines: 5 + 3 * round });
    const answered = Number(output.trimEnd().split('\n').at(-1));
    await using meta = openThreaded(path);
    const values = [...new Set(valuesOf(meta))];
    assert.equal(values.length, 1);
    assert.ok(Number(values[0]) === answered || Number(values[0]) === answered + 1, `${values} after ${answered}`);
    assert.equal(valuesOf(meta).length, 1_500);
    await meta.write([setting('a', '1')]);
  }
});

test('a disk that refuses a commit of the thread is believed until the store is opened anew', async () => {
  const path = freshPath();
  // The log may not grow beyond what the shell allows (in blocks of 1,024 bytes).
  const script = `
    const meta = SqliteFile.open(${JSON.stringify(path)}, { isThreadedAtOnce: true });
    const row = (name, value) => ({ table: 'settings', key: [name], row: { name, value }, isNew: false });
    await meta.write([row('a', '1')]);
    const codes = [];
    for (const write of [[row('b', 'x'.repeat(2_000_000))], [row('c', '1')]])
      await Promise.resolve().then(() => meta.write(write)).catch((e) => codes.push(e.code));
    await Promise.resolve().then(() => meta.leaseIds('node', 1)).catch((e) => codes.push(e.code));
    say(codes.join(' '), meta.get('settings', ['a']).value, meta.get('settings', ['b']) === undefined);
    process.kill(process.pid, 'SIGKILL');`;
  const { output } = await child(script, { fileKibMax: 1_024 });
  assert.equal(output, 'io io io 1 true\n');
  await using meta = SqliteFile.open(path);
  assert.deepEqual(valuesOf(meta), ['1']);
});

/** Runs a script in a process of its own, which knows this room and `say`. */
function child(
  script: string,
  options: { readonly killAfterLines?: number; readonly fileKibMax?: number } = {},
): Promise<{ readonly output: string }> {
  const room = new URL('../index.ts', import.meta.url).href;
  const head = `import { writeSync } from 'node:fs';
    import { openNodeSqlite, openSqliteFile, openSqliteMeta, SqliteFile } from ${JSON.stringify(room)};
    const say = (...words) => writeSync(1, words.join(' ') + '\\n');`;
  const node = ['--disable-warning=ExperimentalWarning', '--input-type=module', '-e', `${head}${script}`];
  const limit = options.fileKibMax === undefined ? '' : `ulimit -f ${options.fileKibMax}; `;
  const process_ = spawn('bash', ['-c', `${limit}exec "$0" "$@"`, process.execPath, ...node], {
    stdio: ['ignore', 'pipe', 'inherit'],
    timeout: 60_000,
  });
  let output = '';
  return new Promise((resolve, reject) => {
    process_.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (output.split('\n').length > (options.killAfterLines ?? Number.POSITIVE_INFINITY)) process_.kill('SIGKILL');
    });
    process_.on('error', reject);
    process_.on('close', () => resolve({ output }));
  });
}
