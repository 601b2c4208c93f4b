/**
 * Every table and index as data: key columns in order, columns with their types, which table keeps a table's past,
 * which columns take the number of the commit, which columns are counted references, which are counted by the engine.
 * SQL, the memory engine, row checksums and the meaning of a change derive from it, so that a column is described once.
 * `satisfies` ties each description to its row interface: a forgotten, misnamed or mistyped column does not compile.
 *
 * Column order and `number` go into row checksums (docs/formats/metadata.md): never reorder, never reuse a number.
 */
import type { Indexes, IndexName, Keys, Rows, TableName } from './rows.ts';

/** `int` is a whole number of at most 53 bits and a sign; `?` may be null. */
export type ColumnType = 'int' | 'int?' | 'text' | 'bytes' | 'bytes?';

export type Value = number | string | Uint8Array | null;
/** A row as engines see it, whatever its table. */
export type Row = Readonly<Record<string, Value>>;
export type KeyPart = number | string | Uint8Array;
/** A whole key, or the leading columns of one. */
export type Key = readonly KeyPart[];

type PlainTypeOf<V> = [V] extends [number] ? 'int' : [V] extends [string] ? 'text' : 'bytes';
type TypeOf<V> = null extends V ? `${PlainTypeOf<Exclude<V, null>>}?` : PlainTypeOf<V>;
type ColumnOf<R, V> = { [C in keyof R & string]: R[C] extends V ? C : never }[keyof R & string];
/** Columns of a row whose values fit a key's, in the key's order. */
type KeyColumns<R, K extends readonly unknown[]> = { readonly [I in keyof K]: ColumnOf<R, K[I]> };
type ColumnName<T extends TableName> = keyof Rows[T] & string;

interface Shape<T extends TableName> {
  /** Names the table in row checksums. */
  readonly number: number;
  readonly key: KeyColumns<Rows[T], Keys[T]>;
  readonly columns: { readonly [C in ColumnName<T>]: TypeOf<Rows[T][C]> };
  /** Where rows go that were replaced or removed and are still needed. */
  readonly history?: TableName;
  /** Columns in which THIS_COMMIT stands for the number of the change's own commit. */
  readonly commitColumns?: readonly ColumnName<T>[];
  /** Columns that name a counted row: a chunk of the realm, or a content of the space. */
  readonly references?: { readonly column: ColumnName<T>; readonly to: 'chunks' | 'contents' };
  /** Columns that the engine keeps: a put over an existing row does not change them. */
  readonly counted?: readonly ColumnName<T>[];
}

const node = {
  space: 'int',
  node: 'int',
  kind: 'int',
  parent: 'int?',
  mode: 'int',
  uid: 'int',
  gid: 'int',
  links: 'int',
  size: 'int',
  content: 'int?',
  version: 'int',
  versionCommit: 'int',
  replacedNode: 'int?',
  modifiedSeconds: 'int',
  modifiedNanoseconds: 'int',
  changedSeconds: 'int',
  changedNanoseconds: 'int',
  accessedSeconds: 'int',
  accessedNanoseconds: 'int',
  createdSeconds: 'int',
  createdNanoseconds: 'int',
  device: 'int',
  target: 'bytes?',
  born: 'int',
} as const;

const entry = { space: 'int', parent: 'int', name: 'bytes', node: 'int', kind: 'int', born: 'int' } as const;

const attribute = { space: 'int', node: 'int', name: 'bytes', value: 'bytes', born: 'int' } as const;

const extent = {
  space: 'int',
  content: 'int',
  offset: 'int',
  length: 'int',
  kind: 'int',
  chunk: 'bytes?',
  chunkOffset: 'int',
  unsettled: 'int',
  data: 'bytes?',
  born: 'int',
} as const;

