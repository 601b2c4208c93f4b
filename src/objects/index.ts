/** objects: where bytes live. */
export type * from './disk.ts';
export type * from './object-store.ts';
