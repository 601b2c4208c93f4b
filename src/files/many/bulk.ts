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
  pathOfText,
  textOfPath,
} from '../../api/index.ts';
import { Fault, hexOf, type Moment } from '../../base/index.ts';
import type { TakenFile } from '../../chunks/index.ts';
import { NODE_KIND, type NodeId, type NodeRow } from '../../meta/index.ts';
import { type Built, builtOf } from '../content/build-content.ts';
import { type Caller, type Context, commit, type Space } from '../context.ts';
import { decide } from '../decide.ts';
import { planThinning } from '../past/retention.ts';
import { changeOf, joinParts, MODE_DEFAULT, NO_PARTS, newNode, type Parts, planCreate, planReplace } from '../plan.ts';
import { recordOf } from '../record.ts';
import { findPath, type Place } from '../tree.ts';
import { buildAnnounced, checkHash, existsFault, momentOf, withContent, withoutUnmade } from '../write.ts';

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

/** An item whose content, if it has one, is ready. Without its source, which may hold all its bytes. */
interface Ready {
  readonly item: Omit<BulkItem, 'source' | 'local' | 'bytes'>;
  readonly path: Path;
  readonly modified: Moment | undefined;
  readonly built: Built | undefined;
}

/** Makes the record of what was planned. */
type NewRecord = () => FileRecord;

type Prepared = { readonly ready: Ready } | { readonly path: string; readonly fault: Error };

export async function* writeMany(
  context: Context,
  space: Space,
  caller: Caller,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  signal?: AbortSignal,
): AsyncGenerator<BulkResult> {
  let batch: Prepared[] = [];
  let [bytes, rows] = [0, 0];
  const timed = new TimedFolders();
  // The commit of one batch runs while the next is built.
  let committing: Promise<readonly BulkResult[]> = Promise.resolve([]);
  try {
    for await (const prepared of prepareAll(context, space, items, signal)) {
      batch.push(prepared);
      if ('ready' in prepared) {
        bytes += prepared.ready.built?.size ?? 0;
        rows += (prepared.ready.built?.puts.length ?? 0) + 4;
      }
      if (batch.length < BATCH_ITEMS_MAX && bytes < BATCH_BYTES_MAX && rows < BATCH_ROWS_MAX) continue;
      const results = await committing;
      committing = commitBatch(context, space, caller, { batch, timed }, signal);
      // Failures surface where the results are awaited, not as an unhandled rejection before.
      committing.catch(() => undefined);
      [batch, bytes, rows] = [[], 0, 0];
      yield* results;
    }
    yield* await committing;
    const last = batch;
    batch = [];
    yield* await commitBatch(context, space, caller, { batch: last, timed }, signal);
  } finally {
    await committing.catch(() => undefined);
    for (const prepared of batch) if ('ready' in prepared) await prepared.ready.built?.[Symbol.asyncDispose]();
  }
}

/** Builds contents ahead, a bounded number at once, and hands them on in the order of the items. */
async function* prepareAll(
  context: Context,
  space: Space,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  signal?: AbortSignal,
): AsyncGenerator<Prepared> {
  const ahead: { readonly prepared: Promise<Prepared>; readonly bytes: number }[] = [];
  const taking = new LocalTaking(context, space, signal);
  let aheadBytes = 0;
  try {
    for await (const item of items) {
      const bytes = item.kind === 'file' ? (item.size ?? UNSAID_BYTES) : 0;
      ahead.push({ prepared: taking.add(item) ?? prepare(context, space, item, signal), bytes });
      aheadBytes += bytes;
      while (ahead.length >= BUILDS_MAX || aheadBytes > BUILD_BYTES_MAX) {
        const first = ahead.shift();
        if (first === undefined) break;
        aheadBytes -= first.bytes;
        taking.flushFor(first.prepared);
        yield await first.prepared;
      }
    }
    taking.flush();
    for (let next = ahead.shift(); next !== undefined; next = ahead.shift()) yield await next.prepared;
  } finally {
    taking.flush();
    for (const prepared of await Promise.all(ahead.map((item) => item.prepared)))
      if ('ready' in prepared) await prepared.ready.built?.[Symbol.asyncDispose]();
  }
}

interface ToTake {
  readonly item: BulkItem;
  readonly from: LocalSource | { readonly bytes: Uint8Array; readonly size: number };
  readonly path: Path;
  readonly prepared: Promise<Prepared>;
  readonly done: (prepared: Promise<Prepared>) => void;
}

/**
 * Gathers small files that stand on this machine's own disk or in memory, and has the chunk store take them together. The
 * first few go the usual way: a thread is not worth starting for them.
 */
class LocalTaking {
  readonly #context: Context;
  readonly #space: Space;
  readonly #signal: AbortSignal | undefined;
  #files: ToTake[] = [];
  #bytes = 0;
  #seen = 0;

