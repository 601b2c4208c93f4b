/**
 * The HTTP interface as data: every route with its method, path, query, headers, body and answers. The door routes and
 * checks requests by this table, the client builds its requests from it, and the OpenAPI document is written from it, so
 * that the three cannot differ. A `{path}` at the end of a route is the rest of the URL: percent-encoded bytes, slashes
 * plain or as %2F (path.ts). Query values are text: booleans are `true` or `false`, and a bare name means true.
 */

import { Fault, type FaultCode } from '../base/index.ts';
import { BulkAnswer, BulkDeleteBody, BulkDownloadBody, SyncAnswer, SyncBody } from './bulk-records.ts';
import {
  AttributeChange,
  BatchAnswer,
  BatchRequest,
  ChangePage,
  CheckReport,
  ChunkClaim,
  Chunking,
  DeletedPage,
  FILE_KINDS,
  FileRecord,
  GcReport,
  GcStatus,
  Id,
  ListPage,
  LOCK_MODE_NAMES,
  LockList,
  LockRecord,
  LogPage,
  PrunePlan,
  Removed,
  RepairReport,
  RestorePlan,
  ServerInfo,
  SnapshotPage,
  SnapshotRecord,
  StoreStats,
  UploadHave,
  UploadList,
  UploadPartPage,
  UploadPartRecord,
  UploadRecord,
  Usage,
  VersionPage,
} from './records.ts';
import Type, { type Static, type TObject, type TSchema } from './schema.ts';
import { HAVE_CHUNKS_MAX, PART_BYTES_MAX, PART_BYTES_MIN } from './upload-service.ts';

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

const closed = { additionalProperties: false };
const flag = (description: string) => Type.Optional(Type.Boolean({ description }));
const text = (description: string) => Type.Optional(Type.String({ description }));
const moment = (description: string) => Type.Optional(Type.String({ format: 'date-time', description }));
const bytes = (description: string) =>
  Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description }));

