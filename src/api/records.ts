/**
 * What goes over the wire, as schemas: types, checks and the OpenAPI document come from these alone.
 * Members are snake_case; moments are ISO 8601 in UTC; paths are in text form (path.ts). Unknown members are refused in
 * requests; answers may grow new ones.
 */
import Type, { type Static } from './schema.ts';

const options = { additionalProperties: false };

export const FILE_KINDS = ['file', 'folder', 'symlink', 'fifo', 'socket', 'char-device', 'block-device'] as const;
export type FileKind = (typeof FILE_KINDS)[number];

/** Numbers that name nodes, versions and commits. */
const Id = Type.Integer({ minimum: 1, maximum: Number.MAX_SAFE_INTEGER });

export const FileRecord = Type.Object(
  {
    file_id: Type.Integer({ description: 'The node: stays the same through renames.' }),
    path: Type.String({ description: 'Absolute, in text form: bytes that are not UTF-8 stand as \\xHH.' }),
    name: Type.String({ description: 'Last name of the path; empty for the root.' }),
    path_raw: Type.Optional(Type.String({ description: 'The path percent-encoded; only where it is not UTF-8.' })),
    name_raw: Type.Optional(Type.String({ description: 'The name percent-encoded; only where it is not UTF-8.' })),
    kind: Type.Enum([...FILE_KINDS]),
    is_directory: Type.Boolean(),
    size: Type.Integer({ description: 'Bytes.', minimum: 0 }),
    modified: Type.String({ format: 'date-time' }),
    changed: Type.String({ format: 'date-time' }),
    created: Type.String({ format: 'date-time' }),
    mode: Type.Integer({ description: 'Permission bits, 0 to 4095.' }),
    uid: Type.Integer(),
    gid: Type.Integer(),
    links: Type.Integer(),
    version: Type.Integer({ description: 'Rises with every change of content.' }),
    xxhash3: Type.Union([Type.String({ pattern: '^[0-9a-f]{16}$' }), Type.Null()], {
      description: 'XXH3-64 of the whole content, 16 hex digits; null for what has none or until it is computed.',
    }),
    target: Type.Optional(Type.String({ description: 'Where a symlink points, in text form.' })),
    attributes: Type.Optional(
      Type.Record(Type.String(), Type.String(), {
        description: 'Named attributes, values in base64; where asked for.',
      }),
    ),
  },
  { $id: 'FileRecord' },
);
export type FileRecord = Static<typeof FileRecord>;

export const ListPage = Type.Object(
  {
    path: Type.String(),
    entries: Type.Array(FileRecord),
    next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent on the last.' })),
  },
  { $id: 'ListPage' },
);
export type ListPage = Static<typeof ListPage>;

export const VersionRecord = Type.Object(
  {
    file_id: Type.Integer({ description: 'The node that had it; another one where a file replaced it by rename.' }),
    version: Type.Integer(),
    size: Type.Integer(),
    modified: Type.String({ format: 'date-time' }),
    xxhash3: Type.Union([Type.String(), Type.Null()]),
    commit: Type.Integer(),
    committed: Type.String({ format: 'date-time' }),
    actor: Type.String(),
    door: Type.String(),
    is_current: Type.Boolean(),
    reasons: Type.Optional(
      Type.Array(Type.String(), {
        description: 'Where asked for: why the rules keep it; empty for one that they let go.',
      }),
    ),
    needs_file_id: Type.Optional(
      Type.Boolean({
        description: 'Another version of the path, of a newer file, has this number: say `file_id` with it.',
      }),
    ),
  },
  { $id: 'VersionRecord' },
);
export type VersionRecord = Static<typeof VersionRecord>;

export const VersionPage = Type.Object(
  {
    path: Type.String(),
    versions: Type.Array(VersionRecord, { description: 'Newest first.' }),
    next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent on the last.' })),
  },
  { $id: 'VersionPage' },
);
export type VersionPage = Static<typeof VersionPage>;