  constructor(context: Context, space: Space, signal: AbortSignal | undefined) {
    this.#context = context;
    this.#space = space;
    this.#signal = signal;
  }

  /** Undefined for what is to be prepared the usual way. */
  add(item: BulkItem): Promise<Prepared> | undefined {
    const { files } = this.#context.chunks;
    const { local, bytes, kind } = item;
    const from = local ?? (bytes === undefined ? undefined : { bytes, size: bytes.length });
    if (files === undefined || kind !== 'file' || from === undefined || item.sha256 !== undefined) return undefined;
    if (local === undefined && item.size !== undefined && item.size !== from.size) return undefined;
    if (from.size > Math.min(files.fileBytesMax, this.#context.options.fileBytesMax)) return undefined;
    if (this.#seen++ < USUAL_FILES) return undefined;
    if (this.#files.length === files.filesMax || this.#bytes + from.size > files.bytesMax) this.flush();
    let path: Path;
    try {
      path = pathOfText(item.path);
    } catch {
      return undefined;
    }
    this.#bytes += from.size;
    const { promise: prepared, resolve: done } = Promise.withResolvers<Prepared>();
    this.#files.push({ item, from, path, prepared, done });
    return prepared;
  }

  /** Whoever waits for one that is still being gathered waits for ever: larger files behind it may leave no room for more. */
  flushFor(prepared: Promise<Prepared>): void {
    if (this.#files[0]?.prepared === prepared) this.flush();
  }

  /** Has taken what was gathered. */
  flush(): void {
    const files = this.#files;
    this.#files = [];
    this.#bytes = 0;
    if (files.length > 0) void this.#take(files);
  }

  /** Never rejects. */
  async #take(files: readonly ToTake[]): Promise<void> {
    const { chunks, options } = this.#context;
    const wanted = files.map(({ from, path }) => ({ ...from, level: options.compression.levelOf(path) }));
    let taken: readonly (TakenFile | undefined)[] = [];
    try {
      if (this.#signal?.aborted !== true) taken = (await chunks.files?.take(wanted)) ?? [];
    } catch {
      // Whatever it was, who prepares them one by one meets it too, and says it of each.
    }
    for (const [index, file] of files.entries()) file.done(this.#prepared(file, taken[index]));
  }

  async #prepared({ item, path }: ToTake, file: TakenFile | undefined): Promise<Prepared> {
    if (file === undefined) return prepare(this.#context, this.#space, item, this.#signal);
    try {
      const { source: _, local: __, bytes: ___, ...rest } = item;
      const modified = momentOf(item.modified, 'modified');
      checkHash(item.path, 'xxhash3', item.xxhash3, hexOf(file.hash));
      const content = await this.#context.ids.content(this.#space.space);
      return { ready: { item: rest, path, modified, built: builtOf(this.#space, content, file) } };
    } catch (error) {
      file.release();
      return { path: item.path, fault: error as Error };
    }
  }
}

async function prepare(context: Context, space: Space, item: BulkItem, signal?: AbortSignal): Promise<Prepared> {
  try {
    const path = pathOfText(item.path);
    const modified = momentOf(item.modified, 'modified');
    if (item.kind !== 'file') return { ready: { item, path, modified, built: undefined } };
    const { source, local: _, bytes: held, ...rest } = item;
    const bytes = held === undefined ? ((await source?.()) ?? []) : [held];
    const built = await buildAnnounced(context, space, path, bytes, item, signal).catch(async (error: unknown) => {
      await endOf(bytes);
      throw error;
    });
    return { ready: { item: rest, path, modified, built } };
  } catch (error) {
    if (signal?.aborted) throw error;
    return { path: item.path, fault: error as Error };
  }
}

/** A source that nobody will read. */
async function endOf(source: ByteSource): Promise<void> {
  if (Symbol.asyncIterator in source) await source[Symbol.asyncIterator]().return?.();
}

async function commitBatch(
  context: Context,
  space: Space,
  caller: Caller,
  { batch, timed }: { readonly batch: readonly Prepared[]; readonly timed: TimedFolders },
  signal?: AbortSignal,
): Promise<readonly BulkResult[]> {
  const ready = batch.flatMap((prepared) => ('ready' in prepared ? [prepared.ready] : []));
  try {
    const results =
      (await tryTogether(context, space, caller, { ready, timed })) ??
      (await oneByOne(context, space, caller, { ready, timed }, signal));
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
  { ready, timed }: { readonly ready: readonly Ready[]; readonly timed: TimedFolders },
): Promise<readonly BulkResult[] | undefined> {
  if (ready.length === 0) return [];
  const now = context.clock.now();
  const before = timed.mark();
  const refused = (): undefined => timed.backTo(before);
  const plan = new BatchPlan(context, space, now, timed);
  const results: BulkResult[] = [];
  for (const item of ready) {
    try {
      results.push(new Done(item.item.path, await plan.add(item)));
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

interface TextPlace extends Place {
  /** The path's text. */
  readonly text: string;
}

/** The plan of one commit for many items, which see the folders that came before them. */
class BatchPlan {
  readonly #context: Context;
  readonly #space: Space;
  readonly #now: Moment;
  readonly #parts: Partial<Parts>[] = [];
  readonly #folders = new Map<string, NodeRow>();
  readonly #seen = new Set<string>();
  /** Files that get new bytes; one with several names may come again under another. */
  readonly #replaced = new Set<number>();
  readonly #timed: TimedFolders;

  constructor(context: Context, space: Space, now: Moment, timed: TimedFolders) {
    this.#context = context;
    this.#space = space;
    this.#now = now;
    this.#timed = timed;
  }

  parts(): Parts {
    return withoutUnmade(joinParts(this.#parts));
  }

  async add(ready: Ready): Promise<NewRecord> {
    const text = textOfPath(ready.path);
    if (this.#seen.has(text)) throw SAME_TWICE;
    this.#seen.add(text);
    const name = ready.path.at(-1);
    if (name === undefined) throw new Fault('exists', 'The root folder is there already.', { path: text });
    // No name has a slash, in its text neither.
    const parent = await this.#folder(ready.path.slice(0, -1), text.slice(0, text.lastIndexOf('/')) || '/');
    return this.#addAt({ path: ready.path, text, parent, name }, ready);
  }

  async #folder(path: Path, text: string): Promise<NodeRow> {
    const known = this.#folders.get(text);
    if (known !== undefined) return known;
    const found = await findPath(this.#context, this.#space, path);
    if (found === undefined) throw new Fault('not-found', `There is no folder ${text}.`, { path: text });
    if (found.node.kind !== NODE_KIND.folder)
      throw new Fault('not-folder', `${text} is not a folder, so nothing can be in it.`, { path: text });
    this.#folders.set(text, found.node);
    return found.node;
  }

  async #addAt(place: TextPlace, ready: Ready): Promise<NewRecord> {
    const { item, built } = ready;
    const { text } = place;
    const isMade = place.parent.born === 0;
    const entry = isMade
      ? undefined
      : await this.#context.meta.get('entries', [this.#space.space, place.parent.node, place.name]);
    const node =
      entry === undefined ? undefined : await this.#context.meta.get('nodes', [this.#space.space, entry.node]);
    if (entry === undefined || node === undefined) return this.#addNew(place, ready);
    const found = { path: place.path, node, entry };
    if (item.kind === 'folder' && node.kind === NODE_KIND.folder) {
      this.#folders.set(text, node);
      return () => recordOf(place.path, node, null);
    }
    if (item.kind === 'file' && node.kind === NODE_KIND.file && built !== undefined) {
      if (this.#replaced.has(node.node)) throw SAME_TWICE;
      this.#replaced.add(node.node);
      const fresh = { ...built, modified: ready.modified ?? this.#now, mode: item.permissions };
      const { parts, row } = planReplace(node, { parent: place.parent.node, name: place.name }, fresh, this.#now);
      const thinning = await planThinning(this.#context, this.#space, node, this.#now);
      const reachable: Partial<Parts> = {
        expects: [{ kind: 'reachable', space: this.#space.space, folder: place.parent.node }],
      };
      this.#parts.push(withContent(joinParts([parts, reachable, thinning]), built));
      return () => recordOf(place.path, row, hexOf(built.hash));
    }
    throw existsFault(found);
  }

  async #addNew(place: TextPlace, ready: Ready): Promise<NewRecord> {
    const { item, built } = ready;
    const node: NodeId = await this.#context.ids.node(this.#space.space);
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
    const parts = { ...NO_PARTS, ...planCreate(this.#space, place, row, keepsModified) };
    this.#parts.push(built === undefined ? parts : withContent(parts, built));
    if (item.kind === 'folder') {
      this.#folders.set(text, row);
      if (ready.modified !== undefined) this.#timed.enter(text, node);
    }
    return () => recordOf(place.path, row, built === undefined ? null : hexOf(built.hash));
  }
}

async function oneByOne(
  context: Context,
  space: Space,
  caller: Caller,
  { ready, timed }: { readonly ready: readonly Ready[]; readonly timed: TimedFolders },
  signal?: AbortSignal,
): Promise<readonly BulkResult[]> {
  const results: BulkResult[] = [];
  for (const one of ready) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Writing many files');
    results.push(await alone(context, space, caller, { ready: one, timed }));
  }
  return results;
}

async function alone(
  context: Context,
  space: Space,
  caller: Caller,
  { ready, timed }: { readonly ready: Ready; readonly timed: TimedFolders },
): Promise<BulkResult> {
  const { path } = ready.item;
  const before = timed.mark();
  try {
    const record = await decide(context, `Writing ${path}`, async () => {
      timed.backTo(before);
      const now = context.clock.now();
      const plan = new BatchPlan(context, space, now, timed);
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
