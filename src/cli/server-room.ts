/**
 * What the command line needs of the room that composes stores and servers, as narrow as it can be: so that tests put
 * their own in its place, and a verb that needs none of it loads none of it.
 */
import type { FileService } from '../api/index.ts';
import type { GivenFlag, OptionRow, OptionTable } from '../base/index.ts';

export interface ConfigAsked {
  readonly file: string | undefined;
  readonly flags: ReadonlyMap<string, GivenFlag>;
}

/** A store that was reached, however; let go by disposing. */
export interface ReachedStore extends AsyncDisposable {
  readonly service: FileService;
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
  /** True when the store was made just now. */
  readonly isNew: boolean;
  /** Resolves when the server has ended; `signal` makes it drain and end. */
  readonly ended: Promise<void>;
}

export interface ServerRoom {
  /** Every option of the configuration. */
  readonly options: OptionTable;
  readonly reach: (asked: ConfigAsked, signal: AbortSignal) => Promise<ReachedStore>;
  /** `folder` goes before what the configuration names. */
  readonly makeStore: (asked: ConfigAsked, folder: string | undefined) => Promise<MadeStore>;
  readonly serve: (
    asked: ConfigAsked,
    options: { readonly mayCreate: boolean; readonly signal: AbortSignal },
  ) => Promise<RunningServer>;
  readonly configRows: (asked: ConfigAsked) => Promise<readonly OptionRow[]>;
}
