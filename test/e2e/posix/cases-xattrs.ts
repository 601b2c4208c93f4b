/** Extended attributes and POSIX ACLs, which are two of them with a meaning. */
import { type Case, OTHER, octal, type Sys, USER } from './case.ts';
import { O, R_OK, S, W_OK, XATTR } from './libc.ts';

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

type Entry = readonly [tag: 'owner' | 'user' | 'group' | 'named group' | 'mask' | 'others', bits: number, id?: number];
const TAGS = { owner: 1, user: 2, group: 4, 'named group': 8, mask: 16, others: 32 } as const;

/** As the kernel takes it: version 2, then tag, bits and id of each entry, in order of tags. */
function acl(...entries: readonly Entry[]): Buffer {
  const bytes = Buffer.alloc(4 + entries.length * 8);
  bytes.writeUInt32LE(2, 0);
  for (const [index, [tag, bits, id]] of entries.entries()) {
    bytes.writeUInt16LE(TAGS[tag], 4 + index * 8);
    bytes.writeUInt16LE(bits, 6 + index * 8);
    bytes.writeUInt32LE(id ?? 0xffffffff, 8 + index * 8);
  }
  return bytes;
}

function parsed(bytes: Buffer): string[] {
  const names = Object.entries(TAGS);
  const found: string[] = [];
  for (let at = 4; at < bytes.length; at += 8) {
    const tag = names.find(([, code]) => code === bytes.readUInt16LE(at))?.[0] ?? '?';
    const id = bytes.readUInt32LE(at + 4);
    found.push(`${tag}${id === 0xffffffff ? '' : ` ${id}`}: ${bytes.readUInt16LE(at + 2)}`);
  }
  return found;
}

function acls(sys: Sys, path: string): unknown {
  return {
    mode: sys.mode(path),
    access: sys.told(() => parsed(sys.getxattr(path, ACCESS))),
    default: sys.told(() => parsed(sys.getxattr(path, DEFAULT))),
  };
}

const NAMED = acl(['owner', 7], ['user', 6, USER.uid], ['group', 5], ['mask', 7], ['others', 0]);

const KINDS: Readonly<Record<string, (sys: Sys) => void>> = {
  file: (sys) => sys.put('node'),
  folder: (sys) => sys.mkdir('node'),
  symlink: (sys) => sys.symlink('target', 'node'),
  fifo: (sys) => sys.mknod('node', S.IFIFO | 0o600),
};

const kinds: Case[] = Object.entries(KINDS).map(([kind, make]) => ({
  name: `xattr: every namespace on a ${kind}`,
  run: (sys: Sys) => {
    make(sys);
    const names = ['user.a', 'trusted.a', 'security.a', 'system.a', 'unknown.a', 'user.', 'user', ''];
    const set = names.map((name) => [name, sys.told(() => sys.lsetxattr('node', name, 'value'))]);
    return {
      set: Object.fromEntries(set),
      get: names.map((name) => sys.told(() => sys.lgetxattr('node', name))),
      list: sys.told(() => sys.llistxattr('node')),
      remove: names.map((name) => sys.told(() => sys.lremovexattr('node', name))),
      left: sys.told(() => sys.llistxattr('node')),
    };
  },
}));

const SIZES = [0, 1, 100, 1_000, 4_000, 4_096, 16_384, 65_535, 65_536];

const refusals: Readonly<Record<string, Buffer>> = {
  empty: Buffer.alloc(0),
  'a short head': Buffer.alloc(3),
  'version 1': Buffer.concat([Buffer.from([1, 0, 0, 0]), NAMED.subarray(4)]),
  'half an entry': NAMED.subarray(0, -3),
  'no owner': acl(['group', 5], ['others', 0]),
  'no mask for a named user': acl(['owner', 7], ['user', 6, 5], ['group', 5], ['others', 0]),
  'two owners': acl(['owner', 7], ['owner', 6], ['group', 5], ['others', 0]),
  'bits beyond rwx': acl(['owner', 15], ['group', 5], ['others', 0]),
  'the wrong order': acl(['others', 0], ['group', 5], ['owner', 7]),
  'nothing but the head': acl(),
};

