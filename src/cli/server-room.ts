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
}

export interface MadeStore {
  readonly store: string;
  readonly storeId: string;
  readonly idAlgorithm: string;
  readonly chunker: string;
}

export interface RunningServer {
  readonly url: string;
  readonly store: string;
  readonly storeId: string;
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

export interface ServerRoom {
  /** Every option of the configuration. */
  readonly options: OptionTable;
  /** `command` is what others read who find the store held. */
  readonly reach: (
    asked: ConfigAsked,
    how: { readonly command: string; readonly signal: AbortSignal },
  ) => Promise<ReachedStore>;
  readonly makeStore: (asked: ConfigAsked) => Promise<MadeStore>;
  readonly serve: (asked: ConfigAsked, wishes: ServeWishes) => Promise<RunningServer>;
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
