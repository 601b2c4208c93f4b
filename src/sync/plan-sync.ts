/**
 * What has to be done so that two trees become one: a client's, a server's, and, where it is known, what both had when
 * they last were the same (the base). A pure function of these, so that a plan can be shown, tested and made again.
 *
 * Only a base tells "new here" from "deleted there". Without one nothing is ever deleted: what one side has goes to the
 * other, and what differs is a conflict. With one, whoever did not change something takes what the other did with it:
 *
 *   client   server    then
 *   as base  changed   the client takes the server's
 *   changed  as base   the server takes the client's
 *   changed  changed   the same: nothing; one removed it: the other's change stays; both are there: conflict
 *
 * A folder goes only when all that is in it goes. Where one side has a file and the other a folder of the same name, a
 * person decides: that and all below it is left alone. Links and special files are left alone too.
 * What is unknown (a hash that is not there yet) equals nothing. Times decide nothing, unless the strategy says so.
 */
import { compareMoments, momentOfIso } from '../base/index.ts';

export interface SyncEntry {
  readonly kind: 'file' | 'folder' | 'other';
  /** Equal for equal contents: hash and size of a file. Null where it is not known. Of a folder it does not count. */
  readonly identity: string | null;
  /** ISO 8601; only for the strategy that asks for it. */
  readonly modified?: string | undefined;
}

/** By path, as in `/folder/name`. Folders above an entry that are not listed themselves are there all the same. */
export type SyncTree = ReadonlyMap<string, SyncEntry>;

export const SYNC_STRATEGIES = ['prefer_local', 'prefer_remote', 'prefer_newer', 'manual'] as const;
/** Which side wins where both changed a file; local is the client's. */
export type SyncStrategy = (typeof SYNC_STRATEGIES)[number];

export const SYNC_RESOLUTIONS = ['use_local', 'use_remote', 'use_newer', 'manual'] as const;
export type SyncResolution = (typeof SYNC_RESOLUTIONS)[number];

export interface SyncFacts {
  readonly client: SyncTree;
  readonly server: SyncTree;
  /** What both had when they last were the same; absent when nobody knows. */
  readonly base?: SyncTree | undefined;
  readonly strategy: SyncStrategy;
  /** What is compared: all paths are below it, and it is on both sides. The root when absent. */
  readonly folder?: string | undefined;
}

/** Paths, folders before what is in them; in lists of what goes, behind it. */
export interface SyncPlan {
  readonly clientUpload: readonly string[];
  readonly clientDownload: readonly string[];
  readonly clientCreateFolders: readonly string[];
  readonly serverCreateFolders: readonly string[];
  readonly clientDelete: readonly string[];
  readonly serverDelete: readonly string[];
  /** Those that the strategy decides stand in the other lists as well; `manual` ones do not. */
  readonly conflicts: readonly SyncConflict[];
}

export interface SyncConflict {
  readonly path: string;
  readonly resolution: SyncResolution;
  readonly client: SyncEntry;
  readonly server: SyncEntry;
}

export function planSync({ client, server, base, strategy, folder = '/' }: SyncFacts): SyncPlan {
  const whole = (tree: SyncTree): SyncTree => withFolders(tree, folder);
  return new Planning(whole(client), whole(server), base && whole(base), strategy).plan();
}

function withFolders(tree: SyncTree, root: string): SyncTree {
  const whole = new Map(tree);
  for (const path of tree.keys()) {
    for (const folder of foldersAbove(path)) {
      if (folder === root || whole.has(folder)) break;
      whole.set(folder, { kind: 'folder', identity: null });
    }
  }
  return whole;
}

/** The nearest first, without the root. */
function* foldersAbove(path: string): Generator<string> {
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) yield path.slice(0, end);
}

type Side = 'client' | 'server';
const OTHER = { client: 'server', server: 'client' } as const;

class Planning {
  readonly #trees: Readonly<Record<Side, SyncTree>>;
  readonly #base: SyncTree | undefined;
  readonly #strategy: SyncStrategy;
  /** Files that a side gets from the other. */
  readonly #gets: Record<Side, Set<string>> = { client: new Set(), server: new Set() };
  readonly #creates: Record<Side, Set<string>> = { client: new Set(), server: new Set() };
  readonly #deletes: Record<Side, Set<string>> = { client: new Set(), server: new Set() };
  readonly #conflicts: SyncConflict[] = [];
  /** What a person has to decide: nothing below is touched. */
  readonly #clashes = new Set<string>();

