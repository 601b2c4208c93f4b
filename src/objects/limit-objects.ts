/**
 * An object store with a bound on requests: so many at once, so many in line, in order of arrival. A request that finds
 * the line full is refused with `busy`. A put holds its place while its bytes are drawn, so a put whose bytes come
 * out of the same limited store needs a second place to get them from.
 */
import { limit } from '../base/index.ts';
import { aroundObjects } from './around-objects.ts';
import type { ObjectStore } from './object-store.ts';

export interface LimitObjectsOptions {
  /** Requests at once, 1 or more. */
  readonly running: number;
  /** Requests in line, 0 or more; no bound beyond the callers' own when absent. */
  readonly waiting?: number;
}

export function limitObjects(inner: ObjectStore, options: LimitObjectsOptions): ObjectStore {
  const line = limit({ ...options, what: 'the object store' });
  return aroundObjects(inner, ({ signal }, work) => line.run(work, signal));
}
