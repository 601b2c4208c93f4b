/**
 * What the thread that writes SQLite metadata does, one request after the other. Rows are written as they come in, and
 * become durable with the end of their write; when one is refused, the rest of its write is passed over, the end says
 * why, and nothing of it is there.
 */
import { readRowRuns } from '../rows/row-runs.ts';
import type { SqlDatabase } from '../sql.ts';
import { faultOfSql } from './sql-fault.ts';
import { type SettleRequest, SqliteWriting } from './sqlite-writing.ts';
import { sentOf, type WriterAnswer, type WriterRequest } from './writer-messages.ts';

export class WriterSession {
  readonly #db: SqlDatabase;
  readonly #writing: SqliteWriting;
  /** Of the write that has begun. */
  #state: 'none' | 'open' | { readonly refusal: unknown } = 'none';

  /** `close` closes `db` too. */
  constructor(db: SqlDatabase) {
    this.#db = db;
    this.#writing = new SqliteWriting(db);
  }

  /** Undefined: nothing is answered to this. */
  take(request: WriterRequest): WriterAnswer | undefined {
    switch (request.kind) {
      case 'rows':
        if (request.bytes.length > 0) this.#takeRows(request.bytes);
        return request.isLast ? this.#end((writing) => writing.commit()) : undefined;
      case 'drop':
        return this.#end((writing) => writing.rollBack(undefined));
      case 'settle':
        return this.#settle(request.what);
      default:
        this.#db.close();
        return { kind: 'done' };
    }
  }

  #settle(what: SettleRequest): WriterAnswer {
    try {
      this.#writing.settle(what);
      return { kind: 'done' };
    } catch (error) {
      return this.#failed(error);
    }
  }

  #takeRows(bytes: Uint8Array<ArrayBuffer>): void {
    if (this.#state === 'none') this.#begin();
    if (this.#state !== 'open') return;
    try {
      readRowRuns(bytes, this.#writing);
    } catch (error) {
      this.#refuse(error);
    }
  }

  #begin(): void {
    try {
      this.#writing.begin();
      this.#state = 'open';
    } catch (error) {
      this.#state = { refusal: error };
    }
  }

  #end(act: (writing: SqliteWriting) => void): WriterAnswer {
    try {
      if (this.#state === 'open') act(this.#writing);
    } catch (error) {
      this.#refuse(error);
    }
    const state = this.#state;
    this.#state = 'none';
    if (typeof state === 'string') return { kind: 'done' };
    return this.#failed(state.refusal);
  }

  #failed(error: unknown): WriterAnswer {
    return { kind: 'failed', error: sentOf(error), isBroken: this.#writing.broken !== undefined };
  }

  #refuse(error: unknown): void {
    this.#state = { refusal: faultOfSql(error, 'commit') };
    this.#writing.rollBack(error);
  }
}