export const DeletedRecord = Type.Object(
  {
    path: Type.String({ description: 'Where it would be now.' }),
    name: Type.String(),
    kind: Type.Enum([...FILE_KINDS]),
    file_id: Type.Integer(),
    size: Type.Integer(),
    deleted: Type.String({ format: 'date-time' }),
    commit: Type.Integer({ description: 'The commit that removed it.' }),
    actor: Type.String(),
    door: Type.String(),
    version: Type.Optional(
      Type.Integer({ description: 'Of a file: its newest version that is kept. Restore it with `file_id`.' }),
    ),
    at: Type.Optional(
      Type.Integer({
        description: 'The last commit at which it was there, where that is kept: read it, or restore it.',
      }),
    ),
  },
  { $id: 'DeletedRecord' },
);
export type DeletedRecord = Static<typeof DeletedRecord>;

export const DeletedPage = Type.Object(
  {
    path: Type.String(),
    entries: Type.Array(DeletedRecord, { description: 'What was removed last comes first.' }),
    next: Type.Optional(
      Type.String({ description: 'Cursor of the next page; absent on the last. A page may be empty and have one.' }),
    ),
  },
  { $id: 'DeletedPage' },
);
export type DeletedPage = Static<typeof DeletedPage>;

export const SnapshotRecord = Type.Object(
  {
    name: Type.String(),
    path: Type.String({ description: 'The folder that it shows, where that stood then.' }),
    file_id: Type.Integer({ description: 'The folder.' }),
    commit: Type.Integer(),
    created: Type.String({ format: 'date-time' }),
    actor: Type.String(),
    door: Type.String(),
    schedule: Type.Optional(Type.String({ description: 'Which schedule made it.' })),
  },
  { $id: 'SnapshotRecord' },
);
export type SnapshotRecord = Static<typeof SnapshotRecord>;

export const SnapshotPage = Type.Object(
  {
    snapshots: Type.Array(SnapshotRecord, { description: 'In the order of their names.' }),
    next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent on the last.' })),
  },
  { $id: 'SnapshotPage' },
);
export type SnapshotPage = Static<typeof SnapshotPage>;

export const PrunePlan = Type.Object(
  {
    kept: Type.Integer(),
    deleted: Type.Integer({ description: 'Deleted, or to be deleted.' }),
    snapshots: Type.Array(
      Type.Object({
        name: Type.String(),
        path: Type.String(),
        created: Type.String({ format: 'date-time' }),
        schedule: Type.String(),
        action: Type.Enum(['keep', 'delete']),
        reasons: Type.Array(Type.String(), { description: 'Why it is kept; empty for one that goes.' }),
      }),
      { description: 'By schedule, of each the newest first; up to 10,000.' },
    ),
    snapshots_more: Type.Integer({ description: 'How many more there are.' }),
    dry_run: Type.Boolean(),
  },
  { $id: 'PrunePlan' },
);
export type PrunePlan = Static<typeof PrunePlan>;

export const PLAN_CHANGES = ['added', 'removed', 'changed', 'moved'] as const;

export const RestorePlan = Type.Object(
  {
    path: Type.String({ description: 'What is brought back; empty for the undoing of a commit.' }),
    commit: Type.Integer({ description: 'The moment that it is brought back to, or the commit that is undone.' }),
    added: Type.Integer({ description: 'Names that come back; a folder counts once with all that is in it.' }),
    removed: Type.Integer(),
    changed: Type.Integer({ description: 'Content or attributes as they were.' }),
    moved: Type.Integer(),
    changes: Type.Array(
      Type.Object({
        change: Type.Enum([...PLAN_CHANGES]),
        path: Type.String(),
        kind: Type.Enum([...FILE_KINDS]),
        from: Type.Optional(Type.String({ description: 'Of what is moved: where it is now.' })),
      }),
      { description: 'Each of them, up to 1,000.' },
    ),
    changes_more: Type.Integer({ description: 'How many more there are.' }),
    losses: Type.Array(
      Type.Object({ path: Type.String(), what: Type.String({ description: 'What of it: symlink, attributes, …' }) }),
      { description: 'What nothing else keeps and would be lost for good, up to 1,000: refused without `force`.' },
    ),
    losses_more: Type.Integer(),
    dry_run: Type.Boolean(),
  },
  { $id: 'RestorePlan' },
);
export type RestorePlan = Static<typeof RestorePlan>;

