/** base: what every room stands on. Nothing of Node, nothing of Holdfast's own subject. */
export * from './bytes.ts';
export * from './clock.ts';
export * from './fault.ts';
export * from './limit.ts';
export * from './log.ts';
export * from './lru.ts';
export * from './maybe.ts';
export * from './nearest.ts';
export * from './option-text.ts';
export * from './option-values.ts';
export * from './options.ts';
export * from './random.ts';
export * from './retry.ts';
export * from './runs.ts';
export * from './turns.ts';
