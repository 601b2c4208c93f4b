/**
 * Tools that keep files, as commands: Holdfast beside restic, borg and plain zstd. Each command is a whole process, as
 * a person would start it, with settings that are the tool's own defaults unless the comparison needs another; what is
 * set stands here. Caches and repositories all lie in the folder that a keeper is given.
 *
 * What they promise differs: Holdfast, restic and borg sync before they end, zstd does not; restic encrypts.
 */
import { join, resolve } from 'node:path';
import { type Command, findProgram, versionOf } from './process.ts';

export interface Keeper {
  readonly name: string;
  /** Whether it keeps folders. */
  readonly keepsTrees: boolean;
  /** What to say about it: version and settings. */
  readonly says: string;
  /** Why it cannot take part. */
  readonly missing?: string | undefined;
  /** Everything it keeps lies in `folder`, which exists and is empty. */
  readonly at: (folder: string) => Keeping;
}

/** One repository. `name` is a file or folder in `from`; it is kept, and comes back, under that name. */
export interface Keeping {
  /** What must be counted as its size. */
  readonly store: string;
  readonly make?: Command;
  put(from: string, name: string): Command;
  /** Writes `name` into the folder `into`, which exists. */
  get(name: string, into: string): Command;
  /** Where `name` stands after `get`. */
  restored(name: string, into: string): string;
}

export const HOLDFAST = resolve(import.meta.dirname, '../bin/holdfast');

export interface HoldfastVariant {
  readonly name: string;
  readonly ids?: 'blake3' | 'xxh3-128';
  readonly memory?: 'normal' | 'small';
}

export function holdfast({ name, ids = 'blake3', memory = 'normal' }: HoldfastVariant): Keeper {
  return {
    name,
    keepsTrees: true,
    says: `ids ${ids}, memory ${memory}, zstd level 1`,
    at(folder) {
      const store = join(folder, 'store');
      // The settings of whoever runs the bench must not count.
      const environment = { HOLDFAST_MEMORY: memory, XDG_CONFIG_HOME: folder };
      const command = (...words: string[]): Command => ({
        words: [HOLDFAST, ...words, '--store', store],
        folder,
        environment,
      });
      return {
        store,
        make: command('init', '--ids', ids),
        put: (from, name) => command('put', join(from, name), `/${name}`),
        get: (name, into) => command('get', `/${name}`, join(into, name)),
        restored: (name, into) => join(into, name),
      };
    },
  };
}

export function restic(): Keeper {
  const program = findProgram('restic');
  return {
    name: 'restic',
    keepsTrees: true,
    says: program === undefined ? '' : `${versionOf(program, 'version')}, repository v2, compression auto, encrypted`,
    missing: program === undefined ? 'not installed (apt-get install restic)' : undefined,
    at(folder) {
      const store = join(folder, 'restic');
      const environment = {
        RESTIC_PASSWORD: 'bench',
        RESTIC_CACHE_DIR: join(folder, 'cache'),
        RESTIC_REPOSITORY: store,
      };
      const command = (where: string, ...words: string[]): Command => ({
        words: [program ?? 'restic', '--quiet', ...words],
        folder: where,
        environment,
      });
      return {
        store,
        make: command(folder, 'init', '--repository-version', '2'),
        put: (from, name) => command(from, 'backup', '--compression', 'auto', '--tag', name, name),
        get: (name, into) => command(folder, 'restore', 'latest', '--tag', name, '--target', into),
        restored: (name, into) => join(into, name),
      };
    },
  };
}

export function borg(): Keeper {
  const program = findProgram('borg');
  return {
    name: 'borg',
    keepsTrees: true,
    says: program === undefined ? '' : `${versionOf(program, '--version')}, zstd,1, encryption none`,
    missing: program === undefined ? 'not installed (apt-get install borgbackup)' : undefined,
    at(folder) {
      const store = join(folder, 'borg');
      const environment = {
        BORG_REPO: store,
        BORG_BASE_DIR: join(folder, 'base'),
        BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK: 'yes',
      };
      const command = (where: string, ...words: string[]): Command => ({
        words: [program ?? 'borg', ...words],
        folder: where,
        environment,
      });
      // Archives have names of their own, each used once.
      const archives = new Map<string, string>();
      return {
        store,
        make: command(folder, 'init', '--encryption', 'none'),
        put(from, name) {
          const archive = `${name}-${archives.size}`;
          archives.set(name, archive);
          return command(from, 'create', '--compression', 'zstd,1', `::${archive}`, name);
        },
        get: (name, into) => command(into, 'extract', `::${archives.get(name)}`),
        restored: (name, into) => join(into, name),
      };
    },
  };
}

/** No store at all: what compressing alone costs. */
export function zstd(): Keeper {
  const program = findProgram('zstd');
  return {
    name: 'zstd -1 -T2',
    keepsTrees: false,
    says: program === undefined ? '' : 'a plain file: no dedup, no sync, no checks',
    missing: program === undefined ? 'not installed (apt-get install zstd)' : undefined,
    at(folder) {
      const store = join(folder, 'zstd');
      const packed = (name: string): string => join(store, `${name}.zst`);
      const command = (...words: string[]): Command => ({ words: [program ?? 'zstd', '-q', ...words] });
      return {
        store,
        make: { words: ['mkdir', store] },
        put: (from, name) => command('-1', '-T2', join(from, name), '-o', packed(name)),
        get: (name, into) => command('-d', packed(name), '-o', join(into, name)),
        restored: (name, into) => join(into, name),
      };
    },
  };
}
