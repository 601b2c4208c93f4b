/** api: the wire contract. Browser-safe. */
export * from './batch-order.ts';
export * from './bulk-records.ts';
export { FakeLocks } from './fake-locks.ts';
export { FakeUploads } from './fake-uploads.ts';
export * from './file-service.ts';
export * from './openapi.ts';
export * from './path.ts';
export * from './problem.ts';
export * from './records.ts';
export * from './routes.ts';
export * from './transport.ts';
export * from './upload-service.ts';