const PathText = Type.String({ description: 'Absolute path in text form.', maxLength: 20_000 });
const Cursor = Type.Optional(
  Type.String({ description: 'Where to go on: `next` of the page before.', maxLength: 20_000 }),
);
const Limit = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 1_000, description: 'Entries a page; 1,000 when absent.' }),
);
const Kind = Type.Optional(
  Type.Union(
    FILE_KINDS.map((kind) => Type.Literal(kind)),
    { description: 'Only nodes of this kind.' },
  ),
);
const VersionNumber = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Permissions = Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777, description: 'Permission bits.' }));
const expecting = {
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
const parents = flag('Make the folders above when they are missing.');
const recursive = flag('A folder with all that is in it.');
const dryRun = flag('Say what would be done, and do nothing.');
const withAttributes = flag('With the named attributes.');
const reasoned = {
  why: flag('With the reasons for which the rules keep each.'),
  keep: text('With the reasons for which these rules would, such as `daily 30, last 5`.'),
};
const pages = { cursor: Cursor, limit: Limit };
const at = Type.Optional(
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
  'Content-Digest': 'RFC 9530, `sha-256=:base64:`; 400 `mismatch` when the bytes have another. Repr-Digest likewise.',
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

const WRITE_HEADERS = [
  'If-Match',
  'X-File-Size',
  'X-File-Hash',
  'Content-Digest',
  'X-Modified-Time',
  'X-File-Mode',
  'Idempotency-Key',
  'Lock-Token',
];
const READ_HEADERS = ['If-Match', 'If-None-Match', 'If-Modified-Since', 'Prefer'];
const FILE_ANSWER_HEADERS = [
  'ETag',
  'Last-Modified',
  'Accept-Ranges',
  'X-File-Id',
  'X-File-Version',
  'X-File-Size',
  'X-File-Hash',
  'X-Modified-Time',
  'X-File-Record',
];
const WRITE_FAULTS = [
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
const record = (description: string): RouteAnswer => ({
  description,
  type: 'json',
  schema: FileRecord,
  headers: ['ETag'],
});

/** What every route may answer: a request that is wrong, a foreign Host or Origin, a server that is full or stopping. */
export const ANY_FAULTS: readonly FaultCode[] = ['invalid', 'denied', 'busy', 'unavailable', 'io'];

const CheckLine = Type.Object(
  {
    progress: Type.Optional(Type.Object({ done: Type.Integer(), total: Type.Integer() }, { description: 'Bytes.' })),
    report: Type.Optional(CheckReport),
    problem: Type.Optional(Type.Unknown({ description: 'A Problem: the check itself failed.' })),
  },
  { $id: 'CheckLine', description: 'One of progress, report or problem. The last line is a report or a problem.' },
);

const GcLine = Type.Object(
  {
    progress: Type.Optional(Type.Object({ done: Type.Integer(), total: Type.Integer() }, { description: 'Bytes.' })),
    report: Type.Optional(GcReport),
    problem: Type.Optional(Type.Unknown({ description: 'A Problem: the collection itself failed.' })),
  },
  { $id: 'GcLine', description: 'One of progress, report or problem. The last line is a report or a problem.' },
);

const Uploaded = Type.Object(
  { file_id: Type.Integer(), version: Type.Integer(), record: FileRecord },
  { $id: 'Uploaded' },
);

/** One symlink to make. */
const SymlinkBody = Type.Object(
  {
    target: Type.String({ description: 'Where it points, text form; kept as it is.', minLength: 1, maxLength: 20_000 }),
    modified: moment('Modification time; now when absent.'),
  },
  closed,
);

const RelocateBody = Type.Object(
  {
    from_path: PathText,
    to_path: PathText,
    overwrite: flag('Replace a file that stands at the goal; it becomes an older version.'),
    parents,
    ...expecting,
  },
  closed,
);

const RestoreBody = Type.Object(
  {
    path: Type.Optional(PathText),
    file_id: Type.Optional(Id),
    version: VersionNumber,
    to_path: Type.Optional(PathText),
    dry_run: dryRun,
    ...expecting,
  },
  {
    ...closed,
    description:
      'Either path or file_id, also of a file that is gone: its version goes to the file that took its place, or to where it stood. `to_path` names another place.',
  },
);

const SnapshotBody = Type.Object(
  {
    name: Type.String({
      description: '1–128 characters without slashes; no time, no number, not beginning with @, a dot or a dash.',
      minLength: 1,
      maxLength: 512,
    }),
    path: Type.Optional(PathText),
  },
  closed,
);

const PruneBody = Type.Object(
  {
    keep: text(
      'Rules instead of those of the schedules, such as `hourly 24, daily 30, monthly 12, all within 7 days`.',
    ),
    schedule: text('Only what this schedule made.'),
    dry_run: dryRun,
  },
  closed,
);

const GcBody = Type.Object(
  {
    dry_run: Type.Optional(Type.Boolean()),
    grace_seconds: Type.Optional(
      Type.Number({ minimum: 0, description: 'How long chunks stay that nobody names; as configured when absent.' }),
    ),
  },
  { $id: 'GcBody', additionalProperties: false },
);

const RepairBody = Type.Object(
  {
    from: Type.String({
      description: 'Absolute path of a folder on the machine of the store.',
      minLength: 1,
      maxLength: 20_000,
    }),
    dry_run: dryRun,
  },
  { $id: 'RepairBody', additionalProperties: false },
);

const RepairLine = Type.Object(
  {
    progress: Type.Optional(
      Type.Object(
        {
          done: Type.Integer(),
          total: Type.Integer(),
          what: Type.Optional(Type.Union([Type.Literal('check'), Type.Literal('search')])),
        },
        { description: 'Bytes: of the store while it is read, then of the second copy.' },
      ),
    ),
    report: Type.Optional(RepairReport),
    problem: Type.Optional(Type.Unknown({ description: 'A Problem: the repair itself failed.' })),
  },
  { $id: 'RepairLine', description: 'One of progress, report or problem. The last line is a report or a problem.' },
);

const GcPauseBody = Type.Object(
  { is_paused: Type.Boolean({ description: 'Pause, or go on.' }) },
  { $id: 'GcPauseBody', additionalProperties: false },
);

const forced = flag('Also when something would be lost that nothing else keeps; 409 `conflict` names it otherwise.');

const TreeRestoreBody = Type.Object(
  {
    at: Type.String({
      description: 'Name of a snapshot, a time or the number of a commit.',
      minLength: 1,
      maxLength: 1_000,
    }),
    path: Type.Optional(PathText),
    dry_run: dryRun,
    force: forced,
  },
  closed,
);

const UndoBody = Type.Object({ commit: Id, dry_run: dryRun, force: forced }, closed);

const CheckBody = Type.Object(
  {
    sample: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Share of the chunks to read; 1 when absent.' }),
    ),
    rebuild_index: flag('First write the chunk index anew from the packs.'),
  },
  closed,
);

const UploadFields = Type.Object(
  {
    path: Type.Optional(
      Type.String({
        description: 'Where to keep it; one that ends in a slash is a folder; `/` when absent.',
        maxLength: 20_000,
      }),
    ),
    parents,
    overwrite: flag('A file that is there gets a new version; true when absent.'),
    size: bytes('Bytes that will come.'),
    xxhash3: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{16}$' })),
    sha256: Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{64}$' })),
    modified: moment('Modification time; now when absent.'),
    mode: Permissions,
    ...expecting,
  },
  closed,
);

const Xxhash3 = Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{16}$', description: 'XXH3-64 of all bytes.' }));
const Sha256 = Type.Optional(Type.String({ pattern: '^[0-9a-fA-F]{64}$', description: 'SHA-256 of all bytes, hex.' }));
/** How long a signed URL is good for, in seconds. */
const URL_SECONDS_MAX = 7 * 86_400;
const expiresIn = Type.Optional(
  Type.Integer({
    minimum: 1,
    maximum: URL_SECONDS_MAX,
    description: 'Seconds that the URLs are good for; 3600 when absent.',
  }),
);
const signed = {
  expires: Type.Optional(
    Type.Integer({
      minimum: 0,
      maximum: Number.MAX_SAFE_INTEGER,
      description: 'Of a signed URL: until when, Unix seconds.',
    }),
  ),
  signature: Type.Optional(Type.String({ maxLength: 100, description: 'Of a signed URL.' })),
};

const UploadBody = Type.Object(
  {
    path: PathText,
    mode: Type.Optional(
      Type.Union([Type.Literal('create'), Type.Literal('replace'), Type.Literal('put')], {
        description:
          'create: only where there is nothing. replace: only where there is a file. put (when absent): either.',
      }),
    ),
    size: bytes('Bytes of the whole, where known.'),
    part_size: Type.Optional(
      Type.Integer({
        minimum: PART_BYTES_MIN,
        maximum: PART_BYTES_MAX,
        description: 'Bytes of every part but the last; 32 MiB, or more for very large files, when absent.',
      }),
    ),
    appended: flag('It has no parts: it grows at its end, and what came stays when a request breaks off.'),
    xxhash3: Xxhash3,
    sha256: Sha256,
    modified: moment('Modification time; when it completes when absent.'),
    permissions: Permissions,
    parents,
    note: Type.Optional(Type.String({ maxLength: 8_192, description: 'Kept with it, and answered with it.' })),
    expires_in: expiresIn,
    ...expecting,
  },
  closed,
);

const CompleteBody = Type.Object({ size: bytes('Bytes of the whole.'), xxhash3: Xxhash3, sha256: Sha256 }, closed);

const HaveBody = Type.Object(
  { chunks: Type.Array(ChunkClaim, { maxItems: HAVE_CHUNKS_MAX, description: 'In order; they cover the part.' }) },
  closed,
);

const CompleteAliasBody = Type.Object(
  { upload_id: Type.String({ minLength: 1, maxLength: 100 }), ...CompleteBody.properties },
  closed,
);

const UploadCreated = Type.Object(
  {
    ...UploadRecord.properties,
    parts: Type.Optional(
      Type.Array(UploadPartRecord, {
        description: 'The first parts with their signed URLs; the rest a page at a time.',
      }),
    ),
    urls_expire: Type.Optional(Type.String({ format: 'date-time' })),
  },
  { $id: 'UploadCreated' },
);

const SignedUrlBody = Type.Object(
  {
    path: Type.Optional(PathText),
    file_id: Type.Optional(Id),
    version: Type.Optional(VersionNumber),
    expires_in: expiresIn,
  },
  { ...closed, description: 'Either path or file_id. The URL stays with the version, the current one when absent.' },
);

const SignedUrl = Type.Object(
  {
    url: Type.String(),
    path: Type.String(),
    file_id: Type.Integer(),
    version: Type.Integer(),
    size: Type.Integer(),
    expires: Type.String({ format: 'date-time' }),
  },
  { $id: 'SignedUrl' },
);

const UPLOAD_FAULTS = ['not-found', 'conflict'] as const;

const LockModeName = Type.Optional(
  Type.Union(
    LOCK_MODE_NAMES.map((mode) => Type.Literal(mode)),
    { description: 'X (when absent): nobody else changes it. S: many may hold it, and nobody changes it.' },
  ),
);
const leaseSeconds = Type.Optional(
  Type.Number({ minimum: 1, maximum: 86_400, description: 'How long it lasts unless it is renewed; 60 when absent.' }),
);
const waitSeconds = Type.Optional(
  Type.Number({ minimum: 0, maximum: 600, description: 'How long to wait for others; not at all when absent.' }),
);

const LockBody = Type.Object(
  {
    path: PathText,
    mode: LockModeName,
    lease_seconds: leaseSeconds,
    wait_seconds: waitSeconds,
    holder: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'Who holds it, for those who find it locked.' }),
    ),
    session: Type.Optional(
      Type.String({ minLength: 1, maxLength: 255, description: 'Locks of one session do not conflict.' }),
    ),
  },
  closed,
);

const LockChangeBody = Type.Object(
  { mode: LockModeName, lease_seconds: leaseSeconds, wait_seconds: waitSeconds },
  closed,
);

