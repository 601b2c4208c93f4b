/** Record locks of processes and of open files, and flock, against another process. */
import type { Case, Peer, Sys } from './case.ts';
import { LOCK, O, type RecordLock, S } from './libc.ts';

const read = (start: number, length: number): RecordLock => ({ type: 'read', start, length });
const write = (start: number, length: number): RecordLock => ({ type: 'write', start, length });
const unlock = (start: number, length: number): RecordLock => ({ type: 'unlock', start, length });

/** How long a call must stay without an answer to count as waiting. */
const WAITING_MS = 60;

interface Both {
  readonly sys: Sys;
  readonly fd: number;
  readonly peer: Peer;
  readonly there: number;
}

/** A file of 1,000 bytes, open here and there. */
async function both(sys: Sys): Promise<Both> {
  const fd = sys.open('file', O.RDWR | O.CREAT);
  sys.write(fd, Buffer.alloc(1_000, 'x'));
  const peer = await sys.peer();
  return { sys, fd, peer, there: (await peer.ask('open', 'file', O.RDWR)) as number };
}

/** What stands in the way there of a write lock over everything, range by range. */
async function held({ peer, there }: Both): Promise<unknown[]> {
  const found: unknown[] = [];
  for (const [start, length] of [
    [0, 0],
    [0, 10],
    [10, 10],
    [20, 10],
    [30, 10],
    [40, 0],
  ] as const) {
    found.push(await peer.ask('getLock', there, write(start, length)));
  }
  return found;
}

async function isWaiting(answer: Promise<unknown>): Promise<boolean> {
  const waited = new Promise((done) => setTimeout(done, WAITING_MS, 'waiting'));
  return (await Promise.race([answer, waited])) === 'waiting';
}

const SCRIPTS: Readonly<Record<string, readonly RecordLock[]>> = {
  'one range': [write(10, 10)],
  'two that touch become one': [write(10, 10), write(20, 10)],
  'two apart': [write(0, 5), write(30, 5)],
  'a hole unlocked in the middle': [write(0, 40), unlock(10, 10)],
  'the head unlocked': [write(0, 40), unlock(0, 15)],
  'the tail unlocked': [write(0, 40), unlock(25, 100)],
  'read over write in the middle': [write(0, 40), read(10, 10)],
  'write over read': [read(0, 40), write(10, 10)],
  'read over all of write': [write(10, 10), read(0, 0)],
  'to the end of all': [write(10, 0)],
  'to the end, and unlocked from the middle': [write(0, 0), unlock(20, 0)],
  'unlocking what is not locked': [unlock(0, 0), write(5, 5), unlock(100, 10)],
  'a negative length counts backwards': [{ type: 'write', start: 20, length: -10 }],
  'from the end of the file': [{ type: 'write', start: -970, length: 10, whence: 'end' }],
  'from the position': [{ type: 'write', start: 5, length: 10, whence: 'current' }],
  'everything unlocked at once': [write(0, 5), read(10, 5), write(20, 5), unlock(0, 0)],
};

const scripts: Case[] = Object.entries(SCRIPTS).map(([what, locks]) => ({
  name: `record locks: ${what}`,
  run: async (sys: Sys) => {
    const two = await both(sys);
    const answers = locks.map((lock) => sys.told(() => sys.setLock(two.fd, lock)));
    return { answers, held: await held(two) };
  },
}));

const PAIRS: readonly (readonly [string, RecordLock, RecordLock])[] = [
  ['read and read', read(0, 10), read(5, 10)],
  ['read and write', read(0, 10), write(5, 10)],
  ['write and read', write(0, 10), read(5, 10)],
  ['write and write', write(0, 10), write(9, 1)],
  ['neighbours', write(0, 10), write(10, 10)],
  ['to the end and far behind', write(100, 0), write(1_000_000, 1)],
];

const pairs: Case[] = PAIRS.map(([what, here, there]) => ({
  name: `record locks: ${what} of two processes`,
  run: async (sys: Sys) => {
    const two = await both(sys);
    sys.setLock(two.fd, here);
    const first = await two.peer.ask('setLock', two.there, there);
    sys.setLock(two.fd, unlock(0, 0));
    return {
      first,
      second: await two.peer.ask('setLock', two.there, there),
      back: sys.told(() => sys.setLock(two.fd, here)),
    };
  },
}));