  constructor(client: SyncTree, server: SyncTree, base: SyncTree | undefined, strategy: SyncStrategy) {
    this.#trees = { client, server };
    this.#base = base;
    this.#strategy = strategy;
  }

  plan(): SyncPlan {
    const { client, server } = this.#trees;
    // A folder is a prefix of what is in it, so it comes first.
    const paths = [...new Set([...client.keys(), ...server.keys()])].sort();
    for (const path of paths) this.#decide(path);
    for (const side of ['client', 'server'] as const) this.#keepFolders(side);
    const listed = (set: ReadonlySet<string>): string[] => [...set].sort();
    return {
      clientUpload: listed(this.#gets.server),
      clientDownload: listed(this.#gets.client),
      clientCreateFolders: listed(this.#creates.client),
      serverCreateFolders: listed(this.#creates.server),
      clientDelete: listed(this.#deletes.client).reverse(),
      serverDelete: listed(this.#deletes.server).reverse(),
      conflicts: this.#conflicts,
    };
  }

  #decide(path: string): void {
    for (const folder of foldersAbove(path)) if (this.#clashes.has(folder)) return;
    const [client, server] = [this.#trees.client.get(path), this.#trees.server.get(path)];
    if (client !== undefined && server !== undefined) this.#decideBoth(path, client, server);
    else if (client !== undefined) this.#decideOne(path, client, 'client');
    else if (server !== undefined) this.#decideOne(path, server, 'server');
  }

  #decideBoth(path: string, client: SyncEntry, server: SyncEntry): void {
    if (client.kind !== server.kind) {
      this.#clashes.add(path);
      this.#conflicts.push({ path, resolution: 'manual', client, server });
      return;
    }
    if (client.kind !== 'file' || isSame(client, server)) return;
    const base = this.#base?.get(path);
    if (isSame(client, base)) this.#gets.client.add(path);
    else if (isSame(server, base)) this.#gets.server.add(path);
    else this.#conflict(path, client, server);
  }

  #conflict(path: string, client: SyncEntry, server: SyncEntry): void {
    const { resolution, winner } = this.#resolve(client, server);
    this.#conflicts.push({ path, resolution, client, server });
    if (winner !== undefined) this.#gets[OTHER[winner]].add(path);
  }

  #resolve(client: SyncEntry, server: SyncEntry): { resolution: SyncResolution; winner: Side | undefined } {
    switch (this.#strategy) {
      case 'prefer_local':
        return { resolution: 'use_local', winner: 'client' };
      case 'prefer_remote':
        return { resolution: 'use_remote', winner: 'server' };
      case 'prefer_newer': {
        const order = compareTimes(client.modified, server.modified);
        if (order === 0) return { resolution: 'manual', winner: undefined };
        return { resolution: 'use_newer', winner: order > 0 ? 'client' : 'server' };
      }
      case 'manual':
        return { resolution: 'manual', winner: undefined };
    }
  }

  /** Only `side` has it: the other has removed it, or never had it. */
  #decideOne(path: string, entry: SyncEntry, side: Side): void {
    if (entry.kind === 'other') return;
    if (isSame(entry, this.#base?.get(path))) this.#deletes[side].add(path);
    else if (entry.kind === 'folder') this.#creates[OTHER[side]].add(path);
    else this.#gets[OTHER[side]].add(path);
  }

  /** A folder with something in it that stays, stays; and the other side gets it back. */
  #keepFolders(side: Side): void {
    const deletes = this.#deletes[side];
    const staying = [...this.#trees[side].keys()].filter((path) => !deletes.has(path));
    for (const path of staying) {
      for (const folder of foldersAbove(path)) {
        if (deletes.delete(folder)) this.#creates[OTHER[side]].add(folder);
      }
    }
  }
}

function isSame(entry: SyncEntry, other: SyncEntry | undefined): boolean {
  if (other === undefined || entry.kind !== other.kind) return false;
  return entry.kind === 'folder' || (entry.identity !== null && entry.identity === other.identity);
}

/** 0 where one of them is not known. */
function compareTimes(one: string | undefined, other: string | undefined): number {
  const [first, second] = [one, other].map((text) => (text === undefined ? undefined : momentOfIso(text)));
  return first === undefined || second === undefined ? 0 : compareMoments(first, second);
}
