/** Names coming, going and moving: mkdir, rmdir, unlink, rename, link, symlink, mknod, readdir. */
import { type Case, described, octal, type Sys, USER } from './case.ts';
import { AT, type DirectoryEntry, IFSOCK, O, RENAME, S } from './libc.ts';

const makers: Readonly<Record<string, (sys: Sys, name: string) => void>> = {
  file: (sys, name) => sys.put(name, name),
  'empty folder': (sys, name) => sys.mkdir(name),
  'full folder': (sys, name) => {
    sys.mkdir(name);
    sys.put(`${name}/child`);
  },
  symlink: (sys, name) => sys.symlink('target', name),
  fifo: (sys, name) => sys.mknod(name, S.IFIFO | 0o644),
};

/** To the end, in as many calls as the file system likes. */
function allOf(sys: Sys, fd: number): DirectoryEntry[] {
  const all: DirectoryEntry[] = [];
  for (let some = sys.entries(fd); some.length > 0; some = sys.entries(fd)) all.push(...some);
  return all;
}

function tree(sys: Sys): unknown {
  return sys.told(() =>
    Object.fromEntries(
      Object.entries(sys.list()).map(([name, kind]) => [name, kind === 'folder' ? sys.list(name) : kind]),
    ),
  );
}

const renameOnto: Case[] = Object.keys(makers).flatMap((source) =>
  Object.keys(makers).map((target) => ({
    name: `rename: ${source} onto ${target}, with every flag`,
    run: (sys: Sys) =>
      Object.fromEntries(
        [0, RENAME.NOREPLACE, RENAME.EXCHANGE, RENAME.NOREPLACE | RENAME.EXCHANGE].map((flags) => {
          sys.mkdir(`flags-${flags}`);
          sys.chdir(`flags-${flags}`);
          makers[source]?.(sys, 'source');
          makers[target]?.(sys, 'target');
          const answer = sys.told(() => sys.renameat2('source', 'target', flags));
          const after = { answer, tree: tree(sys), source: sys.look('source'), target: sys.look('target') };
          sys.chdir('..');
          return [flags, after];
        }),
      ),
  })),
);

const linkKinds: Case[] = Object.keys(makers).map((kind) => ({
  name: `link: to a ${kind}`,
  run: (sys) => {
    makers[kind]?.(sys, 'source');
    const answer = sys.told(() => sys.link('source', 'other'));
    const again = sys.told(() => sys.link('source', 'other'));
    const same = sys.told(() => sys.isSame('source', 'other'));
    return { answer, again, same, source: sys.look('source'), other: sys.look('other') };
  },
}));

const removeKinds: Case[] = Object.keys(makers).flatMap((kind) => [
  {
    name: `unlink: of a ${kind}`,
    run: (sys: Sys) => {
      makers[kind]?.(sys, 'name');
      return { unlink: sys.told(() => sys.unlink('name')), left: tree(sys) };
    },
  },
  {
    name: `rmdir: of a ${kind}`,
    run: (sys: Sys) => {
      makers[kind]?.(sys, 'name');
      return { rmdir: sys.told(() => sys.rmdir('name')), left: tree(sys) };
    },
  },
  {
    name: `create: every way onto a ${kind}`,
    run: (sys: Sys) => {
      makers[kind]?.(sys, 'name');
      sys.put('source');
      return {
        mkdir: sys.told(() => sys.mkdir('name')),
        symlink: sys.told(() => sys.symlink('x', 'name')),
        mknod: sys.told(() => sys.mknod('name', S.IFIFO | 0o600)),
        link: sys.told(() => sys.link('source', 'name')),
        exclusive: sys.opens('name', O.WRONLY | O.CREAT | O.EXCL),
        left: tree(sys),
      };
    },
  },
]);

const special: Case[] = (
  [
    ['fifo', S.IFIFO, 0],
    ['socket', IFSOCK, 0],
    ['character device', S.IFCHR, 0x103],
    ['block device', S.IFBLK, 0x1234567],
    ['file', S.IFREG, 0],
  ] as const
).map(([what, type, device]) => ({
  name: `mknod: a ${what} and its attributes`,
  run: (sys: Sys) => {
    sys.mknod('node', type | 0o640, device);
    sys.umask(0o077);
    sys.mknod('masked', type | 0o666, device);
    sys.chmod('node', 0o604);
    sys.chown('node', 5, 6);
    sys.link('node', 'other');
    sys.rename('other', 'moved');
    return { node: sys.look('node'), masked: sys.look('masked'), moved: sys.look('moved'), list: sys.list() };
  },
}));

