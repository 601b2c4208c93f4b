/** Uploads in parts, tus, and signed URLs. */

import {
  ChunkClaim,
  Chunking,
  Id,
  UploadHave,
  UploadList,
  UploadPartPage,
  UploadPartRecord,
  UploadRecord,
} from '../records.ts';
import Type from '../schema.ts';
import { HAVE_CHUNKS_MAX, PART_BYTES_MAX, PART_BYTES_MIN } from '../upload-service.ts';
import {
  bytes,
  closed,
  expecting,
  flag,
  Limit,
  moment,
  PathText,
  Permissions,
  parents,
  type Route,
  record,
  signed,
  text,
  VersionNumber,
  WRITE_FAULTS,
} from './route.ts';

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

export const UPLOAD_ROUTES = {
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
    headers: ['X-File-Size', 'X-File-Hash', 'Content-Digest', 'Content-MD5'],
    body: { type: 'bytes', description: 'The bytes of the part.' },
    answers: { 200: { description: 'It is there.', type: 'json', schema: UploadPartRecord } },
    faults: [
      ...UPLOAD_FAULTS,
      'range',
      'unsupported',
      'too-large',
      'mismatch',
      'quota',
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
    faults: [...UPLOAD_FAULTS, 'range', 'unsupported', 'too-large', 'mismatch', 'quota', 'full'],
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
    faults: [...UPLOAD_FAULTS, 'too-large', 'quota', 'full', 'aborted'],
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
} as const satisfies Readonly<Record<string, Route>>;
