/**
 * The frame of wrappers: the same store, with every request passed through one function. It changes nothing by itself:
 * abilities, answers and faults come through as they are. Appends and syncs of an open appender are requests too, and
 * keep the rules of every appender (ordered-appender.ts) also when it is the wrapper that refuses one.
 */
import type { Appender, ObjectName, ObjectStore } from './object-store.ts';
import { OrderedAppender } from './ordered-appender.ts';

export type ObjectOperation =
  | 'put'
  | 'get'
  | 'head'
  | 'list'
  | 'delete'
  | 'copy'
  | 'append' // opens an appender
  | 'append-bytes'
  | 'append-sync';

export interface ObjectRequest {
  readonly operation: ObjectOperation;
  /** Absent for a list. */
  readonly name?: ObjectName;
  readonly signal?: AbortSignal | undefined;
  /** What is appended, for `append-bytes`. */
  readonly appender?: Appender;
  readonly parts?: readonly Uint8Array[];
}

/** Does the request, before, after or instead of whatever the wrapper adds. */
export type Around = <T>(request: ObjectRequest, work: () => Promise<T>) => Promise<T>;

export function aroundObjects(inner: ObjectStore, around: Around): ObjectStore {
  return {
    abilities: inner.abilities,
    put: (name, bytes, options = {}) =>
      around({ operation: 'put', name, signal: options.signal }, () => inner.put(name, bytes, options)),
    get: (name, range = {}) => around({ operation: 'get', name, signal: range.signal }, () => inner.get(name, range)),
    head: (name) => around({ operation: 'head', name }, () => inner.head(name)),
    list: (options) => around({ operation: 'list' }, () => inner.list(options)),
    delete: (name) => around({ operation: 'delete', name }, () => inner.delete(name)),
    copy: (from, to) => around({ operation: 'copy', name: to }, () => inner.copy(from, to)),
    append: (name, at) =>
      around({ operation: 'append', name }, async () => aroundAppender(name, await inner.append(name, at), around)),
    close: () => inner.close(),
    [Symbol.asyncDispose]: () => inner.close(),
  };
}

function aroundAppender(name: ObjectName, appender: Appender, around: Around): Appender {
  return new OrderedAppender({
    name,
    lengthBytes: appender.lengthBytes,
    write: (parts) => around({ operation: 'append-bytes', name, appender, parts }, () => appender.append(parts)),
    sync: () => around({ operation: 'append-sync', name }, () => appender.sync()),
    close: () => appender.close(),
  });
}
