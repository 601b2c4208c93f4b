/**
 * Where bytes live: one narrow interface, many places.
 * An object is a run of bytes under a name. No name is ever written twice with other bytes; only an open appender may
 * make an object longer. Everything helpful (retry, limit, faults, mirror, shard, cache) wraps this same interface.
 * A new place is finished when contract.ts passes for it.
 */

/**
 * 1–512 characters out of `a-z 0-9 . _ - /`; segments between slashes have 1–200 characters and are not `.` or `..`.
 * `checkObjectName` is the judge.
 */
export type ObjectName = string;

export interface ObjectInfo {
  readonly name: ObjectName;
  readonly lengthBytes: number;
}

/** Extra powers as data: ask these, never `instanceof`. */
export interface ObjectAbilities {
  /** `append` works. */
  readonly append: boolean;
  /** `copy` works without the bytes passing through this process. */
  readonly copy: boolean;
}

export interface ObjectRange {
  /** Bytes; 0 when absent. */
  readonly offset?: number;
  /** Bytes; to the end when absent. */
  readonly length?: number;
  readonly signal?: AbortSignal | undefined;
}

export interface ObjectPage {
  /** In order of their names' bytes. */
  readonly objects: readonly ObjectInfo[];
  /** Give as `after` for the next page; absent on the last one. */
  readonly next?: ObjectName;
}

/** Makes one object longer. One appender an object at a time. */
export interface Appender extends AsyncDisposable {
  /** Bytes in the object, appended ones included. */
  readonly lengthBytes: number;
  /**
   * Adds all parts behind what is there. Visible to `get` when it resolves, durable after `sync`.
   * Calls take effect in their order, also when they overlap.
   * After a fault the appender is dead: the object's length is known only by a new appender or `head`.
   * @throws Fault `not-found` when the object was deleted meanwhile.
   */
  append(parts: readonly Uint8Array[]): Promise<void>;
  /** All that was appended before the call survives a power cut once it resolves; a fault here is final. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Requests with a name, range or limit outside the rules answer Fault `invalid`; after `close`, `unavailable`. */
export interface ObjectStore extends AsyncDisposable {
  readonly abilities: ObjectAbilities;
  /** Durable when it resolves. @throws Fault `exists` when there is such an object; `full`, `read-only`, `io`. */
  put(
    name: ObjectName,
    bytes: Uint8Array | AsyncIterable<Uint8Array>,
    options?: { signal?: AbortSignal },
  ): Promise<void>;
  /** Answers exactly the asked bytes or rejects. @throws Fault `not-found`; `range` when the object ends before the range does. */
  get(name: ObjectName, range?: ObjectRange): Promise<Uint8Array>;
  /**
   * The same in the caller's turn, where bytes can be had without waiting for anything; undefined otherwise, and
   * whenever anything is not as it should be: `get` says what. Absent where there is no such way.
   */
  getNow?(name: ObjectName, range: { readonly offset: number; readonly length: number }): Uint8Array | undefined;
  /** Absent is an answer. */
  head(name: ObjectName): Promise<ObjectInfo | undefined>;
  /** `limit` is 1–1,000, 1,000 when absent. */
  list(options?: {
    readonly prefix?: string;
    readonly after?: ObjectName;
    readonly limit?: number;
  }): Promise<ObjectPage>;
  /** Durable when it resolves; fine when there is no such object. */
  delete(name: ObjectName): Promise<void>;
  /** @throws Fault `not-found`, `exists`; `unsupported` without the ability. */
  copy(from: ObjectName, to: ObjectName): Promise<void>;
  /**
   * Opens an object for appending at `at` bytes: 0 makes it (its name is durable after the first `sync`), and whatever
   * stands behind `at` is dropped first (the torn tail of a crash). @throws Fault `not-found` when `at` > 0 and there is
   * no such object; `corrupt` when it is shorter than `at`; `locked` while another appender of this store has it;
   * `unsupported` without the ability.
   */
  append(name: ObjectName, at: number): Promise<Appender>;
  close(): Promise<void>;
}
