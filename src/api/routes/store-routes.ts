/** The store itself, and what tells about the interface. */

import { CheckReport, GcReport, GcStatus, RepairReport, ServerInfo, StoreStats, Usage } from '../records.ts';
import Type, { type Static } from '../schema.ts';
import { at, closed, dryRun, flag, type Route, text } from './route.ts';

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

const CheckBody = Type.Object(
  {
    sample: Type.Optional(
      Type.Number({ minimum: 0, maximum: 1, description: 'Share of the chunks to read; 1 when absent.' }),
    ),
    rebuild_index: flag('First write the chunk index anew from the packs.'),
  },
  closed,
);

export const STORE_ROUTES = {
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
        at,
        snapshot: text('The same as `at`, for a snapshot; with `exclusive` its own bytes.'),
        exclusive: flag('Also say what only this holds.'),
      },
      closed,
    ),
    answers: { 200: { description: 'The figures.', type: 'json', schema: Usage } },
    faults: ['not-found', 'not-folder', 'not-kept'],
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

export type CheckLine = Static<typeof CheckLine>;
export type GcLine = Static<typeof GcLine>;
export type RepairLine = Static<typeof RepairLine>;
