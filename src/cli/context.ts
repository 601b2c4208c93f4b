/**
 * All that a verb may touch, handed in by the program: the store, the streams, the clock, the caller's disk. So verbs
 * are plain functions, and a test gives them a store in memory and a disk that refuses.
 */
import type { FileService } from '../api/index.ts';
import type { Clock, Random } from '../base/index.ts';
import type { LocalDisk } from './local/local-disk.ts';
import type { Say } from './saying/say.ts';
import type { ConfigAsked, ServerRoom } from './server-room.ts';

export interface Context {
  /** The store that flags, environment and configuration name; reached on the first call, let go by the program. */
  readonly reach: () => Promise<FileService>;
  /** The folder that holds the store which `reach` answers; undefined where only a server knows. */
  readonly storeFolder: () => Promise<string | undefined>;
  readonly say: Say;
  readonly disk: LocalDisk;
  readonly clock: Clock;
  readonly random: Random;
  /** Fires on Ctrl+C and SIGTERM. */
  readonly signal: AbortSignal;
  /** Fires on a second Ctrl+C or SIGTERM. Who asks for it handles that; for others the process ends then. */
  readonly hurry: () => AbortSignal;
  /** Standard input; may be asked for once. */
  readonly stdin: () => AsyncIterable<Uint8Array>;
  /** Making, serving and configuring stores. */
  readonly server: () => Promise<ServerRoom>;
  /** What the command line said about the configuration. */
  readonly asked: ConfigAsked;
}
