/** Every operation that takes a path, on every kind of path that leads nowhere. */
import { type Case, OTHER, PAST, type Sys, USER } from './case.ts';
import { AT, O, type Path, R_OK, S } from './libc.ts';

/** An operation on the path of something that should be there. */
const ON_EXISTING: Readonly<Record<string, (sys: Sys, path: Path) => unknown>> = {
  stat: (sys, path) => sys.stat(path).kind,
  lstat: (sys, path) => sys.lstat(path).kind,
  'open for reading': (sys, path) => sys.close(sys.open(path, O.RDONLY)),
  'open for writing': (sys, path) => sys.close(sys.open(path, O.WRONLY)),
  'open of a folder': (sys, path) => sys.close(sys.open(path, O.RDONLY | O.DIRECTORY)),
  chmod: (sys, path) => sys.chmod(path, 0o755),
  chown: (sys, path) => sys.chown(path, 0, 0),
  lchown: (sys, path) => sys.lchown(path, 0, 0),
  utimensat: (sys, path) => sys.utimens(path, PAST, PAST),
  truncate: (sys, path) => sys.truncate(path, 0),
  readlink: (sys, path) => sys.readlink(path),
  unlink: (sys, path) => sys.unlink(path),
  rmdir: (sys, path) => sys.rmdir(path),
  'rename away': (sys, path) => sys.rename(path, 'elsewhere'),
  'link from': (sys, path) => sys.link(path, 'elsewhere'),
  access: (sys, path) => sys.access(path, R_OK),
  statfs: (sys, path) => {
    sys.statfs(path);
  },
  setxattr: (sys, path) => sys.setxattr(path, 'user.a', 'b'),
  getxattr: (sys, path) => sys.getxattr(path, 'user.a'),
  listxattr: (sys, path) => sys.listxattr(path),
  removexattr: (sys, path) => sys.removexattr(path, 'user.a'),
};

/** An operation that makes a name. */
const ON_NEW: Readonly<Record<string, (sys: Sys, path: Path) => unknown>> = {
  'open to create': (sys, path) => sys.close(sys.open(path, O.WRONLY | O.CREAT)),
  mkdir: (sys, path) => sys.mkdir(path),
  mknod: (sys, path) => sys.mknod(path, S.IFIFO | 0o644),
  symlink: (sys, path) => sys.symlink('target', path),
  'rename to': (sys, path) => sys.rename('source', path),
  'link to': (sys, path) => sys.link('source', path),
};

const BAD_PATHS: Readonly<Record<string, Path>> = {
  'a missing folder on the way': 'missing/name',
  'a file on the way': 'file/name',
  'a dangling symlink on the way': 'dangling/name',
  'a circle of symlinks on the way': 'circle/name',
  'a name of 256 bytes': 'n'.repeat(256),
  'a name of 256 bytes on the way': `${'n'.repeat(256)}/name`,
  'an empty path': '',
  'a path of 4,096 bytes': `${'./'.repeat(2_047)}xx`,
};

function stage(sys: Sys): void {
  sys.put('file', 'content');
  sys.put('source', 'source');
  sys.mkdir('folder');
  sys.symlink('nowhere', 'dangling');
  sys.symlink('circle', 'circle');
  sys.symlink('file', 'to-file');
  sys.symlink('folder', 'to-folder');
}

function eachBad(operations: typeof ON_NEW): Case[] {
  return Object.entries(operations).map(([operation, act]) => ({
    name: `${operation}: every path that leads nowhere`,
    run: (sys) => {
      stage(sys);
      const tried = Object.entries(BAD_PATHS).map(([what, path]) => [what, sys.told(() => act(sys, path))]);
      return { ...Object.fromEntries(tried), left: sys.list() };
    },
  }));
}

/** On what stands there: a file, a folder, symlinks to both, a dangling one, a circle, with and without slashes. */
function eachStanding(operations: typeof ON_NEW): Case[] {
  const paths = ['file', 'folder', 'to-file', 'to-folder', 'dangling', 'circle', 'file/', 'folder/', 'to-folder/'];
  const odd = ['missing/', 'folder/.', 'folder/..', '.', '..', '/', 'folder/../file', './/file', 'folder/./../folder'];
  return Object.entries(operations).flatMap(([operation, act]) => [
    {
      name: `${operation}: on what stands there`,
      run: (sys: Sys) =>
        Object.fromEntries(
          paths.map((path, number) => {
            const room = `room-${number}`;
            sys.mkdir(room);
            sys.chdir(room);
            stage(sys);
            const answer = sys.told(() => act(sys, path));
            const after = { answer, left: sys.list() };
            sys.chdir('..');
            return [path, after];
          }),
        ),
    },
    {
      name: `${operation}: on dots and slashes`,
      run: (sys: Sys) =>
        Object.fromEntries(
          odd
            // The root and the folder above are not the case's to change.
            .filter((path) => path !== '/' || !/chmod|chown|utimens|xattr/.test(operation))
            .map((path, number) => {
              const room = `room-${number}`;
              sys.mkdir(room);
              sys.mkdir(`${room}/deep`);
              sys.chdir(`${room}/deep`);
              stage(sys);
              const answer = sys.told(() => act(sys, path));
              sys.told(() => sys.chdir(`../../${room}/deep`));
              const after = { answer, left: sys.told(() => sys.list()) };
              sys.chdir('../..');
              return [path, after];
            }),
        ),
    },
  ]);
}

