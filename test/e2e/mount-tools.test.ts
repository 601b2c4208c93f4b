/**
 * The programs that people keep their files with, on a mounted store, each under `timeout`: what they put in is there,
 * also after an unmount and a new mount, and what they delete stays gone.
 */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  linkSync,
  lstatSync,
  lutimesSync,
  mkdirSync,
  readdirSync,
  readlinkSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { seededRandom } from '../../src/base/index.ts';
import { makeTree, mixed, text, treeHash } from './data.ts';
import { whyNoMount } from './fuse-mount.ts';
import { run, temporaryFolder } from './holdfast.ts';
import { type MountedStore, mountStore } from './mounted.ts';
import { Libc } from './posix/libc.ts';

const SCALE = Number(process.env.TEST_HOLDFAST_SCALE ?? 1);
const TOOL_SECONDS_MAX = 120 * SCALE;
const skip = whyNoMount() ?? false;

/** A test that needs programs; without one of them it is skipped, aloud. */
function toolTest(name: string, tools: readonly string[], body: () => Promise<void>): void {
  const missing = tools.filter((tool) => spawnSync('sh', ['-c', `command -v ${tool}`]).status !== 0);
  const why = skip === false && missing.length > 0 ? `there is no ${missing.join(', ')} here` : skip;
  if (missing.length > 0) process.stderr.write(`# SKIPPED: ${name}: there is no ${missing.join(', ')} here\n`);
  test(name, { skip: why, timeout: 280_000 * SCALE }, body);
}