export const CHANGE_NAMES = ['create', 'write', 'attributes', 'move', 'remove', 'link', 'restore'] as const;

/** One line of what a commit changed. */
const ChangeRecord = Type.Object({
  change: Type.Enum([...CHANGE_NAMES]),
  file_id: Type.Integer(),
  path: Type.Optional(Type.String({ description: 'Where it was after the commit; absent where nothing leads to it.' })),
  from: Type.Optional(Type.String({ description: 'Where it was before, of what was moved or removed.' })),
  version: Type.Optional(Type.Integer({ description: 'Of a file, after the commit.' })),
});

export const CommitRecord = Type.Object(
  {
    commit: Type.Integer(),
    committed: Type.String({ format: 'date-time' }),
    actor: Type.String({ description: 'Who.' }),
    door: Type.String({ description: 'Through which door.' }),
    request: Type.String(),
    kind: Type.String({ description: 'What kind of operation: write, move, remove, restore, snapshot, mount, …' }),
    changes: Type.Array(ChangeRecord),
    changes_more: Type.Integer({ description: 'How many more there are.' }),
    cursor: Type.Optional(Type.String({ description: 'Where the change feed goes on behind it.' })),
  },
  { $id: 'CommitRecord' },
);
export type CommitRecord = Static<typeof CommitRecord>;

export const ChangePage = Type.Object(
  {
    commits: Type.Array(CommitRecord, { description: 'Oldest first, each exactly once.' }),
    next: Type.String({ description: 'Cursor behind the last of them: ask with it as `after` for what comes.' }),
  },
  { $id: 'ChangePage' },
);
export type ChangePage = Static<typeof ChangePage>;

export const LogPage = Type.Object(
  {
    commits: Type.Array(CommitRecord, { description: 'Newest first.' }),
    next: Type.Optional(Type.String({ description: 'Cursor of the next page; absent on the last.' })),
    first_kept: Type.Optional(
      Type.Integer({
        description: 'On the last page: where the log begins, when older commits are not kept any more.',
      }),
    ),
  },
  { $id: 'LogPage' },
);
export type LogPage = Static<typeof LogPage>;

/** What can be set on a node; absent members stay as they are. */
export const AttributeChange = Type.Object(
  {
    mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777 })),
    uid: Type.Optional(Type.Integer({ minimum: 0, maximum: 0xffff_fffe })),
    gid: Type.Optional(Type.Integer({ minimum: 0, maximum: 0xffff_fffe })),
    modified: Type.Optional(Type.String({ format: 'date-time' })),
    accessed: Type.Optional(Type.String({ format: 'date-time' })),
    attributes: Type.Optional(
      Type.Record(Type.String({ pattern: '^user\\.' }), Type.Union([Type.String(), Type.Null()]), {
        description: 'Named attributes, values in base64; null removes one.',
        additionalProperties: false,
      }),
    ),
  },
  { ...options, $id: 'AttributeChange' },
);
export type AttributeChange = Static<typeof AttributeChange>;

/** What a lock gives: S to read in peace, X to change; IS and IX say that something inside is meant; SIX is both. */
export const LOCK_MODE_NAMES = ['IS', 'IX', 'S', 'SIX', 'X'] as const;
export type LockMode = (typeof LOCK_MODE_NAMES)[number];
export const LockMode = Type.Enum([...LOCK_MODE_NAMES], {
  description: 'X: nobody else. S: many, and nobody changes anything. IS, IX: something inside. SIX: S and IX.',
});

