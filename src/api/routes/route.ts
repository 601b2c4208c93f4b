/**
 * What a route is, and the pieces that many routes are made of: parameters, headers, answers and faults. The routes
 * themselves stand beside this, a file for each subject.
 */

import type { FaultCode } from '../../base/index.ts';
import { FILE_KINDS, FileRecord } from '../records.ts';
import Type, { type TObject, type TSchema } from '../schema.ts';

export type HttpMethod = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE' | 'OPTIONS';

export type RouteBody =
  /** The bytes of a file, as they are. */
  | { readonly type: 'bytes'; readonly description: string }
  | {
      readonly type: 'json';
      readonly schema: TObject;
      readonly isOptional?: boolean;
      readonly example?: unknown;
    }
  /** A form with fields, then one file; or with any number of files and no fields. */
  | { readonly type: 'multipart'; readonly fields: TObject; readonly hasMany?: boolean };

export interface RouteAnswer {
  readonly description: string;
  /** Absent when there is no body. */
  readonly type?: 'json' | 'ndjson' | 'bytes' | 'html' | 'parts';
  /** Of the JSON, or of each line. */
  readonly schema?: TSchema;
  /** Names from ANSWER_HEADERS. */
  readonly headers?: readonly string[];
}

export interface Route {
  readonly method: HttpMethod;
  readonly path: string;
  readonly tag:
    | 'Files'
    | 'Folders'
    | 'Versions'
    | 'Snapshots'
    | 'Trees'
    | 'Bulk'
    | 'Uploads'
    | 'Locks'
    | 'Store'
    | 'About';
  readonly summary: string;
  readonly description?: string;
  readonly query?: TObject;
  /** Names from REQUEST_HEADERS. */
  readonly headers?: readonly string[];
  readonly body?: RouteBody;
  readonly answers: Readonly<Record<number, RouteAnswer>>;
  /** What it may answer instead, beside what every route may (ANY_FAULTS). */
  readonly faults?: readonly FaultCode[];
}

export const closed = { additionalProperties: false };

export const flag = (description: string) => Type.Optional(Type.Boolean({ description }));

export const text = (description: string) => Type.Optional(Type.String({ description }));

export const moment = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }));

export const bytes = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }));

export const PathText = Type.String({ description: 'Absolute path in text form.', maxLength: 20_000 });

export const Cursor = Type.Optional(
  Type.String({ description: 'Where to go on: `next` of the page before.', maxLength: 20_000 }),
);

export const Limit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 1_000, description: 'Entries a page; 1,000 when absent.' }),
);

export const Kind = Type.Optional(
  Type.Union(
    FILE_KINDS.map((kind) => Type.Literal(kind)),
    { description: 'Only nodes of this kind.' },
  ),
);

export const VersionNumber = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });

export const Permissions = Type.Optional(
  Type.Integer({ minimum: 0, maximum: 0o7777, description: 'Permission bits.' }),
);

export const expecting = {
  expected_version: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Do it only while this is the current version; 409 `conflict` names both otherwise.',
    }),
  ),
  expected_file_id: Type.Optional(
    Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER, description: 'Do it only while this file is there.' }),
  ),
};

export const parents = flag('Make the folders above when they are missing.');

export const recursive = flag('A folder with all that is in it.');

export const dryRun = flag('Say what would be done, and do nothing.');

export const withAttributes = flag('With the named attributes.');

export const pages = { cursor: Cursor, limit: Limit };

export const at = Type.Optional(
  Type.String({
    description:
      'Read the past: the name of a snapshot, a time (ISO 8601) or the number of a commit. 410 `not-kept` says what is kept.',
    minLength: 1,
    maxLength: 1_000,
  }),
);