/** As somebody who may not search the folder on the way. */
function eachForbidden(operations: typeof ON_NEW): Case[] {
  return Object.entries(operations).map(([operation, act]) => ({
    name: `${operation}: in a folder that may not be searched`,
    run: (sys) => {
      sys.mkdir('mine');
      sys.chown('mine', USER.uid, USER.gid);
      sys.chdir('mine');
      return sys.as(USER, () => {
        sys.put('source');
        sys.mkdir('closed');
        sys.put('closed/name');
        sys.chmod('closed', 0o600);
        return { inside: sys.told(() => act(sys, 'closed/name')), absent: sys.told(() => act(sys, 'closed/new')) };
      });
    },
  }));
}

export const pathCases: readonly Case[] = [
  ...eachBad(ON_EXISTING),
  ...eachBad(ON_NEW),
  ...eachStanding(ON_EXISTING),
  ...eachStanding(ON_NEW),
  ...eachForbidden(ON_EXISTING),
  ...eachForbidden(ON_NEW),
  {
    name: 'lookup: a name of 255 bytes stands for itself',
    run: (sys) => {
      const name = 'n'.repeat(255);
      sys.put(name, 'long');
      const other = `${'n'.repeat(254)}m`;
      return { content: sys.get(name), other: sys.look(other), list: sys.list() };
    },
  },
  {
    name: 'lookup: 255 bytes are bytes, not characters',
    run: (sys) => {
      const name = 'é'.repeat(127);
      sys.mkdir(name);
      return { at254: sys.look(name), at256: sys.told(() => sys.mkdir('é'.repeat(128))), list: sys.list() };
    },
  },
  {
    name: 'lookup: names that are not UTF-8 are kept byte for byte',
    run: (sys) => {
      const names = [[0xff, 0xfe], [0x61, 0x80], [0xc3, 0x28], [0xed, 0xa0, 0x80], [0x01], [0x7f]].map(Buffer.from);
      for (const name of names) sys.put(name, name);
      sys.rename(Buffer.from([0xff, 0xfe]), Buffer.from([0xff, 0xfd]));
      sys.symlink(Buffer.from([0xc3, 0x28]), Buffer.from([0xf0]));
      return {
        list: sys.list(),
        through: sys.get(Buffer.from([0xf0])),
        target: sys.readlink(Buffer.from([0xf0])).length,
      };
    },
  },
  {
    name: 'lookup: names that look alike are different',
    run: (sys) => {
      for (const name of ['a', 'A', 'é', 'e\u0301', 'a ', 'a.', ' a', '...', '-', '*', '\n', '\\', '"'])
        sys.put(name, name);
      return sys.list();
    },
  },
  {
    name: 'lookup: a path of 4,095 bytes works',
    run: (sys) => {
      sys.put('x', 'far');
      const path = `${'./'.repeat(2_047)}x`;
      return { length: path.length, content: sys.get(path), kind: sys.stat(path).kind };
    },
  },
  {
    name: 'lookup: sixty folders deep, by one path and step by step',
    run: (sys, at) => {
      const path = Array.from({ length: 60 }, (_, depth) => `deep-${depth}`);
      for (const name of path) {
        sys.mkdir(name);
        sys.chdir(name);
      }
      sys.put('bottom', 'found');
      sys.chdir(at);
      return { content: sys.get([...path, 'bottom'].join('/')) };
    },
  },
  {
    name: 'lookup: forty symlinks are followed, forty-one are not',
    run: (sys) => {
      sys.put('link-0', 'end');
      for (let link = 1; link <= 41; link++) sys.symlink(`link-${link - 1}`, `link-${link}`);
      return { forty: sys.told(() => sys.get('link-40')), more: sys.told(() => sys.get('link-41')) };
    },
  },
  {
    name: 'lookup: a name looked up before it exists is found once it does',
    run: (sys) => {
      const before = sys.look('name');
      sys.put('name');
      const made = sys.look('name');
      sys.unlink('name');
      const gone = sys.look('name');
      sys.mkdir('name');
      return { before, made, gone, again: sys.look('name') };
    },
  },
  {
    name: 'lookup: a folder that only root may search hides what is in it from others',
    run: (sys) => {
      sys.mkdir('closed', 0o700);
      sys.put('closed/name');
      return sys.as(OTHER, () => [sys.told(() => sys.stat('closed/name')), sys.told(() => sys.stat('closed').kind)]);
    },
  },
  {
    name: 'lookup: the parent of a folder is its parent, also after it moved',
    run: (sys) => {
      sys.mkdir('a');
      sys.mkdir('b');
      sys.mkdir('a/child');
      sys.put('b/mark', 'b');
      sys.rename('a/child', 'b/child');
      return { parent: sys.isSame('b/child/..', 'b'), through: sys.get('b/child/../mark'), flags: AT.FDCWD };
    },
  },
];
