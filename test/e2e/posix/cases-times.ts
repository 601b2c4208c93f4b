/**
 * Times: what sets them, and which operation changes which. Reading may or may not move atime (relatime, noatime and a
 * server's own rule are all allowed), so no case looks at atime after a read.
 */
import { type Case, OTHER, PAST, type Sys, USER } from './case.ts';
import { type Libc, O, RENAME, S, type When } from './libc.ts';

/** One act, and the paths whose times are looked at around it. */
interface Act {
  readonly stage?: (sys: Sys) => void;
  readonly act: (sys: Sys) => void;
  readonly watched: readonly string[];
}

const ACTS: Readonly<Record<string, Act>> = {
  create: { act: (sys) => sys.close(sys.open('d/new', O.WRONLY | O.CREAT)), watched: ['d'] },
  'create of what exists': {
    act: (sys) => sys.close(sys.open('d/file', O.WRONLY | O.CREAT)),
    watched: ['d', 'd/file'],
  },
  mkdir: { act: (sys) => sys.mkdir('d/new'), watched: ['d'] },
  mknod: { act: (sys) => sys.mknod('d/new', S.IFIFO | 0o600), watched: ['d'] },
  symlink: { act: (sys) => sys.symlink('x', 'd/new'), watched: ['d'] },
  link: { act: (sys) => sys.link('d/file', 'e/new'), watched: ['d', 'e', 'd/file'] },
  unlink: { act: (sys) => sys.unlink('d/file'), watched: ['d', 'e'] },
  'unlink of one of two names': {
    stage: (sys) => sys.link('d/file', 'e/other'),
    act: (sys) => sys.unlink('d/file'),
    watched: ['d', 'e', 'e/other'],
  },
  rmdir: { act: (sys) => sys.rmdir('d/sub'), watched: ['d'] },
  'rename within a folder': { act: (sys) => sys.rename('d/file', 'd/moved'), watched: ['d'] },
  'rename across folders': { act: (sys) => sys.rename('d/file', 'e/moved'), watched: ['d', 'e'] },
  'rename of a folder': { act: (sys) => sys.rename('d/sub', 'e/sub'), watched: ['d', 'e'] },
  'rename over a name': {
    stage: (sys) => sys.put('e/old'),
    act: (sys) => sys.rename('d/file', 'e/old'),
    watched: ['d', 'e'],
  },
  'rename exchange': {
    stage: (sys) => sys.put('e/other'),
    act: (sys) => sys.renameat2('d/file', 'e/other', RENAME.EXCHANGE),
    watched: ['d', 'e'],
  },
  'a failing create': { act: (sys) => void sys.told(() => sys.mkdir('d/file')), watched: ['d', 'd/file'] },
  'a failing unlink': { act: (sys) => void sys.told(() => sys.unlink('d/none')), watched: ['d'] },
  'a failing rmdir': {
    stage: (sys) => sys.put('d/sub/x'),
    act: (sys) => void sys.told(() => sys.rmdir('d/sub')),
    watched: ['d', 'd/sub'],
  },
  write: { act: (sys) => sys.close(written(sys, 'more')), watched: ['d/file', 'd'] },
  'write of nothing': { act: (sys) => sys.close(written(sys, '')), watched: ['d/file'] },
  'open to write': { act: (sys) => sys.close(sys.open('d/file', O.RDWR)), watched: ['d/file', 'd'] },
  'open with O_TRUNC': { act: (sys) => sys.close(sys.open('d/file', O.WRONLY | O.TRUNC)), watched: ['d/file', 'd'] },
  'open with O_TRUNC of an empty file': {
    stage: (sys) => sys.put('d/file', ''),
    act: (sys) => sys.close(sys.open('d/file', O.WRONLY | O.TRUNC)),
    watched: ['d/file'],
  },
  'truncate down': { act: (sys) => sys.truncate('d/file', 1), watched: ['d/file'] },
  'truncate up': { act: (sys) => sys.truncate('d/file', 100), watched: ['d/file'] },
  'truncate to the same size': { act: (sys) => sys.truncate('d/file', 7), watched: ['d/file'] },
  'ftruncate to the same size': {
    act: (sys) => {
      const fd = sys.open('d/file', O.WRONLY);
      sys.ftruncate(fd, 7);
      sys.close(fd);
    },
    watched: ['d/file'],
  },
  'fallocate that grows': { act: (sys) => allocated(sys, 0, 100), watched: ['d/file'] },
  'fallocate of what is there': { act: (sys) => allocated(sys, 0, 1), watched: ['d/file'] },
  'fallocate that keeps the size': { act: (sys) => allocated(sys, 1, 100), watched: ['d/file'] },
  'punching a hole': { act: (sys) => allocated(sys, 3, 5), watched: ['d/file'] },
  chmod: { act: (sys) => sys.chmod('d/file', 0o600), watched: ['d/file', 'd'] },
  'chmod to the same': { act: (sys) => sys.chmod('d/file', 0o644), watched: ['d/file'] },
  chown: { act: (sys) => sys.chown('d/file', 5, 5), watched: ['d/file'] },
  setxattr: { act: (sys) => sys.setxattr('d/file', 'user.a', 'b'), watched: ['d/file'] },
  removexattr: {
    stage: (sys) => sys.setxattr('d/file', 'user.a', 'b'),
    act: (sys) => sys.removexattr('d/file', 'user.a'),
    watched: ['d/file'],
  },
  copy_file_range: {
    stage: (sys) => sys.put('e/source', 'source'),
    act: (sys) => {
      const [from, to] = [sys.open('e/source', O.RDONLY), sys.open('d/file', O.WRONLY)];
      sys.copyFileRange({ fd: from, offset: 0 }, { fd: to, offset: 0 }, 6);
      sys.close(to);
    },
    watched: ['d/file'],
  },
  fsync: {
    act: (sys) => {
      const fd = sys.open('d/file', O.RDWR);
      sys.fsync(fd);
      sys.close(fd);
    },
    watched: ['d/file'],
  },
  'a shared map': {
    act: (sys) => {
      const fd = sys.open('d/file', O.RDWR);
      using map = sys.map(fd, 7);
      map.write('M', 0);
      map.sync();
    },
    watched: ['d/file'],
  },
  'stat, access and readlink': {
    act: (sys) => {
      sys.stat('d/file');
      sys.access('d/file', 4);
      sys.readlink('d/link');
    },
    watched: ['d/file', 'd'],
  },
  'read and readdir': {
    act: (sys) => {
      sys.get('d/file');
      sys.list('d');
    },
    watched: ['d/file', 'd'],
  },
};

