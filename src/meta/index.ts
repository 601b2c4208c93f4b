/** meta: transactional records with history, and the engines that keep them. */
export * from './groups.ts';
export * from './ids.ts';
export * from './meta-store.ts';
export * from './rows.ts';
