/**
 * Encode + compress and back, of four kinds of data: what a store's own way costs beside snappy over JSON and
 * MessagePack, in one process on one thread. MB are of the plain form that all contestants start from: the bytes
 * themselves, or for rows their JSON text, so that figures of one table can be compared.
 *
 * Holdfast's own ways are those of the product: contents become chunk records (header, zstd level 1, checksums, read
 * back with all checks) of 64 KiB; rows become rows of its SQLite engine (in memory here), each with its checksum and
 * its indexes, in one transaction; and records leave as JSON lines, which a proxy may compress with zstd level 1.
 */
import { createRequire } from 'node:module';
import zlib, { zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { seededRandom, utf8 } from '../src/base/index.ts';
import { decodeRecord, encodeRecord, isFlaw, isRecordWhole, readHeader } from '../src/chunks/packs/record.ts';
import { type EntryRow, NODE_KIND, type NodeRow, openSqliteFile, type Put } from '../src/meta/index.ts';
import { mixedStream } from './corpora.ts';
import { type Comparison, inRounds, type Report } from './harness.ts';
import { nameFrom, textOf } from './text.ts';

const MIB = 2 ** 20;
const CHUNK_BYTES = 64 * 1024;
const LEVEL = 1;

/** The little of the packages that is used; they have types of their own only once they are installed. */
interface Packages {
  readonly snappy: {
    compressSync(bytes: Uint8Array): Buffer;
    uncompressSync(bytes: Uint8Array, options: { asBuffer: true }): Buffer;
  };
  readonly msgpackr: {
    Packr: new (options: {
      useRecords: boolean;
    }) => { pack(value: unknown): Buffer; unpack(bytes: Uint8Array): unknown };
  };
}

/** One way there and back. `encode` answers what is kept; `decode` must answer what `encode` was given. */
interface Way<Plain> {
  readonly name: string;
  encode(plain: Plain): { readonly bytes: number; readonly decode: () => Plain };
}

interface Kind<Plain> {
  readonly title: string;
  readonly pieces: readonly Plain[];
  readonly plainBytes: number;
  readonly ways: readonly Way<Plain>[];
  /** Something by which a piece that came back is known to be the same. */
  readonly print: (plain: Plain) => string;
}

export const codec: Comparison = {
  summary: 'encode + compress and back: file metadata, directory listings, source code, mixed content, beside snappy',
  needsPackages: true,
  async run(report, { rounds, isSmall }) {
    const packages = loadPackages(report);
    const scale = isSmall ? 1 : 8;
    await kind(report, rounds, rowsOf('file metadata', 'nodes', nodes(1_000 * scale), packages));
    await kind(report, rounds, rowsOf('directory listings', 'entries', entries(1_000 * scale), packages));
    await kind(report, rounds, bytesOf('source code', textOf('source', 41, 4 * scale * MIB), packages));
    await kind(report, rounds, bytesOf('mixed content', mixedStream(8 * scale * MIB, 43), packages));
  },
};

function loadPackages(report: Report): Packages | undefined {
  const require = createRequire(import.meta.url);
  // Its native part, which only helps with long texts, brings this Node down.
  process.env.MSGPACKR_NATIVE_ACCELERATION_DISABLED = 'true';
  try {
    return { snappy: require('snappy'), msgpackr: require('msgpackr') };
  } catch {
    report.note('!! snappy and msgpackr are not installed (npm ci in bench/ did not work): nothing to compare with');
    return undefined;
  }
}

async function kind<Plain>(report: Report, rounds: number, { title, pieces, plainBytes, ways, print }: Kind<Plain>) {
  const contestants = ways.map((way) => ({ ...way, name: `${title}: ${way.name}` }));
  await inRounds(report, rounds, contestants, async ({ name, encode }) => {
    // The first time is for the compiler.
    for (const piece of pieces.slice(0, Math.ceil(pieces.length / 8))) encode(piece).decode();
    const started = performance.now();
    const kept = pieces.map(encode);
    const encoded = performance.now();
    const back = kept.map(({ decode }) => decode());
    const decoded = performance.now();
    if (back.some((piece, at) => print(piece) !== print(pieces[at] as Plain)))
      throw new Error('something else came back');
    report.add(name, 'encodeMBs', plainBytes / 1e3 / (encoded - started));
    report.add(name, 'decodeMBs', plainBytes / 1e3 / (decoded - encoded));
    report.add(name, 'ratio', plainBytes / kept.reduce((sum, { bytes }) => sum + bytes, 0));
  });
  report.table(
    title,
    contestants.map(({ name }) => name),
    [
      { metric: 'encodeMBs', title: 'there MB/s' },
      { metric: 'decodeMBs', title: 'back MB/s' },
      { metric: 'ratio', title: 'ratio', digits: 2 },
    ],
  );
}

function bytesOf(title: string, source: Iterable<Buffer>, packages: Packages | undefined): Kind<Uint8Array> {
  const all = Buffer.concat([...source]);
  const pieces = Array.from({ length: Math.ceil(all.length / CHUNK_BYTES) }, (_, at) =>
    all.subarray(at * CHUNK_BYTES, (at + 1) * CHUNK_BYTES),
  );
  const ways: Way<Uint8Array>[] = [{ name: 'holdfast chunk records', encode: throughRecord }, ...bareWays(packages)];
  return { title, pieces, plainBytes: all.length, ways, print: (plain) => Buffer.from(plain).toString('latin1') };
}

function throughRecord(plain: Uint8Array) {
  const record = encodeRecord({ realm: 1, id: Buffer.alloc(32), plainLength: plain.length }, plain, LEVEL);
  return {
    bytes: record.length,
    decode(): Uint8Array {
      const header = readHeader(record);
      if (isFlaw(header) || !isRecordWhole(record, 0, header)) throw new Error('a record is damaged');
      return decodeRecord(record, 0, header);
    },
  };
}

function bareWays(packages: Packages | undefined): Way<Uint8Array>[] {
  const zstd: Way<Uint8Array> = {
    name: 'zstd level 1 alone',
    encode(plain) {
      const packed = zstdOf(plain);
      return { bytes: packed.length, decode: () => zstdDecompressSync(packed) };
    },
  };
  if (packages === undefined) return [zstd];
  const { snappy } = packages;
  return [
    zstd,
    {
      name: 'snappy alone',
      encode(plain) {
        const packed = snappy.compressSync(plain);
        return { bytes: packed.length, decode: () => snappy.uncompressSync(packed, { asBuffer: true }) };
      },
    },
  ];
}

type MetaRow = NodeRow | EntryRow;
/** Rows that go together: a group of changes, a page of a listing. */
const PAGE_ROWS = 500;

function rowsOf(
  title: string,
  table: 'nodes' | 'entries',
  rows: readonly MetaRow[],
  packages: Packages | undefined,
): Kind<readonly MetaRow[]> {
  const pieces = Array.from({ length: Math.ceil(rows.length / PAGE_ROWS) }, (_, at) =>
    rows.slice(at * PAGE_ROWS, (at + 1) * PAGE_ROWS),
  );
  const plainBytes = pieces.reduce((sum, piece) => sum + jsonOf(piece).length, 0);
  const ways = [throughSqlite(table), ...textWays(packages)];
  return { title, pieces, plainBytes, ways, print: printOf };
}

const SPACE: Put = {
  table: 'spaces',
  mode: 'insert',
  row: {
    space: 1,
    realm: 1,
    name: 'owner',
    root: 1,
    head: 0,
    headSeconds: 0,
    headNanoseconds: 0,
    liveBytes: 0,
    historyBytes: 0,
    quotaBytes: null,
  },
};

function throughSqlite(table: 'nodes' | 'entries'): Way<readonly MetaRow[]> {
  return {
    name: 'holdfast rows in SQLite',
    encode(rows) {
      const meta = openSqliteFile(':memory:');
      const empty = meta.sizeBytes();
      const now = { seconds: 1, nanoseconds: 0 };
      const puts = rows.map((row) => ({ table, row, mode: 'insert' }) as Put);
      for (const outcome of meta.commit([
        { space: 1, now, puts: [SPACE] },
        { space: 1, now, puts },
      ])) {
        if (!outcome.ok) throw outcome.fault;
      }
      return {
        bytes: meta.sizeBytes() - empty,
        decode: () => meta.scan(table, { prefix: [1], limit: rows.length }),
      };
    },
  };
}

function textWays(packages: Packages | undefined): Way<readonly MetaRow[]>[] {
  type Codec = {
    readonly name: string;
    to(rows: readonly MetaRow[]): Uint8Array;
    from(bytes: Uint8Array): readonly MetaRow[];
  };
  const json: Codec = { name: 'JSON', to: jsonOf, from: rowsOfJson };
  const squeezeZstd = {
    name: 'zstd level 1',
    pack: zstdOf,
    unpack: (bytes: Uint8Array): Uint8Array => zstdDecompressSync(bytes),
  };
  const join = (codec: Codec, squeeze: typeof squeezeZstd): Way<readonly MetaRow[]> => ({
    name: `${codec.name} + ${squeeze.name}`,
    encode(rows) {
      const packed = squeeze.pack(codec.to(rows));
      return { bytes: packed.length, decode: () => codec.from(squeeze.unpack(packed)) };
    },
  });
  if (packages === undefined) return [join(json, squeezeZstd)];
  const { snappy, msgpackr } = packages;
  const packr = new msgpackr.Packr({ useRecords: true });
  const pack: Codec = {
    name: 'msgpackr',
    to: (rows) => packr.pack(rows),
    from: (bytes) => packr.unpack(bytes) as readonly MetaRow[],
  };
  const squeezeSnappy: typeof squeezeZstd = {
    name: 'snappy',
    pack: (bytes) => snappy.compressSync(bytes),
    unpack: (bytes) => snappy.uncompressSync(bytes, { asBuffer: true }),
  };
  return [join(json, squeezeZstd), join(json, squeezeSnappy), join(pack, squeezeZstd), join(pack, squeezeSnappy)];
}

function zstdOf(bytes: Uint8Array): Buffer {
  return zstdCompressSync(bytes, { params: { [zlib.constants.ZSTD_c_compressionLevel]: LEVEL } });
}

/** Names travel as text in JSON, as they do over the API. */
function jsonOf(rows: readonly MetaRow[]): Buffer {
  return Buffer.from(JSON.stringify(rows.map((row) => ('name' in row ? { ...row, name: textOfName(row.name) } : row))));
}

function rowsOfJson(bytes: Uint8Array): readonly MetaRow[] {
  const rows: readonly MetaRow[] = JSON.parse(Buffer.from(bytes).toString());
  return rows.map((row) => ('name' in row ? { ...row, name: utf8(String(row.name)) } : row));
}

function textOfName(name: Uint8Array): string {
  return Buffer.from(name.buffer, name.byteOffset, name.length).toString();
}

/** The same for rows that are equal, in whatever order their columns stand. */
function printOf(rows: readonly MetaRow[]): string {
  return rows
    .map((row) => JSON.stringify('name' in row ? { ...row, name: textOfName(row.name) } : row, Object.keys(row).sort()))
    .join();
}

function nodes(count: number): NodeRow[] {
  const random = seededRandom(47);
  return Array.from({ length: count }, (_, at) => {
    const seconds = 1_700_000_000 + random.below(10_000_000);
    return {
      space: 1,
      node: at + 2,
      kind: NODE_KIND.file,
      parent: null,
      mode: random.below(8) === 0 ? 0o755 : 0o644,
      uid: 1000,
      gid: 1000,
      links: 1,
      size: Math.floor(1000 ** (1 + random.fraction())),
      // A row of contents would have to stand beside it, and be measured with it.
      content: null,
      version: 1 + random.below(3),
      versionCommit: at + 1,
      replacedNode: null,
      modifiedSeconds: seconds,
      modifiedNanoseconds: random.below(1_000_000_000),
      changedSeconds: seconds,
      changedNanoseconds: random.below(1_000_000_000),
      accessedSeconds: seconds,
      accessedNanoseconds: 0,
      createdSeconds: seconds,
      createdNanoseconds: random.below(1_000_000_000),
      device: 0,
      target: null,
      // The engine fills it in.
      born: 0,
    };
  });
}

function entries(count: number): EntryRow[] {
  const random = seededRandom(53);
  return Array.from({ length: count }, (_, at) => ({
    space: 1,
    parent: 2 + Math.floor(at / 100),
    // In the order of the key, which is how a listing comes.
    name: utf8(`${String(at).padStart(5, '0')}-${nameFrom(random)}.ts`),
    node: at + 2,
    kind: NODE_KIND.file,
    born: 0,
  }));
}
