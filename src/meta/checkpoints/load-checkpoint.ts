/**
 * Metadata from checkpoints. What is there is looked through whole before a row is written: the newest base that is
 * whole, and the deltas that go on from it, as far as each is whole and names the one before. What is damaged is passed
 * over and said: a damaged base costs nothing as long as the one before it is whole, a damaged delta what came after
 * it up to the next base.
 *
 * Numbers given out after the checkpoint are not known to it and must never come again, so every number that is handed
 * out goes on far behind: ids (counters) and commits (heads of spaces) by NUMBERS_SKIPPED, versions of files by
 * VERSIONS_SKIPPED.
 */
import { Fault, isPromise } from '../../base/index.ts';
import type { ObjectStore } from '../../objects/index.ts';
import type { MetaStore } from '../meta-store.ts';
import { readRowRuns } from '../rows/row-runs.ts';
import type { RowWrite } from '../rows/row-source.ts';
import { NODE_KIND } from '../rows/rows.ts';
import { keyOf, type Row, type Table } from '../rows/tables.ts';
import type { SqlValue } from '../sql.ts';
import {
  type CheckpointEnd,
  type CheckpointHead,
  type CheckpointName,
  nameOfCheckpoint,
  readCheckpoint,
  tableShapes,
} from './checkpoint-format.ts';
import { listCheckpoints } from './checkpoints.ts';

/** More ids and commits than anybody gives out between two checkpoints. */
export const NUMBERS_SKIPPED = 2 ** 32;
/** More versions than any file gets between two checkpoints. */
export const VERSIONS_SKIPPED = 1_000_000;
/** Rows that are written in one transaction. */
const STEP_ROWS = 5_000;

export interface PassedOver {
  readonly name: string;
  readonly reason: string;
}

export interface CheckpointChain {
  /** A base, then deltas, in the order in which they are applied. */
  readonly names: readonly string[];
  readonly end: CheckpointEnd;
  readonly sequence: number;
  /** What could not be used. */
  readonly passedOver: readonly PassedOver[];
}

interface Whole extends CheckpointName {
  readonly head: CheckpointHead;
  readonly end: CheckpointEnd;
}

/**
 * The newest state that can be brought back; undefined when there is none. Changes nothing.
 * @throws Fault `incompatible` when it is of another store or from a later Holdfast.
 */
export async function findCheckpoint(
  objects: ObjectStore,
  storeId: string,
  signal?: AbortSignal,
): Promise<CheckpointChain | undefined> {
  const passedOver: PassedOver[] = [];
  const whole: Whole[] = [];
  for (const each of await listCheckpoints(objects)) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Looking for a checkpoint');
    const found = await lookThrough(objects, each, storeId);
    if ('reason' in found) passedOver.push(found);
    else whole.push(found);
  }
  const chains = whole.filter(({ kind }) => kind === 'base').map((base) => chainFrom(base, whole));
  const best = chains
    .filter((chain) => chain.length > 1)
    .sort(compareChains)
    .at(-1);
  const last = best?.at(-1);
  if (best === undefined || last === undefined) return undefined;
  return { names: best.map(nameOfCheckpoint), end: last.end, sequence: last.sequence, passedOver };
}

async function lookThrough(objects: ObjectStore, of: CheckpointName, storeId: string): Promise<Whole | PassedOver> {
  const name = nameOfCheckpoint(of);
  let [head, end]: [CheckpointHead?, CheckpointEnd?] = [];
  try {
    for await (const part of readCheckpoint(objects, name)) {
      if (part.kind === 'head') head = part.head;
      else if (part.kind === 'end') end = part.end;
    }
  } catch (error) {
    if (!Fault.is(error, 'corrupt', 'io', 'not-found', 'range')) throw error;
    return { name, reason: error.message };
  }
  if (head === undefined || end === undefined)
    return { name, reason: `The checkpoint ${name} is damaged: it is empty.` };
  if (head.store !== storeId) {
    const sentence = `The checkpoint ${name} is of the store ${head.store}, and this is ${storeId}. Nothing was changed.`;
    throw new Fault('incompatible', sentence, { name, store: head.store });
  }
  requireTables(name, head);
  return { ...of, head, end };
}