export const TABLES = {
  spaces: {
    number: 1,
    key: ['space'],
    columns: {
      space: 'int',
      realm: 'int',
      name: 'text',
      root: 'int',
      head: 'int',
      headSeconds: 'int',
      headNanoseconds: 'int',
      liveBytes: 'int',
      historyBytes: 'int',
      quotaBytes: 'int?',
    },
    counted: ['head', 'headSeconds', 'headNanoseconds', 'liveBytes', 'historyBytes'],
  },
  nodes: {
    number: 2,
    key: ['space', 'node'],
    columns: node,
    history: 'nodesHistory',
    commitColumns: ['versionCommit'],
    references: { column: 'content', to: 'contents' },
  },
  nodesHistory: {
    number: 3,
    key: ['space', 'node', 'died'],
    columns: { ...node, died: 'int' },
    references: { column: 'content', to: 'contents' },
  },
  entries: { number: 4, key: ['space', 'parent', 'name'], columns: entry, history: 'entriesHistory' },
  entriesHistory: { number: 5, key: ['space', 'parent', 'name', 'died'], columns: { ...entry, died: 'int' } },
  attributes: { number: 6, key: ['space', 'node', 'name'], columns: attribute, history: 'attributesHistory' },
  attributesHistory: { number: 7, key: ['space', 'node', 'name', 'died'], columns: { ...attribute, died: 'int' } },
  contents: {
    number: 8,
    key: ['space', 'content'],
    columns: { space: 'int', content: 'int', size: 'int', refs: 'int', base: 'int?', hash: 'bytes?' },
    references: { column: 'base', to: 'contents' },
    counted: ['refs'],
  },
  extents: {
    number: 9,
    key: ['space', 'content', 'offset'],
    columns: extent,
    history: 'extentsHistory',
    references: { column: 'chunk', to: 'chunks' },
  },
  extentsHistory: {
    number: 10,
    key: ['space', 'content', 'offset', 'died'],
    columns: { ...extent, died: 'int' },
    references: { column: 'chunk', to: 'chunks' },
  },
  versions: {
    number: 11,
    key: ['space', 'node', 'version'],
    columns: {
      space: 'int',
      node: 'int',
      version: 'int',
      content: 'int',
      commit: 'int',
      replacedBy: 'int',
      size: 'int',
      modifiedSeconds: 'int',
      modifiedNanoseconds: 'int',
      replacedSeconds: 'int',
      replacedNode: 'int?',
      heir: 'int?',
    },
    commitColumns: ['commit', 'replacedBy'],
    references: { column: 'content', to: 'contents' },
  },
  commits: {
    number: 12,
    key: ['space', 'commit'],
    columns: {
      space: 'int',
      commit: 'int',
      seconds: 'int',
      nanoseconds: 'int',
      actor: 'text',
      door: 'text',
      request: 'text',
      kind: 'text',
      operation: 'text',
    },
  },
  changes: {
    number: 13,
    key: ['space', 'commit', 'sequence'],
    columns: {
      space: 'int',
      commit: 'int',
      sequence: 'int',
      node: 'int',
      kind: 'int',
      parentBefore: 'int?',
      nameBefore: 'bytes?',
      parentAfter: 'int?',
      nameAfter: 'bytes?',
      version: 'int?',
    },
  },
  pins: {
    number: 14,
    key: ['space', 'pin'],
    columns: {
      space: 'int',
      pin: 'int',
      holder: 'text',
      name: 'text',
      fromCommit: 'int',
      toCommit: 'int?',
      expiresSeconds: 'int?',
    },
    commitColumns: ['fromCommit', 'toCommit'],
  },
  packs: {
    number: 15,
    key: ['realm', 'pack'],
    columns: {
      realm: 'int',
      pack: 'int',
      object: 'text',
      state: 'int',
      lengthBytes: 'int',
      recordCount: 'int',
      liveBytes: 'int',
      liveCount: 'int',
      owner: 'text',
      createdSeconds: 'int',
      verifiedSeconds: 'int?',
    },
    counted: ['liveBytes', 'liveCount'],
  },
  chunks: {
    number: 16,
    key: ['realm', 'id'],
    columns: {
      realm: 'int',
      id: 'bytes',
      pack: 'int',
      refs: 'int',
      plainLength: 'int',
      storedLength: 'int',
      base: 'bytes?',
      depth: 'int',
      zeroSeconds: 'int?',
    },
    references: { column: 'base', to: 'chunks' },
    counted: ['refs', 'zeroSeconds'],
  },
  orphans: { number: 17, key: ['space', 'node'], columns: { space: 'int', node: 'int', owner: 'text' } },
  reaps: {
    number: 18,
    key: ['space', 'kind', 'target'],
    columns: { space: 'int', kind: 'int', target: 'int', owner: 'text', died: 'int' },
    commitColumns: ['died'],
  },
  idempotency: {
    number: 19,
    key: ['space', 'key'],
    columns: { space: 'int', key: 'text', fingerprint: 'text', answer: 'text', expiresSeconds: 'int' },
  },
  settings: { number: 20, key: ['name'], columns: { name: 'text', value: 'text' } },
  counters: { number: 21, key: ['name'], columns: { name: 'text', next: 'int' } },
  snapshots: {
    number: 22,
    key: ['space', 'name'],
    columns: {
      space: 'int',
      name: 'text',
      commit: 'int',
      pin: 'int',
      node: 'int',
      seconds: 'int',
      nanoseconds: 'int',
      actor: 'text',
      door: 'text',
      schedule: 'text',
    },
    commitColumns: ['commit'],
  },
  locks: {
    number: 23,
    key: ['space', 'token', 'key'],
    columns: {
      space: 'int',
      token: 'int',
      key: 'text',
      mode: 'text',
      isTarget: 'int',
      session: 'text',
      holder: 'text',
      path: 'text',
      grantedMs: 'int',
      expiresMs: 'int',
    },
  },
  uploads: {
    number: 24,
    key: ['space', 'upload'],
    columns: {
      space: 'int',
      upload: 'text',
      state: 'int',
      path: 'text',
      mode: 'text',
      size: 'int?',
      partBytes: 'int',
      expectedVersion: 'int?',
      expectedNode: 'int?',
      xxhash3: 'bytes?',
      sha256: 'bytes?',
      modifiedSeconds: 'int?',
      modifiedNanoseconds: 'int?',
      permissions: 'int?',
      parents: 'int',
      content: 'int?',
      received: 'int',
      createdSeconds: 'int',
      expiresSeconds: 'int',
      actor: 'text',
      door: 'text',
      note: 'text',
      answer: 'text',
    },
    references: { column: 'content', to: 'contents' },
  },
  uploadParts: {
    number: 25,
    key: ['space', 'upload', 'part'],
    columns: { space: 'int', upload: 'text', part: 'int', size: 'int', hash: 'bytes', receivedSeconds: 'int' },
  },
} as const satisfies { readonly [T in TableName]: Shape<T> };

