/**
 * Everything that can be set, as data. Flags, environment names, keys of configuration files, `config show`, shell
 * completion and docs/operating/configuration.md come from this table alone; what a value does is where it is used.
 * An option without a default takes its value from the memory profile, or has none; its line says which.
 */
import type { OptionTable, OptionValues } from '../base/index.ts';
import { CHUNKERS, ID_ALGORITHMS } from '../chunks/index.ts';

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;
const KIB = 2 ** 10;
const MIB = 2 ** 20;
const GIB = 2 ** 30;

/** A zstd level. Node takes -1 for "not set", so it is not one. */
const LEVEL = { kind: 'integer', min: -7, max: 19, except: [-1, 0], words: ['none'] } as const;

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
    type: { kind: 'bytes', min: 1, max: 2 ** 50, words: ['none'] },
    default: 'none',
    doc: 'Bytes that one file may have.',
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
  'http.allowed_hosts': {
    type: { kind: 'list', countMax: 64, shown: 'NAME', example: 'files.example.org' },
    default: [],
    doc: 'Host names that requests may name besides the loopback ones, such as that of a proxy in front.',
  },
  'http.json_max': {
    type: { kind: 'bytes', min: KIB, max: 64 * MIB },
    default: MIB,
    doc: 'Bytes that the JSON body of a request may have.',
  },
  'http.connections_max': {
    type: { kind: 'integer', min: 1, max: 100_000 },
    default: 4096,
    doc: 'Connections open at once; more wait in the system.',
  },
  'http.requests_max': {
    type: { kind: 'integer', min: 1, max: 100_000 },
    default: 1024,
    doc: 'Requests answered at once; more are refused with 503 and Retry-After.',
  },
  'http.header_timeout': {
    type: { kind: 'duration', minMs: SECOND, maxMs: 10 * MINUTE },
    default: 30 * SECOND,
    doc: 'How long a request may take to send its header.',
  },
  'http.stall_timeout': {
    type: { kind: 'duration', minMs: SECOND, maxMs: DAY },
    default: 2 * MINUTE,
    doc: 'How long a body under way may pause before its connection is cut.',
  },
  'http.idle_timeout': {
    type: { kind: 'duration', minMs: SECOND, maxMs: DAY },
    default: MINUTE,
    doc: 'How long a connection may stay open between requests.',
  },
  'http.drain_timeout': {
    type: { kind: 'duration', minMs: 0, maxMs: DAY },
    default: 30 * SECOND,
    doc: 'How long requests under way may go on after a signal to stop.',
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
    doc: 'Bytes of decoded chunks kept in memory; the memory profile decides when not set.',
  },
  'chunks.pack_size': {
    type: { kind: 'bytes', min: MIB, max: 4 * GIB },
    default: undefined,
    doc: 'Bytes at which a pack is sealed and the next one begun; the memory profile decides when not set.',
  },
  'chunks.workers': {
    type: { kind: 'integer', min: 0, max: 256 },
    default: undefined,
    doc: 'Threads that compress; as many as there are processors, at most 4, when not set.',
  },
  'meta.cache': {
    type: { kind: 'bytes', min: MIB, max: 64 * GIB },
    default: undefined,
    doc: 'Bytes of metadata pages kept in memory; the memory profile decides when not set.',
  },
  'group.chunks': {
    type: { kind: 'integer', min: 1, max: 100_000 },
    default: 3_000,
    doc: 'Chunks after which a group of changes is made durable.',
  },
  'group.bytes': {
    type: { kind: 'bytes', min: MIB, max: GIB },
    default: 32 * MIB,
    doc: 'Bytes after which a group of changes is made durable.',
  },
  'group.delay': {
    type: { kind: 'duration', minMs: 0, maxMs: MINUTE },
    default: 500,
    doc: 'Time after which a group of changes is made durable when nobody waits for it; who waits never waits this long.',
  },
  'versions.keep_for': {
    type: { kind: 'duration', minMs: 0, maxMs: 36_500 * DAY },
    default: DAY,
    doc: 'How long every older version of a file is kept.',
  },
  'versions.keep_last': {
    type: { kind: 'integer', min: 0, max: 1_000_000 },
    default: 20,
    doc: 'How many older versions of a file are kept beyond that time.',
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
  compression: 'Compression',
  chunks: 'Chunks and packs',
  meta: 'Metadata',
  group: 'Groups of changes',
  versions: 'Versions',
  create: 'Making a store',
  log: 'Log',
};
