/**
 * Programs that tests drive and a machine may lack: rsync, and those for attributes and access lists. Where Debian's
 * packages can be had they are unpacked below test/infra/programs, by whoever runs the tests and without installing
 * anything; where not, a line says so, and the tests that need them skip aloud.
 */
import { spawnSync } from 'node:child_process';
import { existsSync, globSync, mkdirSync, renameSync, rmSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Each program, and the packages that bring it and the libraries that a small machine may not have. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  rsync: ['rsync', 'libpopt0', 'libxxhash0'],
  setfattr: ['attr', 'libattr1'],
  setfacl: ['acl', 'libacl1'],
};
const FETCH_MS_MAX = 120_000;

const folder = resolve(import.meta.dirname, '../test/infra/programs');

/** The environment in which the programs are found; as it was for those that nobody can bring. */
export function withPrograms(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const missing = Object.keys(PACKAGES).filter((program) => !isThere(program, environment));
  if (missing.length === 0) return environment;
  if (!missing.every((program) => isThere(program, ownEnvironment(environment)))) fetchPackages(missing);
  // Asked again: only now the folders are there.
  const own = ownEnvironment(environment);
  const still = missing.filter((program) => !isThere(program, own));
  if (still.length > 0) process.stderr.write(`# ${still.join(', ')}: not on this machine, and not to be had\n`);
  return still.length === missing.length ? environment : own;
}

function isThere(program: string, environment: NodeJS.ProcessEnv): boolean {
  return spawnSync(program, ['--version'], { env: environment, stdio: 'ignore' }).status === 0;
}

function ownEnvironment(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  const paths = [join(folder, 'usr/bin'), join(folder, 'bin'), environment.PATH ?? ''];
  const libraries = [...globSync(join(folder, '{usr/,}lib/*-linux-gnu')), environment.LD_LIBRARY_PATH ?? ''];
  return {
    ...environment,
    PATH: paths.join(':'),
    LD_LIBRARY_PATH: libraries.filter((path) => path !== '').join(':'),
  };
}

/** Whole or not at all: unpacked beside, and put in place at the end. */
function fetchPackages(programs: readonly string[]): void {
  const building = `${folder}-building`;
  rmSync(building, { recursive: true, force: true });
  mkdirSync(building, { recursive: true });
  const packages = programs.flatMap((program) => PACKAGES[program] ?? []);
  process.stderr.write(`holdfast: fetching ${packages.join(', ')} for the tests (once)…\n`);
  if (download(packages, building) && unpack(building)) {
    rmSync(folder, { recursive: true, force: true });
    renameSync(join(building, 'root'), folder);
  }
  rmSync(building, { recursive: true, force: true });
}

function download(packages: readonly string[], into: string): boolean {
  if (apt(['download', ...packages], into)) return true;
  // A machine that never asked has no lists; ours are kept out of its own.
  const state = join(into, 'state');
  mkdirSync(join(state, 'lists/partial'), { recursive: true });
  const own = ['-o', `Dir::State::lists=${state}/lists`, '-o', `Dir::Cache=${state}`];
  return apt([...own, 'update'], into) && apt([...own, 'download', ...packages], into);
}

function apt(words: readonly string[], cwd: string): boolean {
  const done = spawnSync('apt-get', ['-q', ...words], { cwd, stdio: 'ignore', timeout: FETCH_MS_MAX });
  return done.status === 0;
}

function unpack(building: string): boolean {
  const files = globSync('*.deb', { cwd: building });
  const unpacked = files.map((file) => spawnSync('dpkg-deb', ['-x', file, 'root'], { cwd: building, stdio: 'ignore' }));
  return files.length > 0 && unpacked.every(({ status }) => status === 0) && existsSync(join(building, 'root'));
}
