/** Who may do what: permission bits for owner, group and others, sticky folders, root. */
import { type Case, OTHER, type Sys, USER } from './case.ts';
import { O, R_OK, RENAME, W_OK, X_OK } from './libc.ts';

const IDENTITIES = {
  owner: USER,
  group: { uid: OTHER.uid, gid: USER.gid },
  member: { ...OTHER, groups: [7, USER.gid] },
  others: OTHER,
} as const;

const FILE_MODES = [0o000, 0o400, 0o200, 0o100, 0o040, 0o020, 0o010, 0o004, 0o002, 0o001, 0o070, 0o007, 0o077, 0o666];

const fileModes: Case[] = FILE_MODES.map((mode) => ({
  name: `access: a file of mode ${mode.toString(8).padStart(3, '0')} for everybody`,
  run: (sys: Sys) => {
    sys.put('file', 'x');
    sys.chown('file', USER.uid, USER.gid);
    sys.chmod('file', mode);
    const tried = (): unknown => ({
      access: [R_OK, W_OK, X_OK, 0].map((wanted) => sys.told(() => sys.access('file', wanted))),
      effective: [R_OK, W_OK, X_OK].map((wanted) => sys.told(() => sys.eaccess('file', wanted))),
      open: [O.RDONLY, O.WRONLY, O.RDWR].map((flags) => sys.opens('file', flags)),
      truncate: sys.told(() => sys.truncate('file', 1)),
      xattr: [
        sys.told(() => sys.setxattr('file', 'user.a', 'b')),
        sys.told(() => sys.getxattr('file', 'user.a')),
        sys.told(() => sys.listxattr('file')),
      ],
    });
    const everybody = Object.entries(IDENTITIES).map(([who, identity]) => [who, sys.as(identity, tried)]);
    return { ...Object.fromEntries(everybody), root: tried() };
  },
}));

const FOLDER_MODES = [0o000, 0o444, 0o111, 0o222, 0o555, 0o333, 0o666, 0o700, 0o070, 0o007];

const folderModes: Case[] = FOLDER_MODES.map((mode) => ({
  name: `access: a folder of mode ${mode.toString(8).padStart(3, '0')} for everybody`,
  run: (sys: Sys) => {
    sys.mkdir('folder');
    sys.chown('folder', USER.uid, USER.gid);
    sys.put('folder/file', 'x', 0o666);
    sys.chmod('folder/file', 0o666);
    sys.mkdir('folder/sub');
    sys.chmod('folder', mode);
    const tried = (): unknown => ({
      list: sys.told(() => sys.list('folder')),
      stat: sys.told(() => sys.stat('folder/file').kind),
      missing: sys.told(() => sys.stat('folder/missing')),
      read: sys.told(() => sys.get('folder/file')),
      create: sys.told(() => {
        sys.put('folder/new');
        sys.unlink('folder/new');
      }),
      mkdir: sys.told(() => {
        sys.mkdir('folder/made');
        sys.rmdir('folder/made');
      }),
      link: sys.told(() => {
        sys.link('folder/file', 'folder/linked');
        sys.unlink('folder/linked');
      }),
      rename: sys.told(() => {
        sys.rename('folder/file', 'folder/renamed');
        sys.rename('folder/renamed', 'folder/file');
      }),
      unlink: sys.told(() => sys.unlink('folder/missing')),
      rmdir: sys.told(() => sys.rmdir('folder/missing')),
      enter: sys.told(() => {
        sys.chdir('folder');
        sys.chdir('..');
      }),
    });
    // Going back up from a folder that may not be searched needs its own way, so it is told apart here.
    const everybody = Object.entries(IDENTITIES).map(([who, identity]) => [who, sys.as(identity, tried)]);
    return { ...Object.fromEntries(everybody), root: tried() };
  },
}));

/** A sticky folder of root's where OTHER tries to take away USER's things. */
function sticky(sys: Sys, mode: number): void {
  sys.mkdir('shared');
  sys.chmod('shared', mode);
  sys.as(USER, () => {
    sys.put('shared/file', 'x', 0o666);
    sys.mkdir('shared/folder', 0o777);
  });
  sys.as(OTHER, () => sys.put('shared/mine', 'y'));
}

const takings: Readonly<Record<string, (sys: Sys) => void>> = {
  unlink: (sys) => sys.unlink('shared/file'),
  rmdir: (sys) => sys.rmdir('shared/folder'),
  'rename away': (sys) => sys.rename('shared/file', 'shared/taken'),
  'rename over': (sys) => sys.rename('shared/mine', 'shared/file'),
  exchange: (sys) => sys.renameat2('shared/mine', 'shared/file', RENAME.EXCHANGE),
  'rename of the folder': (sys) => sys.rename('shared/folder', 'shared/taken'),
};

