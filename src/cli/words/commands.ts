/**
 * The command table: every verb with its arguments, flags, examples, exit codes and JSON lines. Nothing else says what
 * can be typed; what each verb does is found in verbs.ts.
 */
import type { OptionTable } from '../../base/index.ts';
import type { Command } from './command.ts';

const SWITCH = { kind: 'boolean' } as const;

/** Flags that every command takes. The line of a switch that is on says what its opposite, --no-…, does. */
export const GLOBAL_FLAGS = {
  json: {
    type: SWITCH,
    default: false,
    doc: 'Write JSON lines to standard output, and errors as JSON to standard error.',
  },
  quiet: { type: SWITCH, default: false, doc: 'Say nothing but data and errors.', flags: ['--quiet', '-q'] },
  verbose: {
    type: SWITCH,
    default: false,
    doc: 'Name every item, and where an error came from.',
    flags: ['--verbose', '-v'],
  },
  progress: { type: SWITCH, default: true, doc: 'Show no progress on a terminal.' },
  help: { type: SWITCH, default: false, doc: 'Show help for the command.', flags: ['--help', '-h'] },
} as const satisfies OptionTable;

/** Flags of commands that need a store. All other options of the configuration are flags of theirs too. */
export const STORE_FLAGS = {
  store: {
    type: { kind: 'text', holds: 'folder' },
    default: './holdfast-data',
    doc: 'The folder of the store. When another process holds it, the command works through that process.',
  },
  server: {
    type: { kind: 'text', holds: 'url' },
    default: undefined,
    doc: 'Work through the server at this URL instead of opening a store.',
  },
  config: {
    type: { kind: 'text', holds: 'file' },
    default: undefined,
    doc: 'Read this configuration file instead of looking for one.',
  },
} as const satisfies OptionTable;

export const INIT_FLAGS = {
  id_algorithm: {
    type: { kind: 'choice', values: ['blake3', 'xxh3-128'] },
    default: undefined,
    doc: 'What names chunks, for good: blake3 (default), or xxh3-128, which is faster and must be trusted more; see below.',
  },
  chunker: {
    type: { kind: 'choice', values: ['ultracdc', 'fastcdc'] },
    default: undefined,
    doc: 'What cuts files into chunks, for good: ultracdc (default), or fastcdc, whose borders are keyed; see below.',
  },
} as const satisfies OptionTable;

export const SERVE_FLAGS = {
  create: { type: SWITCH, default: true, doc: 'When there is no store, fail instead of making one.' },
} as const satisfies OptionTable;

export const MOUNT_FLAGS = {
  create: SERVE_FLAGS.create,
  read_only: { type: SWITCH, default: false, doc: 'Nothing can be changed through the mount.' },
  allow_other: {
    type: SWITCH,
    default: false,
    doc: 'Other users of this machine may come in, as far as modes and owners let them.',
  },
  user: {
    type: { kind: 'text', shown: 'NAME' },
    default: 'owner',
    doc: 'Whose files; for now there is one user, owner.',
  },
  subdir: {
    type: { kind: 'text', shown: 'PATH' },
    default: '/',
    doc: 'Show this folder of the store instead of all of it.',
  },
  over_entries: {
    type: SWITCH,
    default: false,
    doc: 'Mount over a folder that is not empty; what is in it is hidden meanwhile.',
  },
  mandatory_locks: {
    type: SWITCH,
    default: false,
    doc: 'Programs get EBUSY for what somebody has locked (`lock`, /v1/locks).',
  },
} as const satisfies OptionTable;

export const UMOUNT_FLAGS = {
  lazy: {
    type: SWITCH,
    default: false,
    doc: 'Take it away although programs use it; what they have open goes on until they close it.',
    flags: ['--lazy', '-l'],
  },
} as const satisfies OptionTable;

const DRY_RUN = {
  type: SWITCH,
  default: false,
  doc: 'Say what would be done, and do nothing.',
  flags: ['--dry-run', '-n'],
} as const;
const EXCLUDE = {
  type: { kind: 'list', countMax: 1_000, shown: 'GLOB' },
  default: [],
  doc: 'Leave out what matches: a name, or a path below the source when the glob has a slash. May be repeated.',
} as const;
const CHECKSUM_DOC = 'Trust no times: read files of equal size and compare their XXH3.';

const LOCK_TOKEN = {
  type: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER, shown: 'TOKEN' },
  default: undefined,
  doc: 'Present this lock, as `lock` printed it; without it what somebody locked is left alone.',
} as const;

export const PUT_FLAGS = {
  checksum: { type: SWITCH, default: false, doc: CHECKSUM_DOC, flags: ['--checksum', '-c'] },
  again: {
    type: SWITCH,
    default: false,
    doc: 'Send every file, also those that look the same: this heals what a check found damaged.',
  },
  exclude: EXCLUDE,
  dry_run: DRY_RUN,
  lock_token: LOCK_TOKEN,
} as const satisfies OptionTable;

export const GET_FLAGS = {
  at: {
    type: { kind: 'text', shown: 'WHEN' },
    default: undefined,
    doc: 'As it was then: the name of a snapshot, ISO 8601, a date, an age such as 2h, or the number of a commit.',
  },
  checksum: { type: SWITCH, default: false, doc: CHECKSUM_DOC, flags: ['--checksum', '-c'] },
  clobber: {
    type: SWITCH,
    default: true,
    doc: 'Leave local files that differ as they are, and name them.',
  },
  fsync: { type: SWITCH, default: false, doc: 'Wait until every file and folder is safely on the local disk.' },
  version: {
    type: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER },
    default: undefined,
    doc: 'This version of one file instead of the current one.',
  },
  dry_run: DRY_RUN,
} as const satisfies OptionTable;

/** Of every verb that reads. */
const PAST_PLACES =
  'Behind PATH may stand @WHEN with a time, an age or the name of a snapshot (`/docs@2h`, `/docs@monday`); where something has that very name, it is meant instead.';

const AT = {
  type: { kind: 'text', shown: 'WHEN' },
  default: undefined,
  doc: 'As it was then: the name of a snapshot, ISO 8601, a date, an age such as 2h, or the number of a commit.',
} as const;

export const CAT_FLAGS = {
  at: AT,
  version: GET_FLAGS.version,
  offset: { type: { kind: 'bytes', min: 0, max: Number.MAX_SAFE_INTEGER }, default: 0, doc: 'Begin at this byte.' },
  length: {
    type: { kind: 'bytes', min: 0, max: Number.MAX_SAFE_INTEGER },
    default: undefined,
    doc: 'At most this many bytes; to the end when not given.',
  },
} as const satisfies OptionTable;

