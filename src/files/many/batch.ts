/**
 * Many operations as one commit. Each is run as it always is, but on rows of the batch's own (Planning), where its change
 * is applied and kept instead of becoming real; so the next one sees what it did, and every rule about moving, copying,
 * removing holds without being written twice. Then the plan is handed in: its rows are taken over as they are when nothing
 * was changed since it began, as is usual, since a plan mostly takes one turn; otherwise all changes are decided once more
 * in the turn in which they are applied. All or nothing, one commit, one thing to undo.
 *
 * All locks first: what the batch needs is read off its changes, and had whole from the lock manager before it is handed
 * in, so that two batches that meet take turns instead of beating each other. Whoever had to wait plans again. Operations
 * that are no batch hold no locks; where one of them was faster, the batch is planned again, a bounded number of times.
 *
 * Nothing of a batch is visible before its commit. Bytes that were put and then not needed are orphans in their pack; a
 * dry run keeps none.
 */
import {
  BATCH_CONTENT_BYTES_MAX,
  type BatchAnswer,
  type BatchOperation,
  type BatchRequest,
  type BatchResult,
  batchIds,
  batchOrder,
  type Changing,
  dependencies,
  type Expecting,
  type FileRecord,
  pathOfText,
  type Removed,
  type Target,
} from '../../api/index.ts';
import { Fault, hexOf } from '../../base/index.ts';
import {
  type Change,
  type Committed,
  covers,
  type Groups,
  type LockNeed,
  type MetaStore,
  type Planning,
} from '../../meta/index.ts';
import { makeFolder, setAttributes } from '../attributes.ts';
import type { Caller, Context, Space } from '../context.ts';
import { copy } from '../copy.ts';
import { type Decision, decide, decideOnce } from '../decide.ts';
import type { Lock, LockRequest, LockWait } from '../locks/lock-manager.ts';
import type { Locks } from '../locks/locks.ts';
import { move } from '../move.ts';
import { restore } from '../past/versions.ts';
import { remove } from '../remove.ts';
import { type Found, getNode, getPath } from '../tree.ts';
import type { HeldUpload, Uploads } from '../uploads/uploads.ts';
import { writeFile } from '../write.ts';
import { HeldWriters } from './held-writers.ts';
import { keepingNothing } from './sizing-writer.ts';

/** How long a batch waits for others that are in its way. */
const WAIT_MS = 30_000;
/** Times that one batch is planned; after the first few others wait for it. */
const PLANS_MAX = 50;
const EAGER_PLANS_MAX = 3;
/** Rows of one commit that a batch makes. */
export const BATCH_ROWS_MAX = 20_000;

export type BatchOptions = Changing & { readonly idempotencyKey?: string | undefined };

/** What a batch needs of the files it is about. */
export interface BatchParts {
  readonly locks: Locks;
  readonly uploads: Uploads;
}

export async function runBatch(
  context: Context,
  files: BatchParts,
  space: Space,
  caller: Caller,
  request: BatchRequest,
  options: BatchOptions,
): Promise<BatchAnswer> {
  batchOrder(request.operations);
  await using batch = new Batch(context, files, space, caller, request, options.signal);
  const once = { key: options.idempotencyKey, request: ['batch', request] };
  return await decideOnce(context, space, 'The batch', once, () => batch.decide());
}

class Batch implements AsyncDisposable {
  readonly #context: Context;
  readonly #locks: Locks;
  readonly #uploads: BatchUploads;
  readonly #space: Space;
  readonly #caller: Caller;
  readonly #request: BatchRequest;
  readonly #signal: AbortSignal | undefined;
  readonly #held: Lock[] = [];
  readonly #writers = new HeldWriters();
  /** Operations that a lock of somebody else stands in the way of, where the others shall be done. */
  readonly #refused = new Map<number, Fault>();
  #session: string | undefined;
  #plans = 0;
  #pause: Disposable | undefined;

