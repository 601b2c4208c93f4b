/**
 * Everything that can be set, as data. Flags, environment names, keys of configuration files, `config show`, shell
 * completion and docs/operating/configuration.md come from this table alone; what a value does is where it is used.
 * An option without a default takes its value from the memory profile, or has none; its line says which.
 */
import type { OptionTable, OptionValues } from '../base/index.ts';
import { CHUNKERS, ID_ALGORITHMS } from '../chunks/index.ts';
import { EVERY_EXAMPLE, KEEP_RULES_EXAMPLE, readEvery, readKeepRules, SCHEDULE_NAME_PATTERN } from '../files/index.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A zstd level. Node takes -1 for "not set", so it is not one. */
const LEVEL = { kind: 'integer', min: -7, max: 19, except: [-1, 0], words: ['none'] } as const;

/** What is kept of a row of versions or snapshots. */
const KEEP = {
  kind: 'text',
  shown: 'RULES',
  example: KEEP_RULES_EXAMPLE,
  form: {
    name: 'rules with commas between, or `all` or `none`',
    isFine: (text: string) => readKeepRules(text) !== undefined,
  },
} as const;

export const SERVER_OPTIONS = {
  store: {
    type: { kind: 'text', holds: 'folder', example: '/srv/holdfast' },
    default: './holdfast-data',
    doc: 'The folder of the store. In a configuration file a relative path starts at that file.',
    flags: ['--store'],
  },
  server: {
    type: { kind: 'text', holds: 'url', example: 'http://127.0.0.1:8420' },
    default: undefined,
    doc: 'Work through the server at this URL instead of opening a store.',
    flags: ['--server'],
  },
  memory: {
    type: { kind: 'choice', values: ['normal', 'small'] },
    default: 'normal',
    doc: 'How much memory to use: small keeps a process below 256 MiB and is slower.',
  },
  max_file_size: {
    type: { kind: 'bytes', min: 1, max: 2 ** 44 },
    default: 2 ** 44,
    doc: 'Bytes that one file may have.',
  },
  mounts: {
    type: {
      kind: 'tables',
      columns: {
        path: { kind: 'text', holds: 'folder', example: '/mnt/files' },
        subdir: { kind: 'text' },
        user: { kind: 'text' },
        read_only: { kind: 'boolean' },
        allow_other: { kind: 'boolean' },
        over_entries: { kind: 'boolean' },
        mandatory_locks: { kind: 'boolean' },
      },
      defaults: {
        ...{ subdir: '/', user: 'owner', read_only: false, allow_other: false, over_entries: false },
        mandatory_locks: false,
      },
      countMax: 64,
      example: '[{"path":"/mnt/files","allow_other":true}]',
    },
    default: [],
    doc: 'Where `holdfast up` mounts: the folder, which folder of the store is shown there, whose, and how. In a configuration file a relative path starts at that file.',
  },
  'http.enabled': {
    type: { kind: 'boolean' },
    default: true,
    doc: 'Whether `holdfast up` answers over HTTP; without it only mounts and the control socket are there.',
    flags: ['--http'],
  },
  'http.host': {
    type: { kind: 'text', example: '127.0.0.1' },
    default: '127.0.0.1',
    doc: 'Address to answer on. Only loopback addresses are taken until there are accounts.',
    flags: ['--host', '--http-host'],
  },
  'http.port': {
    type: { kind: 'integer', min: 0, max: 65_535 },
    default: 8420,
    doc: 'Port to answer on; 0 takes a free one.',
    flags: ['--port', '--http-port'],
  },
  'http.public_url': {
    type: { kind: 'text', holds: 'url', example: 'https://files.example.org' },
    default: undefined,
    doc: 'What stands in front of the signed URLs that are handed out, where a proxy answers for this server; as the client has called it when absent.',
  },
  'http.allowed_hosts': {
    type: { kind: 'list', countMax: 64, shown: 'NAME', example: 'files.example.org' },
    default: [],
    doc: 'Host names that requests may name besides the loopback ones, such as that of a proxy in front.',
  },
  'http.json_max': {
    type: { kind: 'bytes', min: KIB, max: 64 * MIB },
    default: 64 * KIB,
    doc: 'Bytes that the JSON body of a request may have.',
  },
  'http.batch_max': {
    type: { kind: 'bytes', min: KIB, max: 128 * MIB },
    default: 16 * MIB,
    doc: 'Bytes that the body of a batch of operations, a list of paths or a manifest may have.',
  },
  'http.bulk_max': {
    type: { kind: 'bytes', min: MIB, max: 2 ** 44 },
    default: 64 * GIB,
    doc: 'Bytes that a form of many files may have in all.',
  },
  'http.bulk_files_max': {
    type: { kind: 'integer', min: 1, max: 10_000_000 },
    default: 100_000,
    doc: 'Files that one form may bring.',
  },
  'http.sync_entries_max': {
    type: { kind: 'integer', min: 1, max: 10_000_000 },
    default: 200_000,
    doc: 'Files and folders, on each side, of a tree that is compared to plan a sync; larger ones are compared folder by folder.',
  },
  'http.connections_max': {
    type: { kind: 'integer', min: 1, max: 100_000 },
    default: 4096,
    doc: 'Connections open at once, on the address and on the control socket each; more are closed at once.',
  },
  'http.header_timeout': {
    type: { kind: 'duration', minMs: SECOND, maxMs: 10 * MINUTE },
    default: 15 * SECOND,
    doc: 'How long a request may take to send its header.',
  },
  'http.stall_timeout': {
    type: { kind: 'duration', minMs: SECOND, maxMs: DAY },
    default: MINUTE,
    doc: 'How long a body or an answer may stand still because of the client. The whole of it may take as long as it likes.',
  },
  'http.rate_min': {
    type: { kind: 'bytes', min: 0, max: MIB },
    default: 16,
    doc: 'Bytes a second that a body or an answer has to move while it is the client’s turn, for `http.stall_timeout` in all; 0 for any.',
  },
  'http.request_timeout': {
    type: { kind: 'duration', minMs: SECOND, maxMs: DAY },
    default: 15 * MINUTE,
    doc: 'How long a request may take that neither brings nor takes files nor streams a list.',
  },
  'http.transfers_max': {
    type: { kind: 'integer', min: 1, max: 100_000 },
    default: 100,
    doc: 'Requests that bring or take files at once; more of them wait in line.',
  },
  'http.transfers_waiting_max': {
    type: { kind: 'integer', min: 0, max: 100_000 },
    default: 400,
    doc: 'Requests that bring or take files and wait for their turn; more are answered 429 at once.',
  },
  'http.transfer_wait': {
    type: { kind: 'duration', minMs: SECOND, maxMs: DAY },
    default: 30 * SECOND,
    doc: 'How long they wait for their turn, until they are answered 429 too.',
  },
  'http.keep_alive': {
    type: { kind: 'duration', minMs: SECOND, maxMs: DAY },
    default: 72 * SECOND,
    doc: 'How long a connection may stay open between requests.',
  },
  'http.drain_timeout': {
    type: { kind: 'duration', minMs: 0, maxMs: DAY },
    default: 30 * SECOND,
    doc: 'How long requests under way may go on after a signal to stop; a second signal cuts it short.',
  },
  'mount.spin': {
    type: { kind: 'integer', min: 0, max: 10_000 },
    default: 100,
    doc: 'Microseconds for which a mount looks for the next request before it goes to sleep. 0 saves power, more saves time.',
  },
  'mount.cache': {
    type: { kind: 'duration', minMs: 0, maxMs: DAY },
    default: MINUTE,
    doc: 'How long the kernel may answer from its memory without asking. It is told of what other doors change, so a long time shows nothing old.',
  },
  'mount.unmount_timeout': {
    type: { kind: 'duration', minMs: 0, maxMs: DAY },
    default: 5 * SECOND,
    doc: 'How long unmounting waits, after a signal to stop, for programs that use the mount; then it is cut under them. A second signal cuts it short.',
  },
  'compression.level': {
    type: LEVEL,
    default: 1,
    doc: 'How hard to compress: a zstd level (1 fast … 19 small; negative is faster still), or none.',
  },
  'compression.rules': {
    type: {
      kind: 'tables',
      columns: { match: { kind: 'text', example: '*.jpg' }, level: LEVEL },
      countMax: 1_000,
      example: '[{"match":"*.jpg","level":"none"}]',
    },
    default: [],
    doc: 'Levels for some files: a pattern with a slash matches the path from the root, one without matches the name; the first that matches wins.',
  },
  'chunks.cache': {
    type: { kind: 'bytes', min: 0, max: 64 * GIB },
    default: undefined,
    doc: 'Bytes of decoded chunks kept in memory: 16MiB when not set, 4MiB with small memory.',
  },
  'chunks.index_cache': {
    type: { kind: 'bytes', min: 0, max: 64 * GIB },
    default: undefined,
    doc: 'Bytes of pack indexes kept in memory: 8MiB when not set, 2MiB with small memory.',
  },
  'chunks.read_ahead': {
    type: { kind: 'bytes', min: 256 * KIB, max: GIB },
    default: undefined,
    doc: 'Bytes that reading a file fetches ahead of its reader: 4MiB when not set, 2MiB with small memory.',
  },
  'chunks.pack_size': {
    type: { kind: 'bytes', min: MIB, max: 2 * GIB },
    default: undefined,
    doc: 'Bytes at which a pack is sealed and the next one begun: 64MiB when not set.',
  },
  'chunks.unsynced': {
    type: { kind: 'bytes', min: MIB, max: GIB },
    default: undefined,
    doc: 'Bytes written to packs and not yet synced at most: 16MiB when not set, 8MiB with small memory.',
  },
  'chunks.workers': {
    type: { kind: 'integer', min: 0, max: 256 },
    default: undefined,
    doc: 'Threads that compress, 0 for none but the main one: 2 when not set, 1 with small memory.',
  },
  'chunks.verify_after': {
    type: { kind: 'duration', minMs: 0, maxMs: 36_500 * DAY },
    default: 30 * DAY,
    doc: 'When bytes come that the store has already: for how long after a pack was written, or last found whole by a check, they count as stored without reading that pack. After that it is read and verified first; 0 always does.',
  },
  'meta.cache': {
    type: { kind: 'bytes', min: MIB, max: 64 * GIB },
    default: undefined,
    doc: 'Bytes of metadata pages kept in memory: 16MiB when not set, 4MiB with small memory.',
  },
  'meta.checkpoint_every': {
    type: { kind: 'duration', minMs: 0, maxMs: 366 * DAY },
    default: 5 * MINUTE,
    doc: 'How often the metadata is kept once more beside the packs, where something changed: what `holdfast check --rebuild-meta` brings back is at most this old. A server does so when it stops too. 0 never does.',
  },
  'versions.keep': {
    type: KEEP,
    default: 'all within 24 hours, last 20',
    doc: 'Which older versions of a file are kept, by when they were replaced: any of all, last, hourly, daily, weekly, monthly and yearly, each with a number or `within` an age. Of a removed file only what an age bounds.',
  },
  'history.keep': {
    type: { kind: 'duration', minMs: 0, maxMs: 36_500 * DAY },
    default: DAY,
    doc: 'How long everything that was is kept, so that any moment can be read, and any change undone; 0 for not at all. Snapshots are kept whatever this says.',
  },
  'history.keep_log': {
    type: { kind: 'duration', minMs: 0, maxMs: 36_500 * DAY },
    default: 90 * DAY,
    doc: 'How long it is kept who changed what (`log`, `ls --deleted`, the change feed); always at least as long as `history.keep` says.',
  },
  snapshots: {
    type: {
      kind: 'tables',
      columns: {
        name: {
          kind: 'text',
          example: 'daily',
          form: {
            name: 'at most 41 small letters, digits, - and _, beginning with a letter or digit',
            isFine: (text) => SCHEDULE_NAME_PATTERN.test(text),
          },
        },
        every: {
          kind: 'text',
          example: EVERY_EXAMPLE,
          form: {
            name: 'hour, day, week or month, with `on` a day and `at` a time (UTC), or a length of time',
            isFine: (text) => readEvery(text) !== undefined,
          },
        },
        path: { kind: 'text' },
        keep: KEEP,
      },
      defaults: { path: '/', keep: 'all' },
      countMax: 64,
      example: '[{"name":"daily","every":"day at 03:00","keep":"daily 30, monthly 12"}]',
    },
    default: [],
    doc: 'Snapshots that a server makes by itself: what the schedule is called, when (UTC), of which folder, and which of its own snapshots it keeps. One that was missed is made once when the server is back. Snapshots that somebody made are never deleted by it.',
  },
  'disk.reserve': {
    type: { kind: 'bytes', min: 0, max: 1024 * GIB },
    default: 64 * MIB,
    doc: 'Room on the disk that bytes of files do not get, so that removing files and giving their bytes back works on a full disk too; at most an eighth of the disk.',
  },
  'gc.grace': {
    type: { kind: 'duration', minMs: 0, maxMs: 366 * DAY },
    default: 10 * MINUTE,
    doc: 'How long the bytes of what was removed stay after nothing needs them any more: who sends them again meanwhile finds them there.',
  },
  'gc.share': {
    type: { kind: 'integer', min: 1, max: 100 },
    default: 25,
    doc: 'A pack is rewritten when at least this many percent of it come back. Less saves space, more saves writing.',
  },
  'gc.interval': {
    type: { kind: 'duration', minMs: 0, maxMs: 366 * DAY },
    default: 10 * MINUTE,
    doc: 'How often a server looks for bytes to give back, in small steps beside other work; 0 for never, then `holdfast gc` does it.',
  },
  'scrub.rate': {
    type: { kind: 'bytes', min: 0, max: 64 * GIB },
    default: 8 * MIB,
    doc: 'Bytes a second that a server reads back to find damage before somebody needs what is damaged; less while others wait for it. 0 for not at all, then only `holdfast check` does it.',
  },
  'scrub.every': {
    type: { kind: 'duration', minMs: MINUTE, maxMs: 36_500 * DAY },
    default: 25 * DAY,
    doc: 'How long after it was written or found whole a pack is read back. Less than `chunks.verify_after`, so that no upload waits for reading.',
  },
  'uploads.expire_after': {
    type: { kind: 'duration', minMs: MINUTE, maxMs: 366 * DAY },
    default: DAY,
    doc: 'How long an unfinished upload is kept after its last bytes came; then they are given back.',
  },
  'uploads.max_open': {
    type: { kind: 'integer', min: 1, max: 10_000 },
    default: 100,
    doc: 'Unfinished uploads that one user may have at once.',
  },
  'idempotency.keep_for': {
    type: { kind: 'duration', minMs: MINUTE, maxMs: 366 * DAY },
    default: DAY,
    doc: 'How long the answer to a request with an idempotency key is remembered.',
  },
  'create.ids': {
    type: { kind: 'choice', values: ID_ALGORITHMS },
    default: 'blake3',
    doc: 'What names chunks in a store that is made now, for good. xxh3-128 is faster, but whoever writes to the store could forge names: only for stores that nobody else writes to.',
    flags: ['--ids'],
  },
  'create.chunker': {
    type: { kind: 'choice', values: CHUNKERS },
    default: 'ultracdc',
    doc: 'What cuts files into chunks in a store that is made now, for good. fastcdc also hides sizes from who sees the packs: its borders are keyed; ultracdc is faster and has nothing to key.',
    flags: ['--chunker'],
  },
  'log.level': {
    type: { kind: 'choice', values: ['debug', 'info', 'warn', 'error'] },
    default: 'info',
    doc: 'What is worth a line in the log of a server.',
  },
  'log.format': {
    type: { kind: 'choice', values: ['auto', 'pretty', 'json'] },
    default: 'auto',
    doc: 'How log lines look: pretty on a terminal and JSON elsewhere, or always one of them.',
  },
} as const satisfies OptionTable;

export type ServerOptions = OptionValues<typeof SERVER_OPTIONS>;

/** Headings of the documentation page, by the first word of the names. */
export const OPTION_TITLES: Readonly<Record<string, string>> = {
  '': 'General',
  http: 'HTTP',
  mount: 'Mounts',
  compression: 'Compression',
  chunks: 'Chunks and packs',
  meta: 'Metadata',
  versions: 'Versions',
  history: 'History',
  disk: 'The disk',
  gc: 'Giving bytes back',
  scrub: 'Reading back',
  idempotency: 'Requests that are sent twice',
  create: 'Making a store',
  log: 'Log',
};