const NULL = {
  type: SWITCH,
  default: false,
  doc: 'End names with a NUL byte instead of a new line.',
  flags: ['--null', '-0'],
} as const;
const RECURSIVE = ['--recursive', '-r', '-R'];

export const LS_FLAGS = {
  at: AT,
  long: {
    type: SWITCH,
    default: false,
    doc: 'Mode, size, modification time (UTC) and version too.',
    flags: ['--long', '-l'],
  },
  recursive: { type: SWITCH, default: false, doc: 'Everything below, with paths.', flags: RECURSIVE },
  deleted: {
    type: SWITCH,
    default: false,
    doc: 'What was removed from the folder, or had this path, and can be had again; what was removed last comes first.',
  },
  glob: { type: { kind: 'text', shown: 'GLOB' }, default: undefined, doc: 'Only names that match.' },
  null: NULL,
} as const satisfies OptionTable;

export const STAT_FLAGS = {
  at: AT,
  attributes: { type: SWITCH, default: false, doc: 'Named attributes too.' },
} as const satisfies OptionTable;

export const MKDIR_FLAGS = {
  parents: {
    type: SWITCH,
    default: false,
    doc: 'Make the folders above too; fine when it is there already.',
    flags: ['--parents', '-p'],
  },
  mode: {
    type: { kind: 'text', shown: 'OCTAL' },
    default: undefined,
    doc: 'Permission bits, such as 750.',
    flags: ['--mode', '-m'],
  },
  lock_token: LOCK_TOKEN,
} as const satisfies OptionTable;

export const RM_FLAGS = {
  recursive: { type: SWITCH, default: false, doc: 'Folders with all that is in them.', flags: RECURSIVE },
  force: { type: SWITCH, default: false, doc: 'What is not there is no error.', flags: ['--force', '-f'] },
  dry_run: DRY_RUN,
  lock_token: LOCK_TOKEN,
} as const satisfies OptionTable;

export const MOVE_FLAGS = {
  overwrite: { type: SWITCH, default: false, doc: 'Replace a file at the goal; it becomes an older version.' },
  parents: { type: SWITCH, default: false, doc: 'Make the folders above the goal.', flags: ['--parents', '-p'] },
  lock_token: LOCK_TOKEN,
} as const satisfies OptionTable;

const WHEN = { kind: 'text', shown: 'WHEN' } as const;
const BYTES = { kind: 'bytes', min: 0, max: Number.MAX_SAFE_INTEGER } as const;

export const FIND_FLAGS = {
  at: AT,
  name: {
    type: { kind: 'text' },
    default: undefined,
    doc: 'Part of the name, or with * ? or [ a glob over all of it; upper and lower case alike.',
  },
  pattern: {
    type: { kind: 'text', shown: 'GLOB' },
    default: undefined,
    doc: 'Glob over the name, or over the path below PATH when it has a slash (** crosses folders).',
    flags: ['--pattern', '--glob'],
  },
  kind: {
    type: { kind: 'choice', values: ['file', 'folder', 'symlink', 'fifo', 'socket', 'char-device', 'block-device'] },
    default: undefined,
    doc: 'Only this kind.',
  },
  size_min: { type: BYTES, default: undefined, doc: 'At least this large.' },
  size_max: { type: BYTES, default: undefined, doc: 'At most this large.' },
  modified_after: {
    type: WHEN,
    default: undefined,
    doc: 'Modified after this: ISO 8601, a date, or an age such as 7d.',
    flags: ['--modified-after', '--newer'],
  },
  modified_before: {
    type: WHEN,
    default: undefined,
    doc: 'Modified before this.',
    flags: ['--modified-before', '--older'],
  },
  attribute: {
    type: { kind: 'text', shown: 'NAME[=VALUE]' },
    default: undefined,
    doc: 'Has this named attribute, with this value when one is given.',
  },
  recursive: { type: SWITCH, default: true, doc: 'Look into PATH itself only, not into subfolders.' },
  limit: {
    type: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER },
    default: undefined,
    doc: 'Stop after this many.',
  },
  long: LS_FLAGS.long,
  null: NULL,
} as const satisfies OptionTable;

export const VERSIONS_FLAGS = {
  at: AT,
  why: { type: SWITCH, default: false, doc: 'Say why the rules (versions.keep) keep each, and which they let go.' },
  keep: {
    type: { kind: 'text', shown: 'RULES' },
    default: undefined,
    doc: 'Say which these rules would keep, and why, such as "daily 30, last 5"; nothing is done.',
  },
  limit: {
    type: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER },
    default: undefined,
    doc: 'The newest so many.',
  },
} as const satisfies OptionTable;

const FORCED = {
  type: SWITCH,
  default: false,
  doc: 'Also when something would be lost that nothing else keeps.',
} as const;

export const SNAPSHOT_FLAGS = {
  keep: {
    type: { kind: 'text', shown: 'RULES' },
    default: undefined,
    doc: 'prune: what is kept, such as "daily 30, monthly 12", instead of the rules of the schedules.',
  },
  schedule: {
    type: { kind: 'text', shown: 'NAME' },
    default: undefined,
    doc: 'prune: only what this schedule made.',
  },
  force: { ...FORCED, doc: 'restore: also when something would be lost that nothing else keeps.' },
  dry_run: DRY_RUN,
} as const satisfies OptionTable;

export const RESTORE_FLAGS = {
  at: AT,
  lock_token: LOCK_TOKEN,
  force: FORCED,
  dry_run: DRY_RUN,
} as const satisfies OptionTable;

export const UNDO_FLAGS = { force: FORCED, dry_run: DRY_RUN } as const satisfies OptionTable;

export const LOG_FLAGS = {
  limit: {
    type: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER },
    default: undefined,
    doc: 'The newest so many.',
  },
} as const satisfies OptionTable;

const LOCK_LEASE = { kind: 'duration', minMs: 1_000, maxMs: 24 * 3600 * 1000 } as const;

