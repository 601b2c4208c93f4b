/** What calls of a FileService have in common: how bytes come, and what whoever changes something may say. */

/** Bytes pulled by the consumer. A chunk handed out stays unchanged until the next one is asked for. */
export type ByteSource = AsyncIterable<Uint8Array> | Iterable<Uint8Array>;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** What changes something may present a lock: `locked` past one of somebody else, `lock-lost` when it is held no more. */
export interface Changing extends CallOptions {
  readonly lockToken?: number | undefined;
}

/** The caller refuses to act on anything but this version (`conflict` names both). */
export interface Expecting extends Changing {
  readonly expectedVersion?: number | undefined;
  /**
   * And on no other node than this one: versions count per node, so that a file removed and made anew under the same
   * name may have the same number again. `conflict` otherwise.
   */
  readonly expectedId?: number | undefined;
}
