/**
 * The configuration of a process: the options table put together with the one configuration file, the environment and
 * the flags. The only place, with the roots beside it, where the environment is read.
 */
import { dirname, resolve } from 'node:path';
import { type GivenFlag, type OptionOrigin, type ResolvedOptions, resolveOptions } from '../base/index.ts';
import { CONFIG_ENVIRONMENT, readConfigFile } from './config-file.ts';
import { SERVER_OPTIONS, type ServerOptions } from './options-table.ts';

export interface Config extends ResolvedOptions<typeof SERVER_OPTIONS> {
  /** The file that was read, absolute; absent when none was. */
  readonly file?: string;
}

export interface ConfigQuestion {
  /** What `--config` named. */
  readonly file?: string | undefined;
  /** By option name, as base's readArguments answers them. */
  readonly flags?: ReadonlyMap<string, GivenFlag> | undefined;
  /** The process's own when absent. */
  readonly environment?: Readonly<Record<string, string | undefined>>;
  /** The process's own when absent. */
  readonly workingFolder?: string;
}

/** Variables with our prefix that are no options. */
const ENVIRONMENT_KNOWN: readonly string[] = [CONFIG_ENVIRONMENT];

/** @throws Fault `invalid`, naming every mistake; `not-found` when a named file is not there. */
export async function loadConfig(question: ConfigQuestion = {}): Promise<Config> {
  const environment = question.environment ?? process.env;
  const workingFolder = question.workingFolder ?? process.cwd();
  const file = await readConfigFile({ named: question.file, environment, workingFolder });
  const resolved = resolveOptions(SERVER_OPTIONS, {
    file,
    environment,
    flags: question.flags,
    environmentKnown: ENVIRONMENT_KNOWN,
  });
  const from = (option: 'store' | 'mounts'): string => startOf(resolved.origins[option], workingFolder);
  const store = resolve(from('store'), resolved.values.store);
  const mounts = resolved.values.mounts.map((mount) => ({ ...mount, path: resolve(from('mounts'), mount.path) }));
  const values = { ...resolved.values, store, mounts };
  return { values, origins: resolved.origins, ...(file === undefined ? {} : { file: file.path }) };
}

/** Whoever writes a relative path into a file means "beside this file", wherever the command is run. */
function startOf(origin: OptionOrigin, workingFolder: string): string {
  return origin.kind === 'file' ? dirname(origin.path) : workingFolder;
}

/** A configuration out of values alone, for programs and tests that have no files: the rest are defaults. */
export function configOf(values: Partial<ServerOptions>): Config {
  const base = resolveOptions(SERVER_OPTIONS, {});
  const store = resolve(values.store ?? base.values.store);
  return { values: { ...base.values, ...values, store }, origins: base.origins };
}