export const LockRecord = Type.Object(
  {
    token: Type.Integer({ description: 'Names the lock. Rises with every lock, and is never used again.' }),
    path: Type.String({ description: 'What was locked, as it was called then.' }),
    mode: LockMode,
    holder: Type.String({ description: 'Who holds it.' }),
    session: Type.String({ description: 'Locks of one session do not conflict.' }),
    granted: Type.String({ format: 'date-time' }),
    expires: Type.String({ format: 'date-time', description: 'When it ends unless it is renewed.' }),
  },
  { $id: 'LockRecord' },
);
export type LockRecord = Static<typeof LockRecord>;

export const LockList = Type.Object(
  { locks: Type.Array(LockRecord, { description: 'The oldest first.' }) },
  { $id: 'LockList' },
);
export type LockList = Static<typeof LockList>;

/** Operations of one batch. */
export const BATCH_OPERATIONS_MAX = 1_000;
/** Bytes of one content that stands in a batch. */
export const BATCH_CONTENT_BYTES_MAX = 64 * 1024;
export const BATCH_ACTS = ['move', 'copy', 'delete', 'mkdir', 'update', 'restore', 'put'] as const;
export type BatchAct = (typeof BATCH_ACTS)[number];

const BatchPath = Type.Optional(Type.String({ maxLength: 20_000, description: 'Absolute path in text form.' }));
const Switch = Type.Optional(Type.Boolean());
const Count = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));

export const BatchOperation = Type.Object(
  {
    op: Type.Enum([...BATCH_ACTS], {
      description:
        'move, copy: from_path, to_path, overwrite, parents. delete: path, recursive. mkdir: path, parents, mode. update: path or file_id, change. restore: path or file_id, version, to_path. put: path, content, parents, create, mode, modified; or upload_id alone: the file of that upload, as it was begun.',
    }),
    id: Type.Optional(Type.String({ minLength: 1, maxLength: 255, description: 'By which others depend on it.' })),
    depends_on: Type.Optional(
      Type.Array(Type.String({ maxLength: 255 }), {
        maxItems: 1_000,
        description: 'Ids of operations that come before it; where one of them failed, this one is not tried.',
      }),
    ),
    path: BatchPath,
    from_path: BatchPath,
    to_path: BatchPath,
    file_id: Type.Optional(Id),
    version: Count,
    overwrite: Switch,
    parents: Switch,
    recursive: Switch,
    create: Type.Optional(Type.Boolean({ description: 'put: only where there is nothing; `exists` otherwise.' })),
    mode: Type.Optional(Type.Integer({ minimum: 0, maximum: 0o7777, description: 'Permission bits.' })),
    modified: Type.Optional(Type.String({ format: 'date-time' })),
    content: Type.Optional(Type.String({ maxLength: 90_000, description: 'put: base64, of up to 64 KiB.' })),
    upload_id: Type.Optional(
      Type.String({ minLength: 1, maxLength: 100, description: 'put: an upload that is whole.' }),
    ),
    change: Type.Optional(AttributeChange),
    expected_version: Count,
    expected_file_id: Type.Optional(Id),
  },
  { ...options, $id: 'BatchOperation' },
);
export type BatchOperation = Static<typeof BatchOperation>;

export const BatchRequest = Type.Object(
  {
    operations: Type.Array(BatchOperation, { maxItems: BATCH_OPERATIONS_MAX }),
    mode: Type.Optional(
      Type.Union([Type.Literal('atomic'), Type.Literal('best-effort')], {
        description:
          'atomic (when absent): all or nothing. best-effort: what can be done is, and each says what became of it.',
      }),
    ),
    dry_run: Type.Optional(Type.Boolean({ description: 'Say what would be done, and do nothing.' })),
  },
  { ...options, $id: 'BatchRequest' },
);
export type BatchRequest = Static<typeof BatchRequest>;

