/**
 * File systems of one folder, side by side: the ext4 itself, bindfs and gocryptfs above it, and a mounted Holdfast store.
 * Each is served by a process of its own in the foreground, so that its memory and processor time can be seen, and is
 * unmounted with its scope; what is still mounted when the bench exits is taken away.
 *
 * What they promise differs: bindfs hands everything through, gocryptfs encrypts, Holdfast cuts, compresses and hashes.
 * Both and Holdfast sync when a program asks for it, and not before.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { HOLDFAST } from './keepers.ts';
import { findProgram, run, type Service, serve, versionOf } from './process.ts';

const START_TIMEOUT_MS = 30_000;
const RETRY_MS = 20;

/** The words that keep a process on one processor, or none. */
export interface Pins {
  readonly client: readonly string[];
  readonly server: readonly string[];
}
export const NO_PINS: Pins = { client: [], server: [] };
export const PINS: Pins = { client: ['taskset', '-c', '1'], server: ['taskset', '-c', '0'] };

/** A way to show a folder. */
export interface Mounter {
  readonly name: string;
  readonly says: string;
  readonly missing?: string | undefined;
  /** Everything it keeps lies in `folder`, which exists and is empty. */
  open(folder: string, pins: Pins): Promise<MountedFolder>;
}

export interface MountedFolder extends AsyncDisposable {
  readonly path: string;
  /** 0 where the kernel does everything. */
  cpuSeconds(): number;
  peakBytes(): number;
  /** @throws Error when its process has ended. */
  check(): void;
}

const mounted = new Set<string>();
process.on('exit', () => {
  for (const path of mounted) spawnSync('umount', ['-l', path], { stdio: 'ignore' });
});

export function ext4(): Mounter {
  return {
    name: 'ext4',
    says: 'the file system below all others, no process between',
    async open(folder) {
      const path = join(folder, 'files');
      mkdirSync(path);
      return { path, cpuSeconds: () => 0, peakBytes: () => 0, check() {}, async [Symbol.asyncDispose]() {} };
    },
  };
}

export function bindfs(): Mounter {
  const program = findProgram('bindfs');
  return {
    name: 'bindfs',
    says: program === undefined ? '' : `${versionOf(program, '--version')}, defaults`,
    missing: program === undefined ? 'not installed (apt-get install bindfs)' : undefined,
    async open(folder, pins) {
      const { source, path } = foldersIn(folder);
      return served([...pins.server, program ?? '', '-f', source, path], folder, path);
    },
  };
}

export function gocryptfs(): Mounter {
  const program = findProgram('gocryptfs');
  return {
    name: 'gocryptfs',
    says: program === undefined ? '' : `${versionOf(program, '-version')}, defaults`,
    missing: program === undefined ? 'not installed (apt-get install gocryptfs)' : undefined,
    async open(folder, pins) {
      const { source, path } = foldersIn(folder);
      const password = join(folder, 'password');
      writeFileSync(password, 'bench\n');
      await run({ words: [program ?? '', '-q', '-init', '-passfile', password, source], folder });
      return served([...pins.server, program ?? '', '-q', '-fg', '-passfile', password, source, path], folder, path);
    },
  };
}

export function holdfastMount(name = 'holdfast'): Mounter {
  return {
    name,
    says: 'holdfast mount --create, defaults',
    open(folder, pins) {
      const { source, path } = foldersIn(folder);
      const words = [...pins.server, HOLDFAST, '--store', join(source, 'store'), 'mount', path, '--create'];
      return served(words, folder, path);
    },
  };
}

function foldersIn(folder: string): { readonly source: string; readonly path: string } {
  const [source, path] = [join(folder, 'below'), join(folder, 'files')];
  mkdirSync(source);
  mkdirSync(path);
  return { source, path };
}

async function served(words: readonly string[], folder: string, path: string): Promise<MountedFolder> {
  // The settings of whoever runs the bench must not count.
  const service = serve({ words, folder, environment: { XDG_CONFIG_HOME: folder }, isWatched: false });
  mounted.add(path);
  const until = performance.now() + START_TIMEOUT_MS;
  while (!isMounted(path)) {
    const failure = service.failure() ?? (performance.now() > until ? `${path} is not mounted in time` : undefined);
    if (failure !== undefined) {
      await ended(service, path);
      throw new Error(failure);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
  return {
    path,
    cpuSeconds: () => service.cpuSeconds(),
    peakBytes: () => service.peakBytes(),
    check() {
      const failure = service.failure();
      if (failure !== undefined) throw new Error(failure);
    },
    [Symbol.asyncDispose]: () => ended(service, path),
  };
}

async function ended(service: Service, path: string): Promise<void> {
  await service[Symbol.asyncDispose]();
  if (isMounted(path)) spawnSync('umount', ['-l', path], { stdio: 'ignore' });
  mounted.delete(path);
}

function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${path} `);
}
