/**
 * Tells the kernel what changed through other doors, so that what it remembers of names, attributes and bytes may live
 * long. Changes are collected, equal ones once, and go out in batches through the kernel thread, one batch at a time.
 * When more than NOTICES_MAX are waiting, the single ones are dropped for one that covers them all: every name the kernel
 * knows is asked for anew, and what programs have open is told node by node.
 */
import type { Log } from '../base/index.ts';
import type { OutsideChange, PosixTree } from '../files/index.ts';
import type { NodeId } from '../meta/index.ts';
import type { KernelThread } from './kernel-thread.ts';
import { ERRNO, MINOR_OF_EPOCH, NOTICE, putLong, REPLY_HEADER_BYTES } from './protocol.ts';
import { exchangeRoot } from './reply.ts';

const NOTICES_MAX = 65_536;
const BATCH_MAX = 512;

/** What the kernel is told, in its own numbers. */
export type Notice =
  | { readonly kind: 'node'; readonly node: number; readonly data: boolean }
  | { readonly kind: 'entry'; readonly parent: number; readonly name: Uint8Array }
  | { readonly kind: 'delete'; readonly parent: number; readonly node: number; readonly name: Uint8Array }
  | { readonly kind: 'everything' };

/** The notices as the kernel reads them, one behind the other. Pure. */
export function encodeNotices(notices: readonly Notice[]): Uint8Array<ArrayBuffer> {
  const messages = notices.map(encodeNotice);
  const whole = new Uint8Array(messages.reduce((sum, message) => sum + message.length, 0));
  let at = 0;
  for (const message of messages) {
    whole.set(message, at);
    at += message.length;
  }
  return whole;
}

function encodeNotice(notice: Notice): Uint8Array {
  switch (notice.kind) {
    case 'node': {
      const { bytes, words } = message(NOTICE.invalidateNode, 24);
      putLong(words, 4, notice.node);
      // From offset 0 to the end (length 0); offset -1 spares the bytes.
      putLong(words, 6, notice.data ? 0 : -1);
      return bytes;
    }
    case 'entry': {
      const { bytes, words } = message(NOTICE.invalidateEntry, 16, notice.name);
      putLong(words, 4, notice.parent);
      words[6] = notice.name.length;
      return bytes;
    }
    case 'delete': {
      const { bytes, words } = message(NOTICE.delete, 24, notice.name);
      putLong(words, 4, notice.parent);
      putLong(words, 6, notice.node);
      words[8] = notice.name.length;
      return bytes;
    }
    case 'everything':
      return message(NOTICE.nextEpoch, 0).bytes;
  }
}

function message(code: number, fixedBytes: number, name?: Uint8Array): { bytes: Uint8Array; words: Uint32Array } {
  const length = REPLY_HEADER_BYTES + fixedBytes + (name === undefined ? 0 : name.length + 1);
  const buffer = new ArrayBuffer((length + 3) & ~3);
  const words = new Uint32Array(buffer);
  const bytes = new Uint8Array(buffer, 0, length);
  words[0] = length;
  words[1] = code;
  if (name !== undefined) bytes.set(name, REPLY_HEADER_BYTES + fixedBytes);
  return { bytes, words };
}

export interface NotifierOptions {
  readonly tree: PosixTree;
  readonly thread: KernelThread;
  readonly fd: number;
  /** The agreed protocol minor. */
  readonly minor: number;
  readonly openNodes: () => Iterable<NodeId>;
  readonly log: Log;
}

export class Notifier implements AsyncDisposable {
  readonly #options: NotifierOptions;
  readonly #listening: Disposable;
  #waiting = new Map<string, Notice>();
  #sending: Promise<void> | undefined;
  #isClosed = false;
  #sentCount = 0;

  constructor(options: NotifierOptions) {
    this.#options = options;
    this.#listening = options.tree.onOutsideChange((change) => this.#changed(change));
  }

  get sentCount(): number {
    return this.#sentCount;
  }

  /** Waits until everything that changed so far has been told. */
  async flushed(): Promise<void> {
    while (this.#sending !== undefined) await this.#sending;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listening[Symbol.dispose]();
    this.#isClosed = true;
    this.#waiting.clear();
    await this.#sending;
  }

  #changed(change: OutsideChange): void {
    if (this.#isClosed) return;
    const own = (node: NodeId): number => exchangeRoot(this.#options.tree.root, node);
    if (change.kind === 'node') this.#node(own(change.node), change.data);
    else {
      const parent = own(change.parent);
      const { name } = change;
      const key = `${parent}/${Buffer.from(name).toString('latin1')}`;
      const isGone = change.kind === 'removed';
      const notice: Notice = isGone
        ? { kind: 'delete', parent, name, node: own(change.node) }
        : { kind: 'entry', parent, name };
      this.#waiting.delete(key);
      this.#waiting.set(key, notice);
      // The kernel drops a kept listing only with a name that it knows.
      this.#node(parent, true);
    }
    if (this.#waiting.size > NOTICES_MAX) this.#coverAll();
    this.#sending ??= this.#send();
  }

  #node(node: number, data: boolean): void {
    const key = String(node);
    const before = this.#waiting.get(key);
    this.#waiting.set(key, { kind: 'node', node, data: data || (before?.kind === 'node' && before.data) });
  }

  #coverAll(): void {
    const { log, minor, openNodes, tree } = this.#options;
    log.warn('fuse.notices-overflowed', { waiting: this.#waiting.size });
    this.#waiting = new Map();
    if (minor >= MINOR_OF_EPOCH) this.#waiting.set('everything', { kind: 'everything' });
    for (const node of openNodes()) this.#node(exchangeRoot(tree.root, node), true);
  }

  async #send(): Promise<void> {
    // What changes in one turn goes out together.
    await Promise.resolve();
    const { thread, fd, log } = this.#options;
    try {
      while (this.#waiting.size > 0 && !this.#isClosed) {
        const batch = [...this.#waiting.entries().take(BATCH_MAX)];
        for (const [key] of batch) this.#waiting.delete(key);
        const bytes = encodeNotices(batch.map(([, notice]) => notice));
        const errno = await thread.call({ kind: 'notices', fd, bytes });
        this.#sentCount += batch.length;
        if (errno !== 0 && errno !== ERRNO.ENODEV && errno !== ERRNO.ENOTCONN && errno !== ERRNO.ECONNABORTED) {
          log.warn('fuse.notice-refused', { errno });
        }
      }
    } catch (error) {
      log.error('fuse.notifier-failed', { error: String(error) });
    } finally {
      this.#sending = undefined;
    }
  }
}
