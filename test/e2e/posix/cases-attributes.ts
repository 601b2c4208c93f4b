/** Modes and owners: chmod, chown, what clears setuid and setgid, what a setgid folder hands down. */
import { type Case, OTHER, octal, type Sys, USER } from './case.ts';
import { O, S } from './libc.ts';

const S_ISGID = 0o2000;
const CHMOD_MODES = [0o000, 0o644, 0o777, 0o1777, 0o2755, 0o4755, 0o6711, 0o7777, 0o100644];

/** Acts on a file that belongs to USER and has every bit: what is left of setuid and setgid afterwards. */
const CLEARING: Readonly<Record<string, (sys: Sys) => unknown>> = {
  write: (sys) => sys.write(sys.open('file', O.WRONLY), 'x'),
  'write of nothing': (sys) => sys.write(sys.open('file', O.WRONLY), ''),
  pwrite: (sys) => sys.pwrite(sys.open('file', O.WRONLY), 'x', 50),
  append: (sys) => sys.write(sys.open('file', O.WRONLY | O.APPEND), 'x'),
  truncate: (sys) => sys.truncate('file', 2),
  'truncate to the same size': (sys) => sys.truncate('file', 7),
  ftruncate: (sys) => sys.ftruncate(sys.open('file', O.WRONLY), 2),
  O_TRUNC: (sys) => sys.close(sys.open('file', O.WRONLY | O.TRUNC)),
  'opening to write': (sys) => sys.close(sys.open('file', O.RDWR)),
  fallocate: (sys) => sys.fallocate(sys.open('file', O.WRONLY), 0, 0, 100),
  'fallocate that keeps the size': (sys) => sys.fallocate(sys.open('file', O.WRONLY), 1, 0, 100),
  copy_file_range: (sys) => {
    const fd = sys.open('file', O.RDWR);
    return sys.copyFileRange({ fd, offset: 0 }, { fd, offset: 4 }, 3);
  },
  'a shared map': (sys) => {
    using map = sys.map(sys.open('file', O.RDWR), 4);
    map.write('x', 0);
    map.sync();
  },
  read: (sys) => sys.read(sys.open('file', O.RDONLY), 2),
  'chown to itself': (sys) => sys.chown('file', USER.uid, USER.gid),
  'chown of the group': (sys) => sys.chown('file', -1, OTHER.gid),
  chmod: (sys) => sys.chmod('file', 0o6755),
  utimens: (sys) => sys.utimens('file', 'now', 'now'),
  link: (sys) => sys.link('file', 'other'),
  rename: (sys) => sys.rename('file', 'file2'),
  setxattr: (sys) => sys.setxattr('file', 'user.a', 'b'),
};

function withBits(sys: Sys, mode: number): void {
  sys.chmod('.', 0o777);
  sys.put('file', 'content');
  sys.chown('file', USER.uid, USER.gid);
  sys.chmod('file', mode);
}

const clearing: Case[] = Object.entries(CLEARING).map(([what, act]) => ({
  name: `setuid and setgid: after ${what}, by root, owner and others`,
  run: (sys: Sys) => {
    const tries: Record<string, unknown> = {};
    for (const mode of [0o6777, 0o6767, 0o2666, 0o4666]) {
      for (const [who, identity] of Object.entries({
        root: { uid: 0, gid: 0 },
        owner: { ...USER, groups: [OTHER.gid] },
        other: OTHER,
      })) {
        sys.mkdir('room', 0o777);
        sys.chdir('room');
        withBits(sys, mode);
        const answer = sys.told(() => (who === 'root' ? act(sys) : sys.as(identity, () => act(sys))));
        const path = sys.told(() => sys.lstat('file2').mode) === 'ENOENT' ? 'file' : 'file2';
        // Without execution for the group, setgid runs nobody as anybody, and whether an outsider's write clears it is open:
        // ext4 does, and a mount cannot, since the kernel tells servers to clear it only with that bit.
        const isOpen = who === 'other' && (mode & 0o010) === 0;
        const shown = isOpen ? sys.lstat(path).mode & ~S_ISGID : sys.lstat(path).mode;
        tries[`${who} ${octal(mode)}`] = [typeof answer === 'string' ? answer : 'ok', octal(shown)];
        sys.closeAll();
        sys.chdir('..');
        sys.rename('room', `done-${who}-${mode}`);
      }
    }
    return tries;
  },
}));

