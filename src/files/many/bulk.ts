/**
 * Many small things at once: contents are built side by side within bounds, and what is ready goes into one commit. Each
 * item stands or fails alone: when a commit of many is refused, its items are done one by one.
 * Results come in the order of the items, each once it is durable.
 */
import {
  type BulkItem,
  type BulkResult,
  type ByteSource,
  bytesOfText,
  type FileRecord,
  type LocalSource,
  type Path,
  PathReader,
  pathOfText,
  textOfPath,
} from '../../api/index.ts';
import { andThen, Fault, hexOf, isPromise, type Maybe, type Moment, oneByOne, rescue } from '../../base/index.ts';
import type { TakenFile } from '../../chunks/index.ts';
import { NODE_KIND, type NodeId, type NodeRow } from '../../meta/index.ts';
import { type Built, builtOf } from '../content/build-content.ts';
import { type Caller, type Context, commit, type Space } from '../context.ts';
import { decide } from '../decide.ts';
import { planThinning } from '../past/retention.ts';
import { changeOf, MODE_DEFAULT, newNode, type Parts, PartsSum, planCreate, planReplace } from '../plan.ts';
import { recordOf } from '../record.ts';
import { type Found, findPath, type Place } from '../tree.ts';
import { buildAnnounced, checkHash, existsFault, momentOf, withoutUnmade } from '../write.ts';

/**
 * Contents that are built side by side, and their bytes as announced: with enough of them every thread has a batch and
 * the next one gathers. (With 16 the main thread waited for a quarter of the time.)
 */
const BUILDS_MAX = 512;
const BUILD_BYTES_MAX = 6 * 1024 * 1024;
/** What a file counts that does not say its size. */
const UNSAID_BYTES = 256 * 1024;
/** Files of this machine that are not worth a thread. */
const USUAL_FILES = 32;
/** What one commit carries at most: items, bytes of their contents, rows. */
const BATCH_ITEMS_MAX = 1_024;
const BATCH_BYTES_MAX = 32 * 1024 * 1024;
const BATCH_ROWS_MAX = 8_000;

/** What is done of an item once its content, if it has one, is ready: not its source, which may hold all its bytes. */
interface Ready {
  readonly item: Pick<BulkItem, 'path' | 'kind' | 'permissions'> & { readonly target: string | undefined };
  readonly path: Path;
  readonly modified: Moment | undefined;
  readonly built: Built | undefined;
}

/** Makes the record of what was planned. */
type NewRecord = () => FileRecord;

type Prepared = { readonly ready: Ready } | { readonly path: string; readonly fault: Error };

export interface ManyOptions {
  /** What is waited for first. */
  readonly before: () => Promise<void>;
  readonly signal?: AbortSignal | undefined;
}

export function writeMany(
  context: Context,
  space: Space,
  caller: Caller,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  options: ManyOptions,
): AsyncIterableIterator<BulkResult, void> {
  return oneByOne(commitRuns(context, space, caller, items, options));
}

async function* commitRuns(
  context: Context,
  space: Space,
  caller: Caller,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  { before, signal }: ManyOptions,
): AsyncGenerator<readonly BulkResult[], void> {
  await before();
  let batch: Prepared[] = [];
  /** Of the run that is being looked through, what is in no batch yet. */
  let rest: readonly Prepared[] = [];
  let [bytes, rows] = [0, 0];
  const timed = new TimedFolders();
  const made = new MadeFolders();
  // The commit of one batch runs while the next is built.
  let committing: Promise<readonly BulkResult[]> = Promise.resolve([]);
  try {
    for await (const run of prepareAll(context, space, items, signal)) {
      for (const [index, prepared] of run.entries()) {
        batch.push(prepared);
        if ('ready' in prepared) {
          bytes += prepared.ready.built?.size ?? 0;
          rows += (prepared.ready.built?.puts.length ?? 0) + 4;
        }
        if (batch.length < BATCH_ITEMS_MAX && bytes < BATCH_BYTES_MAX && rows < BATCH_ROWS_MAX) continue;
        rest = run.slice(index + 1);
        const results = await committing;
        committing = commitBatch(context, space, caller, { batch, timed, made }, signal);
        // Failures surface where the results are awaited, not as an unhandled rejection before.
        committing.catch(() => undefined);
        [batch, bytes, rows] = [[], 0, 0];
        yield results;
        rest = [];
      }
    }
    yield await committing;
    const last = batch;
    batch = [];
    yield await commitBatch(context, space, caller, { batch: last, timed, made }, signal);
  } finally {
    await committing.catch(() => undefined);
    for (const prepared of [...batch, ...rest])
      if ('ready' in prepared) await prepared.ready.built?.[Symbol.asyncDispose]();
  }
}

