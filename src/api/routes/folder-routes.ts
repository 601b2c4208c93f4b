/** Folders: making, listing, removing. */

import { ListPage, Removed } from '../records.ts';
import Type from '../schema.ts';
import {
  at,
  closed,
  dryRun,
  expecting,
  Kind,
  Permissions,
  pages,
  parents,
  type Route,
  record,
  text,
  withAttributes,
} from './route.ts';

export const FOLDER_ROUTES = {
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
} as const satisfies Readonly<Record<string, Route>>;
