/**
 * The frame of wrappers: the same store, with every request passed through one function. It changes nothing by itself:
 * abilities, answers and faults come through as they are. Appends and syncs of an open appender are requests too, and
 * keep the rules of every appender (ordered-appender.ts) also when it is the wrapper that refuses one. Closing waits
 * for the requests that the wrapper holds, then closes the inner store.
 */
import { Gate } from './gate.ts';
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
  /** What is put, unless it is a stream. */
  readonly bytes?: Uint8Array;
  /** What is copied. */
  readonly from?: ObjectName;
  /** What is appended, and where to. */
  readonly parts?: readonly Uint8Array[];
  readonly appender?: Appender;
  /**
   * Whether the work can be done again: never for an open appender, which may have taken the bytes; for a stream as
   * long as nobody has drawn from it; else always. Absent means always.
   */
  readonly isRepeatable?: () => boolean;
}

/** Does the request, with whatever the wrapper adds before, after or instead. */
export type Around = <T>(request: ObjectRequest, work: () => Promise<T>) => Promise<T>;

export function aroundObjects(inner: ObjectStore, around: Around): ObjectStore {
  const gate = new Gate('The object store');
  const ask: Around = (request, work) => gate.run(() => around(request, work));
  const close = async (): Promise<void> => {
    await gate.close();
    await inner.close();
  };
  return {
    abilities: inner.abilities,
    put: (name, bytes, options = {}) => {
      const request = { operation: 'put', name, signal: options.signal } as const;
      if (bytes instanceof Uint8Array) return ask({ ...request, bytes }, () => inner.put(name, bytes, options));
      const stream = watched(bytes);
      const isRepeatable = (): boolean => !stream.isStarted;
      return ask({ ...request, isRepeatable }, () => inner.put(name, stream, options));
    },
    get: (name, range = {}) => ask({ operation: 'get', name, signal: range.signal }, () => inner.get(name, range)),
    head: (name) => ask({ operation: 'head', name }, () => inner.head(name)),
    list: (options) => ask({ operation: 'list' }, () => inner.list(options)),
    delete: (name) => ask({ operation: 'delete', name }, () => inner.delete(name)),
    copy: (from, to) => ask({ operation: 'copy', name: to, from }, () => inner.copy(from, to)),
    append: async (name, at) => {
      const appender = await ask({ operation: 'append', name }, () => inner.append(name, at));
      return aroundAppender(name, appender, around);
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

function aroundAppender(name: ObjectName, appender: Appender, around: Around): Appender {
  const request = { name, appender, isRepeatable: () => false };
  return new OrderedAppender({
    name,
    lengthBytes: appender.lengthBytes,
    write: (parts) => around({ ...request, operation: 'append-bytes', parts }, () => appender.append(parts)),
    sync: () => around({ ...request, operation: 'append-sync' }, () => appender.sync()),
    close: () => appender.close(),
  });
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