export const attributeCases: readonly Case[] = [
  ...clearing,
  {
    name: 'chmod: every bit on files and folders, by root',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder');
      return CHMOD_MODES.map((mode) => {
        sys.chmod('file', mode);
        sys.chmod('folder', mode);
        return [sys.mode('file'), sys.mode('folder')];
      });
    },
  },
  {
    name: 'chmod: by the owner outside the group loses setgid, inside keeps it',
    run: (sys) => {
      sys.put('file');
      sys.chown('file', USER.uid, OTHER.gid);
      const outside = sys.as(USER, () => {
        sys.chmod('file', 0o2755);
        return sys.mode('file');
      });
      const inside = sys.as({ ...USER, groups: [OTHER.gid] }, () => {
        sys.chmod('file', 0o2755);
        return sys.mode('file');
      });
      return { outside, inside };
    },
  },
  {
    name: 'chmod: only the owner and root',
    run: (sys) => {
      sys.put('file', '', 0o666);
      sys.chown('file', USER.uid, USER.gid);
      return [
        sys.as(OTHER, () => sys.told(() => sys.chmod('file', 0o777))),
        sys.as({ uid: OTHER.uid, gid: USER.gid }, () => sys.told(() => sys.chmod('file', 0o777))),
        sys.as(USER, () => sys.told(() => sys.chmod('file', 0o700))),
        sys.mode('file'),
      ];
    },
  },
  {
    name: 'chmod: follows symlinks, fchmod the descriptor',
    run: (sys) => {
      sys.put('file');
      sys.symlink('file', 'link');
      sys.chmod('link', 0o600);
      const through = [sys.mode('file'), sys.mode('link')];
      const fd = sys.open('file', O.RDONLY);
      sys.rename('file', 'moved');
      sys.fchmod(fd, 0o640);
      return { through, moved: sys.mode('moved') };
    },
  },
  {
    name: 'chmod: an open descriptor keeps its rights',
    run: (sys) => {
      sys.chmod('.', 0o777);
      return sys.as(USER, () => {
        sys.put('file', 'x');
        const fd = sys.open('file', O.RDWR);
        sys.chmod('file', 0);
        return [sys.told(() => sys.pwrite(fd, 'y', 0)), sys.pread(fd, 1, 0), sys.opens('file', O.RDONLY)];
      });
    },
  },
  {
    name: 'chmod: sticky and setgid on files of others',
    run: (sys) => {
      sys.put('file');
      sys.chown('file', USER.uid, USER.gid);
      return sys.as(USER, () =>
        [0o1644, 0o2644, 0o4644, 0o7777].map((mode) => [sys.told(() => sys.chmod('file', mode)), sys.mode('file')]),
      );
    },
  },
  {
    name: 'chown: every pair, by root',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder');
      sys.symlink('file', 'link');
      const pairs = [
        [1, 2],
        [-1, 3],
        [4, -1],
        [-1, -1],
        [65_534, 65_534],
        [2_000_000_000, 2_000_000_001],
      ] as const;
      return pairs.map(([uid, gid]) => {
        sys.chown('file', uid, gid);
        sys.chown('folder', uid, gid);
        sys.lchown('link', uid, gid);
        return [sys.look('file'), sys.look('folder'), sys.look('link')];
      });
    },
  },
  {
    // Linux also clears setuid and moves ctime then, and refuses others; through a mount the kernel asks for nothing.
    name: 'chown: of nothing changes neither owner nor permissions',
    run: (sys) => {
      sys.put('file');
      sys.chown('file', USER.uid, USER.gid);
      return [sys.told(() => sys.chown('file', -1, -1)), sys.look('file')];
    },
  },
  {
    name: 'chown: what the owner may and may not',
    run: (sys) => {
      sys.put('file');
      sys.chown('file', USER.uid, USER.gid);
      return sys.as({ ...USER, groups: [2_000] }, () => ({
        away: sys.told(() => sys.chown('file', OTHER.uid, -1)),
        ownGroup: sys.told(() => sys.chown('file', -1, 2_000)),
        foreignGroup: sys.told(() => sys.chown('file', -1, OTHER.gid)),
        toItself: sys.told(() => sys.chown('file', USER.uid, 2_000)),
        nothing: sys.told(() => sys.chown('file', -1, -1)),
        after: sys.look('file'),
      }));
    },
  },
  {
    name: 'chown: others may nothing',
    run: (sys) => {
      sys.put('file', '', 0o777);
      sys.chown('file', USER.uid, USER.gid);
      return sys.as(OTHER, () => [
        sys.told(() => sys.chown('file', OTHER.uid, OTHER.gid)),
        sys.told(() => sys.chown('file', -1, USER.gid)),
      ]);
    },
  },
  {
    name: 'chown: clears setuid and setgid of files, not of folders',
    run: (sys) =>
      [0o6755, 0o6745, 0o2744, 0o4755].map((mode) => {
        sys.put('file', '', 0o644);
        sys.told(() => sys.mkdir('folder'));
        sys.chmod('file', mode);
        sys.chmod('folder', mode);
        sys.chown('file', 7, 8);
        sys.chown('folder', 7, 8);
        return [sys.mode('file'), sys.mode('folder')];
      }),
  },
  {
    name: 'chown: fchown on a descriptor that only reads',
    run: (sys) => {
      sys.put('file');
      const fd = sys.open('file', O.RDONLY);
      sys.fchown(fd, 21, 22);
      sys.symlink('file', 'link');
      sys.chown('link', 23, -1);
      return [sys.look('file'), sys.look('link')];
    },
  },
  {
    name: 'setgid folder: what is made in it has its group',
    run: (sys) => {
      sys.mkdir('shared');
      sys.chown('shared', 0, 2_000);
      sys.chmod('shared', 0o2777);
      sys.put('shared/file');
      sys.mkdir('shared/folder');
      sys.mkdir('shared/folder/deeper');
      sys.symlink('x', 'shared/link');
      sys.mknod('shared/fifo', S.IFIFO | 0o644);
      sys.put('outside');
      sys.rename('outside', 'shared/moved');
      sys.put('linked');
      sys.link('linked', 'shared/linked');
      const names = ['file', 'folder', 'folder/deeper', 'link', 'fifo', 'moved', 'linked'];
      return Object.fromEntries(names.map((name) => [name, sys.look(`shared/${name}`)]));
    },
  },
  {
    name: 'setgid folder: made by somebody else',
    run: (sys) => {
      sys.mkdir('shared');
      sys.chown('shared', 0, 2_000);
      sys.chmod('shared', 0o2777);
      sys.as(USER, () => {
        sys.put('shared/file');
        sys.put('shared/setgid', '', 0o2775);
        sys.mkdir('shared/folder');
        sys.close(sys.open('shared', O.TMPFILE | O.RDWR, 0o2755));
      });
      sys.as({ ...USER, groups: [2_000] }, () => sys.put('shared/member', '', 0o2775));
      return ['file', 'setgid', 'folder', 'member'].map((name) => sys.look(`shared/${name}`));
    },
  },
  {
    name: 'create: belongs to who made it',
    run: (sys) => {
      sys.chmod('.', 0o777);
      sys.as(USER, () => {
        sys.put('file');
        sys.mkdir('folder');
        sys.symlink('x', 'link');
        sys.mknod('fifo', S.IFIFO | 0o600);
      });
      sys.as({ uid: OTHER.uid, gid: USER.gid, groups: [5] }, () => sys.put('other'));
      return ['file', 'folder', 'link', 'fifo', 'other'].map((name) => sys.look(name));
    },
  },
  {
    name: 'stat: through a descriptor and both kinds of path, the same',
    run: (sys) => {
      sys.put('file', 'abc', 0o640);
      sys.symlink('file', 'link');
      const fd = sys.open('file', O.RDONLY);
      const [a, b, c] = [sys.stat('link'), sys.fstat(fd), sys.lstat('file')];
      return { same: a.id === b.id && b.id === c.id && a.modified === c.modified, link: sys.look('link') };
    },
  },
  {
    name: 'stat: ids are unique and stay',
    run: (sys) => {
      const names = Array.from({ length: 50 }, (_, number) => `f${number}`);
      for (const name of names) sys.put(name);
      const before = names.map((name) => sys.lstat(name).id);
      for (const name of names) sys.rename(name, `${name}-moved`);
      const after = names.map((name) => sys.lstat(`${name}-moved`).id);
      return { unique: new Set(before).size, same: before.join() === after.join() };
    },
  },
  {
    name: 'stat: the mode survives a write and a rename',
    run: (sys) => {
      sys.put('file', 'x', 0o751);
      sys.put('file', 'y');
      sys.rename('file', 'other');
      sys.truncate('other', 100);
      return sys.look('other');
    },
  },
];