export const INDEXES = {
  entriesByNode: { table: 'entries', key: ['space', 'node', 'parent', 'name'] },
  entriesHistoryByNode: { table: 'entriesHistory', key: ['space', 'node', 'died', 'parent', 'name'] },
  locksByKey: { table: 'locks', key: ['space', 'key', 'token'] },
  uploadsByState: { table: 'uploads', key: ['space', 'state', 'upload'] },
} as const satisfies {
  readonly [N in IndexName]: {
    readonly table: Indexes[N]['table'];
    readonly key: KeyColumns<Rows[Indexes[N]['table']], Indexes[N]['key']>;
  };
};

/** One table, made uniform for code that treats all tables alike. */
export interface Table {
  readonly name: TableName;
  readonly number: number;
  readonly key: readonly string[];
  /** In checksum order. */
  readonly columns: readonly string[];
  readonly types: readonly ColumnType[];
  readonly history: TableName | undefined;
  readonly commitColumns: readonly string[];
  readonly references: { readonly column: string; readonly to: 'chunks' | 'contents' } | undefined;
  readonly counted: readonly string[];
  readonly hasBorn: boolean;
  /** All columns that name a commit of the space, and whether one of them is part of the key. */
  readonly commitNumbers: readonly string[];
  readonly isKeyedByCommit: boolean;
  /** The row before must be known when one is put or deleted: it has a past, is counted, or counts others. */
  readonly minds: boolean;
}

interface AnyShape {
  readonly number: number;
  readonly key: readonly string[];
  readonly columns: Readonly<Record<string, ColumnType>>;
  readonly history?: TableName;
  readonly commitColumns?: readonly string[];
  readonly references?: { readonly column: string; readonly to: 'chunks' | 'contents' };
  readonly counted?: readonly string[];
}

/** What the engine itself fills in: lives, the head of a space, the commit of a line of its change list. */
const COMMIT_NUMBERS: readonly string[] = ['born', 'died', 'head', 'commit'];

function tableOf(name: TableName): Table {
  const shape: AnyShape = TABLES[name];
  const commitNumbers = Object.keys(shape.columns).filter(
    (column) => COMMIT_NUMBERS.includes(column) || shape.commitColumns?.includes(column) === true,
  );
  return {
    name,
    number: shape.number,
    key: shape.key,
    columns: Object.keys(shape.columns),
    types: Object.values(shape.columns),
    history: shape.history,
    commitColumns: shape.commitColumns ?? [],
    references: shape.references,
    counted: shape.counted ?? [],
    // A history row keeps the `born` that it had when it was alive.
    hasBorn: 'born' in shape.columns && !('died' in shape.columns),
    commitNumbers,
    isKeyedByCommit: shape.key.some((column) => commitNumbers.includes(column)),
    minds: shape.history !== undefined || shape.references !== undefined || shape.counted !== undefined,
  };
}

export const TABLE_NAMES = Object.keys(TABLES) as readonly TableName[];
export const INDEX_NAMES = Object.keys(INDEXES) as readonly IndexName[];

const tables = Object.fromEntries(TABLE_NAMES.map((name) => [name, tableOf(name)])) as Readonly<
  Record<TableName, Table>
>;

export function table(name: TableName): Table {
  return tables[name];
}

export interface Way {
  readonly table: Table;
  readonly index: IndexName | undefined;
  readonly key: readonly string[];
}

/** What a scan of `name` goes over, and by which columns. */
export function wayOf(name: TableName | IndexName): Way {
  if (!(name in INDEXES))
    return { table: table(name as TableName), index: undefined, key: table(name as TableName).key };
  const index = name as IndexName;
  return { table: table(INDEXES[index].table), index, key: INDEXES[index].key };
}

export function keyOf(of: Table, row: Row): Key {
  const { key: columns } = of;
  const key: KeyPart[] = [];
  for (let i = 0; i < columns.length; i++) key.push(row[columns[i] as string] as KeyPart);
  return key;
}
