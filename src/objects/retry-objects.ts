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
import type { ObjectInfo, ObjectStore } from './object-store.ts';

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

export function retryObjects(inner: ObjectStore, options: RetryObjectsOptions): ObjectStore {
  const isPassing = options.isPassing ?? ((error) => Fault.is(error, 'unavailable', 'timeout', 'busy'));
  const again = <T>(request: Pick<ObjectRequest, 'signal' | 'isRepeatable'>, attempt: Attempt<T>): Promise<T> =>
    retry(attempt, {
      clock: options.clock,
      random: options.random,
      attemptsMax: options.attemptsMax ?? 5,
      delayMs: options.delayMs ?? 100,
      delayMsMax: options.delayMsMax ?? 10_000,
      isPassing: (error) => isPassing(error) && (request.isRepeatable?.() ?? true),
      signal: request.signal,
    });
  const head: Looks['head'] = (name) => again({}, () => inner.head(name));
  const get: Looks['get'] = (name, range) => again({}, () => inner.get(name, range));
  return aroundObjects(inner, (request, work) =>
    again(request, async (number) => {
      try {
        return await work();
      } catch (error) {
        if (number === 1 || !Fault.is(error, 'exists') || !(await isDone(request, { head, get }))) throw error;
        // Put and copy answer nothing, and no other request answers `exists`.
        return undefined as never;
      }
    }),
  );
}

/** One attempt at a request, told its number, from 1. */
type Attempt<T> = (number: number) => Promise<T>;
type Looks = Pick<ObjectStore, 'head' | 'get'>;

/** Whether the object that is there is what the request was to make. */
async function isDone({ name = '', bytes, from }: ObjectRequest, store: Looks): Promise<boolean> {
  const target = await store.head(name);
  if (bytes !== undefined) {
    const part = async (offset: number, length: number): Promise<Uint8Array> => bytes.subarray(offset, offset + length);
    return target?.lengthBytes === bytes.length && (await holds(store, target, part));
  }
  if (from === undefined || target === undefined) return false;
  const part = (offset: number, length: number): Promise<Uint8Array> => store.get(from, { offset, length });
  return (await store.head(from))?.lengthBytes === target.lengthBytes && (await holds(store, target, part));
}

async function holds(
  store: Looks,
  target: ObjectInfo,
  wanted: (offset: number, length: number) => Promise<Uint8Array>,
): Promise<boolean> {
  for (let offset = 0; offset < target.lengthBytes; offset += COMPARE_BYTES) {
    const length = Math.min(COMPARE_BYTES, target.lengthBytes - offset);
    if (!equalBytes(await wanted(offset, length), await store.get(target.name, { offset, length }))) return false;
  }
  return true;
}
