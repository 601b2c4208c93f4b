/** meta: transactional records with history, and the engines that keep them. */
export type { Applied } from './apply.ts';
export { type CheckpointReport, Checkpoints, type CheckpointsOptions } from './checkpoints.ts';
export * from './groups.ts';
export * from './ids.ts';
export { type CheckpointChain, findCheckpoint, loadCheckpoint } from './load-checkpoint.ts';
export * from './lock-faults.ts';
export * from './lock-modes.ts';
export { MemoryMeta, type MemoryMetaOptions } from './memory-meta.ts';
export * from './meta-store.ts';
export { openNodeSqlite } from './node-sqlite.ts';
export { pastRows } from './past.ts';
export { PinSet } from './pins.ts';
export type { RowSource } from './row-source.ts';
export * from './rows.ts';
export type { SqlDatabase, SqlStatement, SqlValue } from './sql.ts';
export { openSqliteFile, SqliteFile, type SqliteFileOptions } from './sqlite-file.ts';
export { openSqliteMeta, type SqliteMeta, type SqliteMetaOptions } from './sqlite-meta.ts';
export { INDEXES, TABLES } from './tables.ts';
