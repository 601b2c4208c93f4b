/** client: a FileService over a connection. Browser-safe. */
export { type FetchTransportOptions, fetchTransport } from './fetch-transport.ts';
export { HttpFileService, type HttpFileServiceOptions } from './http-file-service.ts';
export { type HashedRun, type PartsOptions, type PartsSource, uploadInParts } from './upload-in-parts.ts';
