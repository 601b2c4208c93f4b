/** Rows as engines and layers hand them to each other: whatever the table, answered and written at once. */
import type { IndexName, TableName } from './rows.ts';
import type { Key, Row } from './tables.ts';

/** A scan range whose columns the type system no longer knows. */
export interface AnyRange {
  readonly prefix: Key;
  readonly after?: Key;
  readonly from?: Key;
  readonly limit: number;
  readonly reverse?: boolean;
}

/** Rows answered at once, as an engine with everything at hand does. */
export interface RowSource {
  get(name: TableName, key: Key): Row | undefined;
  /** `limit` has no bound here. */
  scan(name: TableName | IndexName, range: AnyRange): readonly Row[];
}

/** The same for who has the key's string at hand. */
export interface KeyedSource {
  get(name: TableName, key: Key, id: string): Row | undefined;
  scan(name: TableName | IndexName, range: AnyRange): readonly Row[];
}

/** One row to write in a group's transaction. */
export interface RowWrite {
  readonly table: TableName;
  readonly key: Key;
  /** Undefined: it goes. */
  readonly row: Row | undefined;
  /** There is none yet; the engine asserts it. */
  readonly isNew: boolean;
}
