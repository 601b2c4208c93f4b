/** What was: versions, deleted files, snapshots, the log, the feed of changes, undo. */

import {
  ChangePage,
  DeletedPage,
  Id,
  LogPage,
  PrunePlan,
  RestorePlan,
  SnapshotPage,
  SnapshotRecord,
  VersionPage,
} from '../records.ts';
import Type from '../schema.ts';
import {
  at,
  closed,
  dryRun,
  expecting,
  flag,
  Limit,
  PathText,
  pages,
  type Route,
  record,
  text,
  VersionNumber,
} from './route.ts';

const reasoned = {
  why: flag('With the reasons for which the rules keep each.'),
  keep: text('With the reasons for which these rules would, such as `daily 30, last 5`.'),
};

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

export const PAST_ROUTES = {
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
} as const satisfies Readonly<Record<string, Route>>;