export const LOCK_FLAGS = {
  mode: {
    type: { kind: 'choice', values: ['X', 'S', 'SIX', 'IX', 'IS'] },
    default: undefined,
    doc: 'X (default): nobody else changes it. S: many may hold it, and nobody changes it.',
  },
  for: { type: LOCK_LEASE, default: undefined, doc: 'How long it lasts unless it is renewed; 10m when not given.' },
  wait: {
    type: { kind: 'duration', minMs: 0, maxMs: 600_000 },
    default: undefined,
    doc: 'Wait this long for others; not at all when not given.',
  },
  holder: {
    type: { kind: 'text', shown: 'NAME' },
    default: undefined,
    doc: 'Who holds it, for those who find it locked; your user and machine when not given.',
  },
  renew: {
    type: SWITCH,
    default: false,
    doc: 'LOCK is the token of a lock: renew it, and set its mode when one is given.',
  },
} as const satisfies OptionTable;

export const BATCH_FLAGS = {
  mode: {
    type: { kind: 'choice', values: ['atomic', 'best-effort'] },
    default: undefined,
    doc: 'All or nothing (default), or what can be done; instead of what the file says.',
  },
  lock_token: LOCK_TOKEN,
  dry_run: DRY_RUN,
} as const satisfies OptionTable;

export const UNLOCK_FLAGS = {
  force: {
    type: SWITCH,
    default: false,
    doc: 'Break locks of others on the path too; they hear of it with their next write.',
    flags: ['--force', '-f'],
  },
  holder: LOCK_FLAGS.holder,
} as const satisfies OptionTable;

export const DIFF_FLAGS = {
  stored: { type: SWITCH, default: false, doc: 'Both A and B are paths in the store.' },
  checksum: { type: SWITCH, default: false, doc: CHECKSUM_DOC, flags: ['--checksum', '-c'] },
  times: { type: SWITCH, default: false, doc: 'Other modification times are a difference too.' },
  exclude: EXCLUDE,
} as const satisfies OptionTable;

export const CHECK_FLAGS = {
  sample: {
    type: { kind: 'text', shown: 'SHARE' },
    default: undefined,
    doc: 'Read only this share of the chunks, chosen by chance: 10% or 0.1.',
  },
  rebuild_index: { type: SWITCH, default: false, doc: 'First write the chunk index anew from the packs.' },
  rebuild_meta: {
    type: SWITCH,
    default: false,
    doc: 'First bring back lost or damaged metadata: the last checkpoint, and the packs that are there.',
  },
  force: {
    type: SWITCH,
    default: false,
    doc: 'With --rebuild-meta: also when the metadata is whole. What came after the checkpoint loses its names.',
  },
} as const satisfies OptionTable;

export const REPAIR_FLAGS = {
  from: {
    type: { kind: 'text', holds: 'folder', shown: 'STORE|DIR' },
    default: undefined,
    doc: 'Where to look: the folder of another store, or any folder with copies of the files.',
  },
  dry_run: {
    type: SWITCH,
    default: false,
    doc: 'Only say what would be repaired.',
    flags: ['--dry-run', '-n'],
  },
} as const satisfies OptionTable;

export const DU_FLAGS = {
  exclusive: {
    type: SWITCH,
    default: false,
    doc: 'Also say, to the byte, how much room would come back if it went.',
    flags: ['--exclusive', '-x'],
  },
  snapshot: {
    type: { kind: 'text' },
    default: undefined,
    doc: 'As this snapshot shows it; with --exclusive what this snapshot alone holds.',
  },
  at: AT,
} as const satisfies OptionTable;

export const GC_FLAGS = {
  dry_run: {
    type: SWITCH,
    default: false,
    doc: 'Only say what would come back, to the byte.',
    flags: ['--dry-run', '-n'],
  },
  grace: {
    type: { kind: 'duration', minMs: 0, maxMs: 366 * 24 * 3600 * 1000 },
    default: undefined,
    doc: 'How long bytes stay after nothing needs them: gc.grace when not given. 0s gives back at once.',
  },
  status: { type: SWITCH, default: false, doc: 'Only say where collections stand.' },
  pause: {
    type: SWITCH,
    default: false,
    doc: 'Let a server make no collections by itself from now on, also after a restart; the one under way ends.',
  },
  resume: { type: SWITCH, default: false, doc: 'Let it make them again.' },
} as const satisfies OptionTable;

export const CONFIG_FLAGS = {
  origin: { type: SWITCH, default: false, doc: 'Say for each value where it comes from.' },
} as const satisfies OptionTable;

export const BENCH_FLAGS = {
  size: {
    type: { kind: 'bytes', min: 1024 * 1024, max: 2 ** 40 },
    default: 256 * 1024 * 1024,
    doc: 'Bytes of the large file.',
  },
  files: { type: { kind: 'integer', min: 1, max: 1_000_000 }, default: 2_000, doc: 'How many small files.' },
  folder: {
    type: { kind: 'text', holds: 'folder' },
    default: undefined,
    doc: 'Where to work; a fresh folder in it is removed at the end.',
  },
} as const satisfies OptionTable;

export const HELP_FLAGS = {
  markdown: { type: SWITCH, default: false, doc: 'The whole reference as Markdown: what docs/cli.md holds.' },
} as const satisfies OptionTable;

const RECORD =
  'the record of a file or folder, as the HTTP interface has it (`path`, `kind`, `size`, `modified`, `version`, `xxhash3`, …)';
const ITEM = '`{"event":"item","action","kind","path","local","bytes"}` for each item; `action` is';
const SUMMARY =
  '`{"event":"summary","verb","files","folders","symlinks","bytes","kept","skipped","failed","seconds"}` at the end';