/** Tables that came later are empty; those of the checkpoint must be what they were. */
function requireTables(name: string, { tables, schema }: CheckpointHead): void {
  const ours = tableShapes();
  for (const [of, shape] of Object.entries(tables)) {
    if (JSON.stringify(ours[of]) === JSON.stringify(shape)) continue;
    const sentence = `The checkpoint ${name} has schema version ${schema}, whose table ${of} this Holdfast does not know. Use the Holdfast that wrote it.`;
    throw new Fault('incompatible', sentence, { name, schema, table: of });
  }
}

/** The base alone when its own delta is missing: then it is true of no moment. */
function chainFrom(base: Whole, whole: readonly Whole[]): readonly Whole[] {
  const chain = [base];
  let isNext = (each: Whole): boolean => each.sequence === base.sequence && each.head.previous === base.head.previous;
  for (;;) {
    const candidates = whole.filter((each) => each.kind === 'delta' && isNext(each));
    // Two with one number: a crash kept the first from being noted, so only the second goes on.
    const next = candidates.find((each) => isFollowed(each, whole)) ?? candidates.sort(compareEnds).at(-1);
    if (next === undefined) return chain;
    chain.push(next);
    isNext = (each) => each.sequence === next.sequence + 1 && each.head.previous === next.id;
  }
}

function isFollowed({ id, sequence }: Whole, whole: readonly Whole[]): boolean {
  return whole.some((each) => each.kind === 'delta' && each.head.previous === id && each.sequence === sequence + 1);
}

/** By what they end with; of two that end alike the shorter one is better. */
function compareChains(a: readonly Whole[], b: readonly Whole[]): number {
  const [lastA, lastB] = [a.at(-1), b.at(-1)];
  if (lastA === undefined || lastB === undefined) return a.length - b.length;
  return lastA.sequence - lastB.sequence || compareEnds(lastA, lastB) || b.length - a.length;
}

function compareEnds(a: Whole, b: Whole): number {
  return a.end.seconds - b.end.seconds || a.end.nanoseconds - b.end.nanoseconds;
}

export interface LoadOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((doneBytes: number, totalBytes: number) => void) | undefined;
}

/** Puts the rows into metadata that is empty; answers how many. Broken off, it leaves metadata that is to be thrown away. */
export async function loadCheckpoint(
  objects: ObjectStore,
  chain: CheckpointChain,
  meta: MetaStore,
  options: LoadOptions = {},
): Promise<number> {
  const writes: RowWrite[] = [];
  const lengths = await Promise.all(chain.names.map(async (name) => (await objects.head(name))?.lengthBytes ?? 0));
  const totalBytes = lengths.reduce((sum, length) => sum + length, 0);
  let [rows, doneBytes] = [0, 0];
  const flush = async (): Promise<void> => {
    rows += writes.length;
    const done = meta.write(writes.splice(0));
    if (isPromise(done)) await done;
    // Nothing of this has changed since the checkpoint.
    await meta.journal?.forget();
  };
  for (const [number, name] of chain.names.entries()) {
    for await (const part of readCheckpoint(objects, name)) {
      if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Bringing the metadata back');
      if (part.kind !== 'rows') continue;
      readRowRuns(part.runs, sinkOf(writes));
      if (writes.length >= STEP_ROWS) await flush();
    }
    doneBytes += lengths[number] ?? 0;
    options.onProgress?.(doneBytes, totalBytes);
  }
  await flush();
  return rows;
}

function sinkOf(writes: RowWrite[]): Parameters<typeof readRowRuns>[1] {
  return {
    put: (of, values) => {
      const row = skipNumbers(of, rowOfValues(of, values));
      writes.push({ table: of.name, key: keyOf(of, row), row, isNew: false });
    },
    delete: (of, key) => {
      writes.push({ table: of.name, key, row: undefined, isNew: false });
    },
  };
}

function rowOfValues(of: Table, values: readonly SqlValue[]): Row {
  return Object.fromEntries(of.columns.map((column, i) => [column, values[i] ?? null]));
}

function skipNumbers(of: Table, row: Row): Row {
  switch (of.name) {
    case 'counters':
      return { ...row, next: Number(row.next) + NUMBERS_SKIPPED };
    case 'spaces':
      return { ...row, head: Number(row.head) + NUMBERS_SKIPPED };
    case 'nodes':
      return row.kind === NODE_KIND.file ? { ...row, version: Number(row.version) + VERSIONS_SKIPPED } : row;
    default:
      return row;
  }
}
