/** Bytes: read, write, append, truncate, maps, and being made durable. */
import { type Case, type Sys, USER } from './case.ts';
import { O, SEEK } from './libc.ts';

const KIB = 1_024;
const MIB = 1_048_576;
/** The largest file of ext4 with blocks of 4 KiB, in bytes. */
const EXT4_FILE_BYTES_MAX = 2 ** 44 - 4_096;

/** Bytes that say where they stand. */
function counted(length: number, salt = 0): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at++) bytes[at] = (at * 7 + (at >> 8) * 13 + (at >> 16) * 31 + salt) & 0xff;
  return bytes;
}

function hasOnly(bytes: Uint8Array, value: number): boolean {
  return bytes.every((byte) => byte === value);
}

const EDGES = [1, 4_095, 4_096, 4_097, 16_384, 65_535, 65_537, 131_072, 131_073, 1_048_575, 1_048_577];

const writeSizes: Case[] = EDGES.map((size) => ({
  name: `write: ${size} bytes come back, whole and in parts`,
  run: (sys: Sys) => {
    const bytes = counted(size);
    const fd = sys.open('file', O.RDWR | O.CREAT);
    const wrote = sys.write(fd, bytes);
    const whole = sys.pread(fd, size + 10, 0).equals(bytes);
    sys.close(fd);
    const again = sys.open('file', O.RDONLY);
    const parts: Buffer[] = [];
    for (let part = sys.read(again, 10_007); part.length > 0; part = sys.read(again, 10_007)) parts.push(part);
    return { wrote, whole, parts: Buffer.concat(parts).equals(bytes), size: sys.lstat('file').size };
  },
}));

const overwrites: Case[] = [0, 1, 4_095, 65_536, 131_071, 262_143, 300_000].map((offset) => ({
  name: `pwrite: over the middle at ${offset}, and past the end`,
  run: (sys: Sys) => {
    const expected = counted(300_000);
    sys.put('file', expected);
    const fd = sys.open('file', O.RDWR);
    const patch = counted(5_000, 99);
    const wrote = sys.pwrite(fd, patch, offset);
    const model = Buffer.alloc(Math.max(300_000, offset + 5_000));
    expected.copy(model);
    patch.copy(model, offset);
    return { wrote, same: sys.pread(fd, 400_000, 0).equals(model), size: sys.fstat(fd).size };
  },
}));

const truncates: Case[] = [0, 1, 4_095, 4_096, 65_537, 199_999, 200_000, 200_001, 1_000_000].map((size) => ({
  name: `truncate: 200,000 bytes to ${size} and back up`,
  run: (sys: Sys) => {
    const bytes = counted(200_000);
    sys.put('file', bytes);
    sys.truncate('file', size);
    const kept = Math.min(size, 200_000);
    const first = Buffer.from(sys.get('file'), 'latin1');
    sys.truncate('file', 250_000);
    const second = Buffer.from(sys.get('file'), 'latin1');
    return {
      size: first.length,
      head: first.subarray(0, kept).equals(bytes.subarray(0, kept)),
      zeros: hasOnly(first.subarray(kept), 0),
      // What was cut off never shows again.
      after: second.length === 250_000 && hasOnly(second.subarray(kept), 0),
    };
  },
}));

const sparse: Case[] = [2 ** 31 - 1, 2 ** 32, 2 ** 40 + 5, EXT4_FILE_BYTES_MAX - 3].map((offset) => ({
  name: `write: three bytes at ${offset}`,
  run: (sys: Sys) => {
    const fd = sys.open('file', O.RDWR | O.CREAT);
    const wrote = sys.told(() => sys.pwrite(fd, 'end', offset));
    sys.pwrite(fd, 'start', 0);
    return {
      wrote,
      size: sys.fstat(fd).size,
      start: sys.pread(fd, 10, 0),
      hole: sys.pread(fd, 10, 2 ** 30),
      end: sys.pread(fd, 10, offset),
      before: sys.pread(fd, 4, offset - 1),
      isSparse: sys.fstat(fd).blocks * 512 < MIB,
      shrunk: sys.told(() => sys.ftruncate(fd, 7)),
      content: sys.get('file'),
    };
  },
}));

