/** Many at once: bulk transfers, sync plans, batches. */

import { BulkAnswer, BulkDeleteBody, BulkDownloadBody, SyncAnswer, SyncBody } from '../bulk-records.ts';
import { BatchAnswer, BatchRequest, FileRecord, Id } from '../records.ts';
import Type from '../schema.ts';
import { at, closed, flag, type Route, text, WRITE_FAULTS } from './route.ts';

export const BULK_ROUTES = {
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
    query: Type.Object({ at }, closed),
    headers: ['Accept'],
    body: { type: 'json', schema: BulkDownloadBody, example: { paths: ['/a.txt', '/b.txt'] } },
    answers: { 200: { description: 'The files.', type: 'parts' } },
    faults: ['not-found', 'not-kept'],
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
} as const satisfies Readonly<Record<string, Route>>;