/** Headers that requests may carry. */
export const REQUEST_HEADERS: Readonly<Record<string, string>> = {
  'If-Match': 'Do it only while the file has this ETag; 412 otherwise. `*`: while there is a file at all.',
  'If-None-Match':
    'GET, HEAD: 304 when the file still has one of these ETags. PUT with `*`: only while there is nothing, 412 otherwise.',
  'If-Modified-Since': '304 when the file has not changed since. Ignored beside If-None-Match.',
  Range: 'One range of bytes: `bytes=0-99`, `bytes=100-`, `bytes=-100`. Several are answered with the whole file.',
  'If-Range': 'Answer the range only while the file has this ETag or this Last-Modified; the whole file otherwise.',
  'X-File-Size': 'Bytes that will come; 400 `mismatch` when more or fewer do. Content-Length counts the same.',
  'X-File-Hash': 'XXH3-64 of the whole content, 16 hex digits; 400 `mismatch` when the bytes have another.',
  'Content-Digest':
    'RFC 9530, `sha-256=:base64:`, also `sha-512`, `sha`, `md5`; 400 `mismatch` when the bytes have another. Repr-Digest likewise. Others are passed over, with `Prefer: handling=strict` refused.',
  'Content-MD5': 'The MD5 of the body in base64; 400 `mismatch` when the bytes have another.',
  'X-Modified-Time': 'Modification time of the file, ISO 8601 with a zone; now when absent.',
  'X-File-Mode': 'Permission bits, octal: `644`.',
  'Idempotency-Key': 'The same key again answers what the first request answered and does nothing. 1–255 characters.',
  'Lock-Token':
    'The token of a lock that is presented: 423 `locked` past a lock of somebody else, 412 `lock-lost` when this one is held no more.',
  Prefer:
    'DELETE: `return=representation` answers 200 with what was removed instead of 204. GET, HEAD: `file-record` adds the header X-File-Record.',
  'Last-Event-ID': 'Cursor of the last event that came; as `after`, and counts more.',
  'Tus-Resumable': '`1.0.0`; 412 without it.',
  'Upload-Length': 'Bytes of the whole file.',
  'Upload-Offset': 'Where the body begins: the bytes that are there already.',
  'Upload-Metadata':
    'Pairs of a key and a value in base64, with commas between. `path`: where the file goes, in text form. Or `filename` (`name`, `relativePath`): below the `path` of the query. `modified` (ISO 8601), `xxhash3`, `sha256` (hex), `overwrite` (`false`) count too; all else is only kept.',
  'X-HTTP-Method-Override': 'PATCH, DELETE or HEAD: for clients that can only POST.',
  Accept: '`application/json` answers one JSON object instead of NDJSON.',
};

/** Headers of answers. */
export const ANSWER_HEADERS: Readonly<Record<string, string>> = {
  ETag: '"<file_id>-<version>", strong: changes with every change of content.',
  'Last-Modified': 'Modification time, to the second.',
  'X-File-Id': 'The node.',
  'X-File-Version': 'The version answered.',
  'X-File-Size': 'Bytes of the whole file.',
  'X-File-Hash': 'XXH3-64 of the whole content, 16 hex digits; absent until it is computed.',
  'X-Modified-Time': 'Modification time, ISO 8601.',
  'X-File-Record': 'The whole record, JSON in percent-encoding; where `Prefer: file-record` asks for it.',
  'Content-Range': 'Which bytes these are, and of how many.',
  'Accept-Ranges': '`bytes`.',
  Location: 'Where it stands.',
  'Tus-Resumable': '`1.0.0`.',
  'Tus-Version': '`1.0.0`.',
  'Tus-Extension': 'What of tus there is.',
  'Tus-Max-Size': 'Bytes that one file may have.',
  'Upload-Offset': 'Bytes that are there.',
  'Upload-Length': 'Bytes of the whole file.',
  'Upload-Metadata': 'As it was sent in the beginning.',
  'Upload-Expires': 'When it is gone unless more comes.',
};

export const WRITE_FAULTS = [
  'exists',
  'not-folder',
  'is-folder',
  'conflict',
  'too-large',
  'mismatch',
  'full',
  'quota',
  'locked',
  'lock-lost',
] as const;

export const record = (description: string): RouteAnswer => ({
  description,
  type: 'json',
  schema: FileRecord,
  headers: ['ETag'],
});

/** What every route may answer: a request that is wrong, a foreign Host or Origin, a server that is full or stopping. */
export const ANY_FAULTS: readonly FaultCode[] = ['invalid', 'denied', 'busy', 'unavailable', 'io'];

export const signed = {
  expires: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Of a signed URL: until when, Unix seconds.',
    }),
  ),
  signature: Type.Optional(Type.String({ maxLength: 100, description: 'Of a signed URL.' })),
};
