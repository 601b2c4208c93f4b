/** Parts of files without bytes going through the caller: fallocate, SEEK_DATA and SEEK_HOLE, copy_file_range. */
import { type Case, octal, type Sys } from './case.ts';
import { FALLOCATE, O, SEEK } from './libc.ts';

const KIB = 1_024;
const MIB = 1_048_576;

function filled(sys: Sys, length: number): number {
  const fd = sys.open('file', O.RDWR | O.CREAT | O.TRUNC);
  const bytes = Buffer.alloc(length, 'abcdefg');
  sys.pwrite(fd, bytes, 0);
  return fd;
}

/** What a file holds, in runs: `a*100 0*50`: compares whole contents in a few words. Letters as one kind. */
function runs(sys: Sys, fd: number): string {
  const size = sys.fstat(fd).size;
  const bytes = sys.pread(fd, size, 0);
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const isZero = bytes[at] === 0;
    let end = at;
    while (end < bytes.length && (bytes[end] === 0) === isZero) end++;
    found.push(`${isZero ? '0' : 'x'}*${end - at}`);
    at = end;
  }
  return found.join(' ');
}

const MODES: Readonly<Record<string, number>> = {
  plain: 0,
  KEEP_SIZE: FALLOCATE.KEEP_SIZE,
  'PUNCH_HOLE|KEEP_SIZE': FALLOCATE.PUNCH_HOLE | FALLOCATE.KEEP_SIZE,
  ZERO_RANGE: FALLOCATE.ZERO_RANGE,
  'ZERO_RANGE|KEEP_SIZE': FALLOCATE.ZERO_RANGE | FALLOCATE.KEEP_SIZE,
};
const RANGES: readonly (readonly [number, number])[] = [
  [0, 1],
  [0, 4_096],
  [1_000, 100],
  [4_000, 5_000],
  [65_536, 65_536],
  [0, 200_000],
  [199_990, 100],
  [200_000, 4_096],
  [300_000, 10_000],
  [100_000, 1_000_000],
];

const modes: Case[] = Object.entries(MODES).map(([name, mode]) => ({
  name: `fallocate: ${name} over every kind of range`,
  run: (sys: Sys) =>
    RANGES.map(([offset, length]) => {
      const fd = filled(sys, 200_000);
      const answer = sys.told(() => sys.fallocate(fd, mode, offset, length));
      const after = { answer, size: sys.fstat(fd).size, runs: runs(sys, fd) };
      sys.close(fd);
      return after;
    }),
}));

/** ext4 can do these; a file system that says EOPNOTSUPP and leaves the file alone is as right. */
const optional: Case[] = Object.entries({
  COLLAPSE: FALLOCATE.COLLAPSE,
  INSERT: FALLOCATE.INSERT,
  UNSHARE: FALLOCATE.UNSHARE,
}).map(([name, mode]) => ({
  name: `fallocate: ${name} is done or refused, not half`,
  run: (sys: Sys) => {
    const fd = filled(sys, 64 * KIB);
    const answer = sys.told(() => sys.fallocate(fd, mode, 4_096, 8_192));
    if (answer === 'EOPNOTSUPP') return { whole: runs(sys, fd) === `x*${64 * KIB}` };
    const expected = mode === FALLOCATE.COLLAPSE ? `x*${56 * KIB}` : 'x*4096 0*8192 x*61440';
    return { whole: runs(sys, fd) === expected };
  },
}));

