/** Opening: flags, modes, what a descriptor then may do. */
import { spawn, spawnSync } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import { type Case, octal, type Sys, USER } from './case.ts';
import { O, S, SEEK } from './libc.ts';

const FLAGS: Readonly<Record<string, number>> = {
  RDONLY: O.RDONLY,
  WRONLY: O.WRONLY,
  RDWR: O.RDWR,
  'RDONLY|TRUNC': O.RDONLY | O.TRUNC,
  'WRONLY|TRUNC': O.WRONLY | O.TRUNC,
  'RDWR|CREAT': O.RDWR | O.CREAT,
  'RDWR|CREAT|EXCL': O.RDWR | O.CREAT | O.EXCL,
  'WRONLY|CREAT|TRUNC': O.WRONLY | O.CREAT | O.TRUNC,
  'WRONLY|APPEND': O.WRONLY | O.APPEND,
  'RDONLY|DIRECTORY': O.RDONLY | O.DIRECTORY,
  'RDWR|DIRECTORY': O.RDWR | O.DIRECTORY,
  'RDONLY|CREAT|DIRECTORY': O.RDONLY | O.CREAT | O.DIRECTORY,
  'RDONLY|NOFOLLOW': O.RDONLY | O.NOFOLLOW,
  'RDWR|CREAT|NOFOLLOW': O.RDWR | O.CREAT | O.NOFOLLOW,
  'RDWR|SYNC': O.RDWR | O.SYNC,
  'RDWR|DSYNC': O.RDWR | O.DSYNC,
  'RDONLY|NOATIME': O.RDONLY | O.NOATIME,
  'RDONLY|NONBLOCK': O.RDONLY | O.NONBLOCK,
  PATH: O.PATH,
  'PATH|NOFOLLOW': O.PATH | O.NOFOLLOW,
  'PATH|DIRECTORY': O.PATH | O.DIRECTORY,
  'TMPFILE|RDWR': O.TMPFILE | O.RDWR,
  'TMPFILE|RDONLY': O.TMPFILE | O.RDONLY,
};

const onKinds: Case[] = Object.entries(FLAGS).map(([name, flags]) => ({
  name: `open: ${name} on every kind`,
  run: (sys: Sys) => {
    sys.mkdir('folder');
    sys.symlink('file', 'symlink');
    sys.symlink('missing-target', 'dangling');
    sys.symlink('folder', 'to-folder');
    const paths = ['file', 'folder', 'symlink', 'dangling', 'to-folder', 'missing', 'folder/', 'file/'];
    const answers = paths.map((path) => {
      sys.put('file', 'content');
      const answer = sys.opens(path, flags);
      const after = { answer, size: sys.lstat('file').size };
      for (const made of ['missing', 'missing-target']) sys.told(() => sys.unlink(made));
      return [path, after];
    });
    return { ...Object.fromEntries(answers), left: sys.list(), inside: sys.list('folder') };
  },
}));

const descriptorRights: Case[] = Object.entries({
  RDONLY: O.RDONLY,
  WRONLY: O.WRONLY,
  RDWR: O.RDWR,
  APPEND: O.RDWR | O.APPEND,
  PATH: O.PATH,
}).map(([name, flags]) => ({
  name: `open: what a descriptor of ${name} may do`,
  run: (sys: Sys) => {
    sys.put('file', 'content');
    const fd = sys.open('file', flags);
    const others = sys.open('other', O.RDWR | O.CREAT);
    return {
      read: sys.told(() => sys.pread(fd, 3, 0)),
      write: sys.told(() => sys.pwrite(fd, 'C', 0)),
      truncate: sys.told(() => sys.ftruncate(fd, 20)),
      allocate: sys.told(() => sys.fallocate(fd, 0, 0, 10)),
      seek: sys.told(() => sys.lseek(fd, 1, SEEK.SET)),
      sync: sys.told(() => sys.fsync(fd)),
      chmod: sys.told(() => sys.fchmod(fd, 0o600)),
      times: sys.told(() => sys.futimens(fd, 'now', 'now')),
      xattr: sys.told(() => sys.fsetxattr(fd, 'user.a', 'b')),
      copyFrom: sys.told(() => sys.copyFileRange({ fd, offset: 0 }, { fd: others, offset: 0 }, 2)),
      copyTo: sys.told(() => sys.copyFileRange({ fd: others, offset: 0 }, { fd, offset: 0 }, 2)),
      mapRead: sys.told(() => sys.map(fd, 4, { readOnly: true }).unmap()),
      mapWrite: sys.told(() => sys.map(fd, 4).unmap()),
      mapPrivate: sys.told(() => sys.map(fd, 4, { private: true }).unmap()),
      stat: sys.told(() => sys.fstat(fd).size),
      lock: sys.told(() => sys.setLock(fd, { type: 'write', start: 0, length: 1 })),
      readLock: sys.told(() => sys.setLock(fd, { type: 'read', start: 0, length: 1 })),
      content: sys.get('file'),
    };
  },
}));