export const COMMANDS: readonly Command[] = [
  {
    verb: 'init',
    summary: 'Make a store',
    details: [
      'Makes an empty store in a new or empty folder: DIR, or what --store or the configuration names. How chunks are named and cut is chosen here and never changes for that store.',
      'Chunk names (--id-algorithm). blake3 is the default: keyed with a secret of the store, it tells outsiders nothing, and nobody can make two contents of one name. xxh3-128 is faster, but its names can be forged at will by somebody who chooses file contents and knows or guesses the secret seed. Such a store therefore compares all bytes whenever it believes to have a chunk already, never answers a client who asks what it has, never repairs itself from what comes in, and takes one account only. Take it only where nobody else writes.',
      'Chunk borders (--chunker). ultracdc is the default and the faster one; it has nothing to key, so somebody who sees the packs may recognise a file they know by the lengths of its chunks. fastcdc draws its borders by a table keyed per store, and hides that.',
    ],
    arguments: [{ name: 'DIR', kind: 'local', summary: 'The folder of the new store.', count: { min: 0, max: 1 } }],
    flags: INIT_FLAGS,
    examples: [
      { line: 'holdfast init /srv/files', says: 'Makes a store with the defaults.' },
      { line: 'holdfast init --chunker fastcdc ./store', says: 'Makes one whose chunk borders are keyed.' },
    ],
    exits: ['conflict', 'full', 'denied', 'io'],
    json: ['`{"event":"made","store","store_id","id_algorithm","chunker"}`'],
    needs: 'folder',
  },
  {
    verb: 'serve',
    summary: 'Serve a store over HTTP, and to other commands on this machine',
    details: [
      '--host and --port say where it answers; only loopback addresses are taken until there are accounts.',
      'Runs until SIGTERM or Ctrl+C, then lets requests under way finish; a second one hurries. Other commands on the same store work through it (DIR/control.sock).',
    ],
    arguments: [],
    flags: SERVE_FLAGS,
    examples: [
      { line: 'holdfast serve', says: 'Serves ./holdfast-data on 127.0.0.1:8420, making it first when there is none.' },
      { line: 'holdfast serve --store /srv/files --port 9000', says: 'Serves another store on another port.' },
    ],
    exits: ['notFound', 'conflict', 'full', 'denied', 'io', 'incompatible'],
    json: ['`{"event":"serving","url","store","store_id"}` once it answers'],
    needs: 'folder',
  },
  {
    verb: 'mount',
    summary: 'Show the store as a folder of this machine (Linux)',
    details: [
      'Stays in the foreground until SIGTERM or Ctrl+C, or until somebody unmounts the folder: then everything is made durable, the folder is unmounted, and the exit code is 0. While programs have files open there it waits (mount.unmount_timeout, 5s), then cuts them off; a second signal cuts at once. Nothing that was written before is lost by that.',
      'Other commands on the same store work through it (DIR/control.sock), and both sides see at once what the other did. Whoever is not root needs fusermount3 (package fuse3) and a mount point of their own. More in docs/operating/mount.md.',
    ],
    arguments: [
      {
        name: 'DIR',
        kind: 'local',
        summary: 'The folder to mount at; it is there, and empty.',
        count: { min: 1, max: 1 },
      },
    ],
    flags: MOUNT_FLAGS,
    examples: [
      { line: 'holdfast mount --store /srv/files /mnt/files', says: 'Shows the whole store at /mnt/files.' },
      {
        line: 'holdfast mount --read-only --subdir /photos /mnt/photos',
        says: 'Shows one folder of the store, and lets nobody change it.',
      },
    ],
    exits: ['notFound', 'conflict', 'full', 'denied', 'io', 'incompatible'],
    json: ['`{"event":"mounted","mount_point","store","store_id"}` once it is mounted'],
    needs: 'folder',
  },
  {
    verb: 'umount',
    summary: 'Unmount a folder where Holdfast is mounted',
    details: [
      'Makes what was written durable, unmounts, and waits until the mount is gone; the process that served it ends by itself. Refused while programs use it, naming them.',
    ],
    arguments: [{ name: 'DIR', kind: 'local', summary: 'The mount point.', count: { min: 1, max: 1 } }],
    flags: UMOUNT_FLAGS,
    examples: [{ line: 'holdfast umount /mnt/files', says: 'Unmounts it.' }],
    exits: ['notFound', 'denied', 'io'],
    json: ['`{"event":"unmounted","mount_point"}`'],
    needs: 'none',
  },
  {
    verb: 'up',
    summary: 'Run all that the configuration asks for: HTTP and mounts on one store',
    details: [
      'HTTP unless `http.enabled` is false, and every table of `mounts`; see docs/operating/configuration.md. Without mounts it is serve.',
      'Runs until SIGTERM or Ctrl+C: requests under way finish, then everything is unmounted and made durable; a second one hurries. A mount that somebody takes away meanwhile is gone; the rest goes on.',
    ],
    arguments: [],
    flags: SERVE_FLAGS,
    examples: [{ line: 'holdfast up --config /etc/holdfast.toml', says: 'Runs what that file asks for.' }],
    exits: ['notFound', 'conflict', 'full', 'denied', 'io', 'incompatible'],
    json: [
      '`{"event":"mounted","mount_point","store","store_id"}` for each mount, and then `{"event":"serving","url","store","store_id"}` when it answers over HTTP',
    ],
    needs: 'folder',
  },
  {
    verb: 'put',
    summary: 'Copy local files and folders into the store',
    details: [
      'Folders go with all that is in them; modes and modification times (to the nanosecond) are kept, symlinks stay symlinks. FIFOs, sockets and devices are skipped and named. What the store has and the source has not stays: put never removes. A store below the source is not put into itself: it is left out and named.',
      'A file of which the store has one of equal size, modification time and mode is not read. With --checksum every file of equal size is read and compared. With --again every file is sent: where the store finds its own copy of the bytes damaged, it keeps the ones that came, for all files that share them.',
      'Where things go: DEST with a trailing slash, or several sources: each goes into DEST under its own name. One source and DEST without a slash: the source becomes DEST (a folder is merged into it when it is there), so that the same command a second time only brings it up to date; a file whose DEST is an existing folder goes into it. A folder with a trailing slash (or `.`) means what is in it. Without DEST things go into the root. Missing folders above are made.',
      'Over --server, files from 64 MiB on go in parts, several at once. When the connection, the server or this command ends in the middle, the command waits for a while for the server, or the same command again goes on: parts that are there are compared with the file by their hash, and only the others are sent. Of a file that the store has in another version, only chunks that differ are sent.',
      'A file that cannot be read, or changes while it is read, is named, and the exit code is 5; all others are stored.',
    ],
    arguments: [
      {
        name: 'SOURCE',
        kind: 'local',
        summary: 'Local file or folder; `-` for standard input.',
        count: { min: 1, max: 10_000 },
      },
      {
        name: 'DEST',
        kind: 'stored',
        summary: 'Where it goes; the root when there is only one word.',
        count: { min: 0, max: 1 },
      },
    ],
    flags: PUT_FLAGS,
    examples: [
      {
        line: 'holdfast put photos /photos',
        says: 'Stores the folder photos as /photos; run it again to bring it up to date.',
      },
      { line: 'holdfast put a.txt b.txt /notes/', says: 'Stores two files in /notes.' },
      { line: 'pg_dump db | holdfast put - /dumps/db.sql', says: 'Stores what comes from standard input.' },
    ],
    exits: ['notFound', 'conflict', 'partly', 'full', 'denied', 'io'],
    json: [`${ITEM} stored, made, linked, updated, kept, special, store (left out), vanished or failed`, SUMMARY],
    needs: 'store',
  },
  {
    verb: 'get',
    summary: 'Copy files and folders out of the store',
    details: [
      'Modes and modification times are restored, symlinks stay symlinks; owners, setuid and setgid bits are not. Each file is written under a temporary name (.holdfast-…) beside its goal and then renamed, so that there is never a half file under its own name; a symlink that stands there is replaced, never written through. Long runs of zeros become holes.',
      'A local file of equal size, modification time and mode is left alone. Where things go follows the rules of put; without DEST they go into the current folder.',
      PAST_PLACES,
    ],
    arguments: [
      { name: 'SOURCE', kind: 'stored', summary: 'Path in the store.', count: { min: 1, max: 10_000 } },
      {
        name: 'DEST',
        kind: 'local',
        summary: 'Where it goes; `-` for standard output. The current folder when there is only one word.',
        count: { min: 0, max: 1 },
      },
    ],
    flags: GET_FLAGS,
    examples: [
      { line: 'holdfast get /photos ~/restored', says: 'Brings the folder back as ~/restored.' },
      {
        line: 'holdfast get --version 3 /notes/a.txt old.txt',
        says: 'Brings an older version back under another name.',
      },
    ],
    exits: ['notFound', 'conflict', 'partly', 'corrupt', 'full', 'denied', 'io', 'brokenPipe'],
    json: [`${ITEM} fetched, made, linked, updated, kept, special, present or failed`, SUMMARY],
    needs: 'store',
  },
  {
    verb: 'cat',
    summary: 'Write files to standard output',
    details: [PAST_PLACES],
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'File in the store.', count: { min: 1, max: 10_000 } }],
    flags: CAT_FLAGS,
    examples: [{ line: 'holdfast cat /dumps/db.sql | psql db', says: 'Feeds a stored file to another program.' }],
    exits: ['notFound', 'conflict', 'corrupt', 'brokenPipe'],
    needs: 'store',
  },
  {
    verb: 'ls',
    summary: 'List a folder',
    details: [
      'Names stand in text form: bytes that are not UTF-8 as \\xHH. On a terminal they stand in columns, and characters that steer it are escaped too.',
      'With --deleted each line says when something was removed, how it is had again (`FILE:VERSION` for `restore PATH FILE:VERSION`, or `@COMMIT` for `restore --at COMMIT PATH`), how large it was, who removed it, and where it stood.',
      PAST_PLACES,
    ],
    arguments: [
      {
        name: 'PATH',
        kind: 'stored',
        summary: 'Folder or file; the root when absent.',
        count: { min: 0, max: 10_000 },
      },
    ],
    flags: LS_FLAGS,
    examples: [
      { line: 'holdfast ls -l /photos', says: 'Lists a folder with sizes and times.' },
      { line: 'holdfast ls --deleted -r /photos', says: 'Lists what was removed below it and can be had again.' },
    ],
    exits: ['notFound', 'conflict', 'brokenPipe'],
    json: [
      `${RECORD}, one a line`,
      '--deleted: `{"path","name","kind","file_id","size","deleted","commit","actor","door","version","at"}`, one a line',
    ],
    needs: 'store',
  },
  {
    verb: 'stat',
    summary: 'Show all that is known about a file or folder',
    details: [PAST_PLACES],
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'Path in the store.', count: { min: 1, max: 10_000 } }],
    flags: STAT_FLAGS,
    examples: [{ line: 'holdfast stat /notes/a.txt', says: 'Shows size, times, version and XXH3.' }],
    exits: ['notFound', 'partly'],
    json: [RECORD],
    needs: 'store',
  },
  {
    verb: 'mkdir',
    summary: 'Make folders',
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'Folder to make.', count: { min: 1, max: 10_000 } }],
    flags: MKDIR_FLAGS,
    examples: [{ line: 'holdfast mkdir -p /a/b/c', says: 'Makes a folder and those above it.' }],
    exits: ['notFound', 'conflict', 'partly', 'denied', 'full'],
    json: [RECORD],
    needs: 'store',
  },
  {
    verb: 'rm',
    summary: 'Remove files and folders',
    details: ['A folder needs -r. With --dry-run nothing is removed, and what would be is counted.'],
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'What to remove.', count: { min: 1, max: 10_000 } }],
    flags: RM_FLAGS,
    examples: [{ line: 'holdfast rm -r --dry-run /old', says: 'Counts what removing /old would remove.' }],
    exits: ['notFound', 'conflict', 'partly', 'denied', 'full'],
    json: ['`{"path","files","folders","bytes","dry_run"}` for each PATH'],
    needs: 'store',
  },
  {
    verb: 'mv',
    summary: 'Move or rename files and folders',
    details: [
      'One row changes, whatever is in the folder. When DEST is a folder, or there are several sources, they go into it under their own names.',
    ],
    arguments: [
      { name: 'SOURCE', kind: 'stored', summary: 'What to move.', count: { min: 1, max: 10_000 } },
      { name: 'DEST', kind: 'stored', summary: 'New path, or the folder it goes into.' },
    ],
    flags: MOVE_FLAGS,
    examples: [{ line: 'holdfast mv /draft.txt /final.txt', says: 'Renames a file; its versions go with it.' }],
    exits: ['notFound', 'conflict', 'partly', 'denied', 'full'],
    json: [RECORD],
    needs: 'store',
  },
  {
    verb: 'cp',
    summary: 'Copy files and folders within the store',
    details: [
      'Copies share their bytes, so a copy costs no room and no time, whatever the size. Where things go follows mv.',
    ],
    arguments: [
      { name: 'SOURCE', kind: 'stored', summary: 'What to copy.', count: { min: 1, max: 10_000 } },
      { name: 'DEST', kind: 'stored', summary: 'Path of the copy, or the folder it goes into.' },
    ],
    flags: MOVE_FLAGS,
    examples: [{ line: 'holdfast cp /site /site-before', says: 'Keeps a copy of a folder before work on it.' }],
    exits: ['notFound', 'conflict', 'partly', 'denied', 'full'],
    json: [RECORD],
    needs: 'store',
  },
  {
    verb: 'find',
    summary: 'Search by name, pattern, kind, size, time or attribute',
    details: [PAST_PLACES],
    arguments: [
      { name: 'PATH', kind: 'stored', summary: 'Where to start; the root when absent.', count: { min: 0, max: 1 } },
    ],
    flags: FIND_FLAGS,
    examples: [
      { line: 'holdfast find --pattern "*.jpg" --size-min 5MB /photos', says: 'Finds large pictures.' },
      { line: 'holdfast find --kind file --newer 2d', says: 'Finds what changed in the last two days.' },
    ],
    exits: ['notFound', 'conflict', 'brokenPipe'],
    json: [`${RECORD}, one a line`],
    needs: 'store',
  },
  {
    verb: 'versions',
    summary: 'List the versions of a file, newest first',
    details: [
      'Also of a file that was removed, as long as a version of it is kept; of several with that path, the last.',
      PAST_PLACES,
    ],
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'File in the store.' }],
    flags: VERSIONS_FLAGS,
    examples: [{ line: 'holdfast versions /notes/a.txt', says: 'Shows which versions there are.' }],
    exits: ['notFound', 'conflict', 'brokenPipe'],
    json: [
      '`{"file_id","version","size","modified","xxhash3","commit","committed","actor","door","is_current"}`, one a line',
    ],
    needs: 'store',
  },
  {
    verb: 'restore',
    summary: 'Make an older version of a file the current one, or bring a path back to a moment',
    details: [
      'With --at WHEN, or PATH@WHEN with a time or an age, PATH (a file, a folder with all that is in it, / for everything) becomes what it was then, in one commit that can be undone: what is replaced or removed is kept as older versions. The plan is printed before it is done, with --dry-run alone: + comes back, - goes, ~ changes, > moves, ! would be lost. It is refused where something would be lost that nothing else keeps, neither a version nor history.keep nor a snapshot (links, special files, folders, attributes), unless --force is given.',
      'The restored content is a new version; nothing is lost. Say PATH and VERSION as two words, or PATH@VERSION as one. Where a file took the place of another, `versions` lists some as FILE:VERSION, because the number alone means the newer file: say it like that. With FILE:VERSION the version of a removed file can be brought back to PATH, too, as long as it is kept.',
      'PATH alone brings back what was removed there: a file with its newest version, anything else as it was right before. Where several things of that name were removed, they are named, and you say which; `ls --deleted` lists them too.',
    ],
    arguments: [
      { name: 'PATH', kind: 'stored', summary: 'File in the store, with @VERSION when that is not its own word.' },
      {
        name: 'VERSION',
        kind: 'text',
        summary: 'Number of the version, as versions lists it.',
        count: { min: 0, max: 1 },
      },
    ],
    flags: RESTORE_FLAGS,
    examples: [
      { line: 'holdfast restore /notes/a.txt@3', says: 'Makes version 3 current again.' },
      { line: 'holdfast restore /notes/gone.txt', says: 'Brings back a file that was removed.' },
      { line: 'holdfast restore -n /projects@2h', says: 'Says what bringing the folder back by two hours would do.' },
    ],
    exits: ['notFound', 'conflict', 'denied', 'full'],
    json: [RECORD],
    needs: 'store',
  },
  {
    verb: 'snapshot',
    summary: 'Make, list, compare, go back to and delete snapshots',
    details: [
      'A snapshot keeps a folder, or everything, as it is now, until it is deleted. It takes a moment to make and nearly no room, whatever the size; room goes to what changes afterwards.',
      '`create NAME [PATH]`, `list`, `show NAME`, `diff A [B [PATH]]` (B is now when not given), `restore NAME [PATH]`, `delete NAME…`. `restore` is one commit and can be undone; what it replaces or removes is kept as older versions. Read it with --at NAME (ls, stat, cat, get, find, versions), in a mount below .snapshots/NAME, or over HTTP with `?at=NAME`. A name has no slash, is no time and no number, and does not begin with @, a dot or a dash.',
      '`prune` deletes those of the snapshots that schedules made (option `snapshots`) which no rule keeps; it says what it will do before it does it. Snapshots that somebody made, and the newest of each schedule, always stay. RULES are any of `last`, `hourly`, `daily`, `weekly`, `monthly` and `yearly`, each with a number, `all` or `within` an age, and `all within` an age, with commas between: what one of them keeps is kept.',
    ],
    arguments: [
      {
        name: 'ACTION',
        kind: 'choice',
        choices: ['create', 'list', 'show', 'diff', 'restore', 'delete', 'prune'],
        summary: 'What to do.',
      },
      {
        name: 'NAME',
        kind: 'text',
        summary: 'Which snapshot; for create, then the folder, when not everything.',
        count: { min: 0, max: 1_000 },
      },
    ],
    flags: SNAPSHOT_FLAGS,
    examples: [
      { line: 'holdfast snapshot create before-the-move', says: 'Keeps everything as it is.' },
      { line: 'holdfast snapshot create photos-june /photos', says: 'Keeps one folder.' },
      { line: 'holdfast snapshot delete before-the-move', says: 'Lets go of it.' },
      {
        line: 'holdfast snapshot prune --keep "daily 30, monthly 12" --dry-run',
        says: 'Says which would stay by these rules, and why.',
      },
    ],
    exits: ['different', 'notFound', 'conflict', 'full', 'partly', 'brokenPipe'],
    json: [
      '`{"name","path","file_id","commit","created","actor","door","schedule"}`, one a line',
      'prune: `{"name","path","created","schedule","action","reasons"}` for each, `action` is keep or delete',
    ],
    needs: 'store',
  },
  {
    verb: 'batch',
    summary: 'Do many operations in the store as one',
    details: [
      'FILE is JSON: a list of up to 1,000 operations, or an object as `POST /v1/batch` takes it; `-` is standard input. `{"op": "move", "from_path": "/a", "to_path": "/b"}` is one; `op` is move, copy, delete, mkdir, update, restore or put (content in base64, up to 64 KiB). Each sees what those before it did. All become one commit, or, when one fails, nothing is done and the one is named.',
      'With --mode best-effort what can be done is done, and each operation that failed is named (exit code 5). An operation that has `depends_on` comes behind those, by their `id`, and is not tried where one of them failed.',
    ],
    arguments: [{ name: 'FILE', kind: 'local', summary: 'JSON file with the operations; `-` for standard input.' }],
    flags: BATCH_FLAGS,
    examples: [
      { line: 'holdfast batch tidy.json', says: 'Does all of it, or nothing.' },
      { line: 'holdfast batch -n tidy.json', says: 'Says whether it could be done.' },
    ],
    exits: ['notFound', 'conflict', 'partly', 'unavailable', 'full'],
    json: ['`{"index","id","ok","record","code","error"}` for each operation, as the HTTP interface has it'],
    needs: 'store',
  },
  {
    verb: 'lock',
    summary: 'Keep others from changing a file or folder for a while',
    details: [
      'Prints the token of the lock. Until it is given back with `unlock`, or its time is over, others who change the file, or anything in the folder, get exit code 6 (`locked`), which names the holder; commands with --lock-token TOKEN go through. Reading is never held up. A path at which there is nothing yet can be locked too. Locks outlive the command and a restart of the server.',
      'A write with the token of a lock that is over does nothing and says so (`lock-lost`, exit code 4).',
    ],
    arguments: [{ name: 'LOCK', kind: 'stored', summary: 'Path in the store; with --renew the token of a lock.' }],
    flags: LOCK_FLAGS,
    examples: [
      { line: 'holdfast lock --for 5m /notes/a.txt', says: 'Locks a file for five minutes and prints the token.' },
      { line: 'holdfast lock --renew --for 1h 17', says: 'Holds the lock 17 for one more hour.' },
    ],
    exits: ['notFound', 'conflict', 'unavailable'],
    json: ['the lock, as the HTTP interface has it (`token`, `path`, `mode`, `holder`, `granted`, `expires`)'],
    needs: 'store',
  },
  {
    verb: 'unlock',
    summary: 'Give locks back',
    arguments: [
      {
        name: 'LOCK',
        kind: 'stored',
        summary: 'Token of a lock, or a path: then all locks of yours on it.',
        count: { min: 1, max: 1_000 },
      },
    ],
    flags: UNLOCK_FLAGS,
    examples: [
      { line: 'holdfast unlock 17', says: 'Gives the lock 17 back.' },
      { line: 'holdfast unlock --force /notes/a.txt', says: 'Breaks whatever locks there are on the file.' },
    ],
    exits: ['notFound', 'conflict', 'partly'],
    json: ['the lock, as the HTTP interface has it (`token`, `path`, `mode`, `holder`, `granted`, `expires`)'],
    needs: 'store',
  },
  {
    verb: 'locks',
    summary: 'Show which locks there are',
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'Only those on this path.', count: { min: 0, max: 1 } }],
    flags: {},
    examples: [{ line: 'holdfast locks', says: 'Lists tokens, paths, holders and when each ends.' }],
    exits: [],
    json: [
      'the lock, as the HTTP interface has it (`token`, `path`, `mode`, `holder`, `granted`, `expires`), one a line',
    ],
    needs: 'store',
  },
  {
    verb: 'log',
    summary: 'Say who changed what, when, through which door',
    details: [
      'Commits, newest first, with what each changed; of PATH only those that changed it or something below it.',
    ],
    arguments: [{ name: 'PATH', kind: 'stored', summary: 'File or folder in the store.', count: { min: 0, max: 1 } }],
    flags: LOG_FLAGS,
    examples: [
      { line: 'holdfast log --limit 20 /projects', says: 'Shows the last 20 commits that changed the folder.' },
    ],
    exits: ['notFound', 'conflict', 'brokenPipe'],
    json: [
      'the commits of the HTTP interface (`commit`, `committed`, `actor`, `door`, `kind`, `changes`, …), one a line',
    ],
    needs: 'store',
  },
  {
    verb: 'undo',
    summary: 'Take back what one commit did',
    details: [
      'As a new commit. Where somebody changed the same things since, it is refused and says what stands in the way. What was before the commit must be kept (history.keep, snapshots).',
    ],
    arguments: [{ name: 'COMMIT', kind: 'text', summary: 'Number of the commit, as log lists it.' }],
    flags: UNDO_FLAGS,
    examples: [{ line: 'holdfast undo --dry-run 17', says: 'Says what undoing commit 17 would do.' }],
    exits: ['notFound', 'conflict', 'full'],
    json: ['the plan of the HTTP interface (`added`, `removed`, `changed`, `moved`, `changes`, …)'],
    needs: 'store',
  },
  {
    verb: 'diff',
    summary: 'Compare a local tree with a stored one, or two stored ones',
    details: [
      'A is local and B is in the store; with --stored both are in the store. Each difference is a line: `+` only in B, `-` only in A, `~` in both but not equal, and why (content, kind, mode, target, with --times also time). Files of equal size and time count as equal; with other times their XXH3 decides.',
      PAST_PLACES,
    ],
    arguments: [
      { name: 'A', kind: 'local', summary: 'Local file or folder; with --stored a path in the store.' },
      { name: 'B', kind: 'stored', summary: 'Path in the store.' },
    ],
    flags: DIFF_FLAGS,
    examples: [
      { line: 'holdfast diff photos /photos', says: 'Says what put would change.' },
      { line: 'holdfast diff --stored /site-before /site', says: 'Compares two stored folders.' },
    ],
    exits: ['different', 'notFound', 'partly', 'io', 'brokenPipe'],
    json: [
      '`{"event":"difference","change":"added|removed|changed","why","path","kind"}` for each difference',
      '`{"event":"summary","verb":"diff","added","removed","changed","equal"}` at the end',
    ],
    needs: 'store',
  },
  {
    verb: 'stats',
    summary: 'Show how much is stored and what it takes on disk',
    arguments: [],
    flags: {},
    examples: [
      { line: 'holdfast stats', says: 'Shows logical, deduplicated, compressed and on-disk bytes, and their ratios.' },
    ],
    exits: [],
    json: ['the figures of the HTTP interface (`logical_bytes`, `unique_bytes`, `stored_bytes`, `disk_bytes`, …)'],
    needs: 'store',
  },
  {
    verb: 'du',
    summary: 'Say how much is in a folder, and how much room it alone takes',
    details: [
      'With --exclusive everything that belongs to the path is looked at, kept versions included: what nothing else holds comes back when the path is removed, its versions are not kept any longer and the window of history has passed. What a snapshot needs is held by the snapshot. How much of it the first `gc` gives back depends on gc.share.',
      PAST_PLACES,
    ],
    arguments: [
      {
        name: 'PATH',
        kind: 'stored',
        summary: 'Files or folders in the store; everything when not given.',
        count: { min: 0, max: 10_000 },
      },
    ],
    flags: DU_FLAGS,
    examples: [
      { line: 'holdfast du /photos', says: 'Says how many files and bytes are in it.' },
      { line: 'holdfast du --exclusive /photos /mail', says: 'Says what would come back if one of them went.' },
      { line: 'holdfast du --exclusive --snapshot monday', says: 'Says what would come back without the snapshot.' },
    ],
    exits: ['notFound', 'partly'],
    json: [
      '`{"path","at","snapshot","files","folders","bytes","exclusive_bytes","exclusive_chunks","next_gc_bytes"}` for each PATH',
    ],
    needs: 'store',
  },
  {
    verb: 'check',
    summary: 'Verify what is stored, and name what is damaged',
    details: [
      'Reads every chunk (or a sample) and verifies it, and counts references anew. Each problem is a line, with the files whose content needs what is damaged.',
    ],
    arguments: [],
    flags: CHECK_FLAGS,
    examples: [
      { line: 'holdfast check', says: 'Reads and verifies everything.' },
      { line: 'holdfast check --sample 10%', says: 'Verifies a tenth of the chunks.' },
      { line: 'holdfast check --rebuild-index', says: 'Writes a lost chunk index anew, then verifies.' },
      { line: 'holdfast check --rebuild-meta', says: 'Brings back metadata that was lost, then verifies.' },
    ],
    exits: ['different', 'notFound', 'conflict', 'io'],
    json: [
      '`{"event":"rebuilt","as_of","checkpoint","rows","passed_over","packs_added","packs_changed","packs_missing","newer_chunks","newer_bytes","kept_at"}` with `--rebuild-meta`',
      '`{"event":"problem","code","error","chunk","pack","object","files","files_more"}` for each problem',
      '`{"event":"summary","verb":"check","is_clean","chunks_verified","bytes_verified","packs_verified","files_verified","orphan_bytes","problems","seconds"}` at the end',
    ],
    needs: 'store',
  },
  {
    verb: 'repair',
    summary: 'Store damaged content anew from a second copy',
    details: [
      'Reads everything, and looks in the copy for the chunks that are damaged or missing. Only bytes with the very id of a chunk are taken, so the copy may be damaged itself, and may be any store (its packs are read, nothing is written there) or folder (its files are cut as put would cut them). What stays damaged is named with the files that need it. A running server goes on meanwhile; the copy is a folder of its machine. Stores with xxh3-128 ids refuse: put their files again.',
    ],
    arguments: [],
    flags: REPAIR_FLAGS,
    examples: [
      { line: 'holdfast repair --from /mnt/backup/store', says: 'Takes what is damaged from a copy of the store.' },
      { line: 'holdfast repair --from ~/photos --dry-run', says: 'Says what the photos could repair.' },
    ],
    exits: ['different', 'notFound', 'unavailable', 'io', 'full'],
    json: [
      '`{"event":"problem","code","error","files","files_more"}` for each damage that is left',
      '`{"event":"summary","verb":"repair","dry_run","source","damaged_chunks","repaired_chunks","repaired_files","repaired_files_more","problems","seconds"}` at the end',
    ],
    needs: 'store',
  },
  {
    verb: 'gc',
    summary: 'Give back the bytes that nobody needs any more',
    details: [
      'With --status, --pause or --resume nothing is collected.',
      'Removed files stay as versions and in history for as long as those are kept, and in snapshots; what none of them needs is given back, once nothing has needed it for a while (--grace). Packs are rewritten when enough of them comes back, and many small ones are joined. Chunks of which files that were changed in place need less than half are re-cut: what is needed is stored anew, and the next collection takes the rest. Others may go on meanwhile, and a collection that is cut off is finished by the next one.',
    ],
    arguments: [],
    flags: GC_FLAGS,
    examples: [
      { line: 'holdfast gc --dry-run', says: 'Says what would come back, and changes nothing.' },
      { line: 'holdfast gc --grace 0s', says: 'Gives back everything that nobody needs now.' },
      { line: 'holdfast gc --status', says: 'Says whether a collection is under way, and how far it is.' },
      { line: 'holdfast gc --pause', says: 'Keeps a server from collecting by itself while it has more urgent work.' },
    ],
    exits: ['different', 'io', 'full'],
    json: [
      '`{"event":"pack","pack","object","action","bytes_before","bytes_after","chunks"}` for each pack, `{"event":"problem","pack","code","error"}` for each that was kept because of damage',
      '`{"is_paused","paused_since","interval_seconds","next","running","last"}` with --status, --pause and --resume',
      '`{"event":"summary","verb":"gc","dry_run","freed_bytes","packs_rewritten","packs_dropped","packs_joined","chunks_discarded","objects_removed","objects_removed_bytes","waiting_bytes","waiting_chunks","kept_bytes","history_bytes","partial_chunks","partial_bytes","partial_used_bytes","recut_chunks","recut_bytes","seconds"}` at the end',
    ],
    needs: 'store',
  },
  {
    verb: 'config',
    summary: 'Show the configuration that counts',
    arguments: [
      {
        name: 'show',
        kind: 'choice',
        choices: ['show'],
        summary: 'What to do; only this for now.',
        count: { min: 0, max: 1 },
      },
    ],
    flags: CONFIG_FLAGS,
    examples: [{ line: 'holdfast config show --origin', says: 'Shows each value and where it comes from.' }],
    exits: ['notFound'],
    json: ['`{"name","value","origin"}` for each option'],
    needs: 'folder',
  },
  {
    verb: 'bench',
    summary: 'Measure put and get on this machine, in a store of its own',
    arguments: [],
    flags: BENCH_FLAGS,
    examples: [{ line: 'holdfast bench --size 1GiB', says: 'Measures with a file of 1 GiB and 2,000 small ones.' }],
    exits: ['full', 'denied', 'io'],
    json: ['`{"event":"result","what","seconds","bytes","files","bytes_per_second"}` for each measurement'],
    needs: 'folder',
  },
  {
    verb: 'completion',
    summary: 'Write a completion script for a shell',
    details: [
      'bash: put `source <(holdfast completion bash)` into ~/.bashrc. zsh: `source <(holdfast completion zsh)` into ~/.zshrc, behind compinit. fish: `holdfast completion fish > ~/.config/fish/completions/holdfast.fish`.',
    ],
    arguments: [{ name: 'SHELL', kind: 'choice', choices: ['bash', 'zsh', 'fish'], summary: 'bash, zsh or fish.' }],
    flags: {},
    examples: [{ line: 'source <(holdfast completion bash)', says: 'Completes commands in this shell.' }],
    exits: [],
    needs: 'none',
  },
  {
    verb: 'help',
    summary: 'Show help',
    arguments: [{ name: 'VERB', kind: 'verb', summary: 'The command to explain.', count: { min: 0, max: 1 } }],
    flags: HELP_FLAGS,
    examples: [{ line: 'holdfast help put', says: 'Explains put.' }],
    exits: [],
    needs: 'none',
  },
];

export function commandOf(verb: string): Command | undefined {
  return COMMANDS.find((command) => command.verb === verb);
}