function written(sys: Sys, text: string): number {
  const fd = sys.open('d/file', O.WRONLY);
  sys.write(fd, text);
  return fd;
}

function allocated(sys: Sys, mode: number, length: number): void {
  const fd = sys.open('d/file', O.WRONLY);
  sys.fallocate(fd, mode, 0, length);
  sys.close(fd);
}

const acts: Case[] = Object.entries(ACTS).map(([what, { stage, act, watched }]) => ({
  name: `times: which ${what} changes`,
  run: (sys: Sys) => {
    sys.mkdir('d');
    sys.mkdir('e');
    sys.mkdir('d/sub');
    sys.put('d/file', 'content');
    sys.symlink('x', 'd/link');
    stage?.(sys);
    for (const path of watched) sys.utimens(path, PAST, PAST, 0x100);
    sys.tick();
    const before = watched.map((path) => sys.lstat(path));
    act(sys);
    return Object.fromEntries(
      watched.map((path, index) => {
        const [old, now] = [before[index], sys.told(() => sys.lstat(path))];
        if (now === 'ENOENT' || old === undefined) return [path, 'gone'];
        const fresh = sys.lstat(path);
        const changed = (['modified', 'changed'] as const).filter((time) => fresh[time] !== old[time]);
        return [path, changed];
      }),
    );
  },
}));

const at = (seconds: number, nanoseconds = 0): When => ({ seconds, nanoseconds });

function times(sys: Libc, path: string): string[] {
  const stat = sys.lstat(path);
  return [String(stat.accessed), String(stat.modified)];
}