export const xattrCases: readonly Case[] = [
  ...kinds,
  {
    name: 'xattr: create, replace, and again',
    run: (sys) => {
      sys.put('file');
      const told = (value: string, flags: number): unknown =>
        sys.told(() => sys.setxattr('file', 'user.a', value, flags));
      return {
        replaceNone: told('x', XATTR.REPLACE),
        create: told('one', XATTR.CREATE),
        createAgain: told('two', XATTR.CREATE),
        replace: told('three', XATTR.REPLACE),
        either: told('four', 0),
        both: told('five', XATTR.CREATE | XATTR.REPLACE),
        unknown: told('six', 8),
        value: sys.getxattr('file', 'user.a'),
      };
    },
  },
  {
    name: 'xattr: values of every size',
    run: (sys) => {
      sys.put('file');
      return SIZES.map((size) => {
        const value = Buffer.alloc(size, 'value');
        const set = sys.told(() => sys.setxattr('file', 'user.large', value));
        return [size, set, sys.told(() => sys.getxattr('file', 'user.large', 65_536).equals(value))];
      });
    },
  },
  {
    name: 'xattr: too large a value and too long a name',
    run: (sys) => {
      sys.put('file');
      return {
        value: sys.told(() => sys.setxattr('file', 'user.a', Buffer.alloc(65_537))),
        longest: sys.told(() => sys.setxattr('file', `user.${'n'.repeat(250)}`, 'v')),
        tooLong: sys.told(() => sys.setxattr('file', `user.${'n'.repeat(251)}`, 'v')),
        getTooLong: sys.told(() => sys.getxattr('file', `user.${'n'.repeat(251)}`)),
        list: sys.listxattr('file').map((name) => name.length),
      };
    },
  },
  {
    name: 'xattr: a buffer too small, and asking for the size',
    run: (sys) => {
      sys.put('file');
      sys.setxattr('file', 'user.abc', 'a value');
      sys.setxattr('file', 'user.def', '');
      return {
        size: sys.sizeofxattr('file', 'user.abc'),
        emptySize: sys.sizeofxattr('file', 'user.def'),
        small: sys.told(() => sys.getxattr('file', 'user.abc', 3)),
        exact: sys.told(() => sys.getxattr('file', 'user.abc', 7)),
        empty: sys.getxattr('file', 'user.def'),
        listSize: sys.listxattr('file', 0),
        listSmall: sys.told(() => sys.listxattr('file', 5)),
        listExact: sys.told(() => sys.listxattr('file', 18)),
      };
    },
  },
  {
    name: 'xattr: what is not there',
    run: (sys) => {
      sys.put('file');
      return [
        sys.told(() => sys.getxattr('file', 'user.none')),
        sys.told(() => sys.removexattr('file', 'user.none')),
        sys.told(() => sys.sizeofxattr('file', 'user.none')),
        sys.listxattr('file'),
        sys.listxattr('file', 0),
      ];
    },
  },
  {
    name: 'xattr: bytes of every value, names of every kind',
    run: (sys) => {
      sys.put('file');
      const value = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
      sys.setxattr('file', 'user.bytes', value);
      for (const name of ['user.Ünïcode', 'user.with space', 'user.a.b.c', 'user.A', 'user.a']) {
        sys.setxattr('file', name, name);
      }
      return { same: sys.getxattr('file', 'user.bytes').equals(value), list: sys.listxattr('file') };
    },
  },
  {
    name: 'xattr: a hundred of them',
    run: (sys) => {
      sys.put('file');
      for (let number = 0; number < 100; number++) sys.setxattr('file', `user.n${number}`, String(number));
      for (let number = 0; number < 100; number += 2) sys.removexattr('file', `user.n${number}`);
      return [
        sys.listxattr('file').length,
        sys.getxattr('file', 'user.n99'),
        sys.told(() => sys.getxattr('file', 'user.n98')),
      ];
    },
  },
  {
    name: 'xattr: stay through rename, link, write and chmod',
    run: (sys) => {
      sys.put('file', 'x');
      sys.setxattr('file', 'user.a', 'kept');
      sys.rename('file', 'moved');
      sys.link('moved', 'second');
      sys.put('moved', 'other');
      sys.chmod('moved', 0o600);
      return [sys.getxattr('second', 'user.a'), sys.listxattr('moved')];
    },
  },
  {
    name: 'xattr: on a descriptor, also of an unlinked file',
    run: (sys) => {
      const fd = sys.open('file', O.RDWR | O.CREAT);
      sys.fsetxattr(fd, 'user.a', 'one');
      sys.unlink('file');
      sys.fsetxattr(fd, 'user.a', 'two', XATTR.REPLACE);
      return sys.fgetxattr(fd, 'user.a');
    },
  },
  {
    name: 'xattr: a new file of the same name has none',
    run: (sys) => {
      sys.put('file');
      sys.setxattr('file', 'user.a', 'b');
      sys.unlink('file');
      sys.put('file');
      return sys.listxattr('file');
    },
  },
  {
    name: 'xattr: trusted is for root, and root’s only',
    run: (sys) => {
      sys.put('file', '', 0o666);
      sys.chown('file', USER.uid, USER.gid);
      sys.setxattr('file', 'trusted.a', 'secret');
      return sys.as(USER, () => ({
        get: sys.told(() => sys.getxattr('file', 'trusted.a')),
        set: sys.told(() => sys.setxattr('file', 'trusted.b', 'x')),
        security: sys.told(() => sys.setxattr('file', 'security.b', 'x')),
        list: sys.told(() => sys.listxattr('file')),
      }));
    },
  },
  {
    name: 'xattr: user.* in a sticky folder is for its owner',
    run: (sys) => {
      sys.mkdir('sticky');
      sys.chmod('sticky', 0o1777);
      return [
        sys.as(USER, () => sys.told(() => sys.setxattr('sticky', 'user.a', 'b'))),
        sys.told(() => sys.setxattr('sticky', 'user.a', 'b')),
      ];
    },
  },
  {
    name: 'xattr: a symlink’s target or itself',
    run: (sys) => {
      sys.put('file');
      sys.symlink('file', 'link');
      sys.setxattr('link', 'user.a', 'through');
      sys.lsetxattr('link', 'trusted.l', 'link');
      return {
        file: sys.listxattr('file'),
        link: sys.llistxattr('link'),
        user: sys.told(() => sys.lsetxattr('link', 'user.l', 'x')),
      };
    },
  },
  {
    name: 'acl: none at first',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder');
      return [acls(sys, 'file'), acls(sys, 'folder')];
    },
  },
  {
    name: 'acl: a minimal one is the mode and nothing more',
    run: (sys) => {
      sys.put('file', '', 0o600);
      sys.setxattr('file', ACCESS, acl(['owner', 7], ['group', 5], ['others', 1]));
      return { acls: acls(sys, 'file'), list: sys.listxattr('file') };
    },
  },
  {
    name: 'acl: a named user; the group bits of the mode are the mask',
    run: (sys) => {
      sys.put('file', '', 0o644);
      sys.setxattr('file', ACCESS, NAMED);
      const first = acls(sys, 'file');
      sys.chmod('file', 0o741);
      return { first, chmod: acls(sys, 'file'), list: sys.listxattr('file') };
    },
  },
  {
    name: 'acl: decides who may',
    run: (sys) => {
      sys.put('file', 'x', 0o600);
      const entries = acl(
        ['owner', 6],
        ['user', 4, USER.uid],
        ['group', 0],
        ['named group', 6, 2_000],
        ['mask', 6],
        ['others', 0],
      );
      sys.setxattr('file', ACCESS, entries);
      const tried = (): unknown => [R_OK, W_OK].map((wanted) => sys.told(() => sys.access('file', wanted)));
      const opened = (): unknown => [O.RDONLY, O.WRONLY].map((flags) => sys.opens('file', flags));
      const all = (): unknown => [tried(), opened()];
      const before = {
        user: sys.as(USER, all),
        group: sys.as({ ...OTHER, groups: [2_000] }, all),
        other: sys.as(OTHER, all),
      };
      sys.chmod('file', 0o640);
      return { before, masked: sys.as({ ...OTHER, groups: [2_000] }, all) };
    },
  },
  {
    name: 'acl: taken away again',
    run: (sys) => {
      sys.put('file', '', 0o644);
      sys.setxattr('file', ACCESS, NAMED);
      const removed = sys.told(() => sys.removexattr('file', ACCESS));
      return { removed, after: acls(sys, 'file'), again: sys.told(() => sys.removexattr('file', ACCESS)) };
    },
  },
  {
    name: 'acl: a folder’s default is handed down',
    run: (sys) => {
      sys.mkdir('folder');
      sys.setxattr('folder', DEFAULT, NAMED);
      sys.umask(0o077);
      sys.put('folder/file', '', 0o666);
      sys.put('folder/program', '', 0o755);
      sys.mkdir('folder/sub', 0o777);
      sys.mkdir('folder/sub/deeper', 0o700);
      sys.mknod('folder/fifo', S.IFIFO | 0o666);
      sys.symlink('x', 'folder/link');
      const names = ['.', 'file', 'program', 'sub', 'sub/deeper', 'fifo'];
      return Object.fromEntries(names.map((name) => [name, acls(sys, `folder/${name}`)]));
    },
  },
  {
    name: 'acl: a minimal default is handed down instead of the mask',
    run: (sys) => {
      sys.mkdir('folder');
      sys.setxattr('folder', DEFAULT, acl(['owner', 7], ['group', 7], ['others', 4]));
      sys.umask(0o077);
      sys.put('folder/file', '', 0o666);
      sys.mkdir('folder/sub', 0o777);
      return [acls(sys, 'folder/file'), acls(sys, 'folder/sub')];
    },
  },
  {
    name: 'acl: O_TMPFILE inherits as well',
    run: (sys) => {
      sys.mkdir('folder');
      sys.setxattr('folder', DEFAULT, NAMED);
      const fd = sys.open('folder', O.TMPFILE | O.RDWR, 0o666);
      return [octal(sys.fstat(fd).mode), sys.told(() => parsed(sys.fgetxattr(fd, ACCESS)))];
    },
  },
  {
    name: 'acl: a default is for folders only, none at all for symlinks',
    run: (sys) => {
      sys.put('file');
      sys.symlink('file', 'link');
      return {
        default: sys.told(() => sys.setxattr('file', DEFAULT, NAMED)),
        link: sys.told(() => sys.lsetxattr('link', ACCESS, NAMED)),
        getLink: sys.told(() => sys.lgetxattr('link', ACCESS)),
      };
    },
  },
  {
    name: 'acl: what is none is refused',
    run: (sys) => {
      sys.put('file', '', 0o640);
      const tried = Object.entries(refusals).map(([what, bytes]) => [
        what,
        sys.told(() => sys.setxattr('file', ACCESS, bytes)),
      ]);
      return { ...Object.fromEntries(tried), after: acls(sys, 'file') };
    },
  },
  {
    name: 'acl: only the owner sets one',
    run: (sys) => {
      sys.put('file', '', 0o666);
      sys.chown('file', USER.uid, USER.gid);
      return [
        sys.as(OTHER, () => sys.told(() => sys.setxattr('file', ACCESS, NAMED))),
        sys.as(OTHER, () => sys.told(() => sys.removexattr('file', ACCESS))),
        sys.as(USER, () => sys.told(() => sys.setxattr('file', ACCESS, NAMED))),
        sys.as(OTHER, () => sys.told(() => parsed(sys.getxattr('file', ACCESS)))),
      ];
    },
  },
  {
    name: 'acl: setgid goes when an outsider sets one',
    run: (sys) => {
      sys.put('file');
      sys.chown('file', USER.uid, OTHER.gid);
      sys.chmod('file', 0o2775);
      sys.as(USER, () => sys.setxattr('file', ACCESS, NAMED));
      return acls(sys, 'file');
    },
  },
  {
    name: 'acl: stays through rename, write and chown',
    run: (sys) => {
      sys.put('file', 'x');
      sys.setxattr('file', ACCESS, NAMED);
      sys.rename('file', 'moved');
      sys.put('moved', 'y');
      sys.chown('moved', 5, 6);
      return acls(sys, 'moved');
    },
  },
  {
    name: 'acl: a folder’s own one decides who enters',
    run: (sys) => {
      sys.mkdir('folder', 0o700);
      sys.put('folder/file', 'x', 0o644);
      const before = sys.as(USER, () => sys.told(() => sys.get('folder/file')));
      sys.setxattr(
        'folder',
        ACCESS,
        acl(['owner', 7], ['user', 5, USER.uid], ['group', 0], ['mask', 7], ['others', 0]),
      );
      return {
        before,
        after: sys.as(USER, () => sys.told(() => sys.get('folder/file'))),
        list: sys.as(USER, () => sys.list('folder')),
      };
    },
  },
];