export const BatchResult = Type.Object(
  {
    index: Type.Integer({ description: 'Of the operation in the request, from 0.' }),
    id: Type.Optional(Type.String()),
    ok: Type.Boolean(),
    record: Type.Optional(
      Type.Unknown({ description: 'FileRecord as the operation left it; for delete what was removed.' }),
    ),
    code: Type.Optional(Type.String({ description: 'Fault code where it failed; `aborted` where it was not tried.' })),
    error: Type.Optional(Type.String()),
    about: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
  },
  { $id: 'BatchResult' },
);
export type BatchResult = Static<typeof BatchResult>;

export const BatchAnswer = Type.Object(
  {
    mode: Type.String(),
    dry_run: Type.Boolean(),
    done: Type.Integer(),
    failed: Type.Integer(),
    results: Type.Array(BatchResult, { description: 'In the order of the request.' }),
  },
  { $id: 'BatchAnswer' },
);
export type BatchAnswer = Static<typeof BatchAnswer>;

export const UploadPartRecord = Type.Object(
  {
    part: Type.Integer({ description: 'From 1.' }),
    offset: Type.Integer({ description: 'Where it begins in the file.' }),
    size: Type.Union([Type.Integer(), Type.Null()], {
      description: 'Bytes that it has, or is to have; null for one that may be the last.',
    }),
    received: Type.Boolean({ description: 'All of its bytes are there, and durable.' }),
    xxhash3: Type.Union([Type.String({ pattern: '^[0-9a-f]{16}$' }), Type.Null()], {
      description: 'XXH3-64 of its bytes; null until it is there.',
    }),
    url: Type.Optional(
      Type.String({ description: 'PUT its bytes there: needs no other credential. While it is not there.' }),
    ),
  },
  { $id: 'UploadPartRecord' },
);
export type UploadPartRecord = Static<typeof UploadPartRecord>;

export const UploadPartPage = Type.Object(
  {
    upload_id: Type.String(),
    parts: Type.Array(UploadPartRecord, { description: 'In order.' }),
    next: Type.Optional(Type.Integer({ description: 'Ask with it as `after` for the next page; absent on the last.' })),
    urls_expire: Type.Optional(
      Type.String({ format: 'date-time', description: 'When the URLs end; ask again for fresh ones.' }),
    ),
  },
  { $id: 'UploadPartPage' },
);
export type UploadPartPage = Static<typeof UploadPartPage>;

export const Chunking = Type.Object(
  {
    ids: Type.Literal('blake3', { description: 'A chunk is named by BLAKE3 of its bytes, keyed.' }),
    chunker: Type.String({ description: 'docs/formats/chunking.md has how each cuts.' }),
    bytes_min: Type.Integer(),
    bytes_mean: Type.Integer(),
    bytes_max: Type.Integer(),
    id_key: Type.String({ description: 'The key of the names, 64 hex digits. It opens nothing.' }),
    gears: Type.Optional(Type.String({ description: 'The table of FastCDC, base64.' })),
  },
  { $id: 'Chunking' },
);
export type Chunking = Static<typeof Chunking>;

/** A run of a part as the asker has cut it. */
export const ChunkClaim = Type.Object(
  {
    size: Type.Integer({ minimum: 1, maximum: 16 * 1024 * 1024, description: 'Bytes.' }),
    id: Type.String({ pattern: '^[0-9a-f]{64}$', description: 'Its name, hex.' }),
  },
  { additionalProperties: false, $id: 'ChunkClaim' },
);
export type ChunkClaim = Static<typeof ChunkClaim>;

export const UploadHave = Type.Object(
  {
    part: Type.Integer(),
    missing: Type.Array(Type.Integer(), { description: 'Which of the chunks are not there, from 0.' }),
    missing_bytes: Type.Integer({ description: 'Bytes of those: what is still to be sent of the part.' }),
  },
  { $id: 'UploadHave' },
);
export type UploadHave = Static<typeof UploadHave>;