/** Runs a program under `timeout`; answers what it printed. @throws when it fails, with what it complained about. */
async function tool(...words: readonly string[]): Promise<string> {
  const ran = await run('timeout', [String(TOOL_SECONDS_MAX), ...words], {
    timeoutMs: (TOOL_SECONDS_MAX + 20) * 1_000,
    environment: { LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1', HOME: '/nonexistent' },
  });
  assert.equal(
    ran.code,
    0,
    `${words.join(' ')} ended with ${ran.code}\n${ran.stdout.toString().slice(-2_000)}\n${ran.stderr.slice(-2_000)}`,
  );
  return ran.stdout.toString();
}

const sh = (script: string, ...args: readonly string[]): Promise<string> => tool('sh', '-ec', script, 'sh', ...args);

/** Mounts a store again and again, each time as a new process. */
async function remounted(
  store: string,
  steps: readonly ((mount: MountedStore) => Promise<void>)[],
  signal: NodeJS.Signals = 'SIGTERM',
): Promise<void> {
  for (const step of steps) {
    await using mount = await mountStore({ store });
    await step(mount);
    assert.equal(await mount.stop(signal), 0, mount.output());
  }
}

/** A new store in a folder of its own, for tests that mount it more than once. */
async function withStore(body: (store: string, folder: string) => Promise<void>): Promise<void> {
  using folder = temporaryFolder();
  const store = join(folder.path, 'store');
  await tool(join(import.meta.dirname, '../../bin/holdfast'), 'init', '--store', store);
  await body(store, folder.path);
}

/** What `-a` keeps: kind, mode, owner, links, size and time of everything below; SHA-256 of the contents beside it. */
function metadataOf(folder: string): string {
  const lines: string[] = [];
  const walk = (at: string): void => {
    for (const name of readdirSync(at).sort()) {
      const path = join(at, name);
      const stat = lstatSync(path, { bigint: true });
      const common = `${path.slice(folder.length)} ${stat.mode.toString(8)} ${stat.uid}:${stat.gid}`;
      if (stat.isDirectory()) {
        lines.push(`${common} ${stat.mtimeNs}`);
        walk(path);
      } else {
        lines.push(
          `${common} ${stat.nlink} ${stat.size} ${stat.mtimeNs} ${stat.isSymbolicLink() ? readlinkSync(path) : ''}`,
        );
      }
    }
  };
  walk(folder);
  return lines.join('\n');
}

/** Files of many sizes with modes, links of both kinds, times to the nanosecond, odd names, holes. */
function makeSource(folder: string, seed: number): void {
  makeTree(folder, 150, seed);
  const random = seededRandom(seed);
  writeFileSync(join(folder, 'large.bin'), mixed(random, 3_000_000 * SCALE));
  writeFileSync(join(folder, 'empty'), '');
  writeFileSync(join(folder, 'ünïcode name 🙂'), text(random, 5_000));
  symlinkSync('nowhere', join(folder, 'dangling'));
  linkSync(join(folder, 'large.bin'), join(folder, 'second name'));
  chmodSync(join(folder, 'empty'), 0o4751);
  mkdirSync(join(folder, 'sticky'));
  chmodSync(join(folder, 'sticky'), 0o1777);
  utimesSync(join(folder, 'sticky'), 1_000_000_000.5, 1_000_000_000.25);
  age(folder);
}

/** Nothing is of this very second: rsync takes times of one second for equal, and leaves the copy's as it is. */
function age(folder: string): void {
  const recent = Date.now() - 60_000;
  for (const [index, name] of ['', ...readdirSync(folder, { recursive: true, encoding: 'utf8' })].entries()) {
    const path = join(folder, name);
    if (lstatSync(path).mtimeMs > recent) lutimesSync(path, 1_200_000_000.5, 1_200_000_000.25 + index);
  }
}

/** Extended attributes on a file and a folder, and a named user in the ACL of another file. */
function addAttributes(folder: string): void {
  const sys = new Libc();
  sys.setxattr(join(folder, 'empty'), 'user.colour', 'blue');
  sys.setxattr(join(folder, 'sticky'), 'user.large', 'l'.repeat(2_000));
  // Version 2; owner rw, user 1000 rw, group r, mask rw, others none: tag, bits, id each.
  const acl = '0200000001000600ffffffff02000600e803000004000400ffffffff10000600ffffffff20000000ffffffff';
  sys.setxattr(join(folder, 'large.bin'), 'system.posix_acl_access', Buffer.from(acl, 'hex'));
}

toolTest('a walk in a shell is all still true after SIGINT and a new mount', ['cp', 'mv'], () =>
  withStore(async (store, folder) => {
    writeFileSync(join(folder, 'hello.txt'), 'hello, world\n');
    const WALK = `
      cd "$1"; cp "$2" .; test "$(cat hello.txt)" = "hello, world"; mkdir -p a/b; mv hello.txt a/b/moved.txt
      echo more >> a/b/moved.txt; cp a/b/moved.txt a/copy.txt; rm a/copy.txt; mkdir gone; rmdir gone; ln -s a/b/moved.txt link
      test "$(cat link | wc -l)" = 2; test ! -e gone; test ! -e a/copy.txt; chmod 640 a/b/moved.txt`;
    const STILL = `
      cd "$1"; test "$(cat link)" = "hello, world
more"; test "$(ls)" = "a
link"; test "$(ls a)" = b; test "$(stat -c %a a/b/moved.txt)" = 640; rm -r a link; test -z "$(ls)"`;
    await remounted(
      store,
      [
        async ({ path }) => void (await sh(WALK, path, join(folder, 'hello.txt'))),
        async ({ path }) => void (await sh(STILL, path)),
        async ({ path }) => assert.deepEqual(readdirSync(path), []),
      ],
      'SIGINT',
    );
  }),
);

for (const flags of [['-a'], ['--inplace', '-a'], ['--delete', '-a'], ['-aHAX']]) {
  toolTest(
    `rsync ${flags.join(' ')} into a mount, out and in again, and deleted for good`,
    ['rsync', 'sha256sum'],
    () =>
      withStore(async (store, folder) => {
        const source = join(folder, 'source');
        makeSource(source, 11);
        const keepsLinks = flags.includes('-aHAX');
        if (keepsLinks) addAttributes(source);
        const sums = (at: string): Promise<string> =>
          sh('cd "$1"; find . -type f -print0 | sort -z | xargs -0 sha256sum', at);
        const expected = await sums(source);
        const compare = async (at: string): Promise<void> => {
          assert.equal(await sums(at), expected);
          const left = metadataOf(source);
          // Without -H two names of a file become two files.
          if (keepsLinks) assert.equal(metadataOf(at), left);
          else assert.equal(metadataOf(at).replace(/ [12] /g, ' '), left.replace(/ [12] /g, ' '));
          assert.equal(await tool('rsync', ...flags, '-n', '-i', '--delete', '--checksum', `${source}/`, `${at}/`), '');
        };
        await remounted(store, [
          async ({ path }) => {
            const target = join(path, 'target');
            mkdirSync(target);
            writeFileSync(join(target, 'stale'), 'an older run left this');
            writeFileSync(join(target, 'large.bin'), text(seededRandom(12), 100_000));
            await tool('rsync', ...flags, `${source}/`, `${target}/`);
            assert.equal(existsSync(join(target, 'stale')), !flags.includes('--delete'));
            await tool('rm', '-f', join(target, 'stale'));
            // Taking the stale file away moved the folder's own time; rsync sets it right.
            await tool('rsync', ...flags, `${source}/`, `${target}/`);
            await compare(target);
          },
          async ({ path }) => {
            await compare(join(path, 'target'));
            await tool('rm', '-r', join(path, 'target'));
            assert.deepEqual(readdirSync(path), []);
          },
          async ({ path }) => assert.deepEqual(readdirSync(path), []),
        ]);
      }),
  );
}

toolTest('cp -a brings a tree in and out unchanged', ['cp'], async () => {
  using folder = temporaryFolder();
  const source = join(folder.path, 'source');
  makeSource(source, 21);
  await using mount = await mountStore();
  await tool('cp', '-a', source, join(mount.path, 'in'));
  await tool('cp', '-a', join(mount.path, 'in'), join(mount.path, 'again'));
  await tool('cp', '-a', join(mount.path, 'again'), join(folder.path, 'out'));
  for (const at of [join(mount.path, 'in'), join(mount.path, 'again'), join(folder.path, 'out')]) {
    assert.equal(treeHash(at), treeHash(source), at);
    assert.equal(metadataOf(at), metadataOf(source), at);
  }
});

toolTest('tar unpacks a source tree and diff finds it the same', ['tar', 'diff'], () =>
  withStore(async (store, folder) => {
    const source = join(folder, 'source');
    makeSource(source, 31);
    await sh('cd "$1"; rm dangling; tar --format=posix -czf "$2" .', source, join(folder, 'source.tar.gz'));
    await remounted(store, [
      async ({ path }) => {
        await sh('mkdir "$1"; tar -C "$1" -xpzf "$2"', join(path, 'unpacked'), join(folder, 'source.tar.gz'));
        await sh('diff -r --no-dereference "$1" "$2"', source, join(path, 'unpacked'));
      },
      async ({ path }) => {
        await sh('diff -r --no-dereference "$1" "$2"', source, join(path, 'unpacked'));
        assert.equal(metadataOf(join(path, 'unpacked')), metadataOf(source));
      },
    ]);
  }),
);

toolTest('git works in a mount: init, commit, clone, gc, fsck', ['git'], () =>
  withStore(async (store, folder) => {
    const source = join(folder, 'source');
    makeTree(source, 120, 41);
    const git = (at: string, ...words: readonly string[]): Promise<string> =>
      tool('git', '-C', at, '-c', 'user.name=t', '-c', 'user.email=t@example.org', '-c', 'safe.directory=*', ...words);
    await remounted(store, [
      async ({ path }) => {
        const origin = join(path, 'origin');
        mkdirSync(origin);
        await git(origin, 'init', '-q', '-b', 'main');
        await tool('cp', '-r', `${source}/.`, origin);
        await git(origin, 'add', '-A');
        await git(origin, 'commit', '-qm', 'one');
        await git(path, 'clone', '-q', origin, join(path, 'clone'));
        writeFileSync(join(path, 'clone', 'new'), 'new\n');
        await git(join(path, 'clone'), 'add', 'new');
        await git(join(path, 'clone'), 'commit', '-qm', 'two');
        await git(join(path, 'clone'), 'gc', '-q', '--prune=now');
        assert.equal(await git(join(path, 'clone'), 'status', '--porcelain'), '');
      },
      async ({ path }) => {
        await git(join(path, 'clone'), 'fsck', '--strict', '--full');
        await git(join(path, 'origin'), 'pull', '-q', '../clone', 'main');
        assert.equal(await git(join(path, 'origin'), 'rev-list', '--count', 'HEAD'), '2\n');
        assert.equal(await git(join(path, 'origin'), 'status', '--porcelain'), '');
      },
    ]);
  }),
);

const SQLITE = `
import sqlite3, sys, threading
path, mode = sys.argv[1], sys.argv[2]
def work(number):
    db = sqlite3.connect(path, timeout=60)
    for row in range(60):
        with db:
            db.execute('insert into rows values (?, ?, ?)', (number, row, 'x' * (row * 20)))
    db.close()
db = sqlite3.connect(path, timeout=60)
if mode == 'write':
    assert db.execute('pragma journal_mode=wal').fetchone()[0] == 'wal'
    db.execute('create table rows (worker integer, number integer, bytes text)')
    db.execute('create index by_number on rows (number)')
    db.commit()
    workers = [threading.Thread(target=work, args=(number,)) for number in range(3)]
    for worker in workers: worker.start()
    for worker in workers: worker.join()
    db.execute('delete from rows where number % 7 = 3')
    db.commit()
assert db.execute('pragma integrity_check').fetchone()[0] == 'ok'
print(db.execute('select count(*), sum(length(bytes)) from rows').fetchone())
`;

toolTest('SQLite keeps a database with a write-ahead log in a mount', ['python3'], () =>
  withStore(async (store) => {
    let first = '';
    await remounted(store, [
      async ({ path }) => {
        first = await tool('python3', '-c', SQLITE, join(path, 'data.sqlite'), 'write');
        assert.match(first, /^\(\d+, \d+\)\n$/);
      },
      async ({ path }) => assert.equal(await tool('python3', '-c', SQLITE, join(path, 'data.sqlite'), 'read'), first),
    ]);
  }),
);

const MAPS = `
import mmap, os, sys
path, mode = sys.argv[1], sys.argv[2]
size = 3 * 1024 * 1024 + 123
if mode == 'write':
    with open(path, 'wb') as file: file.truncate(size)
    children = []
    for worker in range(3):
        child = os.fork()
        if child == 0:
            with open(path, 'r+b') as file:
                shared = mmap.mmap(file.fileno(), size)
                for at in range(worker * 100, size - 16, 4096):
                    shared[at:at + 8] = b'%08d' % (at + worker)
                if worker: shared.flush()
            os._exit(0)
        children.append(child)
    for child in children: assert os.waitpid(child, 0)[1] == 0
with open(path, 'rb') as file: data = file.read()
assert len(data) == size
for worker in range(3):
    for at in range(worker * 100, size - 16, 4096):
        assert data[at:at + 8] == b'%08d' % (at + worker), (worker, at, data[at:at + 8])
`;

toolTest('programs that share a file through maps find each other’s bytes', ['python3'], () =>
  withStore(async (store) => {
    await remounted(store, [
      async ({ path }) => void (await tool('python3', '-c', MAPS, join(path, 'shared'), 'write')),
      async ({ path }) => void (await tool('python3', '-c', MAPS, join(path, 'shared'), 'read')),
    ]);
  }),
);

/** A program of many parts with a makefile that knows what depends on what. */
function makeProgram(folder: string, partCount: number): void {
  mkdirSync(folder);
  const parts = Array.from({ length: partCount }, (_, number) => `part${number}`);
  writeFileSync(join(folder, 'parts.h'), parts.map((part) => `int ${part}(int);\n`).join(''));
  for (const [number, part] of parts.entries()) {
    writeFileSync(join(folder, `${part}.c`), `#include "parts.h"\nint ${part}(int x) { return x + ${number}; }\n`);
  }
  const sum = parts.map((part) => `${part}(1)`).join(' + ');
  writeFileSync(
    join(folder, 'main.c'),
    `#include <stdio.h>\n#include "parts.h"\nint main(void) { printf("%d\\n", ${sum}); }\n`,
  );
  const objects = ['main', ...parts].map((part) => `${part}.o`).join(' ');
  writeFileSync(
    join(folder, 'Makefile'),
    `program: ${objects}\n\tcc -o $@ $^\n%.o: %.c parts.h\n\tcc -O1 -c -o $@ $<\n`,
  );
}

toolTest('make builds a program in a mount, and only what changed the second time', ['make', 'cc'], () =>
  withStore(async (store) => {
    const partCount = 24;
    const sum = partCount + (partCount * (partCount - 1)) / 2;
    await remounted(store, [
      async ({ path }) => {
        makeProgram(join(path, 'project'), partCount);
        await tool('make', '-s', '-j2', '-C', join(path, 'project'));
        assert.equal(await tool(join(path, 'project', 'program')), `${sum}\n`);
      },
      async ({ path }) => {
        const project = join(path, 'project');
        await tool('make', '-q', '-C', project);
        writeFileSync(join(project, 'part3.c'), '#include "parts.h"\nint part3(int x) { return x + 1003; }\n');
        const said = await tool('make', '-j2', '-C', project);
        assert.equal(said.match(/cc -O1/g)?.length, 1, said);
        assert.equal(await tool(join(project, 'program')), `${sum + 1_000}\n`);
        await tool('rm', '-r', project);
      },
    ]);
  }),
);
