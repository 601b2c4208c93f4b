/**
 * The rules of every appender in one place: appends happen in the order of their calls, a sync covers what was appended
 * before its call, after a fault nothing more is taken, closing waits for what is under way. A place only says how
 * bytes are written at an offset and made durable; a wrapper says how another appender is asked.
 */
import { Fault } from '../base/index.ts';
import { Gate } from './gate.ts';
import type { Appender, ObjectName } from './object-store.ts';

export interface AppenderWork {
  readonly name: ObjectName;
  /** Bytes in the object before the first append. */
  readonly lengthBytes: number;
  write(parts: readonly Uint8Array[], offset: number): Promise<void>;
  sync(): Promise<void>;
  /** Called once. */
  close(): Promise<void>;
}

export class OrderedAppender implements Appender {
  readonly #work: AppenderWork;
  readonly #gate: Gate;
  #lengthBytes: number;
  /** Never rejects; the last append handed in is settled when it resolves. */
  #line = Promise.resolve();
  #end: Fault | undefined;
  #closing: Promise<void> | undefined;

  constructor(work: AppenderWork) {
    this.#work = work;
    this.#lengthBytes = work.lengthBytes;
    this.#gate = new Gate(`The appender of object ${work.name}`);
  }

  get lengthBytes(): number {
    return this.#lengthBytes;
  }

  append(parts: readonly Uint8Array[]): Promise<void> {
    const before = this.#line;
    const done = this.#gate.run(async () => {
      await before;
      await this.#orEnd(() => this.#work.write(parts, this.#lengthBytes));
      this.#lengthBytes += parts.reduce((sum, part) => sum + part.length, 0);
    });
    this.#line = done.catch(() => {});
    return done;
  }

  sync(): Promise<void> {
    const before = this.#line;
    return this.#gate.run(async () => {
      await before;
      await this.#orEnd(() => this.#work.sync());
    });
  }

  /** Takes nothing more, for this reason; the first reason stays. */
  end(fault: Fault): void {
    this.#end ??= fault;
  }

  close(): Promise<void> {
    this.#closing ??= this.#gate.close().then(() => this.#work.close());
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #orEnd(work: () => Promise<void>): Promise<void> {
    if (this.#end !== undefined) throw this.#end;
    try {
      await work();
    } catch (error) {
      const sentence = `An append to object ${this.#work.name} failed before, so how long it is has become unknown. Open a new appender, or look at head.`;
      // The code stays: whoever comes later has to do the same about it (free room, make a new object).
      this.end(new Fault(Fault.is(error) ? error.code : 'io', sentence, { name: this.#work.name }, error));
      throw error;
    }
    // Ended meanwhile: what was done is not to be relied on.
    if (this.#end !== undefined) throw this.#end;
  }
}

/** Why an appender ends when its object is deleted under it. */
export function appenderOfDeleted(name: ObjectName): Fault {
  return new Fault('not-found', `Object ${name} was deleted while it was open for appending. Append to a new object.`, {
    name,
  });
}