/** An item that is being prepared. */
interface Coming {
  /** What it counts of what is built at once. */
  readonly bytes: number;
  prepared: Prepared | undefined;
  /** Resolves when it is prepared; absent while it is gathered. */
  done: Promise<void> | undefined;
}

/** Builds contents ahead, a bounded number at once, and hands them on in the order of the items: all that are ready together. */
async function* prepareAll(
  context: Context,
  space: Space,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  signal?: AbortSignal,
): AsyncGenerator<readonly Prepared[], void> {
  let ahead: Coming[] = [];
  const taking = new LocalTaking(context, space, signal);
  let aheadBytes = 0;
  /** Takes out the first, and with it all behind it that need not be waited for. */
  const takeReady = async (): Promise<readonly Prepared[]> => {
    const [first] = ahead;
    // Whoever waits for one that is still being gathered waits for ever: larger files behind it may leave no room for more.
    if (first?.prepared === undefined && first?.done === undefined) taking.flush();
    if (first?.prepared === undefined) await first?.done;
    const ready: Prepared[] = [];
    for (const { prepared, bytes } of ahead) {
      if (prepared === undefined) break;
      ready.push(prepared);
      aheadBytes -= bytes;
    }
    ahead = ahead.slice(ready.length);
    return ready;
  };
  try {
    for await (const item of items) {
      const bytes = item.kind === 'file' ? (item.size ?? UNSAID_BYTES) : 0;
      const coming: Coming = { bytes, prepared: undefined, done: undefined };
      ahead.push(coming);
      aheadBytes += bytes;
      if (!taking.add(item, coming)) coming.done = prepareInto(coming, prepare(context, space, item, signal));
      while (ahead.length >= BUILDS_MAX || aheadBytes > BUILD_BYTES_MAX) yield await takeReady();
    }
    taking.flush();
    while (ahead.length > 0) yield await takeReady();
  } finally {
    taking.flush();
    await Promise.allSettled(ahead.map(({ done }) => done));
    for (const { prepared } of ahead)
      if (prepared !== undefined && 'ready' in prepared) await prepared.ready.built?.[Symbol.asyncDispose]();
  }
}

/** What it rejects with surfaces when it is waited for. */
function prepareInto(coming: Coming, preparing: Promise<Prepared>): Promise<void> {
  const done = preparing.then((prepared) => {
    coming.prepared = prepared;
  });
  done.catch(() => undefined);
  return done;
}

interface ToTake {
  readonly item: BulkItem;
  readonly from: LocalSource | { readonly bytes: Uint8Array; readonly size: number };
  readonly path: Path;
  readonly coming: Coming;
}

/**
 * Gathers small files that stand on this machine's own disk or in memory, and has the chunk store take them together. The
 * first few go the usual way: a thread is not worth starting for them.
 */
class LocalTaking {
  readonly #context: Context;
  readonly #space: Space;
  readonly #signal: AbortSignal | undefined;
  readonly #paths = new PathReader();
  #files: ToTake[] = [];
  #bytes = 0;
  #seen = 0;

