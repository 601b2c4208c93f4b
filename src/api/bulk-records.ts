/**
 * What the bulk routes take and answer, as schemas (records.ts says what holds for all of them). Each file of a bulk
 * request stands or fails alone, and says so.
 */
import { SYNC_RESOLUTIONS, SYNC_STRATEGIES } from '../sync/index.ts';
import { FileRecord, Id, Problem } from './records.ts';
import Type, { type Static } from './schema.ts';

const options = { additionalProperties: false };

/** Files that one list may name. */
export const BULK_PATHS_MAX = 10_000;

/** A base names the folder that it is for. */
const SYNC_BASE_LENGTH_MAX = 30_000;

const Paths = Type.Array(Type.String({ maxLength: 20_000 }), {
  maxItems: BULK_PATHS_MAX,
  description: 'Absolute paths in text form.',
});

export const BulkFailed = Type.Object(
  {
    path: Type.String(),
    error: Type.String(),
    error_code: Type.String({ description: 'The word of the older contract, or the code.' }),
    code: Type.String({ description: 'Stable; docs/errors.md lists all.' }),
  },
  { $id: 'BulkFailed' },
);
export type BulkFailed = Static<typeof BulkFailed>;

/** What became of one item of an upload. */
export const BulkUploaded = Type.Object(
  {
    path: Type.String(),
    ok: Type.Boolean(),
    record: Type.Optional(FileRecord),
    problem: Type.Optional(Problem),
  },
  { $id: 'BulkUploaded' },
);
export type BulkUploaded = Static<typeof BulkUploaded>;

export const BulkAnswer = Type.Object(
  {
    success: Type.Array(Type.String(), { description: 'Paths that were done, in the order of the request.' }),
    failed: Type.Array(BulkFailed),
    results: Type.Optional(
      Type.Array(BulkUploaded, { description: 'Of an upload that asks with `Prefer: return=representation`.' }),
    ),
  },
  { $id: 'BulkAnswer' },
);
export type BulkAnswer = Static<typeof BulkAnswer>;

export const BulkDownloadBody = Type.Object(
  {
    paths: Type.Optional(Paths),
    file_ids: Type.Optional(Type.Array(Id, { maxItems: BULK_PATHS_MAX, description: 'After those by path.' })),
  },
  options,
);

export const BulkDeleteBody = Type.Object(
  {
    paths: Paths,
    recursive: Type.Optional(Type.Boolean({ description: 'Folders with all that is in them.' })),
    dry_run: Type.Optional(Type.Boolean({ description: 'Say what would be done, and do nothing.' })),
  },
  options,
);

/** What a client has under a path. A record of a manifest serves as it is. */
const ManifestEntry = Type.Object({
  kind: Type.Optional(Type.String({ description: 'file, folder, or anything else, which is left alone.' })),
  is_directory: Type.Optional(Type.Boolean()),
  size: Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER })),
  xxhash3: Type.Optional(
    Type.Union([Type.String({ pattern: '^[0-9a-fA-F]{16}$' }), Type.Null()], {
      description: 'XXH3-64 of the content; a file without one equals none.',
    }),
  ),
  modified: Type.Optional(Type.String({ description: 'ISO 8601; only `prefer_newer` looks at it.' })),
});

export const SyncBody = Type.Object(
  {
    client_manifest: Type.Object({
      files: Type.Record(Type.String(), ManifestEntry, {
        description: 'By absolute path in text form. Folders above a file need not be listed.',
      }),
    }),
    conflict_resolution: Type.Optional(
      Type.Enum([...SYNC_STRATEGIES], {
        description: 'Who wins where both changed a file: local is the client. `manual` when absent.',
      }),
    ),
    base: Type.Optional(
      Type.String({
        maxLength: SYNC_BASE_LENGTH_MAX,
        description:
          'The `cursor` of the plan that was carried out last, for this folder or one above it. Without it nothing is deleted.',
      }),
    ),
    path: Type.Optional(Type.String({ maxLength: 20_000, description: 'Only this folder; everything when absent.' })),
  },
  options,
);
export type SyncBody = Static<typeof SyncBody>;

const PathList = (description: string) => Type.Array(Type.String(), { description });

const SyncConflict = Type.Object(
  {
    path: Type.String(),
    local_modified: Type.Union([Type.String(), Type.Null()]),
    remote_modified: Type.Union([Type.String(), Type.Null()]),
    resolution: Type.Enum([...SYNC_RESOLUTIONS], {
      description: 'What is decided stands in the other lists as well; `manual` stands in none.',
    }),
  },
  { $id: 'SyncConflict' },
);

export const SyncAnswer = Type.Object(
  {
    client_upload: PathList('Files that the server needs.'),
    client_download: PathList('Files that the client needs.'),
    client_delete: PathList('What the client removes, contents before their folder; empty without a base.'),
    client_create_dirs: PathList('Folders that the client makes, parents first.'),
    server_create_dirs: PathList('Folders that the client makes on the server, parents first.'),
    server_delete: PathList('What the client removes on the server; empty without a base.'),
    conflicts: Type.Array(SyncConflict),
    cursor: Type.String({ description: 'When the plan is carried out: the `base` of the next one.' }),
  },
  { $id: 'SyncAnswer' },
);
export type SyncAnswer = Static<typeof SyncAnswer>;