const copies: Case[] = (
  [
    ['all of it', 0, 0, 300_000],
    ['a part to the beginning', 100_001, 0, 50_000],
    ['a part behind the end', 5, 400_000, 100_000],
    ['more than there is', 250_000, 10, 500_000],
    ['from behind the end', 300_000, 0, 100],
    ['whole blocks', 65_536, 131_072, 131_072],
    ['nothing', 0, 0, 0],
  ] as const
).map(([what, from, to, length]) => ({
  name: `copy_file_range: ${what}`,
  run: (sys: Sys) => {
    const bytes = Buffer.from(Uint8Array.from({ length: 300_000 }, (_, at) => (at * 11 + (at >> 8)) % 251));
    sys.put('source', bytes);
    sys.put('target', Buffer.alloc(200_000, 'T'));
    const [source, target] = [sys.open('source', O.RDONLY), sys.open('target', O.RDWR)];
    let copied = 0;
    // A copy may stop short at any block; callers go on where it stopped.
    for (let count = -1; count !== 0 && copied < length; copied += count) {
      const left = length - copied;
      count = sys.copyFileRange({ fd: source, offset: from + copied }, { fd: target, offset: to + copied }, left);
    }
    const model = Buffer.alloc(Math.max(200_000, copied > 0 ? to + copied : 0));
    model.fill('T', 0, 200_000);
    bytes.copy(model, to, from, from + copied);
    return {
      copied,
      same: sys.pread(target, 1_000_000, 0).equals(model.subarray(0, sys.fstat(target).size)),
      size: sys.fstat(target).size,
    };
  },
}));