const stickyFolders: Case[] = Object.entries(takings).map(([what, act]) => ({
  name: `sticky folder: ${what} by everybody`,
  run: (sys: Sys) =>
    [0o777, 0o1777].map((mode) =>
      Object.entries({ ...IDENTITIES, root: undefined }).map(([who, identity]) => {
        sys.mkdir(`${who}-${mode}`);
        sys.chdir(`${who}-${mode}`);
        sticky(sys, mode);
        const answer = sys.told(() => (identity === undefined ? act(sys) : sys.as(identity, () => act(sys))));
        const left = sys.list('shared');
        sys.chdir('..');
        return { who, mode, answer, left };
      }),
    ),
}));

export const accessCases: readonly Case[] = [
  ...fileModes,
  ...folderModes,
  ...stickyFolders,
  {
    name: 'sticky folder: its owner may take away what is in it',
    run: (sys) => {
      sys.mkdir('shared');
      sys.chmod('shared', 0o1777);
      sys.chown('shared', OTHER.uid, OTHER.gid);
      sys.as(USER, () => sys.put('shared/file'));
      return sys.as(OTHER, () => sys.told(() => sys.unlink('shared/file')));
    },
  },
  {
    name: 'access: root reads everything, runs only what somebody may',
    run: (sys) => {
      sys.put('file', 'x', 0o000);
      return {
        read: sys.told(() => sys.access('file', R_OK)),
        write: sys.told(() => sys.access('file', W_OK)),
        run: sys.told(() => sys.access('file', X_OK)),
        content: sys.get('file'),
        withBit: sys.told(() => {
          sys.chmod('file', 0o010);
          sys.access('file', X_OK);
        }),
      };
    },
  },
  {
    name: 'access: existence only needs the way there',
    run: (sys) => {
      sys.put('file', '', 0);
      sys.mkdir('closed', 0o700);
      sys.put('closed/file');
      return sys.as(OTHER, () => [
        sys.told(() => sys.access('file', 0)),
        sys.told(() => sys.access('closed/file', 0)),
        sys.told(() => sys.access('missing', 0)),
        sys.told(() => sys.access('file', 8)),
      ]);
    },
  },
  {
    name: 'access: rights that change are seen at once',
    run: (sys) => {
      sys.put('file', 'x', 0o600);
      const before = sys.as(USER, () => sys.opens('file', O.RDONLY));
      sys.chmod('file', 0o604);
      const after = sys.as(USER, () => sys.opens('file', O.RDONLY));
      sys.chown('file', USER.uid, USER.gid);
      sys.chmod('file', 0o077);
      return { before, after, owner: sys.as(USER, () => sys.opens('file', O.RDONLY)) };
    },
  },
  {
    name: 'access: a folder that is closed closes all below, for paths only',
    run: (sys) => {
      sys.mkdir('a');
      sys.mkdir('a/b');
      sys.put('a/b/file', 'x', 0o644);
      const fd = sys.as(USER, () => sys.open('a/b/file', O.RDONLY));
      sys.chmod('a', 0o700);
      return sys.as(USER, () => [sys.told(() => sys.get('a/b/file')), sys.told(() => sys.pread(fd, 1, 0))]);
    },
  },
  {
    name: 'access: moving a folder out of another needs the right to write it',
    run: (sys) => {
      sys.chmod('.', 0o777);
      sys.mkdir('from', 0o755);
      sys.mkdir('from/child', 0o777);
      sys.mkdir('to');
      sys.chmod('to', 0o777);
      return sys.as(USER, () => {
        const foreign = sys.told(() => sys.rename('from/child', 'to/child'));
        sys.mkdir('to/own', 0o555);
        // A folder that changes its parent is written itself: its `..` moves.
        return { foreign, closed: sys.told(() => sys.rename('to/own', 'own')), list: sys.list('to') };
      });
    },
  },
  {
    name: 'access: somebody else’s file may be unlinked from one’s own folder',
    run: (sys) => {
      sys.mkdir('mine');
      sys.put('mine/roots', 'x', 0o600);
      sys.chown('mine', USER.uid, USER.gid);
      return sys.as(USER, () => [sys.told(() => sys.unlink('mine/roots')), sys.told(() => sys.list('mine'))]);
    },
  },
  {
    name: 'access: fifteen groups and the last one counts',
    run: (sys) => {
      sys.put('file', 'x', 0o640);
      sys.chown('file', 0, 3_014);
      const groups = Array.from({ length: 15 }, (_, index) => 3_000 + index);
      return [
        sys.as({ ...OTHER, groups }, () => sys.told(() => sys.get('file'))),
        sys.as({ ...OTHER, groups: groups.slice(0, 14) }, () => sys.told(() => sys.get('file'))),
      ];
    },
  },
];
