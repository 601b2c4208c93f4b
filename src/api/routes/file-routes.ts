/** Single files: their bytes, their records, symlinks. */

import { AttributeChange, FileRecord, Id, Removed } from '../records.ts';
import Type, { type Static } from '../schema.ts';
import {
  at,
  bytes,
  closed,
  dryRun,
  expecting,
  flag,
  moment,
  Permissions,
  parents,
  type Route,
  record,
  recursive,
  signed,
  WRITE_FAULTS,
  withAttributes,
} from './route.ts';

const WRITE_HEADERS = [
  'If-Match',
  'X-File-Size',
  'X-File-Hash',
  'Content-Digest',
  'Content-MD5',
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

export const FILE_ROUTES = {
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
} as const satisfies Readonly<Record<string, Route>>;

export type UploadFields = Static<typeof UploadFields>;
export const UPLOAD_FIELDS = UploadFields;