  constructor(context: Context, space: Space, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#space = space;
    this.#signal = signal;
  }

  /** False for what is to be prepared the usual way. */
  add(item: BulkItem, coming: Coming): boolean {
    const { files } = this.#context.chunks;
    const { local, bytes, kind } = item;
    const from = local ?? (bytes === undefined ? undefined : { bytes, size: bytes.length });
    if (files === undefined || kind !== 'file' || from === undefined || item.sha256 !== undefined) return false;
    if (local === undefined && item.size !== undefined && item.size !== from.size) return false;
    if (from.size > Math.min(files.fileBytesMax, this.#context.options.fileBytesMax)) return false;
    if (this.#seen++ < USUAL_FILES) return false;
    if (this.#files.length === files.filesMax || this.#bytes + from.size > files.bytesMax) this.flush();
    let path: Path;
    try {
      path = this.#paths.of(item.path);
    } catch {
      return false;
    }
    this.#bytes += from.size;
    this.#files.push({ item, from, path, coming });
    return true;
  }

  /** Has taken what was gathered. */
  flush(): void {
    const files = this.#files;
    if (files.length === 0) return;
    this.#files = [];
    this.#bytes = 0;
    const done = this.#take(files);
    // Where one is not waited for any more.
    done.catch(() => undefined);
    for (const { coming } of files) coming.done = done;
  }

  /** Rejects as `prepare` does. */
  async #take(files: readonly ToTake[]): Promise<void> {
    const { chunks, options } = this.#context;
    const wanted = files.map(({ from, path }) => ({ ...from, level: options.compression.levelOf(path) }));
    let taken: readonly (TakenFile | undefined)[] = [];
    try {
      if (this.#signal?.aborted !== true) taken = (await chunks.files?.take(wanted)) ?? [];
    } catch {
      // Whatever it was, who prepares them one by one meets it too, and says it of each.
    }
    const left: Promise<void>[] = [];
    for (const [index, file] of files.entries()) {
      const prepared = this.#prepared(file, taken[index]);
      if (isPromise(prepared)) left.push(prepareInto(file.coming, prepared));
      else file.coming.prepared = prepared;
    }
    if (left.length > 0) await Promise.all(left);
  }

  #prepared({ item, path }: ToTake, file: TakenFile | undefined): Maybe<Prepared> {
    if (file === undefined) return prepare(this.#context, this.#space, item, this.#signal);
    return rescue(
      (): Maybe<Prepared> => {
        const modified = momentOf(item.modified, 'modified');
        checkHash(item.path, 'xxhash3', item.xxhash3, () => hexOf(file.hash));
        return andThen(this.#context.ids.content(this.#space.space), (content) => {
          const built = builtOf(this.#space, content, file);
          return { ready: { item: asDone(item), path, modified, built } };
        });
      },
      (error) => {
        file.release();
        return { path: item.path, fault: error as Error };
      },
    );
  }
}

function asDone({ path, kind, permissions, target }: BulkItem): Ready['item'] {
  return { path, kind, permissions, target };
}

async function prepare(context: Context, space: Space, item: BulkItem, signal?: AbortSignal): Promise<Prepared> {
  try {
    const path = pathOfText(item.path);
    const modified = momentOf(item.modified, 'modified');
    if (item.kind !== 'file') return { ready: { item: asDone(item), path, modified, built: undefined } };
    const { source, bytes: held } = item;
    const bytes = held === undefined ? ((await source?.()) ?? []) : [held];
    const built = await buildAnnounced(context, space, path, bytes, item, signal).catch(async (error: unknown) => {
      await endOf(bytes);
      throw error;
    });
    return { ready: { item: asDone(item), path, modified, built } };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { path: item.path, fault: error as Error };
  }
}

/** A source that nobody will read. */
async function endOf(source: ByteSource): Promise<void> {
  if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().return?.();
}

/** What the batches of one stream have in common. */
interface Stream {
  readonly timed: TimedFolders;
  readonly made: MadeFolders;
}

async function commitBatch(
  context: Context,
  space: Space,
  caller: Caller,
  { batch, timed, made }: Stream & { readonly batch: readonly Prepared[] },
  signal?: AbortSignal,
): Promise<readonly BulkResult[]> {
  const ready = batch.flatMap((prepared) => ('ready' in prepared ? [prepared.ready] : []));
  const nothingMade = new MadeFolders();
  try {
    const results =
      (await tryTogether(context, space, caller, { ready, timed, made })) ??
      // Somebody else has put something into a folder of ours: with a look at each name, it is seen.
      (made.isEmpty ? undefined : await tryTogether(context, space, caller, { ready, timed, made: nothingMade })) ??
      (await eachAlone(context, space, caller, { ready, timed, made: nothingMade }, signal));
    const rest = results.values();
    return batch.map((prepared): BulkResult => {
      if ('ready' in prepared) return rest.next().value as BulkResult;
      return { path: prepared.path, ok: false, fault: prepared.fault };
    });
  } finally {
    for (const { built } of ready) await built?.[Symbol.asyncDispose]();
  }
}

/** All in one commit; `undefined` when that was refused and nothing was done. */
async function tryTogether(
  context: Context,
  space: Space,
  caller: Caller,
  { ready, timed, made }: Stream & { readonly ready: readonly Ready[] },
): Promise<readonly BulkResult[] | undefined> {
  if (ready.length === 0) return [];
  const now = context.clock.now();
  const before = timed.mark();
  const refused = (): undefined => timed.backTo(before);
  const plan = new BatchPlan(context, space, now, { timed, made });
  const results: BulkResult[] = [];
  for (const item of ready) {
    try {
      const added = plan.add(item);
      results.push(new Done(item.item.path, isPromise(added) ? await added : added));
    } catch (error) {
      if (error === SAME_TWICE) return refused();
      if (!Fault.is(error)) throw error;
      results.push({ path: item.item.path, ok: false, fault: error });
    }
  }
  const parts = plan.parts();
  if (parts.items.length === 0) return results;
  try {
    await commit(context, await context.locks.withNeeds(changeOf(space, caller, 'bulk-write', now, parts)));
  } catch (error) {
    if (Fault.is(error, 'conflict', 'quota', 'gone', 'locked', 'lock-lost')) return refused();
    throw error;
  }
  plan.committed();
  for (const [index, result] of results.entries()) if (result.ok) ready[index]?.built?.linked();
  return results;
}

/** The record is made when somebody looks at it: whoever puts a tree never does, and it costs as much as planning it. */
class Done {
  readonly path: string;
  readonly ok = true;
  readonly #make: NewRecord;
  #record: FileRecord | undefined;

  constructor(path: string, make: NewRecord) {
    this.path = path;
    this.#make = make;
  }

  get record(): FileRecord {
    this.#record ??= this.#make();
    return this.#record;
  }
}

const SAME_TWICE = new Error('one path, or one file under two names, twice in a batch');

type FolderChain = readonly { readonly path: string; readonly node: NodeId }[];

/**
 * The folders around the next item that this stream has made with a time, from the outermost on: what goes into them
 * leaves it to them. So they need not be given it again when all is in them, which costs more than to make them.
 */
class TimedFolders {
  #chain: FolderChain = [];

  /** Whether what comes to `path`, in the folder that is `parent` now, leaves that its time. */
  holds(path: string, parent: NodeId): boolean {
    let { length } = this.#chain;
    while (length > 0 && !path.startsWith(`${this.#chain[length - 1]?.path}/`)) length--;
    if (length < this.#chain.length) this.#chain = this.#chain.slice(0, length);
    return this.#chain.at(-1)?.node === parent;
  }

  enter(path: string, node: NodeId): void {
    this.#chain = [...this.#chain, { path, node }];
  }

  mark(): FolderChain {
    return this.#chain;
  }

  /** What was planned since is not done. */
  backTo(mark: FolderChain): undefined {
    this.#chain = mark;
  }
}

/** Folders that a stream remembers to have made; beyond, all are forgotten. */
const MADE_FOLDERS_MAX = 10_000;

/**
 * Folders that this stream has made. What comes to a new place in one of them is taken to be alone there: the commit looks
 * anyway, so a look before it would only tell sooner what is hardly ever so.
 */
class MadeFolders {
  readonly #nodes = new Set<NodeId>();

  get isEmpty(): boolean {
    return this.#nodes.size === 0;
  }

  has(node: NodeId): boolean {
    return this.#nodes.has(node);
  }

  add(nodes: readonly NodeId[]): void {
    if (this.#nodes.size + nodes.length > MADE_FOLDERS_MAX) this.#nodes.clear();
    for (const node of nodes) this.#nodes.add(node);
  }
}

interface TextPlace extends Place {
  /** The path's text. */
  readonly text: string;
}

/** The plan of one commit for many items, which see the folders that came before them. */
class BatchPlan {
  readonly #context: Context;
  readonly #space: Space;
  readonly #now: Moment;
  readonly #parts = new PartsSum();
  readonly #folders = new Map<string, NodeRow>();
  readonly #seen = new Set<string>();
  /** Files that get new bytes; one with several names may come again under another. */
  readonly #replaced = new Set<number>();
  readonly #timed: TimedFolders;
  readonly #made: MadeFolders;
  readonly #makes: NodeId[] = [];

  constructor(context: Context, space: Space, now: Moment, { timed, made }: Stream) {
    this.#context = context;
    this.#space = space;
    this.#now = now;
    this.#timed = timed;
    this.#made = made;
  }

  /** All of it is done. */
  committed(): void {
    this.#made.add(this.#makes);
  }

  parts(): Parts {
    return withoutUnmade(this.#parts.parts());
  }

  /** At once where the metadata answers at once. */
  add(ready: Ready): Maybe<NewRecord> {
    const { path } = ready;
    const text = textOfPath(path);
    if (this.#seen.has(text)) throw SAME_TWICE;
    this.#seen.add(text);
    const name = path.at(-1);
    if (name === undefined) throw new Fault('exists', 'The root folder is there already.', { path: text });
    // No name has a slash, in its text neither.
    const above = text.slice(0, text.lastIndexOf('/')) || '/';
    const known = this.#folders.get(above);
    if (known !== undefined) return this.#addAt({ path, text, parent: known, name }, ready);
    return this.#folder(path.slice(0, -1), above).then((parent) => this.#addAt({ path, text, parent, name }, ready));
  }

  async #folder(path: Path, text: string): Promise<NodeRow> {
    const found = await findPath(this.#context, this.#space, path);
    if (found === undefined) throw new Fault('not-found', `There is no folder ${text}.`, { path: text });
    if (found.node.kind !== NODE_KIND.folder)
      throw new Fault('not-folder', `${text} is not a folder, so nothing can be in it.`, { path: text });
    this.#folders.set(text, found.node);
    return found.node;
  }

  #addAt(place: TextPlace, ready: Ready): Maybe<NewRecord> {
    // What this very plan makes has nothing in it yet.
    if (place.parent.born === 0 || this.#made.has(place.parent.node)) return this.#addNew(place, ready);
    const { space } = this.#space;
    const { meta } = this.#context;
    return andThen(meta.get('entries', [space, place.parent.node, place.name]), (entry) => {
      if (entry === undefined) return this.#addNew(place, ready);
      return andThen(meta.get('nodes', [space, entry.node]), (node) =>
        node === undefined
          ? this.#addNew(place, ready)
          : this.#addThere(place, ready, { path: place.path, node, entry }),
      );
    });
  }

  async #addThere(place: TextPlace, ready: Ready, found: Found): Promise<NewRecord> {
    const { item, built } = ready;
    const { node } = found;
    if (item.kind === 'folder' && node.kind === NODE_KIND.folder) {
      this.#folders.set(place.text, node);
      return () => recordOf(place.path, node, null);
    }
    if (item.kind === 'file' && node.kind === NODE_KIND.file && built !== undefined) {
      if (this.#replaced.has(node.node)) throw SAME_TWICE;
      this.#replaced.add(node.node);
      const { content, size } = built;
      const fresh = { content, size, modified: ready.modified ?? this.#now, mode: item.permissions };
      const { parts, row } = planReplace(node, { parent: place.parent.node, name: place.name }, fresh, this.#now);
      const thinning = await planThinning(this.#context, this.#space, node, this.#now);
      const reachable: Partial<Parts> = {
        expects: [{ kind: 'reachable', space: this.#space.space, folder: place.parent.node }],
      };
      this.#parts.addContent(built);
      for (const each of [parts, reachable, thinning]) this.#parts.add(each);
      return () => recordOf(place.path, row, hexOf(built.hash));
    }
    throw existsFault(found);
  }

  #addNew(place: TextPlace, ready: Ready): Maybe<NewRecord> {
    return andThen(this.#context.ids.node(this.#space.space), (node) => this.#planNew(place, ready, node));
  }

  #planNew(place: TextPlace, ready: Ready, node: NodeId): NewRecord {
    const { item, built } = ready;
    const target = item.kind === 'symlink' ? bytesOfText(item.target ?? '') : null;
    const kind =
      item.kind === 'folder' ? NODE_KIND.folder : item.kind === 'symlink' ? NODE_KIND.symlink : NODE_KIND.file;
    const row = newNode(this.#space, place.parent.node, this.#now, {
      node,
      kind,
      mode: item.permissions ?? MODE_DEFAULT[item.kind],
      uid: this.#context.options.uid,
      gid: this.#context.options.gid,
      size: built?.size ?? target?.length ?? 0,
      content: built?.content ?? null,
      target,
      modified: ready.modified,
    });
    const { text } = place;
    const keepsModified = this.#timed.holds(text, place.parent.node);
    if (built !== undefined) this.#parts.addContent(built);
    this.#parts.add(planCreate(this.#space, place, row, keepsModified));
    if (item.kind === 'folder') {
      this.#folders.set(text, row);
      this.#makes.push(node);
      if (ready.modified !== undefined) this.#timed.enter(text, node);
    }
    return () => recordOf(place.path, row, built === undefined ? null : hexOf(built.hash));
  }
}

async function eachAlone(
  context: Context,
  space: Space,
  caller: Caller,
  { ready, timed, made }: Stream & { readonly ready: readonly Ready[] },
  signal?: AbortSignal,
): Promise<readonly BulkResult[]> {
  const results: BulkResult[] = [];
  for (const one of ready) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Writing many files');
    results.push(await alone(context, space, caller, { ready: one, timed, made }));
  }
  return results;
}

async function alone(
  context: Context,
  space: Space,
  caller: Caller,
  { ready, timed, made }: Stream & { readonly ready: Ready },
): Promise<BulkResult> {
  const { path } = ready.item;
  const before = timed.mark();
  try {
    const record = await decide(context, `Writing ${path}`, async () => {
      timed.backTo(before);
      const now = context.clock.now();
      const plan = new BatchPlan(context, space, now, { timed, made });
      const answer = await plan.add(ready);
      const parts = plan.parts();
      // A folder that is there already.
      if (parts.items.length === 0) return { answer };
      const change = changeOf(space, caller, ready.item.kind === 'folder' ? 'make-folder' : 'write', now, parts);
      return { change, answer, onCommitted: () => ready.built?.linked() };
    });
    return new Done(path, record);
  } catch (error) {
    timed.backTo(before);
    if (!Fault.is(error)) throw error;
    return { path, ok: false, fault: error };
  }
}