export const UploadRecord = Type.Object(
  {
    upload_id: Type.String({ description: 'Whoever knows it may send to it.' }),
    path: Type.String({ description: 'Where the file goes.' }),
    mode: Type.String({ description: 'create, replace or put.' }),
    state: Type.Union([Type.Literal('open'), Type.Literal('complete'), Type.Literal('removed')]),
    size: Type.Union([Type.Integer(), Type.Null()], { description: 'Bytes announced; null when not known.' }),
    part_size: Type.Union([Type.Integer(), Type.Null()], {
      description: 'Bytes of every part but the last; null for an upload that grows at its end.',
    }),
    part_count: Type.Union([Type.Integer(), Type.Null()], { description: 'Parts in all; null when not known.' }),
    received: Type.Integer({ description: 'Bytes that are there and durable: of whole parts, or from the beginning.' }),
    modified: Type.Optional(Type.String({ format: 'date-time' })),
    created: Type.String({ format: 'date-time' }),
    expires: Type.String({ format: 'date-time', description: 'When it is gone unless more comes.' }),
    note: Type.Optional(Type.String()),
    record: Type.Optional(Type.Unknown({ description: 'FileRecord of what it became, once it is complete.' })),
  },
  { $id: 'UploadRecord' },
);
export type UploadRecord = Static<typeof UploadRecord>;

export const UploadList = Type.Object(
  { uploads: Type.Array(UploadRecord, { description: 'The open ones.' }) },
  { $id: 'UploadList' },
);
export type UploadList = Static<typeof UploadList>;

export const Removed = Type.Object(
  {
    path: Type.String(),
    files: Type.Integer({ description: 'Files, links and special files removed.' }),
    links: Type.Optional(Type.Integer({ description: 'How many of `files` are symlinks.' })),
    folders: Type.Integer(),
    bytes: Type.Integer({ description: 'Bytes of their contents, before dedup.' }),
    dry_run: Type.Boolean(),
  },
  { $id: 'Removed' },
);
export type Removed = Static<typeof Removed>;

export const Usage = Type.Object(
  {
    path: Type.String(),
    at: Type.Optional(Type.String({ description: 'The moment that was asked for with `at`.' })),
    snapshot: Type.Optional(
      Type.String({ description: 'The snapshot that was asked for with `snapshot`; without either it is now.' }),
    ),
    files: Type.Integer({ description: 'Names of files, links and special files.' }),
    folders: Type.Integer({ description: 'The folder itself included.' }),
    bytes: Type.Integer({ description: 'Bytes of the files, before dedup.' }),
    exclusive_bytes: Type.Optional(
      Type.Integer({
        description:
          'Bytes of packs that nothing else needs: what comes back when the path is removed with its versions, or the snapshot is deleted. Only when asked for.',
      }),
    ),
    exclusive_chunks: Type.Optional(Type.Integer()),
    next_gc_bytes: Type.Optional(
      Type.Integer({
        description:
          'How much more the first collection after that gives back; the rest stays in packs of which too little would come back.',
      }),
    ),
  },
  { $id: 'Usage' },
);
export type Usage = Static<typeof Usage>;

export const StoreStats = Type.Object(
  {
    files: Type.Integer(),
    folders: Type.Integer(),
    symlinks: Type.Integer(),
    specials: Type.Integer({ description: 'FIFOs, sockets and devices.' }),
    logical_bytes: Type.Integer({ description: 'Bytes of all reachable files.' }),
    history_bytes: Type.Integer({ description: 'Bytes of kept older versions.' }),
    unique_bytes: Type.Integer({ description: 'Plain bytes of all referenced chunks, each counted once.' }),
    stored_bytes: Type.Integer({ description: 'Bytes of their records in packs.' }),
    pack_bytes: Type.Integer({ description: 'Bytes of all packs on disk, unreferenced records included.' }),
    metadata_bytes: Type.Integer(),
    disk_bytes: Type.Integer({ description: 'Packs and metadata together.' }),
    chunks: Type.Integer(),
    packs: Type.Integer(),
    packs_suspect: Type.Integer({
      description: 'Packs in which damage was found and that were not found whole since.',
    }),
    verified_since: Type.Optional(
      Type.String({
        description: 'Every other pack was written or found whole at this moment or later. Absent without packs.',
      }),
    ),
    dedup_ratio: Type.Number({ description: '(logical + history) / unique; 1 for an empty store.' }),
    compression_ratio: Type.Number({ description: 'unique / stored; 1 for an empty store.' }),
    total_ratio: Type.Number({ description: '(logical + history) / disk; 1 for an empty store.' }),
  },
  { $id: 'StoreStats' },
);
export type StoreStats = Static<typeof StoreStats>;