  constructor(
    context: Context,
    { locks, uploads }: BatchParts,
    space: Space,
    caller: Caller,
    request: BatchRequest,
    signal: AbortSignal | undefined,
  ) {
    this.#context = context;
    this.#locks = locks;
    this.#uploads = new BatchUploads(uploads, space);
    this.#space = space;
    this.#caller = caller;
    this.#request = request;
    this.#signal = signal;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#letGo();
    await this.#writers.letGo();
    this.#uploads[Symbol.dispose]();
    this.#pause?.[Symbol.dispose]();
  }

  async decide(): Promise<Decision<BatchAnswer>> {
    for (;;) {
      this.#begin();
      await this.#writers.letGo();
      const { chunks } = this.#context;
      const isDryRun = this.#request.dry_run === true;
      const context = { ...this.#context, chunks: isDryRun ? keepingNothing(chunks) : this.#writers.around(chunks) };
      const plan = new BatchPlan(context, this.#uploads, this.#space, this.#caller, this.#signal);
      const answer = await this.#answerOf(plan);
      const { planning } = plan;
      if (this.#request.dry_run === true || planning.changes.length === 0) return { answer };
      const { needs, expects } = await this.#locks.needsOf(planning.rows, this.#space, planning.changes);
      try {
        if (!(await this.#hold(needs))) continue;
      } catch (error) {
        if (!Fault.is(error, 'locked')) throw error;
        await this.#refuse(plan, error);
        continue;
      }
      const held = this.#caller.lockTokens ?? [];
      const { space } = this.#space;
      const guard: Change = {
        ...{ space, now: context.clock.now() },
        expects: [{ kind: 'locks', space, held, needs }, ...expects],
      };
      return { planned: { planning, guard }, answer, onCommitted: () => this.#committed() };
    }
  }

  /** What is answered without a commit was decided on rows that may not be durable yet; nobody hears of it before they are. */
  async #answerOf(plan: BatchPlan): Promise<BatchAnswer> {
    try {
      const answer = await plan.run(this.#request, this.#refused);
      if (this.#request.dry_run === true || plan.planning.changes.length === 0) await this.#context.groups.flush();
      return answer;
    } catch (error) {
      await this.#context.groups.flush();
      throw error;
    }
  }

  #committed(): void {
    this.#uploads.committed();
    this.#context.onUnreachable();
  }

  /** Operations that are no batch do not stand in line; one that they beat again and again has them wait a moment. */
  #begin(): void {
    this.#plans++;
    if (this.#plans > PLANS_MAX)
      throw new Fault(
        'busy',
        `The batch was planned ${PLANS_MAX} times, and others were faster each time. Try again.`,
        {},
      );
    if (this.#plans > EAGER_PLANS_MAX) this.#pause ??= this.#locks.pauseOthers();
  }

  /** Has the locks for these needs. False when it had to wait: others were in between. */
  async #hold(needs: readonly LockNeed[]): Promise<boolean> {
    const { manager } = this.#locks;
    const missing = needs.filter((need) => !this.#has(need));
    if (missing.length === 0) return true;
    const request = await this.#requestFor(missing);
    try {
      this.#held.push(await manager.tryAcquire(request));
      return true;
    } catch (error) {
      if (!Fault.is(error, 'locked')) throw error;
    }
    try {
      this.#held.push(await manager.acquire(request, this.#wait));
    } catch (error) {
      if (!Fault.is(error, 'deadlock')) throw error;
      // Two that each had a part: give it back, and have all of it at once.
      const all = this.#held.flatMap(({ grant }) => grant.places);
      await this.#letGo();
      this.#held.push(await manager.acquire({ ...request, places: [...all, ...request.places] }, this.#wait));
    }
    return false;
  }

  /**
   * Finds which operations the lock stands in the way of, and leaves them out from now on.
   * @throws Fault `locked` that names the first of them, where all shall be done or none.
   */
  async #refuse(plan: BatchPlan, fault: Fault): Promise<void> {
    const { operations, mode = 'atomic' } = this.#request;
    const before = this.#refused.size;
    await this.#letGo();
    for (const [index, changes] of plan.changesOf) {
      const operation = operations[index] as BatchOperation;
      const { needs } = await this.#locks.needsOf(plan.planning.rows, this.#space, changes);
      const what = operation.path ?? operation.from_path ?? `operation ${index}`;
      try {
        const request = { ...(await this.#requestFor(needs)), what };
        const lock = await this.#locks.manager.acquire(request, this.#wait);
        await lock.release();
      } catch (error) {
        if (!Fault.is(error, 'locked')) throw error;
        if (mode === 'atomic') throw ofOperation(error, index, operation);
        this.#refused.set(index, error);
      }
    }
    // Each could be done alone: it is what they need together.
    if (this.#refused.size === before) throw fault;
  }

  /** For those that hold a lock as briefly as this does; one that lasts is not waited for. */
  get #wait(): LockWait {
    return { waitMs: WAIT_MS, signal: this.#signal, isBrief: true };
  }

  #has({ key, mode }: LockNeed): boolean {
    return this.#held.some(({ grant }) => grant.places.some((place) => place.key === key && covers(place.mode, mode)));
  }

  async #letGo(): Promise<void> {
    for (const lock of this.#held.splice(0)) await lock.release();
  }

  async #requestFor(needs: readonly LockNeed[]): Promise<LockRequest> {
    this.#session ??= await this.#sessionOf();
    return {
      session: this.#session,
      holder: `${this.#caller.user} (${this.#caller.door} ${this.#caller.request})`,
      what: `a batch of ${this.#request.operations.length} operations`,
      places: needs.map(({ key, mode }) => ({ key, mode, above: [] })),
    };
  }

  /** That of a lock that is presented, so that the batch gets past it. */
  async #sessionOf(): Promise<string> {
    const [token] = this.#caller.lockTokens ?? [];
    const grant = token === undefined ? undefined : await this.#locks.manager.find(token);
    return grant?.session ?? `batch ${hexOf(this.#context.random.bytes(8))}`;
  }
}

/** What one change of the batch is in its commit. */
function asPart(change: Change, caller: Caller): Change {
  const { actor, door, request } = { actor: caller.user, door: caller.door, request: caller.request };
  const record =
    change.record === undefined ? {} : { record: { ...change.record, actor, door, request, kind: 'batch' } };
  return { ...change, ...record };
}

/** The batch asks for all of its operations at once. */
function withoutLocks(change: Change): Change {
  return { ...change, expects: (change.expects ?? []).filter((expect) => expect.kind !== 'locks') };
}

/** Uploads that the batch makes files of: checked once, and nobody sends to them until it is over. */
class BatchUploads implements Disposable {
  readonly #uploads: Uploads;
  readonly #space: Space;
  readonly #held = new Map<string, HeldUpload>();

  constructor(uploads: Uploads, space: Space) {
    this.#uploads = uploads;
    this.#space = space;
  }

  async plan(context: Context, caller: Caller, id: string): Promise<Decision<FileRecord>> {
    const held = this.#held.get(id) ?? (await this.#uploads.hold(this.#space, id));
    this.#held.set(id, held);
    return this.#uploads.planCompletion(context, this.#space, caller, held);
  }

  committed(): void {
    for (const held of this.#held.values()) held.committed();
  }

  [Symbol.dispose](): void {
    for (const held of this.#held.values()) held[Symbol.dispose]();
    this.#held.clear();
  }
}

/** One run through the operations, on rows of its own. */
class BatchPlan {
  readonly planning: Planning;
  /** The changes of each operation that is to be done. */
  readonly changesOf = new Map<number, readonly Change[]>();
  #overflow: Fault | undefined;
  readonly #uploads: BatchUploads;
  readonly #context: Context;
  readonly #space: Space;
  readonly #caller: Caller;
  readonly #signal: AbortSignal | undefined;

  constructor(context: Context, uploads: BatchUploads, space: Space, caller: Caller, signal: AbortSignal | undefined) {
    this.planning = context.groups.plan();
    this.#uploads = uploads;
    this.#context = {
      ...context,
      ...this.#rowsInstead(context),
      locks: { withNeeds: async (change) => withoutLocks(change) },
    };
    this.#space = space;
    this.#caller = { ...caller, lockTokens: undefined };
    this.#signal = signal;
  }

  /** What operations read and commit to. */
  #rowsInstead({ meta }: Context): Pick<Context, 'meta' | 'groups' | 'onUnreachable'> {
    const { rows } = this.planning;
    const real = <Name extends keyof MetaStore>(name: Name): MetaStore[Name] =>
      (meta[name] as unknown as (...words: unknown[]) => unknown).bind(meta) as unknown as MetaStore[Name];
    const planned = { abilities: meta.abilities, rows, get: rows.get.bind(rows), scan: rows.scan.bind(rows) };
    const groups = { commit: async (change: Change): Promise<Committed> => this.#take(change) };
    return {
      meta: { ...planned, leaseIds: real('leaseIds') } as unknown as MetaStore,
      groups: groups as unknown as Groups,
      onUnreachable: () => {},
    };
  }

  #take(change: Change): Committed {
    const applied = this.planning.apply(asPart(change, this.#caller));
    if (this.planning.rowCount > BATCH_ROWS_MAX) {
      const sentence = `The batch changes more than ${BATCH_ROWS_MAX} rows of metadata, which is too much for one commit. Send several.`;
      this.#overflow = new Fault('too-large', sentence, { rowsMax: BATCH_ROWS_MAX });
      throw this.#overflow;
    }
    return { ok: true, ...applied };
  }

  /**
   * Plans all but the refused ones.
   * @throws the fault of the operation that failed, unless what can be done shall be done.
   */
  async run(
    { operations, mode = 'atomic', dry_run = false }: BatchRequest,
    refused: ReadonlyMap<number, Fault>,
  ): Promise<BatchAnswer> {
    const results: BatchResult[] = new Array(operations.length);
    const byId = batchIds(operations);
    for (const index of batchOrder(operations)) {
      if (this.#signal?.aborted) throw Fault.aborted(this.#signal, 'The batch');
      const operation = operations[index] as BatchOperation;
      const base = { index, ...(operation.id === undefined ? {} : { id: operation.id }) };
      const missing = dependencies(operations, index, byId).find((other) => results[other]?.ok === false);
      const [refusal, changeCount] = [refused.get(index), this.planning.changes.length];
      try {
        if (missing !== undefined) throw notTried(index, missing);
        if (refusal !== undefined) throw refusal;
        results[index] = { ...base, ok: true, record: await this.#act(operation, index) };
        const changes = this.planning.changes.slice(changeCount);
        if (changes.length > 0) this.changesOf.set(index, changes);
      } catch (error) {
        // What is too much for one commit is the fault of all.
        if (!Fault.is(error) || this.#signal?.aborted || error === this.#overflow) throw error;
        if (mode === 'atomic') throw ofOperation(error, index, operation);
        results[index] = { ...base, ok: false, code: error.code, error: error.message, about: { ...error.about } };
      }
    }
    const done = results.filter(({ ok }) => ok).length;
    return { mode, dry_run, done, failed: results.length - done, results };
  }

  async #act(operation: BatchOperation, index: number): Promise<FileRecord | Removed> {
    const [context, space, caller] = [this.#context, this.#space, this.#caller];
    const path = (name: 'path' | 'from_path' | 'to_path') => pathOfText(required(operation, index, name));
    const { overwrite, parents, recursive, mode, modified } = operation;
    const expecting: Expecting = {
      ...{ expectedVersion: operation.expected_version, expectedId: operation.expected_file_id },
      signal: this.#signal,
    };
    switch (operation.op) {
      case 'move':
        return move(context, space, caller, path('from_path'), path('to_path'), { ...expecting, overwrite, parents });
      case 'copy':
        return copy(context, space, caller, path('from_path'), path('to_path'), { ...expecting, overwrite, parents });
      case 'delete':
        return remove(context, space, caller, path('path'), { ...expecting, recursive });
      case 'mkdir':
        return makeFolder(context, space, caller, path('path'), { parents, permissions: mode });
      case 'update': {
        const target = targetOf(operation, index);
        return setAttributes(
          context,
          space,
          caller,
          () => this.#find(target),
          required(operation, index, 'change'),
          expecting,
        );
      }
      case 'restore': {
        const goal = operation.to_path === undefined ? {} : { to: operation.to_path };
        const version = required(operation, index, 'version');
        const find = (target: Target): Promise<Found> => this.#find(target);
        return restore(context, space, caller, targetOf(operation, index), find, version, { ...expecting, ...goal });
      }
      case 'put': {
        const { upload_id: id } = operation;
        if (id !== undefined) return this.#putUpload(operation, id, index);
        const content = contentOf(required(operation, index, 'content'), index);
        const options = { ...expecting, parents, modified, permissions: mode, size: content.length };
        const how = operation.create === true ? 'create' : 'put';
        return writeFile(context, space, caller, path('path'), [content], { ...options, mode: how });
      }
    }
  }

  /** The upload says where it goes and what is expected there. */
  #putUpload(operation: BatchOperation, id: string, index: number): Promise<FileRecord> {
    if (operation.path !== undefined || operation.content !== undefined) {
      const sentence = `Operation ${index}, put, has an upload_id: the upload says where it goes, so path and content are not said.`;
      throw new Fault('invalid', sentence, { operation: index });
    }
    return decide(this.#context, `Completing upload ${id}`, () => this.#uploads.plan(this.#context, this.#caller, id));
  }

  #find(target: Target): Promise<Found> {
    return 'path' in target
      ? getPath(this.#context, this.#space, pathOfText(target.path))
      : getNode(this.#context, this.#space, target.id);
  }
}

function required<Name extends keyof BatchOperation>(
  operation: BatchOperation,
  index: number,
  name: Name,
): NonNullable<BatchOperation[Name]> {
  const value = operation[name];
  if (value !== undefined && value !== null) return value as NonNullable<BatchOperation[Name]>;
  throw new Fault('invalid', `Operation ${index}, ${operation.op}, needs \`${name}\`.`, {
    operation: index,
    needs: name,
  });
}

function targetOf(operation: BatchOperation, index: number): Target {
  const { path, file_id } = operation;
  if (path !== undefined && file_id === undefined) return { path };
  if (path === undefined && file_id !== undefined) return { id: file_id };
  const sentence = `Operation ${index}, ${operation.op}, says which file by either path or file_id.`;
  throw new Fault('invalid', sentence, { operation: index });
}

function contentOf(base64: string, index: number): Uint8Array {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, ''))
    throw new Fault('invalid', `The content of operation ${index} is not base64.`, { operation: index });
  if (bytes.length > BATCH_CONTENT_BYTES_MAX) {
    const sentence = `The content of operation ${index} has ${bytes.length} bytes; in a batch ${BATCH_CONTENT_BYTES_MAX} is the most. Upload it by itself.`;
    throw new Fault('too-large', sentence, {
      operation: index,
      bytes: bytes.length,
      bytesMax: BATCH_CONTENT_BYTES_MAX,
    });
  }
  return new Uint8Array(bytes);
}

function notTried(index: number, other: number): Fault {
  const sentence = `Operation ${index} was not tried, because operation ${other}, on which it depends, failed.`;
  return new Fault('aborted', sentence, { operation: index, failed: other });
}

/** The fault of the whole batch names the operation. */
function ofOperation(fault: Fault, index: number, operation: BatchOperation): Fault {
  const sentence = `Operation ${index} (${operation.op}) of the batch failed, so nothing was done: ${fault.message}`;
  const id = operation.id === undefined ? {} : { operation_id: operation.id };
  return new Fault(fault.code, sentence, { ...fault.about, operation: index, ...id }, fault);
}