/** The kernel drops names and nodes that nobody uses. */
function forgetNodes(sys: Sys): void {
  sys.put('/proc/sys/vm/drop_caches', '2');
}

export const openCases: readonly Case[] = [
  ...onKinds,
  ...descriptorRights,
  {
    name: 'open: modes of a new file and the mask',
    run: (sys) =>
      [0, 0o022, 0o077, 0o777].flatMap((mask) => {
        sys.umask(mask);
        return [0o644, 0o777, 0o000, 0o4755, 0o2644, 0o1666].map((mode) => {
          const name = `${mask}-${mode}`;
          sys.close(sys.open(name, O.WRONLY | O.CREAT | O.EXCL, mode));
          return sys.mode(name);
        });
      }),
  },
  {
    name: 'open: a new file of mode 000 may be written by who made it',
    run: (sys) => {
      sys.chmod('.', 0o777);
      return sys.as(USER, () => {
        const fd = sys.open('file', O.RDWR | O.CREAT, 0);
        return {
          write: sys.told(() => sys.write(fd, 'x')),
          again: sys.opens('file', O.RDONLY),
          mode: sys.mode('file'),
        };
      });
    },
  },
  {
    name: 'open: an existing file keeps its mode',
    run: (sys) => {
      sys.put('file', 'x', 0o600);
      sys.put('file', 'y', 0o777);
      return sys.look('file');
    },
  },
  {
    name: 'open: O_EXCL does not follow a dangling symlink, plain O_CREAT does',
    run: (sys) => {
      sys.symlink('made', 'link');
      return [sys.opens('link', O.WRONLY | O.CREAT | O.EXCL), sys.opens('link', O.WRONLY | O.CREAT), sys.list()];
    },
  },
  {
    name: 'open: O_CREAT with a slash behind',
    run: (sys) => [sys.opens('new/', O.WRONLY | O.CREAT), sys.opens('.', O.WRONLY | O.CREAT), sys.list()],
  },
  {
    name: 'open: O_TRUNC frees the content and keeps the file',
    run: (sys) => {
      sys.put('file', 'x'.repeat(100_000));
      const fd = sys.open('file', O.RDWR);
      sys.close(sys.open('file', O.WRONLY | O.TRUNC));
      return { size: sys.fstat(fd).size, read: sys.pread(fd, 10, 0), blocks: sys.fstat(fd).blocks };
    },
  },
  {
    name: 'open: O_APPEND writes at the end whatever the position',
    run: (sys) => {
      sys.put('file', 'one');
      const [a, b] = [sys.open('file', O.RDWR | O.APPEND), sys.open('file', O.WRONLY | O.APPEND)];
      sys.write(a, '-two');
      sys.write(b, '-three');
      sys.lseek(a, 0, SEEK.SET);
      sys.write(a, '-four');
      // Linux appends with pwrite as well, against POSIX; what counts is that a mount does the same.
      sys.pwrite(a, '-five', 0);
      return { content: sys.get('file'), position: sys.lseek(a, 0, SEEK.CUR) };
    },
  },
  {
    name: 'open: O_APPEND given and taken later',
    run: (sys) => {
      sys.put('file', 'abc');
      const fd = sys.open('file', O.RDWR);
      sys.setFlags(fd, O.APPEND);
      sys.write(fd, 'd');
      sys.setFlags(fd, 0);
      sys.pwrite(fd, 'A', 0);
      return sys.get('file');
    },
  },
  {
    name: 'open: O_APPEND after somebody truncated',
    run: (sys) => {
      sys.put('file', 'abcdef');
      const fd = sys.open('file', O.WRONLY | O.APPEND);
      sys.write(fd, 'g');
      sys.truncate('file', 2);
      sys.write(fd, 'X');
      return sys.get('file');
    },
  },
  {
    name: 'open: O_SYNC and O_DSYNC write like any other',
    run: (sys) => {
      const [a, b] = [sys.open('a', O.RDWR | O.CREAT | O.SYNC), sys.open('b', O.RDWR | O.CREAT | O.DSYNC)];
      for (const fd of [a, b]) for (let part = 0; part < 5; part++) sys.write(fd, `part ${part};`);
      return [sys.get('a'), sys.get('b')];
    },
  },
  {
    name: 'open: O_DIRECT reads and writes whole blocks',
    run: (sys) => {
      const fd = sys.told(() => sys.open('file', O.RDWR | O.CREAT | O.DIRECT));
      // A file system may refuse the flag (tmpfs did for long); then there is nothing to compare.
      if (typeof fd !== 'number') return { wrote: 8_192, read: true, end: 0, beside: true };
      const bytes = Buffer.alloc(8_192, 'direct');
      const wrote = sys.pwriteAligned(fd, bytes, 4_096);
      const read = sys.preadAligned(fd, 4_096, 8_192).equals(bytes.subarray(4_096));
      const end = sys.preadAligned(fd, 4_096, 12_288).length;
      return { wrote, read, end, beside: sys.get('file').endsWith(bytes.toString()) };
    },
  },
  {
    name: 'open: O_DIRECT and ordinary descriptors see each other',
    run: (sys) => {
      const fd = sys.told(() => sys.open('file', O.RDWR | O.CREAT | O.DIRECT));
      const plain = sys.open('file', O.RDWR | O.CREAT);
      if (typeof fd !== 'number') return [true, true];
      sys.pwrite(plain, Buffer.alloc(4_096, 'a'), 0);
      const seen = sys.preadAligned(fd, 4_096, 0).equals(Buffer.alloc(4_096, 'a'));
      sys.pwriteAligned(fd, Buffer.alloc(4_096, 'b'), 0);
      return [seen, sys.pread(plain, 4_096, 0).equals(Buffer.alloc(4_096, 'b'))];
    },
  },
  {
    name: 'open: O_TMPFILE leaves nothing when closed',
    run: (sys) => {
      const fd = sys.open('.', O.TMPFILE | O.RDWR, 0o600);
      sys.write(fd, 'x'.repeat(10_000));
      sys.ftruncate(fd, 5);
      const content = sys.pread(fd, 100, 0);
      const mode = octal(sys.fstat(fd).mode);
      sys.close(fd);
      return { content, mode, list: sys.list() };
    },
  },
  {
    name: 'open: O_TMPFILE needs a folder and the right to write there',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder', 0o755);
      return {
        file: sys.opens('file', O.TMPFILE | O.RDWR),
        missing: sys.opens('missing', O.TMPFILE | O.RDWR),
        forbidden: sys.as(USER, () => sys.opens('folder', O.TMPFILE | O.RDWR)),
      };
    },
  },
  {
    name: 'open: O_NOATIME is for the owner',
    run: (sys) => {
      sys.put('file', 'x', 0o644);
      return sys.as(USER, () => sys.opens('file', O.RDONLY | O.NOATIME));
    },
  },
  {
    name: 'open: O_PATH stands for a file it may not read',
    run: (sys) => {
      sys.put('file', 'x', 0o000);
      return sys.as(USER, () => {
        const fd = sys.open('file', O.PATH);
        return [sys.fstat(fd).size, sys.opens(`/proc/self/fd/${fd}`, O.RDONLY), sys.told(() => sys.read(fd, 1))];
      });
    },
  },
  {
    name: 'open: a thousand descriptors of one file',
    run: (sys) => {
      sys.put('file', 'x');
      const fds = Array.from({ length: 1_000 }, () => sys.open('file', O.RDWR));
      sys.pwrite(fds[0]!, 'y', 0);
      return [sys.pread(fds[999]!, 1, 0), sys.links('file')];
    },
  },
  {
    name: 'open: the flags of a descriptor are what was asked for',
    run: (sys) => {
      sys.put('file');
      return [O.RDONLY, O.RDWR | O.APPEND, O.WRONLY | O.NONBLOCK, O.RDWR | O.SYNC].map(
        (flags) => sys.flags(sys.open('file', flags)) & (3 | O.APPEND | O.NONBLOCK | O.SYNC),
      );
    },
  },
  {
    name: 'open: a copied descriptor shares the position',
    run: (sys) => {
      sys.put('file', 'abcdef');
      const fd = sys.open('file', O.RDONLY);
      const copy = sys.dup(fd);
      sys.read(fd, 2);
      sys.close(fd);
      return sys.read(copy, 2);
    },
  },
  {
    name: 'open: bad descriptors',
    run: (sys) => [
      sys.told(() => sys.pread(9_999, 1, 0)),
      sys.told(() => sys.pwrite(9_999, 'x', 0)),
      sys.told(() => sys.fsync(9_999)),
      sys.told(() => sys.ftruncate(9_999, 0)),
      sys.told(() => sys.fstat(9_999)),
    ],
  },
  {
    name: 'open: a device or fifo is not the store’s to open',
    run: (sys) => {
      sys.mknod('fifo', S.IFIFO | 0o644);
      return [sys.opens('fifo', O.RDWR | O.NONBLOCK), sys.opens('fifo', O.RDONLY | O.DIRECTORY | O.NONBLOCK)];
    },
  },
  {
    name: 'handles: what they name is found again when the kernel has forgotten it',
    run: (sys) => {
      sys.mkdir('folder');
      sys.mkdir('folder/below');
      sys.put('folder/below/file', 'content');
      sys.link('folder/below/file', 'other');
      const on = sys.open('.', O.RDONLY | O.DIRECTORY);
      const [file, folder] = [sys.handleOf('folder/below/file'), sys.handleOf('folder/below')];
      const contentOf = (): unknown =>
        sys.told(() => {
          forgetNodes(sys);
          const fd = sys.openHandle(on, file, O.RDONLY);
          const content = sys.pread(fd, 100, 0).toString();
          sys.close(fd);
          return content;
        });
      const first = contentOf();
      sys.rename('folder', 'moved');
      const moved = contentOf();
      forgetNodes(sys);
      const opened = sys.openHandle(on, folder, O.RDONLY | O.DIRECTORY);
      const inFolder = sys.entries(opened).length;
      const path = sys.readlink(`/proc/self/fd/${opened}`).toString().split('/').slice(-2);
      sys.close(opened);
      sys.unlink('moved/below/file');
      const otherName = contentOf();
      sys.unlink('other');
      sys.rmdir('moved/below');
      const gone = contentOf();
      forgetNodes(sys);
      return { first, moved, inFolder, path, otherName, gone, folder: sys.told(() => sys.openHandle(on, folder, 0)) };
    },
  },
  {
    name: 'exec: a script runs from there, and not without the bit',
    run: (sys, at) => {
      sys.put('script', '#!/bin/sh\necho ran $1\n', 0o755);
      const ran = spawnSync(`${at}/script`, ['well']).stdout.toString();
      sys.chmod('script', 0o644);
      return { ran, without: String((spawnSync(`${at}/script`).error as NodeJS.ErrnoException | undefined)?.code) };
    },
  },
  {
    name: 'exec: a running program cannot be written',
    run: async (sys, at) => {
      copyFileSync('/bin/sleep', `${at}/program`);
      sys.chmod('program', 0o755);
      const child = spawn(`${at}/program`, ['30']);
      await new Promise((done) => child.on('spawn', done));
      const write = sys.opens('program', O.WRONLY);
      const read = sys.opens('program', O.RDONLY);
      const ended = new Promise((done) => child.on('exit', done));
      child.kill();
      await ended;
      return { write, read, after: sys.opens('program', O.WRONLY) };
    },
  },
];
