/**
 * What the command line needs of the room that composes stores and servers, as narrow as it can be: so that tests put
 * their own in its place, and a verb that needs none of it loads none of it.
 */
import type { FileService } from '../api/index.ts';
import { Fault, type GivenFlag, type OptionRow, type OptionTable } from '../base/index.ts';

/** What the command line said about the configuration. */
export interface ConfigAsked {
  /** The value of --config. */
  readonly file: string | undefined;
  readonly flags: ReadonlyMap<string, GivenFlag>;
}

/** A store that was reached, however; let go by disposing. */
export interface ReachedStore extends AsyncDisposable {
  readonly service: FileService;
  /** The folder on this machine that holds it; unknown when a server was asked. */
  readonly folder?: string | undefined;
  /** What this process did besides, that whoever runs it should know; asked once it is let go. */
  readonly notices?: (() => readonly string[]) | undefined;
}

export interface MadeStore {
  readonly store: string;
  readonly storeId: string;
  readonly idAlgorithm: string;
  readonly chunker: string;
}

export interface RebuildWishes {
  /** Also when the metadata is whole. */
  readonly force: boolean;
  readonly signal: AbortSignal;
  readonly onProgress: (doneBytes: number, totalBytes: number) => void;
}

export interface RebuiltMetadata {
  /** When what was brought back was true, ISO 8601. */
  readonly asOf: string;
  readonly sequence: number;
  readonly rows: number;
  readonly passedOver: readonly { readonly name: string; readonly reason: string }[];
  readonly packs: { readonly added: number; readonly changed: number; readonly missing: number };
  /** Content that came after: in the packs, but without names. */
  readonly newerChunks: number;
  readonly newerBytes: number;
  /** Where the old metadata is kept, in the folder of the store. */
  readonly keptAt: string | undefined;
}

export interface RunningServer {
  /** Where HTTP answers; absent without. */
  readonly url: string | undefined;
  /** Where the store is mounted. */
  readonly mountPoints: readonly string[];
  readonly store: string;
  readonly storeId: string;
  /** True when the store was made just now. */
  readonly isNew: boolean;
  /** What a person is told who started it at a terminal. */
  readonly banner: string;
  /** Resolves when the server has ended. */
  readonly ended: Promise<void>;
}

export interface ServeWishes {
  readonly mayCreate: boolean;
  /** Makes the server drain and end. */
  readonly signal: AbortSignal;
  /** Ends what is still under way while it drains. */
  readonly hurry: AbortSignal;
}

/** A mount that is asked for, as a table of the option `mounts` says it. */
export interface MountWish {
  /** Absolute. */
  readonly path: string;
  readonly subdir: string;
  readonly user: string;
  readonly read_only: boolean;
  readonly allow_other: boolean;
  readonly over_entries: boolean;
  readonly mandatory_locks: boolean;
}

export interface ServerRoom {
  /** Every option of the configuration. */
  readonly options: OptionTable;
  /** `command` is what others read who find the store held. */
  readonly reach: (
    asked: ConfigAsked,
    how: { readonly command: string; readonly signal: AbortSignal },
  ) => Promise<ReachedStore>;
  readonly makeStore: (asked: ConfigAsked) => Promise<MadeStore>;
  /** Brings metadata back from checkpoints; nobody else may hold the store. */
  readonly rebuildMetadata: (asked: ConfigAsked, wishes: RebuildWishes) => Promise<RebuiltMetadata>;
  readonly serve: (asked: ConfigAsked, wishes: ServeWishes) => Promise<RunningServer>;
  /** One mount and no HTTP. */
  readonly mount: (asked: ConfigAsked, mount: MountWish, wishes: ServeWishes) => Promise<RunningServer>;
  /** What the configuration asks for. */
  readonly up: (asked: ConfigAsked, wishes: ServeWishes) => Promise<RunningServer>;
  /** Takes away a mount, whoever serves it; answers where that was. */
  readonly unmount: (path: string, how: { readonly lazy: boolean }) => Promise<string>;
  readonly configRows: (asked: ConfigAsked) => Promise<readonly OptionRow[]>;
}

/** The same, with one more option as if it had been a flag. @throws Fault `invalid` when it was one already. */
export function askedWith(asked: ConfigAsked, option: string, flag: string, value: string): ConfigAsked {
  const before = asked.flags.get(option);
  if (before !== undefined) {
    throw new Fault('invalid', `${before.flag} and ${flag} say the same thing. Say it once.`, { flag, option });
  }
  return { ...asked, flags: new Map([...asked.flags, [option, { flag, values: [value] }]]) };
}