export const nameCases: readonly Case[] = [
  ...renameOnto,
  ...linkKinds,
  ...removeKinds,
  ...special,
  {
    name: 'mknod: folders and symlinks cannot be made so',
    run: (sys) => ({
      folder: sys.told(() => sys.mknod('a', S.IFDIR | 0o755)),
      symlink: sys.told(() => sys.mknod('b', 0o120000 | 0o755)),
      nonsense: sys.told(() => sys.mknod('c', 0o110000 | 0o755)),
      untyped: sys.told(() => sys.mknod('d', 0o644)),
      list: sys.list(),
    }),
  },
  {
    name: 'mknod: devices are for root, fifos and sockets for everybody',
    run: (sys) => {
      sys.chmod('.', 0o777);
      return sys.as(USER, () => ({
        character: sys.told(() => sys.mknod('c', S.IFCHR | 0o644, 0x103)),
        block: sys.told(() => sys.mknod('b', S.IFBLK | 0o644, 0x103)),
        fifo: sys.told(() => sys.mknod('f', S.IFIFO | 0o644)),
        socket: sys.told(() => sys.mknod('s', IFSOCK | 0o644)),
        owner: [sys.look('f'), sys.look('s')],
      }));
    },
  },
  {
    name: 'mknod: a fifo carries bytes',
    run: (sys) => {
      sys.mknod('fifo', S.IFIFO | 0o644);
      const noReader = sys.opens('fifo', O.WRONLY | O.NONBLOCK);
      const reader = sys.open('fifo', O.RDONLY | O.NONBLOCK);
      const writer = sys.open('fifo', O.WRONLY | O.NONBLOCK);
      sys.write(writer, 'through');
      const seek = sys.told(() => sys.lseek(reader, 0, 0));
      return { noReader, got: sys.read(reader, 100), seek, size: sys.lstat('fifo').size };
    },
  },
  {
    name: 'mknod: a socket is bound, connected to, and stays when closed',
    run: (sys) => {
      const listener = sys.listenAt('socket');
      const connected = sys.told(() => sys.close(sys.connectTo('socket')));
      const again = sys.told(() => sys.listenAt('socket'));
      sys.close(listener);
      return {
        connected,
        again,
        opened: sys.opens('socket', O.RDWR),
        refused: sys.told(() => sys.connectTo('socket')),
        file: sys.look('socket'),
      };
    },
  },
  {
    name: 'mkdir: modes and the mask',
    run: (sys) => {
      sys.umask(0);
      for (const mode of [0o777, 0o000, 0o700, 0o1777, 0o2755, 0o4755]) sys.mkdir(octal(mode), mode);
      sys.umask(0o027);
      sys.mkdir('masked', 0o777);
      return Object.fromEntries(Object.keys(sys.list()).map((name) => [name, sys.mode(name)]));
    },
  },
  {
    // How many links a folder has is left to file systems (1 is a usual way to say "not counted"), but one that counts
    // must count right.
    name: 'mkdir: link counts of folders',
    run: (sys) => {
      sys.mkdir('a');
      const counts = [sys.links('a')];
      sys.mkdir('a/b');
      sys.mkdir('a/c');
      sys.put('a/file');
      counts.push(sys.links('a'));
      sys.rename('a/c', 'c');
      counts.push(sys.links('a'));
      sys.rmdir('a/b');
      counts.push(sys.links('a'));
      return counts.every((count) => count === 1) ? [2, 4, 3, 2] : counts;
    },
  },
  {
    name: 'rmdir: a folder in use goes, and takes no new names',
    run: (sys) => {
      sys.mkdir('folder');
      const fd = sys.open('folder', O.RDONLY | O.DIRECTORY);
      sys.chdir('folder');
      sys.rmdir('../folder');
      const answer = {
        entries: sys.told(() => sys.entries(fd).length),
        create: sys.opens('new', O.WRONLY | O.CREAT),
        mkdir: sys.told(() => sys.mkdir('new')),
        symlink: sys.told(() => sys.symlink('x', 'new')),
        link: sys.told(() => sys.link('../beside', 'new')),
        self: sys.told(() => sys.stat('.').kind),
        above: sys.told(() => sys.stat('..').kind),
        links: sys.fstat(fd).links,
        again: sys.told(() => sys.rmdir('../folder')),
      };
      return answer;
    },
  },
  {
    name: 'rmdir: only an empty folder, however it became so',
    run: (sys) => {
      sys.mkdir('folder');
      sys.put('folder/a');
      sys.mkdir('folder/b');
      const answers = [sys.told(() => sys.rmdir('folder'))];
      sys.unlink('folder/a');
      answers.push(sys.told(() => sys.rmdir('folder')));
      sys.rename('folder/b', 'b');
      answers.push(sys.told(() => sys.rmdir('folder')));
      return { answers, left: tree(sys) };
    },
  },
  {
    name: 'unlinkat: the flag chooses between file and folder',
    run: (sys) => {
      sys.mkdir('folder');
      sys.put('file');
      const at = sys.open('.', O.RDONLY | O.DIRECTORY);
      return {
        fileAsFolder: sys.told(() => sys.unlinkat(at, 'file', AT.REMOVEDIR)),
        folderAsFile: sys.told(() => sys.unlinkat(at, 'folder', 0)),
        badFlag: sys.told(() => sys.unlinkat(at, 'file', 0x8000)),
        file: sys.told(() => sys.unlinkat(at, 'file', 0)),
        folder: sys.told(() => sys.unlinkat(at, 'folder', AT.REMOVEDIR)),
        notFolder: sys.told(() => sys.unlinkat(sys.open('other', O.RDWR | O.CREAT), 'x', 0)),
      };
    },
  },
  {
    name: 'unlink: an open file stays until it is closed',
    run: (sys) => {
      sys.put('file', 'before');
      const fd = sys.open('file', O.RDWR);
      sys.unlink('file');
      const gone = sys.look('file');
      sys.pwrite(fd, ' and after', 6);
      sys.put('file', 'another');
      return {
        gone,
        content: sys.pread(fd, 100, 0),
        links: sys.fstat(fd).links,
        size: sys.fstat(fd).size,
        chmod: sys.told(() => sys.fchmod(fd, 0o600)),
        chown: sys.told(() => sys.fchown(fd, 3, 4)),
        truncate: sys.told(() => sys.ftruncate(fd, 3)),
        xattr: sys.told(() => sys.fsetxattr(fd, 'user.x', 'y')),
        xattrBack: sys.told(() => sys.fgetxattr(fd, 'user.x')),
        fsync: sys.told(() => sys.fsync(fd)),
        after: described(sys.fstat(fd)),
        another: sys.get('file'),
      };
    },
  },
  {
    name: 'unlink: an open unlinked file is opened anew through its descriptor',
    run: (sys) => {
      sys.put('file', 'content');
      const fd = sys.open('file', O.RDWR);
      sys.unlink('file');
      const second = sys.open(`/proc/self/fd/${fd}`, O.RDWR);
      sys.close(fd);
      sys.pwrite(second, 'C', 0);
      return sys.pread(second, 100, 0);
    },
  },
  {
    name: 'unlink: a file without names gets none back',
    run: (sys) => {
      sys.put('file', 'content');
      const fd = sys.open('file', O.RDWR);
      sys.unlink('file');
      return { link: sys.told(() => sys.link(`/proc/self/fd/${fd}`, 'again', AT.SYMLINK_FOLLOW)), list: sys.list() };
    },
  },
  {
    name: 'unlink: one of two names',
    run: (sys) => {
      sys.put('a', 'shared');
      sys.mkdir('folder');
      sys.link('a', 'folder/b');
      const both = [sys.look('a'), sys.look('folder/b')];
      sys.unlink('a');
      return { both, left: sys.look('folder/b'), content: sys.get('folder/b') };
    },
  },
  {
    name: 'link: across folders, one content and one set of attributes',
    run: (sys) => {
      sys.mkdir('x');
      sys.mkdir('y');
      sys.put('x/a', 'one');
      sys.link('x/a', 'y/b');
      sys.put('y/b', 'two');
      sys.chmod('x/a', 0o711);
      sys.chown('y/b', 9, 10);
      sys.setxattr('x/a', 'user.k', 'v');
      return { a: sys.look('x/a'), b: sys.look('y/b'), content: sys.get('x/a'), xattr: sys.getxattr('y/b', 'user.k') };
    },
  },
  {
    name: 'link: a hundred names',
    run: (sys) => {
      sys.put('name-0', 'x');
      for (let number = 1; number < 100; number++) sys.link('name-0', `name-${number}`);
      const full = sys.links('name-50');
      for (let number = 0; number < 99; number++) sys.unlink(`name-${number}`);
      return { full, left: sys.look('name-99') };
    },
  },
  {
    name: 'link: through a symlink, or the symlink itself',
    run: (sys) => {
      sys.put('file', 'x');
      sys.symlink('file', 'symlink');
      sys.link('symlink', 'plain');
      sys.link('symlink', 'followed', AT.SYMLINK_FOLLOW);
      sys.symlink('nowhere', 'dangling');
      return {
        plain: sys.look('plain'),
        followed: sys.look('followed'),
        dangling: sys.told(() => sys.link('dangling', 'd', AT.SYMLINK_FOLLOW)),
        bad: sys.told(() => sys.link('file', 'e', 0x4000)),
      };
    },
  },
  {
    name: 'link: a file without a name gets its first one',
    run: (sys) => {
      const fd = sys.open('.', O.TMPFILE | O.RDWR, 0o640);
      sys.write(fd, 'content');
      const before = { list: sys.list(), links: sys.fstat(fd).links, mode: octal(sys.fstat(fd).mode) };
      sys.link(`/proc/self/fd/${fd}`, 'named', AT.SYMLINK_FOLLOW);
      sys.write(fd, ' more');
      return { before, after: sys.look('named'), content: sys.get('named') };
    },
  },
  {
    name: 'link: O_TMPFILE with O_EXCL never gets a name',
    run: (sys) => {
      const fd = sys.open('.', O.TMPFILE | O.RDWR | O.EXCL, 0o600);
      return { link: sys.told(() => sys.link(`/proc/self/fd/${fd}`, 'x', AT.SYMLINK_FOLLOW)), list: sys.list() };
    },
  },
  {
    name: 'link: by descriptor with an empty path',
    run: (sys) => {
      sys.put('file', 'x');
      const fd = sys.open('file', O.PATH);
      return { answer: sys.told(() => sys.link('', 'other', AT.EMPTY_PATH, fd)), links: sys.links('file') };
    },
  },
  {
    name: 'link: not to another file system',
    run: (sys) => {
      sys.put('file');
      return [sys.told(() => sys.link('/proc/self/status', 'x')), sys.told(() => sys.rename('file', '/proc/x'))];
    },
  },
  {
    name: 'symlink: any text is a target',
    run: (sys) => {
      const targets = ['a', '/', '../..', 'x'.repeat(4_095), ' ', 'a//b', '\n', Buffer.from([0xff, 0x80])];
      return targets.map((target, number) => {
        sys.symlink(target, `s${number}`);
        return { target: sys.readlink(`s${number}`), size: sys.lstat(`s${number}`).size };
      });
    },
  },
  {
    name: 'symlink: an empty target and one of 4,096 bytes',
    run: (sys) => [
      sys.told(() => sys.symlink('', 'a')),
      sys.told(() => sys.symlink('x'.repeat(4_096), 'b')),
      sys.list(),
    ],
  },
  {
    name: 'symlink: its attributes',
    run: (sys) => {
      sys.umask(0o077);
      sys.symlink('target', 's');
      sys.lchown('s', 11, 12);
      return sys.look('s');
    },
  },
  {
    name: 'symlink: chains through folders',
    run: (sys) => {
      sys.mkdir('a');
      sys.mkdir('a/b');
      sys.put('a/b/file', 'deep');
      sys.symlink('a', 'one');
      sys.symlink('../one/b', 'a/two');
      sys.symlink('one/two/file', 'three');
      return [sys.get('three'), sys.get('one/two/../b/file'), sys.stat('three').kind, sys.lstat('three').kind];
    },
  },
  {
    name: 'readlink: into a small buffer, and none at all',
    run: (sys) => {
      sys.symlink('a longer target', 's');
      return [sys.readlink('s', 1), sys.readlink('s', 6), sys.readlink('s', 15), sys.told(() => sys.readlink('s', 0))];
    },
  },
  {
    name: 'readlink: a symlink that was replaced says its new target',
    run: (sys) => {
      sys.symlink('first', 's');
      const first = sys.readlink('s');
      sys.symlink('second', 't');
      sys.rename('t', 's');
      return [first, sys.readlink('s'), sys.list()];
    },
  },
  {
    name: 'rename: a folder into itself and below',
    run: (sys) => {
      sys.mkdir('a');
      sys.mkdir('a/b');
      sys.mkdir('a/b/c');
      return {
        itself: sys.told(() => sys.rename('a', 'a')),
        below: sys.told(() => sys.rename('a', 'a/x')),
        deeper: sys.told(() => sys.rename('a', 'a/b/x')),
        onAncestor: sys.told(() => sys.rename('a/b/c', 'a')),
        exchangeAncestor: sys.told(() => sys.renameat2('a', 'a/b', RENAME.EXCHANGE)),
        exchangeDown: sys.told(() => sys.renameat2('a/b', 'a', RENAME.EXCHANGE)),
        dot: sys.told(() => sys.rename('a/.', 'b')),
        dots: sys.told(() => sys.rename('a/b/..', 'b')),
        tree: tree(sys),
      };
    },
  },
  {
    name: 'rename: two names of one file do nothing',
    run: (sys) => {
      sys.put('a', 'x');
      sys.link('a', 'b');
      return {
        plain: sys.told(() => sys.rename('a', 'b')),
        exclusive: sys.told(() => sys.renameat2('a', 'b', RENAME.NOREPLACE)),
        exchange: sys.told(() => sys.renameat2('a', 'b', RENAME.EXCHANGE)),
        list: sys.list(),
        links: sys.links('a'),
      };
    },
  },
  {
    name: 'rename: onto its own name',
    run: (sys) => {
      sys.put('a', 'x');
      return [
        sys.told(() => sys.rename('a', 'a')),
        sys.told(() => sys.renameat2('a', 'a', RENAME.NOREPLACE)),
        sys.look('a'),
      ];
    },
  },
  {
    name: 'rename: a file that was replaced lives on for who has it open',
    run: (sys) => {
      sys.put('old', 'old');
      sys.put('new', 'new');
      const fd = sys.open('old', O.RDWR);
      sys.rename('new', 'old');
      return { open: sys.pread(fd, 10, 0), links: sys.fstat(fd).links, name: sys.get('old'), list: sys.list() };
    },
  },
  {
    name: 'rename: a file of two names that is replaced keeps the other',
    run: (sys) => {
      sys.put('a', 'a');
      sys.link('a', 'a2');
      sys.put('b', 'b');
      sys.rename('b', 'a');
      return { a: sys.get('a'), a2: sys.get('a2'), links: [sys.links('a'), sys.links('a2')] };
    },
  },
  {
    name: 'rename: the open file and folder go along',
    run: (sys) => {
      sys.mkdir('a');
      sys.put('a/file', 'x');
      const fd = sys.open('a/file', O.RDWR);
      const folder = sys.open('a', O.RDONLY | O.DIRECTORY);
      sys.rename('a', 'b');
      sys.pwrite(fd, 'y', 0);
      return { content: sys.get('b/file'), entries: sys.entries(folder).length, old: sys.look('a/file') };
    },
  },
  {
    name: 'rename: exchange across folders of file and folder',
    run: (sys) => {
      sys.mkdir('x');
      sys.mkdir('y');
      sys.put('x/file', 'f');
      sys.mkdir('y/folder');
      sys.put('y/folder/child', 'c');
      sys.renameat2('x/file', 'y/folder', RENAME.EXCHANGE);
      return { file: sys.get('y/folder'), child: sys.get('x/file/child'), parent: sys.isSame('x/file/..', 'x') };
    },
  },
  {
    name: 'rename: exchange needs both',
    run: (sys) => {
      sys.put('a');
      return [
        sys.told(() => sys.renameat2('a', 'missing', RENAME.EXCHANGE)),
        sys.told(() => sys.renameat2('missing', 'a', RENAME.EXCHANGE)),
        sys.told(() => sys.renameat2('a', 'b', 64)),
        sys.list(),
      ];
    },
  },
  {
    name: 'rename: a symlink is moved itself',
    run: (sys) => {
      sys.put('target', 't');
      sys.symlink('target', 's');
      sys.put('file', 'f');
      sys.rename('s', 's2');
      sys.rename('file', 's2');
      return { s2: sys.look('s2'), target: sys.get('target'), list: sys.list() };
    },
  },
  {
    name: 'rename: a folder with many children, to and fro',
    run: (sys) => {
      sys.mkdir('from');
      sys.mkdir('to');
      for (let number = 0; number < 50; number++) sys.put(`from/${number}`, String(number));
      for (let round = 0; round < 5; round++) {
        sys.rename('from', 'to/moved');
        sys.rename('to/moved', 'from');
      }
      return [sys.list('from'), sys.get('from/49'), sys.list('to')];
    },
  },
  {
    name: 'rename: slashes behind names',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder');
      return [
        sys.told(() => sys.rename('file', 'new/')),
        sys.told(() => sys.rename('file/', 'new')),
        sys.told(() => sys.rename('folder/', 'moved/')),
        sys.list(),
      ];
    },
  },
  {
    name: 'readdir: an empty folder has two dots',
    run: (sys) => {
      sys.mkdir('folder');
      const fd = sys.open('folder', O.RDONLY | O.DIRECTORY);
      const entries = allOf(sys, fd).map(({ name, kind }) => [name, kind]);
      return { entries: entries.sort(), end: sys.entries(fd).length, again: sys.entries(fd).length };
    },
  },
  {
    name: 'readdir: every kind says what it is',
    run: (sys) => {
      for (const [kind, make] of Object.entries(makers)) make(sys, kind);
      sys.mknod('socket', IFSOCK | 0o600);
      sys.mknod('character', S.IFCHR | 0o600, 1);
      sys.mknod('block', S.IFBLK | 0o600, 1);
      return sys.list();
    },
  },
  {
    name: 'readdir: 3,000 names come once each, in small pieces too',
    run: (sys) => {
      for (let number = 0; number < 3_000; number++) sys.mknod(`a-name-of-some-length-${number}`, S.IFREG | 0o644);
      const counts = [300, 4_096, 65_536].map((length) => {
        const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
        const seen = new Set<string>();
        let count = 0;
        for (let some = sys.entries(fd, length); some.length > 0; some = sys.entries(fd, length)) {
          for (const { name } of some) seen.add(name.toString());
          count += some.length;
        }
        sys.close(fd);
        return [count, seen.size];
      });
      return counts;
    },
  },
  {
    name: 'readdir: a buffer too small for one entry',
    run: (sys) => {
      sys.put('name');
      const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
      return [sys.told(() => sys.entries(fd, 10)), sys.told(() => sys.entries(sys.open('name', O.RDONLY)))];
    },
  },
  {
    name: 'readdir: names deleted while reading come at most once, the others once',
    run: (sys) => {
      for (let number = 0; number < 500; number++) sys.mknod(`name-${number}`, S.IFREG | 0o644);
      const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
      const seen: string[] = [];
      for (let some = sys.entries(fd, 512); some.length > 0; some = sys.entries(fd, 512)) {
        for (const { name } of some) {
          const text = name.toString();
          seen.push(text);
          if (/^name-\d*[02468]$/.test(text)) sys.unlink(text);
        }
      }
      const odd = seen.filter((name) => /[13579]$/.test(name)).length;
      return { odd, twice: seen.length - new Set(seen).size, left: Object.keys(sys.list()).length };
    },
  },
  {
    name: 'readdir: rm -r in one go leaves nothing',
    run: (sys) => {
      sys.mkdir('folder');
      for (let number = 0; number < 1_000; number++) sys.mknod(`folder/name-${number}`, S.IFREG | 0o644);
      const fd = sys.open('folder', O.RDONLY | O.DIRECTORY);
      for (let some = sys.entries(fd, 1_024); some.length > 0; some = sys.entries(fd, 1_024)) {
        for (const { name } of some) if (name[0] !== 0x2e) sys.unlinkat(fd, name, 0);
      }
      return sys.told(() => sys.rmdir('folder'));
    },
  },
  {
    name: 'readdir: names added while reading break nothing',
    run: (sys) => {
      for (let number = 0; number < 300; number++) sys.mknod(`name-${number}`, S.IFREG | 0o644);
      const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
      const seen: string[] = [];
      let added = 0;
      for (let some = sys.entries(fd, 1_024); some.length > 0; some = sys.entries(fd, 1_024)) {
        seen.push(...some.map(({ name }) => name.toString()));
        if (added < 20) sys.mknod(`added-${added++}`, S.IFREG | 0o644);
      }
      // Whether an added name comes in the same reading is open; that the old ones come once is not.
      const old = seen.filter((name) => name.startsWith('name-'));
      const now = Object.keys(sys.list()).length;
      return { old: old.length, different: new Set(old).size, all: now === 300 + added };
    },
  },
  {
    name: 'readdir: going back to the beginning shows what is new',
    run: (sys) => {
      sys.put('a');
      const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
      const first = sys.entries(fd).length;
      sys.put('b');
      sys.unlink('a');
      sys.lseek(fd, 0, 0);
      return {
        first,
        second: sys
          .entries(fd)
          .map(({ name }) => name.toString())
          .sort(),
      };
    },
  },
  {
    name: 'readdir: going to a remembered place goes on there',
    run: (sys) => {
      for (let number = 0; number < 200; number++) sys.mknod(`name-${number}`, S.IFREG | 0o644);
      const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
      const all: { name: Buffer; offset: bigint }[] = [];
      for (let some = sys.entries(fd, 1_024); some.length > 0; some = sys.entries(fd, 1_024)) all.push(...some);
      return [0, 1, 57, 150, 200, 201].map((index) => {
        sys.seekEntries(fd, all[index]?.offset ?? 0n);
        const next = sys.entries(fd, 512)[0]?.name.toString() ?? 'end';
        return next === (all[index + 1]?.name.toString() ?? 'end');
      });
    },
  },
  {
    name: 'readdir: a remembered place survives deleting what came before',
    run: (sys) => {
      for (let number = 0; number < 100; number++) sys.mknod(`name-${number}`, S.IFREG | 0o644);
      const fd = sys.open('.', O.RDONLY | O.DIRECTORY);
      const all: { name: Buffer; offset: bigint }[] = [];
      for (let some = sys.entries(fd); some.length > 0; some = sys.entries(fd)) all.push(...some);
      for (const { name } of all.slice(0, 51)) if (name[0] !== 0x2e) sys.unlink(name);
      sys.seekEntries(fd, all[50]?.offset ?? 0n);
      const rest: string[] = [];
      for (let some = sys.entries(fd); some.length > 0; some = sys.entries(fd)) {
        rest.push(...some.map(({ name }) => name.toString()));
      }
      const expected = all.slice(51).map(({ name }) => name.toString());
      const dots = (name: string): boolean => !name.startsWith('.');
      return rest.filter(dots).sort().join() === expected.filter(dots).sort().join();
    },
  },
  {
    name: 'readdir: two descriptors read on their own',
    run: (sys) => {
      for (let number = 0; number < 20; number++) sys.put(`n${number}`);
      const [a, b] = [sys.open('.', O.RDONLY | O.DIRECTORY), sys.open('.', O.RDONLY | O.DIRECTORY)];
      const first = allOf(sys, a).length;
      return [first, allOf(sys, b).length, allOf(sys, a).length];
    },
  },
  {
    name: 'readdir: ids are those of stat, and nothing on another device',
    run: (sys) => {
      sys.put('file');
      sys.mkdir('folder');
      return ['file', 'folder', 'folder/..'].map((path) => sys.lstat(path).device === sys.lstat('.').device);
    },
  },
];