const flocks: Case[] = (
  [
    ['shared and shared', LOCK.SH, LOCK.SH],
    ['shared and exclusive', LOCK.SH, LOCK.EX],
    ['exclusive and shared', LOCK.EX, LOCK.SH],
    ['exclusive and exclusive', LOCK.EX, LOCK.EX],
  ] as const
).map(([what, first, second]) => ({
  name: `flock: ${what}`,
  run: async (sys: Sys) => {
    const { fd, peer, there } = await both(sys);
    const own = sys.open('file', O.RDONLY);
    sys.flock(fd, first);
    const answers = [
      await peer.ask('flock', there, second | LOCK.NB),
      sys.told(() => sys.flock(own, second | LOCK.NB)),
    ];
    sys.told(() => sys.flock(own, LOCK.UN));
    await peer.ask('flock', there, LOCK.UN);
    sys.flock(fd, LOCK.UN);
    return { answers, after: await peer.ask('flock', there, LOCK.EX | LOCK.NB) };
  },
}));

export const lockCases: readonly Case[] = [
  ...scripts,
  ...pairs,
  ...flocks,
  {
    name: 'record locks: getlk tells type, range and that it is another’s',
    run: async (sys) => {
      const two = await both(sys);
      await two.peer.ask('setLock', two.there, read(100, 50));
      await two.peer.ask('setLock', two.there, write(200, 50));
      return [read(0, 0), write(0, 0), write(120, 5), write(160, 10), read(210, 0)].map((lock) =>
        sys.told(() => sys.getLock(two.fd, lock)),
      );
    },
  },
  {
    name: 'record locks: one’s own are never in the way',
    run: async (sys) => {
      const { fd } = await both(sys);
      const second = sys.open('file', O.RDWR);
      sys.setLock(fd, write(0, 10));
      return [sys.getLock(second, write(0, 10)), sys.told(() => sys.setLock(second, write(5, 10)))];
    },
  },
  {
    name: 'record locks: closing any descriptor of the file lets go of all',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 10));
      const before = await two.peer.ask('setLock', two.there, write(0, 10));
      sys.close(sys.open('file', O.RDONLY));
      return { before, after: await two.peer.ask('setLock', two.there, write(0, 10)) };
    },
  },
  {
    name: 'record locks: a process that dies lets go',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      await peer.ask('setLock', there, write(0, 10));
      const before = sys.told(() => sys.setLock(fd, write(0, 10)));
      // Its descriptor is closed for it, as the kernel does for a process that ends.
      await peer.ask('close', there);
      return { before, after: sys.told(() => sys.setLock(fd, write(0, 10))) };
    },
  },
  {
    name: 'record locks: waiting ends when the lock is free',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 10));
      const answer = two.peer.ask('setLock', two.there, write(5, 10), { wait: true });
      const waiting = await isWaiting(answer);
      sys.setLock(two.fd, unlock(0, 10));
      return { waiting, answer: await answer, now: sys.getLock(two.fd, write(0, 0)).start };
    },
  },
  {
    name: 'record locks: waiting ends when the holder closes',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 10));
      const answer = two.peer.ask('setLock', two.there, read(0, 0), { wait: true });
      const waiting = await isWaiting(answer);
      sys.close(two.fd);
      return { waiting, answer: await answer };
    },
  },
  {
    name: 'record locks: waiting ends when only the part in the way is free',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 100));
      const answer = two.peer.ask('setLock', two.there, write(40, 10), { wait: true });
      const waiting = await isWaiting(answer);
      sys.setLock(two.fd, unlock(30, 30));
      return { waiting, answer: await answer, mine: await two.peer.ask('getLock', two.there, write(0, 0)) };
    },
  },
  {
    name: 'record locks: waiting ends when a write lock becomes a read lock',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 10));
      const answer = two.peer.ask('setLock', two.there, read(0, 10), { wait: true });
      const waiting = await isWaiting(answer);
      sys.setLock(two.fd, read(0, 10));
      return { waiting, answer: await answer };
    },
  },
  {
    // Across a network or a user-space server nobody may see the circle; ours is asked to, as a local file system is.
    name: 'record locks: two that wait for each other are told',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 10));
      await two.peer.ask('setLock', two.there, write(20, 10));
      const answer = two.peer.ask('setLock', two.there, write(0, 10), { wait: true });
      const waiting = await isWaiting(answer);
      const told = sys.told(() => sys.setLock(two.fd, write(20, 10), { wait: true }));
      sys.setLock(two.fd, unlock(0, 0));
      return { waiting, told, answer: await answer };
    },
  },
  {
    name: 'record locks: three processes, one after the other',
    run: async (sys) => {
      const two = await both(sys);
      const third = await sys.peer();
      const fd = (await third.ask('open', 'file', O.RDWR)) as number;
      sys.setLock(two.fd, read(0, 10));
      const other = await third.ask('setLock', fd, read(0, 10));
      const answer = two.peer.ask('setLock', two.there, write(0, 10), { wait: true });
      sys.setLock(two.fd, unlock(0, 0));
      const waiting = await isWaiting(answer);
      await third.ask('setLock', fd, unlock(0, 0));
      return { other, waiting, answer: await answer };
    },
  },
  {
    name: 'record locks: need a descriptor of the right kind',
    run: (sys) => {
      sys.put('file', 'x');
      const [reader, writer] = [sys.open('file', O.RDONLY), sys.open('file', O.WRONLY)];
      return [
        sys.told(() => sys.setLock(reader, write(0, 1))),
        sys.told(() => sys.setLock(writer, read(0, 1))),
        sys.told(() => sys.setLock(reader, read(0, 1))),
        sys.told(() => sys.setLock(reader, { type: 'read', start: -5, length: 1 })),
        sys.told(() => sys.setLock(reader, { type: 'read', start: 5, length: -10 })),
        sys.told(() => sys.setLock(9_999, read(0, 1))),
      ];
    },
  },
  {
    name: 'record locks: do not stop reading and writing',
    run: async (sys) => {
      const two = await both(sys);
      sys.setLock(two.fd, write(0, 0));
      return [await two.peer.ask('pwrite', two.there, 'yes', 0), sys.pread(two.fd, 3, 0)];
    },
  },
  {
    name: 'record locks: follow the file through rename and other names',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      sys.setLock(fd, write(0, 10));
      sys.link('file', 'second');
      sys.rename('file', 'moved');
      const other = (await peer.ask('open', 'second', O.RDWR)) as number;
      return [await peer.ask('setLock', other, write(0, 1)), await peer.ask('setLock', there, write(0, 1))];
    },
  },
  {
    name: 'record locks: of an unlinked file still hold, a new one of its name is free',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      sys.setLock(fd, write(0, 10));
      sys.unlink('file');
      sys.put('file', 'new');
      const fresh = (await peer.ask('open', 'file', O.RDWR)) as number;
      return [await peer.ask('setLock', there, write(0, 1)), await peer.ask('setLock', fresh, write(0, 1))];
    },
  },
  {
    name: 'record locks: a hundred ranges, every second one let go',
    run: async (sys) => {
      const two = await both(sys);
      for (let number = 0; number < 100; number++)
        sys.setLock(two.fd, number % 2 === 0 ? write(number, 1) : read(number, 1));
      for (let number = 0; number < 100; number += 2) sys.setLock(two.fd, unlock(number, 1));
      return [
        await two.peer.ask('setLock', two.there, write(40, 1)),
        await two.peer.ask('setLock', two.there, write(41, 1)),
        await two.peer.ask('setLock', two.there, read(0, 100)),
      ];
    },
  },
  {
    name: 'open file locks: belong to the descriptor, not to the process',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      const second = sys.open('file', O.RDWR);
      sys.setLock(fd, write(0, 10), { openFile: true });
      const answers = {
        sameProcess: sys.told(() => sys.setLock(second, write(0, 10), { openFile: true })),
        otherProcess: await peer.ask('setLock', there, write(0, 10)),
        classic: sys.told(() => sys.setLock(second, write(0, 10))),
      };
      sys.close(second);
      const still = await peer.ask('setLock', there, write(0, 10));
      sys.close(fd);
      return { ...answers, still, after: await peer.ask('setLock', there, write(0, 10)) };
    },
  },
  {
    name: 'open file locks: a copied descriptor holds on',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      const copy = sys.dup(fd);
      sys.setLock(fd, write(0, 10), { openFile: true });
      sys.close(fd);
      const still = await peer.ask('setLock', there, write(0, 10));
      sys.close(copy);
      return { still, after: await peer.ask('setLock', there, write(0, 10)) };
    },
  },
  {
    name: 'flock: waiting ends when the lock is free',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      sys.flock(fd, LOCK.EX);
      const answer = peer.ask('flock', there, LOCK.EX);
      const waiting = await isWaiting(answer);
      sys.flock(fd, LOCK.UN);
      return { waiting, answer: await answer, now: sys.told(() => sys.flock(fd, LOCK.EX | LOCK.NB)) };
    },
  },
  {
    name: 'locks: are listed for who looks after a machine',
    run: (sys) => {
      sys.put('file', 'content');
      const fd = sys.open('file', O.RDWR);
      const suffix = `:${sys.fstat(fd).id} `;
      const listed = (): string[] =>
        sys
          .get('/proc/locks')
          .split('\n')
          .filter((line) => line.includes(suffix))
          .map((line) => line.split(/\s+/).slice(1, 4).join(' '))
          .sort();
      sys.flock(fd, LOCK.EX);
      sys.setLock(fd, { type: 'read', start: 0, length: 3 });
      sys.setLock(fd, { type: 'write', start: 5, length: 1 }, { openFile: true });
      const held = listed();
      sys.close(fd);
      return { held, after: listed() };
    },
  },
  {
    name: 'flock: goes with the last copy of the descriptor',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      const copy = sys.dup(fd);
      sys.flock(fd, LOCK.EX);
      sys.close(fd);
      const still = await peer.ask('flock', there, LOCK.EX | LOCK.NB);
      sys.close(copy);
      return { still, after: await peer.ask('flock', there, LOCK.EX | LOCK.NB) };
    },
  },
  {
    name: 'flock: closing another descriptor keeps it',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      sys.flock(fd, LOCK.EX);
      sys.close(sys.open('file', O.RDONLY));
      return peer.ask('flock', there, LOCK.EX | LOCK.NB);
    },
  },
  {
    name: 'flock: changing shared into exclusive and back',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      sys.flock(fd, LOCK.SH);
      await peer.ask('flock', there, LOCK.SH);
      const refused = sys.told(() => sys.flock(fd, LOCK.EX | LOCK.NB));
      await peer.ask('flock', there, LOCK.UN);
      const upgraded = sys.told(() => sys.flock(fd, LOCK.EX | LOCK.NB));
      sys.flock(fd, LOCK.SH);
      return { refused, upgraded, shared: await peer.ask('flock', there, LOCK.SH | LOCK.NB) };
    },
  },
  {
    name: 'flock: and record locks do not see each other',
    run: async (sys) => {
      const { fd, peer, there } = await both(sys);
      sys.flock(fd, LOCK.EX);
      return [await peer.ask('setLock', there, write(0, 0)), await peer.ask('flock', there, LOCK.SH | LOCK.NB)];
    },
  },
  {
    name: 'flock: on folders, fifos and descriptors that only read',
    run: (sys) => {
      sys.put('file');
      sys.mknod('fifo', S.IFIFO | 0o600);
      const fds = [sys.open('.', O.RDONLY), sys.open('file', O.RDONLY), sys.open('fifo', O.RDWR)];
      return [
        ...fds.map((fd) => sys.told(() => sys.flock(fd, LOCK.EX | LOCK.NB))),
        sys.told(() => sys.flock(fds[0]!, 99)),
      ];
    },
  },
];