const WriteQuery = Type.Object({ parents, ...expecting }, closed);
const VersionQuery = Type.Object(
  {
    version: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'An older version.' }),
    ),
    at,
  },
  closed,
);

const DownloadQuery = Type.Object(
  {
    ...signed,
    file_id: Id,
    version: Type.Optional(
      Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'An older version.' }),
    ),
    at,
  },
  closed,
);

export const ROUTES = {
  fileCreate: {
    method: 'POST',
    path: '/v1/files/{path}',
    tag: 'Files',
    summary: 'Make a file',
    description: 'The body is its content. 409 when there is something under this path.',
    query: WriteQuery,
    headers: WRITE_HEADERS.filter((name) => name !== 'If-Match'),
    body: { type: 'bytes', description: 'Content of the file.' },
    answers: { 201: { ...record('Made.'), headers: ['ETag', 'Location'] } },
    faults: ['not-found', ...WRITE_FAULTS],
  },
  filePut: {
    method: 'PUT',
    path: '/v1/files/{path}',
    tag: 'Files',
    summary: 'Replace the content of a file',
    description: 'What it was becomes an older version. 404 when there is no file, unless `create` is set.',
    query: Type.Object({ create: flag('Make the file when there is none.'), parents, ...expecting }, closed),
    headers: [...WRITE_HEADERS, 'If-None-Match'],
    body: { type: 'bytes', description: 'The new content.' },
    answers: { 200: record('Replaced.'), 201: { ...record('Made.'), headers: ['ETag', 'Location'] } },
    faults: ['not-found', ...WRITE_FAULTS],
  },
  fileChange: {
    method: 'PATCH',
    path: '/v1/files/{path}',
    tag: 'Files',
    summary: 'Change attributes of a file or folder',
    query: Type.Object(expecting, closed),
    headers: ['If-Match', 'Idempotency-Key', 'Lock-Token'],
    body: { type: 'json', schema: AttributeChange, example: { mode: 0o600, attributes: { 'user.tag': 'cmVk' } } },
    answers: { 200: record('Changed.') },
    faults: ['not-found', 'conflict', 'not-folder', 'locked', 'lock-lost'],
  },
  fileRead: {
    method: 'GET',
    path: '/v1/files/{path}',
    tag: 'Files',
    summary: 'Read a file',
    description:
      'Every byte is verified before it is sent; where one is damaged, the connection ends before the file does.',
    query: VersionQuery,
    headers: [...READ_HEADERS, 'Range', 'If-Range'],
    answers: {
      200: { description: 'The content.', type: 'bytes', headers: FILE_ANSWER_HEADERS },
      206: { description: 'The range.', type: 'bytes', headers: [...FILE_ANSWER_HEADERS, 'Content-Range'] },
      304: { description: 'Not modified.', headers: ['ETag'] },
    },
    faults: ['not-kept', 'not-found', 'is-folder', 'not-folder', 'range', 'corrupt', 'conflict'],
  },
  fileHead: {
    method: 'HEAD',
    path: '/v1/files/{path}',
    tag: 'Files',
    summary: 'What a read would answer, without the content',
    query: VersionQuery,
    headers: READ_HEADERS,
    answers: {
      200: { description: 'It is there.', headers: FILE_ANSWER_HEADERS },
      304: { description: 'Not modified.', headers: ['ETag'] },
    },
    faults: ['not-kept', 'not-found', 'is-folder', 'not-folder', 'conflict'],
  },
  fileRemove: {
    method: 'DELETE',
    path: '/v1/files/{path}',
    tag: 'Files',
    summary: 'Remove a file, a link or an empty folder',
    query: Type.Object({ recursive, dry_run: dryRun, ...expecting }, closed),
    headers: ['If-Match', 'Idempotency-Key', 'Prefer', 'Lock-Token'],
    answers: {
      204: { description: 'Removed.' },
      200: { description: 'What was removed, or would be.', type: 'json', schema: Removed },
    },
    faults: ['not-found', 'not-empty', 'not-folder', 'conflict', 'locked', 'lock-lost'],
  },
  recordRead: {
    method: 'GET',
    path: '/v1/metadata/{path}',
    tag: 'Files',
    summary: 'What is known about a file or folder',
    query: Type.Object({ attributes: withAttributes, at }, closed),
    answers: { 200: record('The record.') },
    faults: ['not-kept', 'not-found', 'not-folder'],
  },
  recordReadById: {
    method: 'GET',
    path: '/v1/file/{id}',
    tag: 'Files',
    summary: 'What is known about a file or folder, by its id',
    query: Type.Object({ attributes: withAttributes, at }, closed),
    answers: { 200: record('The record.') },
    faults: ['not-kept', 'not-found'],
  },
  fileChangeById: {
    method: 'PATCH',
    path: '/v1/file/{id}',
    tag: 'Files',
    summary: 'Change attributes of a file or folder, by its id',
    query: Type.Object(expecting, closed),
    headers: ['If-Match', 'Idempotency-Key', 'Lock-Token'],
    body: { type: 'json', schema: AttributeChange, example: { modified: '2026-01-02T03:04:05Z' } },
    answers: { 200: record('Changed.') },
    faults: ['not-found', 'conflict', 'locked', 'lock-lost'],
  },
  upload: {
    method: 'POST',
    path: '/v1/upload',
    tag: 'Files',
    summary: 'Upload a file from a form',
    description:
      'Fields first, then one file. A file that is there already gets a new version; with `overwrite` false, or If-None-Match: *, it is refused.',
    headers: ['If-Match', 'If-None-Match', 'Idempotency-Key', 'Lock-Token'],
    body: { type: 'multipart', fields: UploadFields },
    answers: {
      200: { description: 'Replaced.', type: 'json', schema: Uploaded, headers: ['ETag', 'Location'] },
      201: { description: 'Made.', type: 'json', schema: Uploaded, headers: ['ETag', 'Location'] },
    },
    faults: ['not-found', ...WRITE_FAULTS],
  },
  download: {
    method: 'GET',
    path: '/v1/download',
    tag: 'Files',
    summary: 'Read a file by its id',
    query: DownloadQuery,
    headers: [...READ_HEADERS, 'Range', 'If-Range'],
    answers: {
      200: { description: 'The content.', type: 'bytes', headers: FILE_ANSWER_HEADERS },
      206: { description: 'The range.', type: 'bytes', headers: [...FILE_ANSWER_HEADERS, 'Content-Range'] },
      304: { description: 'Not modified.', headers: ['ETag'] },
    },
    faults: ['not-kept', 'not-found', 'is-folder', 'range', 'corrupt', 'conflict', 'signature', 'expired'],
  },
  downloadHead: {
    method: 'HEAD',
    path: '/v1/download',
    tag: 'Files',
    summary: 'What a download would answer, without the content',
    query: DownloadQuery,
    headers: READ_HEADERS,
    answers: {
      200: { description: 'It is there.', headers: FILE_ANSWER_HEADERS },
      304: { description: 'Not modified.', headers: ['ETag'] },
    },
    faults: ['not-kept', 'not-found', 'is-folder', 'conflict', 'signature', 'expired'],
  },
  symlinkCreate: {
    method: 'POST',
    path: '/v1/symlinks/{path}',
    tag: 'Files',
    summary: 'Make a symlink',
    headers: ['Lock-Token'],
    body: { type: 'json', schema: SymlinkBody, example: { target: '../notes/report.txt' } },
    answers: { 201: record('Made.') },
    faults: ['not-found', 'exists', 'not-folder', 'locked', 'lock-lost'],
  },
  folderCreate: {
    method: 'POST',
    path: '/v1/directories/{path}',
    tag: 'Folders',
    summary: 'Make a folder',
    description: 'With `parents` a folder that is there already is answered as it is.',
    query: Type.Object({ parents, mode: Permissions }, closed),
    headers: ['Idempotency-Key', 'Lock-Token'],
    answers: { 201: { ...record('Made.'), headers: ['ETag', 'Location'] } },
    faults: ['not-found', 'exists', 'not-folder', 'locked', 'lock-lost'],
  },
  folderList: {
    method: 'GET',
    path: '/v1/directories/{path}',
    tag: 'Folders',
    summary: 'List a folder, page by page',
    description: 'In byte order of names. An empty path is the root.',
    query: Type.Object(
      { ...pages, kind: Kind, glob: text('Only names that match this glob.'), attributes: withAttributes, at },
      closed,
    ),
    answers: { 200: { description: 'A page.', type: 'json', schema: ListPage } },
    faults: ['not-kept', 'not-found', 'not-folder'],
  },
  folderListById: {
    method: 'GET',
    path: '/v1/file/{id}/entries',
    tag: 'Folders',
    summary: 'List a folder by its id, page by page',
    query: Type.Object(
      { ...pages, kind: Kind, glob: text('Only names that match this glob.'), attributes: withAttributes, at },
      closed,
    ),
    answers: { 200: { description: 'A page.', type: 'json', schema: ListPage } },
    faults: ['not-kept', 'not-found', 'not-folder'],
  },
  folderRemove: {
    method: 'DELETE',
    path: '/v1/directories/{path}',
    tag: 'Folders',
    summary: 'Remove a folder with all that is in it',
    query: Type.Object({ dry_run: dryRun, ...expecting }, closed),
    headers: ['If-Match', 'Idempotency-Key', 'Prefer', 'Lock-Token'],
    answers: {
      204: { description: 'Removed.' },
      200: { description: 'What was removed, or would be.', type: 'json', schema: Removed },
    },
    faults: ['not-found', 'not-folder', 'conflict', 'locked', 'lock-lost'],
  },
  versionList: {
    method: 'GET',
    path: '/v1/versions/{path}',
    tag: 'Versions',
    summary: 'The kept versions of a file, newest first',
    query: Type.Object({ ...pages, at, ...reasoned }, closed),
    answers: { 200: { description: 'A page.', type: 'json', schema: VersionPage } },
    faults: ['not-kept', 'not-found', 'is-folder', 'not-folder'],
  },
  versionListById: {
    method: 'GET',
    path: '/v1/file/{id}/versions',
    tag: 'Versions',
    summary: 'The kept versions of a file by its id, newest first',
    description: 'Also of a file that is gone, as long as a version of it is kept.',
    query: Type.Object({ ...pages, at, ...reasoned }, closed),
    answers: { 200: { description: 'A page.', type: 'json', schema: VersionPage } },
    faults: ['not-kept', 'not-found', 'is-folder'],
  },
  deletedList: {
    method: 'GET',
    path: '/v1/deleted/{path}',
    tag: 'Versions',
    summary: 'What was removed from a folder, or had this path, and can be had again',
    description:
      'What was removed last comes first. A file with `version` is restored by its `file_id`; whatever has `at` is read as of that commit, and brought back with `POST /v1/restore-tree`.',
    query: Type.Object({ ...pages, recursive: flag('What went from folders below, too.') }, closed),
    answers: { 200: { description: 'A page.', type: 'json', schema: DeletedPage } },
    faults: ['not-found', 'not-folder'],
  },
  restore: {
    method: 'POST',
    path: '/v1/restore',
    tag: 'Versions',
    summary: 'Make an older version the current one',
    description: 'As a new version: nothing is lost by it.',
    headers: ['If-Match', 'Idempotency-Key', 'Lock-Token'],
    body: { type: 'json', schema: RestoreBody, example: { path: '/notes.txt', version: 1 } },
    answers: { 200: record('Restored.') },
    faults: ['not-found', 'not-folder', 'is-folder', 'exists', 'conflict', 'locked', 'lock-lost'],
  },
  snapshotList: {
    method: 'GET',
    path: '/v1/snapshots',
    tag: 'Snapshots',
    summary: 'The snapshots, in the order of their names',
    query: Type.Object(pages, closed),
    answers: { 200: { description: 'A page.', type: 'json', schema: SnapshotPage } },
  },
  snapshotCreate: {
    method: 'POST',
    path: '/v1/snapshots',
    tag: 'Snapshots',
    summary: 'Make a snapshot',
    description: 'Of everything, or of one folder; the same effort whatever the size.',
    headers: ['Idempotency-Key'],
    body: { type: 'json', schema: SnapshotBody, example: { name: 'before-the-move', path: '/projects' } },
    answers: { 201: { description: 'Made.', type: 'json', schema: SnapshotRecord, headers: ['Location'] } },
    faults: ['not-found', 'exists', 'not-folder', 'conflict', 'full'],
  },
  snapshotRead: {
    method: 'GET',
    path: '/v1/snapshot/{path}',
    tag: 'Snapshots',
    summary: 'One snapshot, by its name',
    answers: { 200: { description: 'The snapshot.', type: 'json', schema: SnapshotRecord } },
    faults: ['not-found'],
  },
  snapshotRemove: {
    method: 'DELETE',
    path: '/v1/snapshot/{path}',
    tag: 'Snapshots',
    summary: 'Delete a snapshot',
    description: 'What it alone kept is given back behind.',
    query: Type.Object({ dry_run: dryRun }, closed),
    answers: { 200: { description: 'What it was.', type: 'json', schema: SnapshotRecord } },
    faults: ['not-found', 'conflict'],
  },
  snapshotPrune: {
    method: 'POST',
    path: '/v1/prune-snapshots',
    tag: 'Snapshots',
    summary: 'Delete those of the snapshots that schedules made which nothing keeps',
    description:
      'Each schedule by its own rules, or by those of `keep`. Snapshots that somebody made are never deleted by it. With `dry_run` only the plan is answered.',
    body: { type: 'json', schema: PruneBody, example: { keep: 'daily 30, monthly 12', dry_run: true } },
    answers: { 200: { description: 'What was done, or would be.', type: 'json', schema: PrunePlan } },
    faults: ['not-found', 'conflict'],
  },
  treeRestore: {
    method: 'POST',
    path: '/v1/restore-tree',
    tag: 'Snapshots',
    summary: 'Bring a folder, a file or everything back to a moment of the past',
    description:
      'In one commit, which can be undone. What is replaced or removed by it is kept as older versions. With `dry_run` only the plan is answered.',
    body: {
      type: 'json',
      schema: TreeRestoreBody,
      example: { at: 'before-the-move', path: '/projects', dry_run: true },
    },
    answers: { 200: { description: 'What was done, or would be.', type: 'json', schema: RestorePlan } },
    faults: ['not-found', 'not-kept', 'not-folder', 'exists', 'conflict', 'too-large', 'quota', 'full'],
  },
  log: {
    method: 'GET',
    path: '/v1/log',
    tag: 'Snapshots',
    summary: 'Who changed what, when, through which door; newest first',
    query: Type.Object({ path: text('Only what changed this, or something below it.'), ...pages }, closed),
    answers: { 200: { description: 'A page.', type: 'json', schema: LogPage } },
    faults: ['not-found', 'not-folder'],
  },
  changes: {
    method: 'GET',
    path: '/v1/changes',
    tag: 'Snapshots',
    summary: 'The change feed: every commit exactly once, oldest first',
    description:
      'With `Accept: text/event-stream` the answer goes on for ever: an event `commit` for each, whose id is the cursor behind it; a client that comes again with it in Last-Event-ID misses nothing. 410 `not-kept`: the cursor is older than what is kept.',
    query: Type.Object(
      {
        after: text('`next` of the page before, or `now` for only what comes; from the beginning when absent.'),
        limit: Limit,
        wait: Type.Optional(
          Type.Integer({ minimum: 0, maximum: 60, description: 'Seconds to wait where there is nothing yet.' }),
        ),
      },
      closed,
    ),
    headers: ['Accept', 'Last-Event-ID'],
    answers: { 200: { description: 'A page.', type: 'json', schema: ChangePage } },
    faults: ['not-kept'],
  },
  undo: {
    method: 'POST',
    path: '/v1/undo',
    tag: 'Snapshots',
    summary: 'Take back what one commit did',
    description:
      'As a new commit. 409 `conflict` names what later changes stand in the way. With `dry_run` only the plan is answered.',
    body: { type: 'json', schema: UndoBody, example: { commit: 17, dry_run: true } },
    answers: { 200: { description: 'What was done, or would be.', type: 'json', schema: RestorePlan } },
    faults: ['not-found', 'not-kept', 'conflict', 'too-large', 'quota', 'full'],
  },
  move: {
    method: 'POST',
    path: '/v1/move',
    tag: 'Trees',
    summary: 'Move or rename a file or folder',
    headers: ['If-Match', 'Idempotency-Key', 'Lock-Token'],
    body: { type: 'json', schema: RelocateBody, example: { from_path: '/a.txt', to_path: '/b.txt' } },
    answers: { 200: record('Moved.') },
    faults: ['not-found', 'exists', 'conflict', 'not-folder', 'is-folder', 'not-empty', 'locked', 'lock-lost'],
  },
  copy: {
    method: 'POST',
    path: '/v1/copy',
    tag: 'Trees',
    summary: 'Copy a file or folder',
    description: 'Copies metadata only, whatever the size.',
    headers: ['If-Match', 'Idempotency-Key', 'Lock-Token'],
    body: { type: 'json', schema: RelocateBody, example: { from_path: '/a.txt', to_path: '/b.txt' } },
    answers: { 201: { ...record('Copied.'), headers: ['ETag', 'Location'] } },
    faults: ['not-found', 'exists', 'conflict', 'not-folder', 'is-folder', 'not-empty', 'quota', 'locked', 'lock-lost'],
  },
  search: {
    method: 'GET',
    path: '/v1/search',
    tag: 'Trees',
    summary: 'Find files and folders',
    query: Type.Object(
      {
        path: text('Where to start; the root when absent.'),
        recursive: flag('Below folders as well; true when absent.'),
        pattern: text('Glob over the name, or over the path below `path` when it has a slash; `**` crosses folders.'),
        name: text('Part of the name, or with * ? or [ also a glob over all of it; upper and lower case alike.'),
        kind: Kind,
        size_min: bytes('Bytes at least.'),
        size_max: bytes('Bytes at most.'),
        modified_after: moment('Modified after this moment.'),
        modified_before: moment('Modified before this moment.'),
        attribute: text('Has this named attribute, `user.tag`, or with this value, `user.tag=red`.'),
        at,
        ...pages,
      },
      closed,
    ),
    answers: { 200: { description: 'A page.', type: 'json', schema: ListPage } },
    faults: ['not-kept', 'not-found', 'not-folder'],
  },
  manifest: {
    method: 'GET',
    path: '/v1/manifest',
    tag: 'Trees',
    summary: 'Everything under a folder, streamed',
    description:
      'One record a line, folders before what is in them. With `Accept: application/json` one object `{"files": {path: record}}`, streamed as well. Where it breaks off, the connection does.',
    query: Type.Object({ path: text('The root when absent.'), file_id: Type.Optional(Id), at }, closed),
    headers: ['Accept'],
    answers: { 200: { description: 'Records.', type: 'ndjson', schema: FileRecord } },
    faults: ['not-kept', 'not-found', 'not-folder'],
  },
  uploadCreate: {
    method: 'POST',
    path: '/v1/uploads',
    tag: 'Uploads',
    summary: 'Begin an upload',
    description:
      'Answers its id, the size of a part and the first signed part URLs. Nothing is visible before it completes.',
    headers: ['If-Match'],
    body: { type: 'json', schema: UploadBody, example: { path: '/video.mkv', size: 5_000_000_000, parents: true } },
    answers: { 201: { description: 'Begun.', type: 'json', schema: UploadCreated, headers: ['Location'] } },
    faults: ['not-found', ...WRITE_FAULTS],
  },
  uploadList: {
    method: 'GET',
    path: '/v1/uploads',
    tag: 'Uploads',
    summary: 'The open uploads',
    query: Type.Object({ path: text('Only those of this path.') }, closed),
    answers: { 200: { description: 'The open uploads.', type: 'json', schema: UploadList } },
  },
  uploadRead: {
    method: 'GET',
    path: '/v1/uploads/{upload}',
    tag: 'Uploads',
    summary: 'How far an upload is',
    description:
      'With `Accept: text/event-stream` events `progress` as more becomes durable, until it is complete or removed.',
    headers: ['Accept'],
    answers: { 200: { description: 'What is durable of it.', type: 'json', schema: UploadRecord } },
    faults: ['not-found'],
  },
  uploadParts: {
    method: 'GET',
    path: '/v1/uploads/{upload}/parts',
    tag: 'Uploads',
    summary: 'The parts of an upload',
    description: 'Those that are there, and signed URLs for those that are not.',
    query: Type.Object(
      {
        after: Type.Optional(Type.Integer({ minimum: 0, maximum: 10_000, description: 'Parts behind this one.' })),
        limit: Limit,
        expires_in: expiresIn,
      },
      closed,
    ),
    answers: { 200: { description: 'A page.', type: 'json', schema: UploadPartPage } },
    faults: ['not-found'],
  },
  partPut: {
    method: 'PUT',
    path: '/v1/uploads/{upload}/parts/{part}',
    tag: 'Uploads',
    summary: 'Send a part',
    description:
      'In any order, several at once. A part that breaks off counts for nothing; the same bytes again answer the same. With `signature` the URL needs no other credential.',
    query: Type.Object(
      {
        ...signed,
        size_max: bytes('Of a signed URL: bytes at most.'),
        rest: flag('The body has only the bytes that `have` answered to be missing, in order.'),
      },
      closed,
    ),
    headers: ['X-File-Size', 'X-File-Hash', 'Content-Digest'],
    body: { type: 'bytes', description: 'The bytes of the part.' },
    answers: { 200: { description: 'It is there.', type: 'json', schema: UploadPartRecord } },
    faults: [
      ...UPLOAD_FAULTS,
      'range',
      'unsupported',
      'too-large',
      'mismatch',
      'full',
      'aborted',
      'signature',
      'expired',
    ],
  },
  uploadHave: {
    method: 'POST',
    path: '/v1/uploads/{upload}/parts/{part}/have',
    tag: 'Uploads',
    summary: 'Which chunks of a part are there already',
    description:
      'Among the files that the asker may read. Those are put in their places; `PUT` of the part with `rest` sends the others. GET /v1/chunking says how to cut and to name them.',
    body: { type: 'json', schema: HaveBody, example: { chunks: [{ size: 65536, id: '00'.repeat(32) }] } },
    answers: { 200: { description: 'Which are missing.', type: 'json', schema: UploadHave } },
    faults: [...UPLOAD_FAULTS, 'range', 'unsupported', 'too-large', 'mismatch', 'full'],
  },
  chunking: {
    method: 'GET',
    path: '/v1/chunking',
    tag: 'Uploads',
    summary: 'How this store cuts files into chunks, and names them',
    answers: { 200: { description: 'Parameters and keys.', type: 'json', schema: Chunking } },
    faults: ['unsupported'],
  },
  uploadAppend: {
    method: 'PATCH',
    path: '/v1/uploads/{upload}',
    tag: 'Uploads',
    summary: 'Send more at the end',
    description: 'Of an upload that grows at its end. What came before the request broke off stays.',
    query: Type.Object(
      { offset: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER, description: 'Where it ends now.' }) },
      closed,
    ),
    body: { type: 'bytes', description: 'What comes next.' },
    answers: { 200: { description: 'What is durable now.', type: 'json', schema: UploadRecord } },
    faults: [...UPLOAD_FAULTS, 'too-large', 'full', 'aborted'],
  },
  uploadComplete: {
    method: 'POST',
    path: '/v1/uploads/{upload}/complete',
    tag: 'Uploads',
    summary: 'Make the file',
    description:
      'After its size and hashes were checked, in one commit. Whatever it is refused with, the upload stays. Asked again it answers the same.',
    headers: ['Lock-Token'],
    body: { type: 'json', schema: CompleteBody, isOptional: true, example: { size: 5_000_000_000 } },
    answers: { 200: record('The file.') },
    faults: ['not-found', 'incomplete', 'corrupt', ...WRITE_FAULTS],
  },
  uploadCompleteAlias: {
    method: 'POST',
    path: '/v1/upload/complete',
    tag: 'Uploads',
    summary: 'Make the file; the same under another name',
    headers: ['Lock-Token'],
    body: { type: 'json', schema: CompleteAliasBody, example: { upload_id: 'q7Cw0bXxkV0uQyYqJm4x1Zs2' } },
    answers: { 200: record('The file.') },
    faults: ['not-found', 'incomplete', 'corrupt', ...WRITE_FAULTS],
  },
  uploadRemove: {
    method: 'DELETE',
    path: '/v1/uploads/{upload}',
    tag: 'Uploads',
    summary: 'Remove an upload',
    description: 'Its bytes are given back behind. The file of one that is complete stays.',
    answers: { 200: { description: 'What it was.', type: 'json', schema: UploadRecord } },
    faults: ['not-found', 'conflict'],
  },
  tusOptions: {
    method: 'OPTIONS',
    path: '/v1/tus',
    tag: 'Uploads',
    summary: 'What of tus 1.0 there is',
    answers: {
      204: {
        description: 'In the headers.',
        headers: ['Tus-Resumable', 'Tus-Version', 'Tus-Extension', 'Tus-Max-Size'],
      },
    },
  },
  tusCreate: {
    method: 'POST',
    path: '/v1/tus',
    tag: 'Uploads',
    summary: 'tus: begin an upload, with its first bytes or without',
    query: Type.Object({ path: text('Folder below which a `filename` goes; the root when absent.') }, closed),
    headers: ['Tus-Resumable', 'Upload-Length', 'Upload-Metadata', 'Lock-Token'],
    body: { type: 'bytes', description: 'Nothing, or the first bytes as application/offset+octet-stream.' },
    answers: {
      201: { description: 'Begun.', headers: ['Location', 'Tus-Resumable', 'Upload-Offset', 'Upload-Expires'] },
    },
    faults: ['not-found', 'unsupported', 'aborted', ...WRITE_FAULTS],
  },
  tusHead: {
    method: 'HEAD',
    path: '/v1/tus/{upload}',
    tag: 'Uploads',
    summary: 'tus: how far an upload is',
    description:
      'Where all bytes are there and the file is not made yet, it is made; the status says why it cannot be.',
    headers: ['Tus-Resumable', 'Lock-Token'],
    answers: {
      200: {
        description: 'In the headers.',
        headers: ['Tus-Resumable', 'Upload-Offset', 'Upload-Length', 'Upload-Metadata', 'Upload-Expires'],
      },
    },
    faults: ['unsupported', 'not-found', 'corrupt', ...WRITE_FAULTS],
  },
  tusPatch: {
    method: 'PATCH',
    path: '/v1/tus/{upload}',
    tag: 'Uploads',
    summary: 'tus: send more; the last bytes make the file',
    headers: ['Tus-Resumable', 'Upload-Offset', 'Lock-Token'],
    body: { type: 'bytes', description: 'What comes next, as application/offset+octet-stream.' },
    answers: {
      204: {
        description: 'They are durable; with the last of them the file is there.',
        headers: ['Tus-Resumable', 'Upload-Offset', 'Upload-Expires'],
      },
    },
    faults: ['unsupported', 'not-found', 'aborted', 'corrupt', ...WRITE_FAULTS],
  },
  tusRemove: {
    method: 'DELETE',
    path: '/v1/tus/{upload}',
    tag: 'Uploads',
    summary: 'tus: remove an upload',
    headers: ['Tus-Resumable'],
    answers: { 204: { description: 'Removed.', headers: ['Tus-Resumable'] } },
    faults: ['unsupported', 'not-found', 'conflict'],
  },
  tusOverride: {
    method: 'POST',
    path: '/v1/tus/{upload}',
    tag: 'Uploads',
    summary: 'tus: PATCH, DELETE or HEAD, for clients that can only POST',
    headers: ['X-HTTP-Method-Override', 'Tus-Resumable', 'Upload-Offset', 'Lock-Token'],
    body: { type: 'bytes', description: 'As the method that is meant takes it.' },
    answers: { 200: { description: 'As HEAD.' }, 204: { description: 'As PATCH or DELETE.' } },
    faults: ['unsupported', 'not-found', 'aborted', 'corrupt', ...WRITE_FAULTS],
  },
  signedUrl: {
    method: 'POST',
    path: '/v1/signed-urls',
    tag: 'Uploads',
    summary: 'A URL that anybody may download a version from',
    description:
      'Without any other credential, for a while. What it answers never changes, so caches may keep it: Range, ETag and immutable caching headers.',
    body: { type: 'json', schema: SignedUrlBody, example: { path: '/notes.txt', expires_in: 600 } },
    answers: { 200: { description: 'The URL.', type: 'json', schema: SignedUrl } },
    faults: ['not-found', 'not-folder', 'is-folder'],
  },
  bulkUpload: {
    method: 'POST',
    path: '/v1/bulk/upload',
    tag: 'Bulk',
    summary: 'Upload many files in one request',
    description:
      'A form in which every part is a file: its `filename` is the path below `path`, slashes and all; or the header X-File-Path of the part, percent-encoded. Headers of a part count as they do for a single file: X-File-Size, X-File-Hash, Content-Digest, X-Modified-Time, X-File-Mode; X-File-Kind makes a `folder` or a `symlink` (to what the part holds). A file that is there gets a new version. Files go into few commits, and each stands or fails alone. What is committed when the request breaks off stays.',
    query: Type.Object(
      {
        path: text('Folder below which the names are; the root when absent.'),
        parents: flag('Make the folders above that are missing; true when absent.'),
      },
      closed,
    ),
    headers: ['Accept', 'Prefer', 'Lock-Token'],
    body: { type: 'multipart', fields: Type.Object({}, closed), hasMany: true },
    answers: {
      200: {
        description:
          'What became of each. With `Accept: application/x-ndjson` a line `BulkUploaded` for each as soon as it is durable, and `{"done", "failed"}` last: such a client reads while it sends.',
        type: 'json',
        schema: BulkAnswer,
      },
    },
    faults: ['unsupported', 'too-large', 'full'],
  },
  bulkDownload: {
    method: 'POST',
    path: '/v1/bulk/download',
    tag: 'Bulk',
    summary: 'Download many files in one answer',
    description:
      'Each by itself, in the order asked for, verified before it is sent. A file that fails has a part of type application/problem+json; where damage shows in the middle of a long one, its part ends early and such a part with the same X-File-Path follows. The last part is JSON, `{"done", "failed"}`. With `Accept: application/vnd.holdfast.frames`: frames of a letter, a length (4 bytes, big-endian) and as many bytes: `F` a FileRecord begins a file, `D` bytes of it, `E` its end, `P` a problem instead of its end or of the file, `Z` the end of all, `{"done", "failed"}`.',
    headers: ['Accept'],
    body: { type: 'json', schema: BulkDownloadBody, example: { paths: ['/a.txt', '/b.txt'] } },
    answers: { 200: { description: 'The files.', type: 'parts' } },
  },
  bulkDelete: {
    method: 'POST',
    path: '/v1/bulk/delete',
    tag: 'Bulk',
    summary: 'Remove many files and folders',
    description: 'One commit for every 1,000 of them. Each is removed or fails alone.',
    headers: ['Lock-Token'],
    body: { type: 'json', schema: BulkDeleteBody, example: { paths: ['/a.txt', '/old'], recursive: true } },
    answers: { 200: { description: 'What became of each.', type: 'json', schema: BulkAnswer } },
  },
  bulkManifest: {
    method: 'GET',
    path: '/v1/bulk/manifest',
    tag: 'Bulk',
    summary: 'The same as /v1/manifest',
    query: Type.Object({ path: text('The root when absent.'), file_id: Type.Optional(Id), at }, closed),
    headers: ['Accept'],
    answers: { 200: { description: 'Records.', type: 'ndjson', schema: FileRecord } },
    faults: ['not-kept', 'not-found', 'not-folder'],
  },
  bulkSync: {
    method: 'POST',
    path: '/v1/bulk/sync',
    tag: 'Bulk',
    summary: 'What has to be done so that a client and the server have the same',
    description:
      'Changes nothing. Two manifests alone cannot tell what is new here from what was deleted there: without `base` nothing is deleted, and files that differ are conflicts. With `base` whoever did not change a file since takes what the other did with it. A file here and a folder there are left alone, as are links and special files.',
    body: {
      type: 'json',
      schema: SyncBody,
      example: {
        client_manifest: { files: { '/a.txt': { size: 6, xxhash3: '0123456789abcdef' } } },
        conflict_resolution: 'manual',
      },
    },
    answers: { 200: { description: 'The plan.', type: 'json', schema: SyncAnswer } },
    faults: ['not-found', 'not-folder', 'not-kept', 'too-large'],
  },
  lockTake: {
    method: 'POST',
    path: '/v1/locks',
    tag: 'Locks',
    summary: 'Lock a file, a folder with all that is in it, or a name that is free',
    description:
      'Until it is given back or its lease ends, changes that do not present the token answer 423. It survives a restart.',
    body: { type: 'json', schema: LockBody, example: { path: '/notes.txt', lease_seconds: 300, holder: 'Ann' } },
    answers: { 201: { description: 'Locked.', type: 'json', schema: LockRecord, headers: ['Location'] } },
    faults: ['not-found', 'not-folder', 'locked', 'deadlock'],
  },
  lockList: {
    method: 'GET',
    path: '/v1/locks',
    tag: 'Locks',
    summary: 'The locks there are, the oldest first',
    query: Type.Object({ path: text('Only those on this path.') }, closed),
    answers: { 200: { description: 'The locks.', type: 'json', schema: LockList } },
  },
  lockChange: {
    method: 'PATCH',
    path: '/v1/locks/{id}',
    tag: 'Locks',
    summary: 'Renew a lock, or make it more or less',
    description: 'The lease begins anew. A mode that gives more waits its turn; one that gives less is had at once.',
    body: { type: 'json', schema: LockChangeBody, isOptional: true, example: { lease_seconds: 300 } },
    answers: { 200: { description: 'As it is now.', type: 'json', schema: LockRecord } },
    faults: ['lock-lost', 'locked', 'deadlock', 'conflict'],
  },
  lockRelease: {
    method: 'DELETE',
    path: '/v1/locks/{id}',
    tag: 'Locks',
    summary: 'Give a lock back, or break somebody else’s',
    answers: { 200: { description: 'What was held.', type: 'json', schema: LockRecord } },
    faults: ['lock-lost'],
  },
  batch: {
    method: 'POST',
    path: '/v1/batch',
    tag: 'Trees',
    summary: 'Many operations as one',
    description:
      'Up to 1,000, mixed; one commit. Each sees what those before it did. `atomic`: all or nothing, and the problem has `about.operation`, the index of the one that failed. `best-effort`: a result for each.',
    headers: ['Idempotency-Key', 'Lock-Token'],
    body: {
      type: 'json',
      schema: BatchRequest,
      example: {
        operations: [
          { op: 'mkdir', path: '/new', id: 'folder' },
          { op: 'move', from_path: '/a.txt', to_path: '/new/a.txt', depends_on: ['folder'] },
        ],
      },
    },
    answers: { 200: { description: 'What became of each.', type: 'json', schema: BatchAnswer } },
    faults: ['not-found', ...WRITE_FAULTS, 'not-empty'],
  },
  stats: {
    method: 'GET',
    path: '/v1/stats',
    tag: 'Store',
    summary: 'How much is stored, and how much room it takes',
    answers: { 200: { description: 'The figures.', type: 'json', schema: StoreStats } },
  },
  usage: {
    method: 'GET',
    path: '/v1/usage',
    tag: 'Store',
    summary: 'How much is in a folder, and how much room would come back',
    description:
      'With `exclusive` also the bytes that only this path holds, with its versions, or (with `snapshot` and no path) only that snapshot: exactly what collections give back when it goes. What the window of history keeps counts as held by the path. The effort is that of looking at every chunk of it.',
    query: Type.Object(
      {
        path: text('The file or folder; everything when absent.'),
        snapshot: text('Look at what this snapshot shows.'),
        exclusive: flag('Also say what only this holds.'),
      },
      closed,
    ),
    answers: { 200: { description: 'The figures.', type: 'json', schema: Usage } },
    faults: ['not-found', 'not-folder'],
  },
  check: {
    method: 'POST',
    path: '/v1/check',
    tag: 'Store',
    summary: 'Verify what is stored',
    description: 'Lines of progress, then the report. Ends when the client goes away.',
    body: { type: 'json', schema: CheckBody, isOptional: true, example: { sample: 0.1 } },
    answers: { 200: { description: 'Progress, then the report.', type: 'ndjson', schema: CheckLine } },
  },
  gc: {
    method: 'POST',
    path: '/v1/gc',
    tag: 'Store',
    summary: 'Give back the bytes that nobody needs any more',
    description:
      'Lines of progress, then the report. With `dry_run` nothing is changed, and the report says to the byte what would come back. Ends when the client goes away; the next one goes on.',
    body: { type: 'json', schema: GcBody, isOptional: true, example: { dry_run: true } },
    answers: { 200: { description: 'Progress, then the report.', type: 'ndjson', schema: GcLine } },
  },
  repair: {
    method: 'POST',
    path: '/v1/repair',
    tag: 'Store',
    summary: 'Store damaged content anew from a second copy',
    description:
      'Lines of progress, then the report. Only through the control socket, since it reads a folder of the machine: `denied` elsewhere. What it has repaired when the client goes away stays.',
    body: { type: 'json', schema: RepairBody, example: { from: '/mnt/backup/store', dry_run: true } },
    answers: { 200: { description: 'Progress, then the report.', type: 'ndjson', schema: RepairLine } },
    faults: ['not-found', 'not-folder', 'denied', 'unsupported', 'full'],
  },
  gcStatus: {
    method: 'GET',
    path: '/v1/gc',
    tag: 'Store',
    summary: 'Where collections stand',
    answers: {
      200: {
        description: 'Whether one is under way, how far it is, and what the last one did.',
        type: 'json',
        schema: GcStatus,
      },
    },
  },
  gcPause: {
    method: 'PATCH',
    path: '/v1/gc',
    tag: 'Store',
    summary: 'Pause the collections behind the operations, or let them go on',
    description:
      'Lasts over restarts. The one under way ends, and the next one goes on where it was. `POST` is not paused.',
    body: { type: 'json', schema: GcPauseBody, example: { is_paused: false } },
    answers: { 200: { description: 'As it is now.', type: 'json', schema: GcStatus } },
  },
  health: {
    method: 'GET',
    path: '/v1/health',
    tag: 'About',
    summary: 'Whether the server is well',
    answers: { 200: { description: 'It answers.', type: 'json', schema: ServerInfo } },
  },
  openapi: {
    method: 'GET',
    path: '/v1/openapi.json',
    tag: 'About',
    summary: 'This interface as an OpenAPI 3.1 document',
    answers: { 200: { description: 'The document.', type: 'json' } },
  },
  docs: {
    method: 'GET',
    path: '/v1/docs',
    tag: 'About',
    summary: 'This interface as a page to read',
    answers: { 200: { description: 'The page.', type: 'html' } },
  },
  root: {
    method: 'GET',
    path: '/',
    tag: 'About',
    summary: 'Where to go from here',
    answers: { 200: { description: 'Links.', type: 'json' } },
  },
} as const satisfies Readonly<Record<string, Route>>;

