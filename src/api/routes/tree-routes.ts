/** Files and folders alike: moving, copying, searching, the manifest. */

import { FileRecord, Id, ListPage } from '../records.ts';
import Type from '../schema.ts';
import {
  at,
  bytes,
  closed,
  expecting,
  flag,
  Kind,
  moment,
  PathText,
  pages,
  parents,
  type Route,
  record,
  text,
} from './route.ts';

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

export const TREE_ROUTES = {
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
} as const satisfies Readonly<Record<string, Route>>;