export const timeCases: readonly Case[] = [
  ...acts,
  {
    name: 'utimensat: to the nanosecond, before 1970 and far ahead',
    run: (sys) => {
      sys.put('file');
      // 2^34 seconds, the year 2446, is where 256-byte inodes of ext4 end.
      const moments = [at(0, 1), at(1, 999_999_999), at(-1, 0), at(-86_400, 500), at(2 ** 31, 5), at(2 ** 33, 7)];
      return moments.map((moment) => {
        sys.utimens('file', moment, moment);
        return times(sys, 'file');
      });
    },
  },
  {
    name: 'utimensat: UTIME_OMIT leaves one, UTIME_NOW sets one',
    run: (sys) => {
      sys.put('file');
      sys.utimens('file', at(100), at(200));
      sys.utimens('file', 'omit', at(300));
      const first = times(sys, 'file');
      sys.utimens('file', at(400), 'omit');
      const second = times(sys, 'file');
      sys.utimens('file', 'omit', 'omit');
      const third = times(sys, 'file');
      sys.utimens('file', at(500), 'now');
      const stat = sys.lstat('file');
      const isNow = Math.abs(Number(stat.modified / 1_000_000n) - Date.now()) < 60_000;
      return { first, second, third, accessed: stat.accessed, isNow };
    },
  },
  {
    name: 'utimensat: nothing to change changes no ctime',
    run: (sys) => {
      sys.put('file');
      return {
        omit: sys.touches('file', () => sys.utimens('file', 'omit', 'omit')),
        one: sys.touches('file', () => sys.utimens('file', 'omit', at(5))),
        same: sys.touches('file', () => sys.utimens('file', PAST, PAST)),
        now: sys.touches('file', () => sys.utimensNull('file')),
      };
    },
  },
  {
    name: 'utimensat: bad nanoseconds',
    run: (sys) => {
      sys.put('file');
      return [at(1, 1_000_000_000), at(1, -1)].map((when) => sys.told(() => sys.utimens('file', when, when)));
    },
  },
  {
    name: 'utimensat: a symlink itself or what it names',
    run: (sys) => {
      sys.put('file');
      sys.symlink('file', 'link');
      sys.utimens('link', at(10), at(20));
      sys.utimens('link', at(30), at(40), 0x100);
      return [times(sys, 'file'), times(sys, 'link')];
    },
  },
  {
    name: 'utimensat: on folders, fifos and descriptors',
    run: (sys) => {
      sys.mkdir('folder');
      sys.mknod('fifo', S.IFIFO | 0o600);
      sys.put('file');
      sys.utimens('folder', at(1, 2), at(3, 4));
      sys.utimens('fifo', at(5, 6), at(7, 8));
      sys.futimens(sys.open('file', O.RDONLY), at(9, 10), at(11, 12));
      return ['folder', 'fifo', 'file'].map((path) => times(sys, path));
    },
  },
  {
    name: 'utimensat: who may',
    run: (sys) => {
      sys.put('file', '', 0o666);
      sys.put('closed', '', 0o644);
      sys.chown('file', USER.uid, USER.gid);
      sys.chown('closed', USER.uid, USER.gid);
      const tries = (path: string): unknown[] => [
        sys.told(() => sys.utimensNull(path)),
        sys.told(() => sys.utimens(path, 'now', 'now')),
        sys.told(() => sys.utimens(path, 'now', 'omit')),
        sys.told(() => sys.utimens(path, at(1), at(1))),
        sys.told(() => sys.utimens(path, 'omit', 'omit')),
      ];
      return {
        owner: sys.as(USER, () => tries('file')),
        writer: sys.as(OTHER, () => tries('file')),
        reader: sys.as(OTHER, () => tries('closed')),
      };
    },
  },
  {
    name: 'times: a new file has one time for all, about now',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder');
      sys.symlink('x', 'link');
      return ['folder', 'link', 'file'].map((path) => {
        const stat = sys.lstat(path);
        const near = (time: bigint): boolean => Math.abs(Number(time / 1_000_000n) - Date.now()) < 60_000;
        return [near(stat.accessed), near(stat.modified), near(stat.changed), stat.accessed <= stat.changed];
      });
    },
  },
  {
    name: 'times: mtime set by hand stays through close, stat and rename',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.write(fd, 'content');
      sys.futimens(fd, at(10, 1), at(20, 2));
      sys.close(fd);
      const first = times(sys, 'file');
      sys.rename('file', 'moved');
      sys.link('moved', 'second');
      sys.chmod('moved', 0o600);
      return [first, times(sys, 'moved')];
    },
  },
  {
    name: 'times: mtime set by hand stays through fsync and a later close of a writer',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.write(fd, 'content');
      sys.utimens('file', at(10, 1), at(20, 2));
      sys.fsync(fd);
      const synced = times(sys, 'file');
      sys.close(fd);
      return [synced, times(sys, 'file')];
    },
  },
  {
    name: 'times: each of two writes moves mtime on',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.write(fd, 'a');
      const first = sys.fstat(fd).modified;
      sys.tick();
      sys.write(fd, 'b');
      const second = sys.fstat(fd).modified;
      return { later: second > first, byName: sys.lstat('file').modified === second };
    },
  },
];