export type RouteId = keyof typeof ROUTES;
export const ROUTE_IDS = Object.keys(ROUTES) as readonly RouteId[];

/** The same table, for code that treats all routes alike. */
export function routeOf(id: RouteId): Route {
  return ROUTES[id];
}

/** Query of a route as it is after parsing: numbers and booleans instead of text. */
export type QueryOf<Id extends RouteId> = (typeof ROUTES)[Id] extends { readonly query: infer Q extends TObject }
  ? Static<Q>
  : Record<string, never>;

/** JSON body of a route. */
export type BodyOf<Id extends RouteId> = (typeof ROUTES)[Id] extends {
  readonly body: { readonly type: 'json'; readonly schema: infer S extends TObject };
}
  ? Static<S>
  : undefined;

export type UploadFields = Static<typeof UploadFields>;
export type CheckLine = Static<typeof CheckLine>;
export type GcLine = Static<typeof GcLine>;
export type RepairLine = Static<typeof RepairLine>;
export const UPLOAD_FIELDS = UploadFields;

type QueryValue = string | number | boolean | undefined;

/** URL of a route from its root: `encodedPath` for `{path}` as urlOfPath writes it, `id` for `{id}`, `upload` and `part` likewise. */
export function urlOfRoute(
  id: RouteId,
  parameters: {
    readonly path?: string | undefined;
    readonly id?: number | undefined;
    readonly upload?: string | undefined;
    readonly part?: number | undefined;
    readonly query?: object | undefined;
  } = {},
): string {
  const url = routeOf(id)
    .path.replace('{path}', () => parameters.path ?? '')
    .replace('{id}', () => String(parameters.id ?? ''))
    .replace('{upload}', () => encodeURIComponent(parameters.upload ?? ''))
    .replace('{part}', () => String(parameters.part ?? ''));
  const query = Object.entries((parameters.query ?? {}) as Record<string, QueryValue>)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodedValue(name, String(value))}`)
    .join('&');
  return query === '' ? url : `${url}?${query}`;
}

function encodedValue(name: string, value: string): string {
  if (value.isWellFormed()) return encodeURIComponent(value);
  throw new Fault('invalid', `The ${name} has half a surrogate pair, which no URL can hold.`, { parameter: name });
}
