/**
 * An object store that asks again when a place fails in passing (not reachable, too slow, too busy), with growing
 * random delays and a bound. Nothing is repeated that could happen twice:
 *
 * - A put or copy whose answer was lost may have happened. `exists` after such a try counts as success only when the
 *   object there has the same length and the same bytes; otherwise it is somebody else's, and `exists` is the answer.
 * - A put of a stream is repeated only while nothing has been drawn from the stream.
 * - Appends and syncs of an open appender are never repeated: after a fault its owner must look how long the object is.
 */
import { type Clock, equalBytes, Fault, type Random, retry } from '../base/index.ts';
import { aroundObjects, type ObjectRequest } from './around-objects.ts';
import type { ObjectName, ObjectStore } from './object-store.ts';

export interface RetryObjectsOptions {
  readonly clock: Clock;
  readonly random: Random;
  /** Tries in all, 1 or more; 5 when absent. */
  readonly attemptsMax?: number;
  /** Bound of the first delay, doubled each time; 100 ms when absent. */
  readonly delayMs?: number;
  /** Bound of every delay; 10,000 ms when absent. */
  readonly delayMsMax?: number;
  /** Which errors pass by themselves; Faults `unavailable`, `timeout` and `busy` when absent. */
  readonly isPassing?: (error: unknown) => boolean;
}

/** A byte-wise comparison reads this much at a time. */
const COMPARE_BYTES = 1024 * 1024;

/** One attempt at a request, told its number, from 1. */
type Attempt<T> = (number: number) => Promise<T>;

export function retryObjects(inner: ObjectStore, options: RetryObjectsOptions): ObjectStore {
  const isPassing = options.isPassing ?? ((error) => Fault.is(error, 'unavailable', 'timeout', 'busy'));
  const again = <T>(attempt: Attempt<T>, signal?: AbortSignal, mayRepeat = () => true): Promise<T> =>
    retry(attempt, {
      clock: options.clock,
      random: options.random,
      attemptsMax: options.attemptsMax ?? 5,
      delayMs: options.delayMs ?? 100,
      delayMsMax: options.delayMsMax ?? 10_000,
      isPassing: (error) => isPassing(error) && mayRepeat(),
      signal,
    });
  const isFinal = ({ operation }: ObjectRequest): boolean =>
    operation === 'append-bytes' || operation === 'append-sync';
  const repeated = aroundObjects(inner, (request, work) => (isFinal(request) ? work() : again(work, request.signal)));

  const putWhole = (name: ObjectName, bytes: Uint8Array, signal?: AbortSignal): Promise<void> => {
    const isSame = async (): Promise<boolean> => {
      const found = await repeated.head(name);
      return found?.lengthBytes === bytes.length && (await holds(repeated, name, bytes));
    };
    return again((number) => unlessDone(number, inner.put(name, bytes, withSignal(signal)), isSame), signal);
  };
  const putStream = (name: ObjectName, bytes: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void> => {
    const source = watched(bytes);
    return again(
      () => inner.put(name, source, withSignal(signal)),
      signal,
      () => !source.isStarted,
    );
  };
  return {
    ...repeated,
    put: (name, bytes, { signal } = {}) =>
      bytes instanceof Uint8Array ? putWhole(name, bytes, signal) : putStream(name, bytes, signal),
    copy: (from, to) => again((number) => unlessDone(number, inner.copy(from, to), () => isCopy(repeated, from, to))),
  };
}

/** Takes `exists` as success when an earlier attempt may have done the work, and did. */
async function unlessDone(number: number, work: Promise<void>, isDone: () => Promise<boolean>): Promise<void> {
  try {
    await work;
  } catch (error) {
    if (number === 1 || !Fault.is(error, 'exists') || !(await isDone())) throw error;
  }
}

async function holds(store: ObjectStore, name: ObjectName, bytes: Uint8Array): Promise<boolean> {
  for (let offset = 0; offset < bytes.length; offset += COMPARE_BYTES) {
    const part = bytes.subarray(offset, offset + COMPARE_BYTES);
    if (!equalBytes(part, await store.get(name, { offset, length: part.length }))) return false;
  }
  return true;
}

async function isCopy(store: ObjectStore, from: ObjectName, to: ObjectName): Promise<boolean> {
  const [source, target] = [await store.head(from), await store.head(to)];
  if (source === undefined || target === undefined || source.lengthBytes !== target.lengthBytes) return false;
  for (let offset = 0; offset < source.lengthBytes; offset += COMPARE_BYTES) {
    const length = Math.min(COMPARE_BYTES, source.lengthBytes - offset);
    if (!equalBytes(await store.get(from, { offset, length }), await store.get(to, { offset, length }))) return false;
  }
  return true;
}

/** The same stream, knowing whether anybody has asked it for bytes. */
function watched(bytes: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array> & { readonly isStarted: boolean } {
  let isStarted = false;
  return {
    get isStarted() {
      return isStarted;
    },
    [Symbol.asyncIterator]() {
      isStarted = true;
      return bytes[Symbol.asyncIterator]();
    },
  };
}

function withSignal(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal };
}