export const dataCases: readonly Case[] = [
  ...writeSizes,
  ...overwrites,
  ...truncates,
  ...sparse,
  {
    name: 'read: at, over and behind the end',
    run: (sys) => {
      sys.put('file', 'abcdef');
      const fd = sys.open('file', O.RDONLY);
      return {
        over: sys.pread(fd, 100, 4),
        at: sys.pread(fd, 100, 6),
        behind: sys.pread(fd, 100, 1_000_000),
        none: sys.pread(fd, 0, 0),
        negative: sys.told(() => sys.pread(fd, 1, -1)),
      };
    },
  },
  {
    name: 'read: of a folder, and writing one',
    run: (sys) => {
      const fd = sys.open('.', O.RDONLY);
      return [
        sys.told(() => sys.read(fd, 10)),
        sys.told(() => sys.write(fd, 'x')),
        sys.told(() => sys.ftruncate(fd, 0)),
      ];
    },
  },
  {
    name: 'read: the position moves by what was read',
    run: (sys) => {
      sys.put('file', 'abcdefgh');
      const fd = sys.open('file', O.RDWR);
      const first = sys.read(fd, 3);
      const after = sys.lseek(fd, 0, SEEK.CUR);
      sys.write(fd, 'XY');
      return { first, after, next: sys.read(fd, 10), end: sys.lseek(fd, 0, SEEK.CUR), content: sys.get('file') };
    },
  },
  {
    name: 'lseek: everywhere and nowhere',
    run: (sys) => {
      sys.put('file', 'abcdef');
      const fd = sys.open('file', O.RDWR);
      return {
        end: sys.told(() => sys.lseek(fd, 0, SEEK.END)),
        beyond: sys.told(() => sys.lseek(fd, 100, SEEK.END)),
        back: sys.told(() => sys.lseek(fd, -50, SEEK.CUR)),
        negative: sys.told(() => sys.lseek(fd, -1, SEEK.SET)),
        nonsense: sys.told(() => sys.lseek(fd, 0, 99)),
        write: sys.told(() => sys.write(fd, 'x')),
        size: sys.fstat(fd).size,
      };
    },
  },
  {
    name: 'write: nothing, anywhere, changes nothing',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      return [
        sys.write(fd, ''),
        sys.pwrite(fd, '', 1_000),
        sys.told(() => sys.pwrite(fd, 'x', -1)),
        sys.fstat(fd).size,
      ];
    },
  },
  {
    name: 'write: a hole reads as zeros',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.pwrite(fd, 'x', 1_000_000);
      const bytes = sys.pread(fd, 2_000_000, 0);
      return { length: bytes.length, zeros: hasOnly(bytes.subarray(0, 1_000_000), 0), last: bytes.at(-1) };
    },
  },
  {
    name: 'write: at the largest offsets',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      return { beyond: sys.told(() => sys.pwrite(fd, 'x', 2 ** 62)), size: sys.fstat(fd).size };
    },
  },
  {
    name: 'write: two descriptors see each other at once',
    run: (sys) => {
      const [a, b] = [sys.open('file', O.RDWR | O.CREAT), sys.open('file', O.RDWR)];
      sys.write(a, 'hello');
      const seen = sys.read(b, 10);
      sys.pwrite(b, 'J', 0);
      sys.ftruncate(a, 3);
      return { seen, back: sys.pread(a, 10, 0), size: sys.fstat(b).size };
    },
  },
  {
    name: 'write: another process sees it at once',
    run: async (sys) => {
      const peer = await sys.peer();
      sys.put('file', 'before');
      const first = await peer.ask('get', 'file');
      const fd = sys.open('file', O.RDWR);
      sys.pwrite(fd, 'after!', 0);
      const second = await peer.ask('get', 'file');
      await peer.ask('truncate', 'file', 2);
      return { first, second, third: sys.pread(fd, 10, 0), size: sys.fstat(fd).size };
    },
  },
  {
    name: 'write: a thousand small ones in a row and backwards',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      for (let number = 0; number < 1_000; number++) sys.write(fd, `${String(number).padStart(6)}\n`);
      for (let number = 999; number >= 0; number -= 3) sys.pwrite(fd, 'back', number * 7);
      const lines = sys.get('file').split('\n');
      return [lines.length, lines[0], lines[1], lines[500], lines[999]];
    },
  },
  {
    name: 'write: 8 MiB in one go',
    run: (sys) => {
      const bytes = counted(8 * MIB);
      const fd = sys.open('file', O.RDWR | O.CREAT);
      let at = 0;
      while (at < bytes.length) at += sys.pwrite(fd, bytes.subarray(at), at);
      return sys.pread(fd, 8 * MIB, 0).equals(bytes);
    },
  },
  {
    name: 'write: the same bytes again and again',
    run: (sys) => {
      const block = counted(128 * KIB);
      const fd = sys.open('file', O.RDWR | O.CREAT);
      for (let number = 0; number < 8; number++) sys.write(fd, block);
      sys.pwrite(fd, 'other', 3 * 128 * KIB);
      const same = [0, 1, 2, 3, 4].map((number) => sys.pread(fd, 128 * KIB, number * 128 * KIB).equals(block));
      return { same, size: sys.fstat(fd).size };
    },
  },
  {
    name: 'truncate: what it refuses',
    run: (sys) => {
      sys.put('file', 'x');
      sys.mkdir('folder');
      const reader = sys.open('file', O.RDONLY);
      return {
        negative: sys.told(() => sys.truncate('file', -1)),
        folder: sys.told(() => sys.truncate('folder', 0)),
        readOnly: sys.told(() => sys.ftruncate(reader, 0)),
        beyond: sys.told(() => sys.truncate('file', 2n ** 63n - 1n)),
        size: sys.lstat('file').size,
      };
    },
  },
  {
    name: 'truncate: to the largest size and down again',
    run: (sys) => {
      sys.put('file', 'start');
      sys.truncate('file', EXT4_FILE_BYTES_MAX);
      const fd = sys.open('file', O.RDWR);
      const large = { size: sys.fstat(fd).size, end: sys.pread(fd, 5, EXT4_FILE_BYTES_MAX - 5).length };
      sys.truncate('file', 3);
      return { large, content: sys.get('file') };
    },
  },
  {
    name: 'truncate: through another descriptor while reading',
    run: (sys) => {
      sys.put('file', counted(200_000));
      const fd = sys.open('file', O.RDONLY);
      sys.read(fd, 100_000);
      sys.truncate('file', 50_000);
      const past = sys.read(fd, 10).length;
      sys.truncate('file', 150_000);
      return { past, zeros: hasOnly(sys.read(fd, 100_000), 0) };
    },
  },
  {
    name: 'fsync: everything that can be synced',
    run: (sys) => {
      sys.put('file', 'x');
      const [file, reader] = [sys.open('file', O.RDWR), sys.open('file', O.RDONLY)];
      const folder = sys.open('.', O.RDONLY | O.DIRECTORY);
      sys.write(file, 'y');
      return {
        file: sys.told(() => sys.fsync(file)),
        data: sys.told(() => sys.fdatasync(file)),
        reader: sys.told(() => sys.fsync(reader)),
        folder: sys.told(() => sys.fsync(folder)),
        folderData: sys.told(() => sys.fdatasync(folder)),
        all: sys.told(() => sys.syncfs(file)),
        content: sys.get('file'),
      };
    },
  },
  {
    name: 'fsync: of an unlinked file and of one without a name',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.write(fd, 'x');
      sys.unlink('file');
      const unnamed = sys.open('.', O.TMPFILE | O.RDWR);
      sys.write(unnamed, 'y');
      return [sys.told(() => sys.fsync(fd)), sys.told(() => sys.fsync(unnamed)), sys.pread(fd, 1, 0)];
    },
  },
  {
    name: 'mmap: what is written into a shared map is in the file',
    run: (sys) => {
      sys.put('file', counted(20_000));
      const fd = sys.open('file', O.RDWR);
      using map = sys.map(fd, 20_000);
      const same = map.read(0, 20_000).equals(counted(20_000));
      map.write('mapped', 5_000);
      const seen = sys.pread(fd, 6, 5_000);
      map.sync();
      sys.pwrite(fd, 'written', 10_000);
      return { same, seen, back: map.read(10_000, 7), size: sys.fstat(fd).size };
    },
  },
  {
    name: 'mmap: without msync, after unmapping and closing',
    run: (sys) => {
      sys.put('file', counted(10_000));
      const fd = sys.open('file', O.RDWR);
      const map = sys.map(fd, 10_000);
      sys.close(fd);
      map.write('still', 9_000);
      map.unmap();
      return sys.get('file').slice(9_000, 9_005);
    },
  },
  {
    name: 'mmap: another process sees shared writes',
    run: async (sys) => {
      const peer = await sys.peer();
      sys.put('file', counted(10_000));
      const fd = sys.open('file', O.RDWR);
      using map = sys.map(fd, 10_000);
      map.write('shared', 100);
      map.sync();
      const fdThere = (await peer.ask('open', 'file', O.RDONLY)) as number;
      return peer.ask('pread', fdThere, 6, 100);
    },
  },
  {
    name: 'mmap: a private map keeps its writes to itself',
    run: (sys) => {
      sys.put('file', 'original');
      const fd = sys.open('file', O.RDONLY);
      using map = sys.map(fd, 8, { private: true });
      map.write('changed!', 0);
      return [map.read(0, 8), sys.get('file')];
    },
  },
  {
    name: 'mmap: behind the end of the file is zero and stays out of it',
    run: (sys) => {
      sys.put('file', 'abc');
      const fd = sys.open('file', O.RDWR);
      using map = sys.map(fd, 4_096);
      const zeros = hasOnly(map.read(3, 4_093), 0);
      map.write('ghost', 100);
      map.sync();
      const size = sys.fstat(fd).size;
      return { zeros, size, content: sys.get('file') };
    },
  },
  {
    name: 'mmap: a map follows the file as it grows',
    run: (sys) => {
      sys.put('file', 'a'.repeat(4_096));
      const fd = sys.open('file', O.RDWR);
      using map = sys.map(fd, 12_288);
      sys.ftruncate(fd, 12_288);
      const zeros = hasOnly(map.read(4_096, 8_192), 0);
      map.write('end', 12_285);
      return { zeros, end: sys.pread(fd, 10, 12_285) };
    },
  },
  {
    name: 'mmap: truncated and grown, the map shows zeros',
    run: (sys) => {
      sys.put('file', counted(8_192));
      const fd = sys.open('file', O.RDWR);
      using map = sys.map(fd, 8_192);
      map.write('x', 8_000);
      sys.ftruncate(fd, 1_000);
      sys.ftruncate(fd, 8_192);
      return { head: map.read(0, 1_000).equals(counted(1_000)), zeros: hasOnly(map.read(1_000, 7_192), 0) };
    },
  },
  {
    name: 'mmap: of an unlinked file',
    run: (sys) => {
      sys.put('file', counted(8_192));
      const fd = sys.open('file', O.RDWR);
      sys.unlink('file');
      using map = sys.map(fd, 8_192);
      sys.close(fd);
      map.write('alive', 10);
      map.sync();
      return map.read(10, 5);
    },
  },
  {
    name: 'mmap: at an offset of a larger file',
    run: (sys) => {
      const bytes = counted(300_000);
      sys.put('file', bytes);
      const fd = sys.open('file', O.RDWR);
      using map = sys.map(fd, 8_192, { offset: 131_072 });
      const same = map.read(0, 8_192).equals(bytes.subarray(131_072, 139_264));
      map.write('here', 4_094);
      return { same, there: sys.pread(fd, 4, 131_072 + 4_094) };
    },
  },
  {
    name: 'mmap: what it refuses',
    run: (sys) => {
      sys.put('file', 'x');
      const fd = sys.open('file', O.RDWR);
      const folder = sys.open('.', O.RDONLY);
      return {
        nothing: sys.told(() => sys.map(fd, 0)),
        unaligned: sys.told(() => sys.map(fd, 10, { offset: 100 })),
        folder: sys.told(() => sys.map(folder, 10, { readOnly: true })),
      };
    },
  },
  {
    name: 'mmap: between two files on the same mount, through write',
    run: (sys) => {
      sys.put('a', counted(100_000));
      const fd = sys.open('a', O.RDWR);
      using map = sys.map(fd, 100_000);
      sys.put('b', map.read(50_000, 50_000));
      return Buffer.from(sys.get('b'), 'latin1').equals(counted(100_000).subarray(50_000));
    },
  },
  {
    name: 'statfs: says what programs ask for',
    run: (sys) => {
      sys.put('file', 'x');
      const { blockSize, blocks, free, nameBytesMax } = sys.statfs('file');
      return { nameBytesMax, block: blockSize >= 512, some: blocks > 0, free: free > 0 && free <= blocks };
    },
  },
  {
    name: 'statfs: by somebody else',
    run: (sys) => sys.as(USER, () => sys.told(() => sys.statfs('.').nameBytesMax)),
  },
  {
    name: 'stat: blocks are 512 bytes and follow the content',
    run: (sys) => {
      sys.put('empty');
      sys.put('full', counted(1_048_576));
      const fd = sys.open('sparse', O.RDWR | O.CREAT);
      sys.ftruncate(fd, 100 * MIB);
      sys.syncfs(fd);
      const blocks = (path: string): number => sys.lstat(path).blocks * 512;
      return {
        empty: blocks('empty'),
        full: blocks('full') >= MIB && blocks('full') < 2 * MIB,
        sparse: blocks('sparse') < MIB,
      };
    },
  },
  {
    name: 'sendfile: from one file to another',
    run: (sys) => {
      sys.put('from', counted(300_000));
      const [from, to] = [sys.open('from', O.RDONLY), sys.open('to', O.RDWR | O.CREAT)];
      let at = 0;
      while (at < 300_000) at += sys.sendfile(to, from, at, 300_000 - at);
      return Buffer.from(sys.get('to'), 'latin1').equals(counted(300_000));
    },
  },
];