export const rangeCases: readonly Case[] = [
  ...modes,
  ...optional,
  ...copies,
  {
    name: 'blocks: of a sparse file, while it is written and when it is stored',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      const bytes = Buffer.alloc(64 * KIB, 'abcdefg');
      sys.ftruncate(fd, MIB);
      const seen = [sys.fstat(fd).blocks];
      for (const offset of [0, 0, 32 * KIB, 512 * KIB, 448 * KIB, 512 * KIB]) {
        sys.pwrite(fd, bytes, offset);
        seen.push(sys.fstat(fd).blocks);
        sys.pwrite(fd, bytes, offset);
        seen.push(sys.fstat(fd).blocks);
        sys.fsync(fd);
        seen.push(sys.fstat(fd).blocks);
      }
      return seen;
    },
  },
  {
    name: 'fallocate: more than there is room for',
    run: (sys) => {
      const fd = filled(sys, 1_000);
      const space = sys.statfs('.');
      const tooMuch = 2 * space.blocks * space.blockSize;
      const plain = sys.told(() => sys.fallocate(fd, 0, 0, tooMuch));
      const keepsSize = sys.told(() => sys.fallocate(fd, FALLOCATE.KEEP_SIZE, 0, tooMuch));
      const begins = sys.pread(fd, 7, 0);
      // Some take what there is before they refuse.
      sys.ftruncate(fd, 0);
      return { plain, keepsSize, begins };
    },
  },
  {
    name: 'fallocate: what it refuses',
    run: (sys) => {
      const fd = filled(sys, 1_000);
      const reader = sys.open('file', O.RDONLY);
      const folder = sys.open('.', O.RDONLY);
      const told = (at: number, mode: number, offset: number, length: number): unknown =>
        sys.told(() => sys.fallocate(at, mode, offset, length));
      return {
        noLength: told(fd, 0, 0, 0),
        negativeLength: told(fd, 0, 0, -1),
        negativeOffset: told(fd, 0, -1, 10),
        punchWithoutKeep: told(fd, FALLOCATE.PUNCH_HOLE, 0, 10),
        unknownMode: told(fd, 0x4000, 0, 10),
        both: told(fd, FALLOCATE.PUNCH_HOLE | FALLOCATE.ZERO_RANGE | FALLOCATE.KEEP_SIZE, 0, 10),
        reader: told(reader, 0, 0, 10),
        beyond: told(fd, 0, 2 ** 62, 2 ** 61),
        // The kernel's answer for a folder is EISDIR since 2023 and was ENODEV before; both are a refusal.
        folder: typeof told(folder, 0, 0, 10) === 'string',
        size: sys.fstat(fd).size,
      };
    },
  },
  {
    name: 'fallocate: punched bytes stay gone when the file grows and shrinks',
    run: (sys) => {
      const fd = filled(sys, 100_000);
      sys.fallocate(fd, FALLOCATE.PUNCH_HOLE | FALLOCATE.KEEP_SIZE, 10_000, 50_000);
      sys.ftruncate(fd, 30_000);
      sys.ftruncate(fd, 90_000);
      sys.pwrite(fd, 'new', 40_000);
      return runs(sys, fd);
    },
  },
  {
    name: 'fallocate: a shared map sees a punched hole',
    run: (sys) => {
      const fd = filled(sys, 65_536);
      using map = sys.map(fd, 65_536);
      map.read(0, 65_536);
      sys.fallocate(fd, FALLOCATE.PUNCH_HOLE | FALLOCATE.KEEP_SIZE, 8_192, 8_192);
      return {
        hole: map.read(8_192, 8_192).every((byte) => byte === 0),
        before: map.read(8_190, 2),
        after: map.read(16_384, 2),
      };
    },
  },
  {
    name: 'fallocate: on an unlinked file',
    run: (sys) => {
      const fd = filled(sys, 10_000);
      sys.unlink('file');
      sys.fallocate(fd, 0, 0, 20_000);
      sys.fallocate(fd, FALLOCATE.PUNCH_HOLE | FALLOCATE.KEEP_SIZE, 0, 5_000);
      return runs(sys, fd);
    },
  },
  {
    name: 'lseek: SEEK_DATA and SEEK_HOLE find a large hole',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.pwrite(fd, Buffer.alloc(MIB, 'a'), 0);
      sys.pwrite(fd, Buffer.alloc(MIB, 'b'), 16 * MIB);
      const hole = sys.lseek(fd, 0, SEEK.HOLE);
      const data = sys.lseek(fd, 4 * MIB, SEEK.DATA);
      // Holes are told in the file system's own units: not inside data, and not later or earlier than a mebibyte.
      return {
        hole: hole >= MIB && hole <= 2 * MIB,
        data: data > 15 * MIB && data <= 16 * MIB,
        inData: sys.lseek(fd, 100, SEEK.DATA),
        inHole: sys.lseek(fd, 8 * MIB, SEEK.HOLE),
        lastHole: sys.lseek(fd, 16 * MIB + 1, SEEK.HOLE),
        atEnd: sys.told(() => sys.lseek(fd, 17 * MIB, SEEK.DATA)),
        holeAtEnd: sys.told(() => sys.lseek(fd, 17 * MIB, SEEK.HOLE)),
        negative: sys.told(() => sys.lseek(fd, -1, SEEK.DATA)),
      };
    },
  },
  {
    name: 'lseek: SEEK_DATA in an empty file and in one that is all hole',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      const empty = [sys.told(() => sys.lseek(fd, 0, SEEK.DATA)), sys.told(() => sys.lseek(fd, 0, SEEK.HOLE))];
      sys.ftruncate(fd, 10 * MIB);
      return {
        empty,
        data: sys.told(() => sys.lseek(fd, 0, SEEK.DATA)),
        hole: sys.told(() => sys.lseek(fd, 5, SEEK.HOLE)),
      };
    },
  },
  {
    name: 'lseek: a punched hole is found',
    run: (sys) => {
      const fd = filled(sys, 8 * MIB);
      sys.fallocate(fd, FALLOCATE.PUNCH_HOLE | FALLOCATE.KEEP_SIZE, 2 * MIB, 4 * MIB);
      sys.fsync(fd);
      const hole = sys.lseek(fd, 0, SEEK.HOLE);
      const data = sys.lseek(fd, 4 * MIB, SEEK.DATA);
      return { hole: hole >= 2 * MIB && hole < 3 * MIB, data: data > 5 * MIB && data <= 6 * MIB };
    },
  },
  {
    name: 'lseek: what was found is where reading goes on',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.pwrite(fd, 'x', 4 * MIB);
      sys.fsync(fd);
      const data = sys.lseek(fd, 0, SEEK.DATA);
      return { position: sys.lseek(fd, 0, SEEK.CUR) === data, skips: data > 3 * MIB && data <= 4 * MIB };
    },
  },
  {
    name: 'copy_file_range: moves positions when no offsets are given',
    run: (sys) => {
      sys.put('source', 'abcdefghij');
      const [source, target] = [sys.open('source', O.RDONLY), sys.open('target', O.RDWR | O.CREAT)];
      sys.lseek(source, 2, SEEK.SET);
      const count = sys.copyFileRange({ fd: source }, { fd: target }, 5);
      return {
        count,
        at: [sys.lseek(source, 0, SEEK.CUR), sys.lseek(target, 0, SEEK.CUR)],
        content: sys.get('target'),
      };
    },
  },
  {
    name: 'copy_file_range: within one file',
    run: (sys) => {
      sys.put('file', 'abcdefghij');
      const fd = sys.open('file', O.RDWR);
      return {
        apart: sys.told(() => sys.copyFileRange({ fd, offset: 0 }, { fd, offset: 5 }, 3)),
        overlap: sys.told(() => sys.copyFileRange({ fd, offset: 0 }, { fd, offset: 2 }, 5)),
        behind: sys.told(() => sys.copyFileRange({ fd, offset: 0 }, { fd, offset: 10 }, 4)),
        content: sys.get('file'),
      };
    },
  },
  {
    name: 'copy_file_range: what it refuses',
    run: (sys) => {
      sys.put('source', 'abc');
      sys.put('target', 'xyz');
      const [source, target] = [sys.open('source', O.RDONLY), sys.open('target', O.RDWR)];
      const [folder, append] = [sys.open('.', O.RDONLY), sys.open('target', O.WRONLY | O.APPEND)];
      const copy = (a: number, b: number, flags = 0): unknown =>
        sys.told(() => sys.copyFileRange({ fd: a, offset: 0 }, { fd: b, offset: 0 }, 3, flags));
      return {
        readOnlyTarget: copy(target, source),
        folder: copy(folder, target),
        toFolder: copy(source, folder),
        append: copy(source, append),
        flags: copy(source, target, 7),
        content: sys.get('target'),
      };
    },
  },
  {
    name: 'copy_file_range: a sparse source reads the same',
    run: (sys) => {
      const source = sys.open('source', O.RDWR | O.CREAT);
      sys.pwrite(source, 'head', 0);
      sys.pwrite(source, 'tail', 3 * MIB);
      const target = sys.open('target', O.RDWR | O.CREAT);
      let at = 0;
      for (let count = -1; count !== 0; at += count) {
        count = sys.copyFileRange({ fd: source, offset: at }, { fd: target, offset: at }, 4 * MIB);
      }
      return { at, same: sys.pread(target, 4 * MIB, 0).equals(sys.pread(source, 4 * MIB, 0)) };
    },
  },
  {
    name: 'copy_file_range: the copy and the source go their own ways',
    run: (sys) => {
      sys.put('source', Buffer.alloc(200_000, 's'));
      const [source, target] = [sys.open('source', O.RDWR), sys.open('target', O.RDWR | O.CREAT, 0o640)];
      let at = 0;
      while (at < 200_000) {
        at += sys.copyFileRange({ fd: source, offset: at }, { fd: target, offset: at }, 200_000 - at);
      }
      sys.pwrite(source, 'S', 100_000);
      sys.pwrite(target, 'T', 150_000);
      sys.unlink('source');
      return {
        at100: sys.pread(target, 1, 100_000),
        at150: sys.pread(source, 1, 150_000),
        mode: octal(sys.fstat(target).mode),
      };
    },
  },
  {
    name: 'copy_file_range: from bytes just written and just mapped',
    run: (sys) => {
      sys.put('source', Buffer.alloc(65_536, 's'));
      const [source, target] = [sys.open('source', O.RDWR), sys.open('target', O.RDWR | O.CREAT)];
      using map = sys.map(source, 65_536);
      map.write('mapped', 10);
      sys.pwrite(source, 'written', 30_000);
      sys.copyFileRange({ fd: source, offset: 0 }, { fd: target, offset: 0 }, 65_536);
      return [sys.pread(target, 6, 10), sys.pread(target, 7, 30_000), sys.fstat(target).size];
    },
  },
];
