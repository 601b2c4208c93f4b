/**
 * SQL from tables.ts: the definitions of the current schema and the statements of rows. docs/formats/metadata.md carries
 * the definitions word for word, and a test compares them.
 */
import type { IndexName, TableName } from '../rows/rows.ts';
import { type ColumnType, INDEX_NAMES, INDEXES, TABLE_NAMES, type Table, table, type Way } from '../rows/tables.ts';
import { listed, quoted } from '../sql.ts';

/** The column that holds a row's checksum, after all others. */
export const CHECKSUM_COLUMN = 'checksum';

const SQL_TYPES: Readonly<Record<ColumnType, string>> = {
  int: 'INTEGER NOT NULL',
  'int?': 'INTEGER',
  text: 'TEXT NOT NULL',
  bytes: 'BLOB NOT NULL',
  'bytes?': 'BLOB',
};

export function tableSql(name: TableName): string {
  const { columns, types, key } = table(name);
  const lines = columns.map((column, i) => `  ${quoted(column)} ${SQL_TYPES[types[i] ?? 'int']}`);
  lines.push(`  ${quoted(CHECKSUM_COLUMN)} INTEGER NOT NULL`, `  PRIMARY KEY (${listed(key)})`);
  return `CREATE TABLE ${quoted(name)} (\n${lines.join(',\n')}\n) STRICT, WITHOUT ROWID;`;
}

export function indexSql(name: IndexName): string {
  return `CREATE INDEX ${quoted(name)} ON ${quoted(INDEXES[name].table)} (${listed(INDEXES[name].key)});`;
}

/** The keys of what each transaction changed (changed-keys.ts), until a checkpoint holds it. No table of rows. */
export const JOURNAL_SQL = `CREATE TABLE "journal" (
  "sequence" INTEGER PRIMARY KEY,
  "keys" BLOB NOT NULL,
  "checksum" INTEGER NOT NULL
) STRICT;`;

/** Every definition, in order. */
export function schemaSql(): string {
  return [...TABLE_NAMES.map(tableSql), ...INDEX_NAMES.map(indexSql), JOURNAL_SQL].join('\n');
}

function keyMatch(of: Table): string {
  return of.key.map((column) => `${quoted(column)} = ?`).join(' AND ');
}

/** Columns in order, then the checksum. */
export function getSql(of: Table): string {
  return `SELECT ${listed([...of.columns, CHECKSUM_COLUMN])} FROM ${quoted(of.name)} NOT INDEXED WHERE ${keyMatch(of)}`;
}

/** Takes the columns in order, then the checksum. */
export function insertSql(of: Table, orReplace: boolean): string {
  const columns = [...of.columns, CHECKSUM_COLUMN];
  const verb = orReplace ? 'INSERT OR REPLACE' : 'INSERT';
  return `${verb} INTO ${quoted(of.name)} (${listed(columns)}) VALUES (${columns.map(() => '?').join(', ')})`;
}

export function deleteSql(of: Table): string {
  return `DELETE FROM ${quoted(of.name)} WHERE ${keyMatch(of)}`;
}

export interface ScanShape {
  readonly prefixCount: number;
  /** Columns of `after` or `from`; 0 for neither. */
  readonly boundCount: number;
  readonly isInclusive: boolean;
  readonly isReverse: boolean;
}

/**
 * Takes the prefix, the bound, the limit. `+?` keeps the planner from looking at the bound value and planning anew for
 * each: measured at a third of the time of a short scan.
 */
export function scanSql(way: Way, shape: ScanShape): string {
  const prefix = way.key.slice(0, shape.prefixCount).map((column) => `${quoted(column)} = ?`);
  const bound = way.key.slice(shape.prefixCount, shape.prefixCount + shape.boundCount);
  const sign = `${shape.isReverse ? '<' : '>'}${shape.isInclusive ? '=' : ''}`;
  const past = bound.length === 0 ? [] : [`(${listed(bound)}) ${sign} (${bound.map(() => '?').join(', ')})`];
  const where = [...prefix, ...past];
  const order = way.key.map((column) => `${quoted(column)}${shape.isReverse ? ' DESC' : ''}`).join(', ');
  const indexed = way.index === undefined ? 'NOT INDEXED' : `INDEXED BY ${quoted(way.index)}`;
  return [
    `SELECT ${listed([...way.table.columns, CHECKSUM_COLUMN])} FROM ${quoted(way.table.name)} ${indexed}`,
    where.length === 0 ? '' : ` WHERE ${where.join(' AND ')}`,
    ` ORDER BY ${order} LIMIT +?`,
  ].join('');
}
