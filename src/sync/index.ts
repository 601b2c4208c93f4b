/** sync: comparing trees. Pure and browser-safe: plain data in, a plan out; nothing of where trees are kept. */
export * from './plan-sync.ts';
