/** Uploads on the other side of a connection. */
import type { ByteSource, CompleteOptions, PartOptions, RouteId, UploadOptions, UploadService } from '../api/index.ts';

export interface UploadCall {
  readonly upload?: string | undefined;
  readonly part?: number | undefined;
  readonly query?: object | undefined;
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  readonly json?: unknown;
  readonly body?: ByteSource | undefined;
  readonly signal?: AbortSignal | undefined;
}

export interface UploadConnection {
  ask<T>(id: RouteId, call: UploadCall): Promise<T>;
  /** A source with an announced size is sent with exactly so many bytes. */
  exactly(source: ByteSource, size: number): ByteSource;
  digestOf(sha256: string): string;
}

export function httpUploads({ ask, exactly, digestOf }: UploadConnection): UploadService {
  return {
    create: (path, options: UploadOptions = {}) => {
      const { mode, size, xxhash3, sha256, modified, permissions, parents, note } = options;
      const json = {
        ...{ path, mode, size, xxhash3, sha256, modified, permissions, parents, note },
        part_size: options.partSize,
        appended: options.isAppended,
        expected_version: options.expectedVersion,
        expected_file_id: options.expectedId,
      };
      const headers = { 'lock-token': options.lockToken?.toString() };
      return ask('uploadCreate', { json, headers, signal: options.signal });
    },
    putPart: (upload, part, source, options: PartOptions = {}) => {
      const { size, xxhash3, sha256, signal } = options;
      const headers = {
        'content-type': 'application/octet-stream',
        'content-length': size === undefined ? undefined : String(size),
        'x-file-hash': xxhash3,
        'content-digest': sha256 === undefined ? undefined : digestOf(sha256),
      };
      const body = size === undefined ? source : exactly(source, size);
      return ask('partPut', { upload, part, query: { rest: options.isRest }, headers, body, signal });
    },
    chunking: ({ signal } = {}) => ask('chunking', { signal }),
    have: (upload, part, chunks, { signal } = {}) => ask('uploadHave', { upload, part, json: { chunks }, signal }),
    append: (upload, offset, source, { signal } = {}) => {
      const headers = { 'content-type': 'application/octet-stream' };
      return ask('uploadAppend', { upload, query: { offset }, headers, body: source, signal });
    },
    find: (upload, { signal } = {}) => ask('uploadRead', { upload, signal }),
    parts: (upload, { after, limit, signal } = {}) => ask('uploadParts', { upload, query: { after, limit }, signal }),
    list: ({ path, signal } = {}) => ask('uploadList', { query: { path }, signal }),
    complete: (upload, options: CompleteOptions = {}) => {
      const { size, xxhash3, sha256, lockToken, signal } = options;
      const headers = { 'lock-token': lockToken?.toString() };
      return ask('uploadComplete', { upload, json: { size, xxhash3, sha256 }, headers, signal });
    },
    remove: (upload, { signal } = {}) => ask('uploadRemove', { upload, signal }),
  };
}