export const CollectedPack = Type.Object(
  {
    pack: Type.Integer(),
    object: Type.String({ description: 'The object that goes.' }),
    action: Type.Union([Type.Literal('rewrite'), Type.Literal('drop'), Type.Literal('join')], {
      description:
        'join: a small one that is made one with others; the object that they become is counted at the first.',
    }),
    bytes_before: Type.Integer(),
    bytes_after: Type.Integer({ description: 'Bytes of the object that takes its place; 0 for none.' }),
    chunks: Type.Integer({ description: 'Chunks that leave the index.' }),
  },
  { $id: 'CollectedPack' },
);
export type CollectedPack = Static<typeof CollectedPack>;

export const GcReport = Type.Object(
  {
    dry_run: Type.Boolean(),
    freed_bytes: Type.Integer({ description: 'Bytes that come back: of all objects before, less those after.' }),
    packs_rewritten: Type.Integer(),
    packs_dropped: Type.Integer(),
    packs_joined: Type.Integer({ description: 'Small packs that were made one with others.' }),
    chunks_discarded: Type.Integer(),
    objects_removed: Type.Integer({ description: 'Objects that nothing named, left by a crash.' }),
    objects_removed_bytes: Type.Integer(),
    waiting_bytes: Type.Integer({ description: 'Bytes of chunks that nobody names, but not for long enough yet.' }),
    waiting_chunks: Type.Integer(),
    kept_bytes: Type.Integer({ description: 'Other unused bytes, in packs of which too little would come back.' }),
    history_bytes: Type.Integer({
      description: 'Bytes, before dedup, of what is no file any more or was replaced and is kept as a version.',
    }),
    partial_chunks: Type.Integer({
      description: 'Chunks of which less than half is needed, since files were changed in place.',
    }),
    partial_bytes: Type.Integer({ description: 'Their bytes in packs; they are not among the freed ones.' }),
    partial_used_bytes: Type.Integer({ description: 'How many of their bytes, uncompressed, are needed.' }),
    recut_chunks: Type.Integer({ description: 'Those whose needed parts were stored anew.' }),
    recut_bytes: Type.Integer({ description: 'Their bytes in packs, which come back with the next collection.' }),
    packs: Type.Array(CollectedPack, { description: 'At most 1,000.' }),
    packs_more: Type.Integer(),
    problems: Type.Array(Type.Object({ pack: Type.Integer(), code: Type.String(), error: Type.String() }), {
      description: 'Packs that were kept because something in them is damaged, or could not be written.',
    }),
  },
  { $id: 'GcReport' },
);
export type GcReport = Static<typeof GcReport>;

export const GcStatus = Type.Object(
  {
    is_paused: Type.Boolean({ description: 'Collections behind the operations are not made.' }),
    paused_since: Type.Optional(Type.String()),
    interval_seconds: Type.Integer({ description: 'How often one is made behind the operations; 0 for never.' }),
    next: Type.Optional(Type.String({ description: 'When the next one begins.' })),
    running: Type.Optional(
      Type.Object(
        {
          started: Type.String(),
          done_bytes: Type.Integer({ description: 'Of the packs that it looks at.' }),
          total_bytes: Type.Integer(),
        },
        { description: 'The one under way.' },
      ),
    ),
    last: Type.Optional(
      Type.Object(
        {
          started: Type.String(),
          ended: Type.String(),
          freed_bytes: Type.Integer(),
          packs: Type.Integer({ description: 'Rewritten or dropped.' }),
          problems: Type.Integer(),
          error: Type.Optional(Type.String({ description: 'Why it ended early; the next one goes on.' })),
        },
        { description: 'The last one of this process.' },
      ),
    ),
  },
  { $id: 'GcStatus' },
);
export type GcStatus = Static<typeof GcStatus>;

