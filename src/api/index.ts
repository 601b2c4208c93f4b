/** api: the wire contract. Browser-safe. */
export * from './file-service.ts';
export * from './path.ts';
export * from './records.ts';