export const CheckProblem = Type.Object(
  {
    code: Type.String({
      description: 'Stable: chunk-damaged, chunk-missing, pack-missing, pack-index-damaged, count-wrong, …',
    }),
    error: Type.String(),
    chunk: Type.Optional(Type.String()),
    pack: Type.Optional(Type.Integer()),
    object: Type.Optional(Type.String()),
    files: Type.Array(Type.String(), { description: 'Paths whose content needs it, at most FILES_NAMED_MAX.' }),
    files_more: Type.Optional(Type.Integer({ description: 'How many more files than are named.' })),
  },
  { $id: 'CheckProblem' },
);
export type CheckProblem = Static<typeof CheckProblem>;

export const RepairReport = Type.Object(
  {
    dry_run: Type.Boolean(),
    source: Type.Union([Type.Literal('store'), Type.Literal('folder')], { description: 'What the second copy is.' }),
    damaged_chunks: Type.Integer(),
    repaired_chunks: Type.Integer({ description: 'Whole again; in a dry run, that would be.' }),
    repaired_files: Type.Array(Type.String(), { description: 'Paths that needed them; some of many.' }),
    repaired_files_more: Type.Integer(),
    problems: Type.Array(
      Type.Object({
        code: Type.String(),
        error: Type.String(),
        files: Type.Array(Type.String()),
        files_more: Type.Integer(),
      }),
      { description: 'What is damaged still, and the files that need it.' },
    ),
    problems_more: Type.Integer(),
  },
  { $id: 'RepairReport' },
);
export type RepairReport = Static<typeof RepairReport>;

export const CheckReport = Type.Object(
  {
    chunks_verified: Type.Integer(),
    bytes_verified: Type.Integer(),
    packs_verified: Type.Integer(),
    files_verified: Type.Integer(),
    orphan_bytes: Type.Integer({ description: 'Bytes in packs that no chunk row names: harmless leftovers.' }),
    problems: Type.Array(CheckProblem),
    problems_more: Type.Integer(),
    is_clean: Type.Boolean(),
    rebuilt_chunks: Type.Optional(
      Type.Integer({
        description:
          'Chunks whose index row was missing or wrong and was written anew; 0 when all was as it should be. Only when a rebuild was asked for.',
      }),
    ),
  },
  { $id: 'CheckReport' },
);
export type CheckReport = Static<typeof CheckReport>;

/** RFC 9457, with a stable code and the members of the older error contract. */
export const Problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String(),
    code: Type.String({ description: 'Stable; docs/errors.md lists all.' }),
    path: Type.Union([Type.String(), Type.Null()]),
    error: Type.String({ description: 'The same sentence as detail.' }),
    error_code: Type.String({
      description: 'One of file_not_found, permission_denied, hash_mismatch, network_error, server_error, or the code.',
    }),
    about: Type.Optional(Type.Record(Type.String(), Type.Unknown())),
    request: Type.String({ description: 'Id of the request, as in the log.' }),
  },
  { $id: 'Problem' },
);
export type Problem = Static<typeof Problem>;

export const ServerInfo = Type.Object(
  {
    name: Type.Literal('holdfast'),
    version: Type.String(),
    status: Type.Union([Type.Literal('ok'), Type.Literal('draining')]),
    store_id: Type.String(),
    uptime_seconds: Type.Number(),
  },
  { $id: 'ServerInfo' },
);
export type ServerInfo = Static<typeof ServerInfo>;

export { Id };
