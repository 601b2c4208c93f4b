/** Requests as the kernel lays them out, and the answers byte by byte, without a kernel. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FAULT_CODES, Fault, type LogEvent, logTo, ManualClock } from '../base/index.ts';
import { type PosixTree, posixFault } from '../files/index.ts';
import type { NodeId } from '../meta/index.ts';
import { RequestBuffer, type SystemCalls } from './device.ts';
import { memoryTree } from './memory-tree.ts';
import { encodeNotices } from './notifier.ts';
import { errnoOf, Operations } from './operations.ts';
import { ERRNO, FAULT_ERRNO, INIT, long, OPENED, OPERATION, type Operation, putLong, signedLong } from './protocol.ts';
import { Replies } from './reply.ts';
import { agree } from './session.ts';

const FD = 9;
const ROOT_NODE = 40 as NodeId;

interface Answer {
  readonly unique: number;
  readonly errno: number;
  /** The whole message. */
  readonly words: Uint32Array;
  readonly bytes: Uint8Array;
}

/** The kernel's side: asks, and collects what is answered. */
class FakeKernel {
  readonly answers: Answer[] = [];
  readonly logged: LogEvent[] = [];
  readonly clock = new ManualClock();
  readonly tree: PosixTree;
  readonly operations: Operations;
  keptCount = 0;
  readonly #buffer: RequestBuffer;
  #unique = 0;

  constructor(tree: PosixTree) {
    this.tree = tree;
    const refuse = (): never => assert.fail('not used');
    const system: SystemCalls = {
      read: refuse,
      write: (fd, from, length) => this.#take(fd, from.slice(0, length)),
      ioctlWord: refuse,
      mount: refuse,
      umount2: refuse,
      socketpair: refuse,
      recvmsg: refuse,
      syncfs: refuse,
      errno: () => 0,
      addressOf: () => 0n,
    };
    const log = logTo((event) => this.logged.push(event), 'debug');
    const replies = new Replies({ system, root: tree.root, attributeSeconds: 60, entrySeconds: 1.5, log });
    const keepBuffer = () => {
      this.keptCount++;
      return () => void this.keptCount--;
    };
    this.operations = new Operations({ tree, replies, clock: this.clock, log, keepBuffer });
    this.#buffer = new RequestBuffer(system, 65_536);
  }

  /** @param body words, or bytes behind them. Answers the request's unique number. */
  ask(operation: Operation | number, node: number, ...body: (readonly number[] | string | Uint8Array)[]): number {
    const { words, bytes } = this.#buffer;
    this.#unique += 2;
    let end = 40;
    for (const part of body) {
      if (typeof part === 'string' || part instanceof Uint8Array) {
        const raw = typeof part === 'string' ? Buffer.from(`${part}\0`, 'latin1') : part;
        bytes.set(raw, end);
        end += raw.length;
      } else {
        words.set(part, end / 4);
        end += 4 * part.length;
      }
    }
    words[0] = end;
    words[1] = typeof operation === 'number' ? operation : OPERATION[operation];
    putLong(words, 2, this.#unique);
    putLong(words, 4, node);
    words.set([1_000, 1_001, 77], 6);
    this.operations.handle(this.#buffer, FD, end);
    bytes.fill(0xee, 40, end);
    return this.#unique;
  }

  /** The answer to the last request, which is there already. */
  now(): Answer {
    const answer = this.answers.at(-1);
    assert.equal(answer?.unique, this.#unique, 'answered at once');
    return answer!;
  }

  async later(unique: number): Promise<Answer> {
    for (let ms = 0; ms < 10_000; ms++) {
      const answer = this.answers.find((found) => found.unique === unique);
      if (answer !== undefined) return answer;
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return assert.fail('not answered');
  }

  #take(fd: number, bytes: Uint8Array): number {
    assert.equal(fd, FD);
    const words = new Uint32Array(Math.ceil(bytes.length / 4));
    new Uint8Array(words.buffer).set(bytes);
    assert.equal(words[0], bytes.length);
    this.answers.push({ unique: long(words, 2), errno: Math.abs(words[1]! | 0), words, bytes });
    return bytes.length;
  }
}

const CREATE_RW = [2, 0o100644, 0o022, 0] as const;

function created(kernel: FakeKernel, name = 'file'): { node: number; handle: number } {
  kernel.ask('create', 1, CREATE_RW, name);
  const { errno, words } = kernel.now();
  assert.equal(errno, 0);
  return { node: long(words, 4), handle: long(words, 36) };
}

test('64-bit numbers come back as they went, negative seconds too', () => {
  const words = new Uint32Array(2);
  for (const value of [0, 1, 2 ** 32 - 1, 2 ** 32, 2 ** 53 - 1]) {
    putLong(words, 0, value);
    assert.equal(long(words, 0), value);
  }
  for (const value of [-1, -(2 ** 32), -(2 ** 40) - 7]) {
    putLong(words, 0, value);
    assert.equal(signedLong(words, 0), value);
    assert.equal(new BigInt64Array(words.buffer)[0], BigInt(value));
  }
});

test('INIT takes what both sides know, and refuses kernels that are too old', () => {
  const all = -1 >>> 0;
  const { agreement, body } = agree({ major: 7, minor: 60, flags: all, readAhead: 131_072 }, false);
  assert.equal(agreement.minor, 45);
  assert.equal(body.byteLength, 64);
  assert.deepEqual([...body.subarray(0, 3)], [7, 45, 1_048_576]);
  assert.equal(body[5], 1_048_576);
  assert.equal(body[7], 256);
  assert.equal(body[3]! & INIT.writebackCache, 0);
  assert.ok(body[3]! & INIT.posixAcl);
  assert.ok(agree({ major: 7, minor: 38, flags: all, readAhead: 0 }, true).body[3]! & INIT.writebackCache);
  const isUnsupported = (error: unknown): boolean => Fault.is(error, 'unsupported');
  assert.throws(() => agree({ major: 7, minor: 31, flags: all, readAhead: 0 }, false), isUnsupported);
  assert.throws(() => agree({ major: 7, minor: 45, flags: INIT.bigWrites, readAhead: 0 }, false), isUnsupported);
});

test('a name that is there is an entry, one that is not an entry without a node, both to be remembered', () => {
  const kernel = new FakeKernel(memoryTree({ root: ROOT_NODE }));
  const { node } = created(kernel);
  kernel.ask('lookup', 1, 'file');
  const found = kernel.now();
  assert.equal(found.bytes.length, 144);
  assert.equal(long(found.words, 4), node);
  assert.equal(found.words[8], 1, 'entry seconds');
  assert.equal(found.words[12], 500_000_000, 'entry nanoseconds');
  assert.equal(found.words[10], 60, 'attribute seconds');
  assert.equal(found.words[29], 0o100644, 'mode');
  assert.equal(found.words[31], 1_000, 'uid of the caller');
  kernel.ask('lookup', 1, 'absent');
  const absent = kernel.now();
  assert.equal(absent.errno, 0);
  assert.equal(long(absent.words, 4), 0);
  assert.equal(absent.words[8], 1);
});

test('a node is found by its number alone, and the folder above it', () => {
  const kernel = new FakeKernel(memoryTree({ root: ROOT_NODE }));
  const { node } = created(kernel);
  kernel.ask('lookup', node, '.');
  assert.equal(long(kernel.now().words, 4), node);
  kernel.ask('mkdir', 1, [0o755, 0], 'folder');
  const folder = long(kernel.now().words, 4);
  kernel.ask('lookup', folder, '..');
  assert.equal(long(kernel.now().words, 4), 1);
  kernel.ask('lookup', 99_999, '.');
  assert.equal(kernel.now().errno, ERRNO.ESTALE);
  kernel.ask('lookup', 1, '.hidden');
  assert.equal(long(kernel.now().words, 4), 0, 'other names with dots are names');
});

test("the tree's root is the kernel's 1, everywhere", () => {
  const kernel = new FakeKernel(memoryTree({ root: ROOT_NODE }));
  kernel.ask('getattr', 1, [0, 0, 0, 0]);
  assert.equal(long(kernel.now().words, 8), 1);
  kernel.ask('opendir', 1, [0, 0]);
  const handle = long(kernel.now().words, 4);
  kernel.ask('readdir', 1, [handle, 0, 0, 0, 4_096, 0, 0, 0, 0, 0]);
  const { words, bytes } = kernel.now();
  assert.equal(bytes.length, 16 + 32 + 32);
  assert.deepEqual([long(words, 4), long(words, 12)], [1, 1], '. and ..');
  kernel.ask('getattr', ROOT_NODE, [0, 0, 0, 0]);
  assert.equal(kernel.now().errno, ERRNO.ESTALE, 'the number of the root stands for node 1, which is not there');
});

test('a listing in small pieces has every name once, and its offsets go on where it ended', () => {
  const kernel = new FakeKernel(memoryTree());
  const names = Array.from({ length: 50 }, (_, i) => `name-${i}${'x'.repeat(i % 9)}`);
  for (const name of names) created(kernel, name);
  kernel.ask('opendir', 1, [0, 0]);
  const handle = long(kernel.now().words, 4);
  for (const [operation, headBytes, room] of [
    ['readdir', 0, 100],
    ['readdirplus', 128, 400],
  ] as const) {
    const seen: string[] = [];
    for (let offset = 0; ; ) {
      kernel.ask(operation, 1, [handle, 0, offset, 0, room, 0, 0, 0, 0, 0]);
      const { words, bytes } = kernel.now();
      if (bytes.length === 16) break;
      assert.ok(bytes.length <= 16 + room);
      for (let at = 16; at < bytes.length; ) {
        const word = (at + headBytes) / 4;
        const length = words[word + 4]!;
        seen.push(Buffer.from(bytes.subarray(at + headBytes + 24, at + headBytes + 24 + length)).toString());
        if (headBytes > 0)
          assert.equal(long(words, at / 4), seen.length <= 2 ? 0 : long(words, word), 'node of the entry');
        offset = long(words, word + 2);
        at += (headBytes + 24 + length + 7) & ~7;
      }
    }
    assert.deepEqual(seen, ['.', '..', ...names]);
  }
});

test('what was written is read, short at the end, and the size is in the attributes', () => {
  const kernel = new FakeKernel(memoryTree());
  const { node, handle } = created(kernel);
  const bytes = Buffer.from('some bytes');
  kernel.ask('write', node, [handle, 0, 5, 0, bytes.length, 0, 0, 0, 0, 0], bytes);
  assert.equal(kernel.now().words[4], bytes.length);
  kernel.ask('read', node, [handle, 0, 0, 0, 4_096, 0, 0, 0, 0, 0]);
  assert.equal(Buffer.from(kernel.now().bytes.subarray(16)).toString('latin1'), '\0\0\0\0\0some bytes');
  kernel.ask('statx', node, [0, 0, handle, 0, 0, 0xfff]);
  const { words } = kernel.now();
  assert.equal(long(words, 22), 15);
  assert.ok(words[12]! & 0x800, 'birth time');
  assert.ok(words[32]! > 0);
});

test('closing is heard of where something may have been written, and nowhere else', () => {
  const kernel = new FakeKernel(memoryTree());
  const { node } = created(kernel);
  const noFlush = (flags: number): boolean => {
    kernel.ask('open', node, [flags, 0]);
    return (kernel.now().words[6]! & OPENED.noFlush) !== 0;
  };
  assert.deepEqual([0, 1, 2].map(noFlush), [true, false, false]);
});

test('offsets that numbers cannot hold are EFBIG', () => {
  const kernel = new FakeKernel(memoryTree());
  const { node, handle } = created(kernel);
  kernel.ask('write', node, [handle, 0, 0, 0x7fffffff, 1, 0, 0, 0, 0, 0], Uint8Array.of(1));
  assert.equal(kernel.now().errno, ERRNO.EFBIG);
});

test('rename2 refuses, exchanges, and knows no other ways', () => {
  const kernel = new FakeKernel(memoryTree());
  const one = created(kernel, 'one');
  const two = created(kernel, 'two');
  const rename = (flags: number, to: string): number => {
    kernel.ask('rename2', 1, [1, 0, flags, 0], 'one', to);
    return kernel.now().errno;
  };
  const nodeOf = (name: string): number => {
    kernel.ask('lookup', 1, name);
    return long(kernel.now().words, 4);
  };
  assert.equal(rename(1, 'two'), ERRNO.EEXIST);
  assert.equal(rename(4, 'three'), ERRNO.EINVAL);
  assert.equal(rename(3, 'two'), ERRNO.EINVAL);
  assert.equal(rename(2, 'two'), 0);
  assert.deepEqual([nodeOf('one'), nodeOf('two')], [two.node, one.node]);
  kernel.ask('rename', 1, [1, 0], 'one', 'two');
  assert.deepEqual([nodeOf('one'), nodeOf('two')], [0, two.node]);
});

test('a file without a name gets one by link, and ranges are copied in both shapes', () => {
  const kernel = new FakeKernel(memoryTree());
  kernel.ask('tmpfile', 1, CREATE_RW, '/');
  const { words } = kernel.now();
  const source = { node: long(words, 4), handle: long(words, 36) };
  assert.equal(words[30], 0, 'links');
  kernel.ask('link', 1, [source.node, 0], 'named');
  assert.equal(kernel.now().words[30], 1);
  kernel.ask('write', source.node, [source.handle, 0, 0, 0, 5, 0, 0, 0, 0, 0], Buffer.from('12345'));
  const target = created(kernel);
  const range = (offset: number, length: number): number[] => [
    ...[source.handle, 0, 1, 0, target.node, 0],
    ...[target.handle, 0, offset, 0, length, 0, 0, 0],
  ];
  kernel.ask('copyFileRange', source.node, range(0, 100));
  assert.equal(kernel.now().words[4], 4);
  kernel.ask('copyFileRange64', source.node, range(4, 2));
  assert.equal(long(kernel.now().words, 4), 2);
  kernel.ask('read', target.node, [target.handle, 0, 0, 0, 100, 0, 0, 0, 0, 0]);
  assert.equal(Buffer.from(kernel.now().bytes.subarray(16)).toString(), '234523');
});

test('attributes: sizes asked for, too little room, and absence', () => {
  const kernel = new FakeKernel(memoryTree());
  const { node } = created(kernel);
  kernel.ask('setxattr', node, [5, 0, 0, 0], 'user.a', Buffer.from('value'));
  assert.equal(kernel.now().errno, 0);
  kernel.ask('getxattr', node, [0, 0], 'user.a');
  assert.equal(kernel.now().words[4], 5);
  kernel.ask('getxattr', node, [4, 0], 'user.a');
  assert.equal(kernel.now().errno, ERRNO.ERANGE);
  kernel.ask('getxattr', node, [5, 0], 'user.a');
  assert.equal(Buffer.from(kernel.now().bytes.subarray(16)).toString(), 'value');
  kernel.ask('listxattr', node, [100, 0]);
  assert.equal(Buffer.from(kernel.now().bytes.subarray(16)).toString(), 'user.a\0');
  kernel.ask('getxattr', node, [0, 0], 'security.capability');
  assert.equal(kernel.now().errno, ERRNO.ENODATA);
});

test('setattr hands on what is valid only, with the request to clear setuid', () => {
  const seen: unknown[] = [];
  const tree = memoryTree();
  const kernel = new FakeKernel(
    Object.assign(Object.create(tree) as PosixTree, {
      root: tree.root,
      setAttributes: (node: NodeId, set: unknown) => {
        seen.push(set);
        return tree.stat(node);
      },
      lookup: tree.lookup.bind(tree),
    }),
  );
  const words = new Array<number>(22).fill(0);
  words[0] = (1 << 3) | (1 << 5) | (1 << 7) | (1 << 11) | (1 << 6);
  words[2] = 3;
  words[4] = 4_096;
  words[10] = 0xffffffff;
  words[11] = 0xffffffff;
  words[15] = 5;
  kernel.ask('setattr', 1, words);
  assert.deepEqual(seen, [
    { size: 4_096, accessed: 'now', modified: { seconds: -1, nanoseconds: 5 }, killPrivileges: true, handle: 3 },
  ]);
});

test('a slow read is given up a while after its program was interrupted, a slow write never', async () => {
  const never = new Promise<never>(() => {});
  const tree = memoryTree();
  const slow = Object.assign(Object.create(tree) as PosixTree, {
    root: tree.root,
    read: () => never,
    write: () => never,
  });
  const kernel = new FakeKernel(slow);
  const read = kernel.ask('read', 5, [1, 0, 0, 0, 10, 0, 0, 0, 0, 0]);
  const write = kernel.ask('write', 5, [1, 0, 0, 0, 1, 0, 0, 0, 0, 0], Uint8Array.of(1));
  assert.equal(kernel.keptCount, 1, 'the buffer of the write is kept');
  kernel.ask('interrupt', 0, [read, 0]);
  kernel.ask('interrupt', 0, [write, 0]);
  assert.deepEqual(kernel.answers, []);
  kernel.clock.advance(1_000);
  assert.deepEqual(
    kernel.answers.map(({ unique, errno }) => ({ unique, errno })),
    [{ unique: read, errno: ERRNO.EINTR }],
  );
  kernel.clock.advance(60_000);
  assert.equal(kernel.answers.length, 1);
});

test('a tree that answers later is answered for later, out of order, and buffers are given back', async () => {
  const kernel = new FakeKernel(memoryTree({ delayMs: 0 }));
  const make = kernel.ask('create', 1, CREATE_RW, 'file');
  assert.equal(kernel.answers.length, 0);
  const { words } = await kernel.later(make);
  const write = kernel.ask('write', long(words, 4), [long(words, 36), 0, 0, 0, 3, 0, 0, 0, 0, 0], Buffer.from('abc'));
  assert.equal(kernel.keptCount, 1);
  kernel.ask('ioctl', 1, [0]);
  assert.equal(kernel.now().errno, ERRNO.ENOTTY);
  assert.equal((await kernel.later(write)).words[4], 3);
  assert.equal(kernel.keptCount, 0);
});

test('errors: the errno of the fault, then of its code; what is unknown is EIO and is logged', () => {
  const failing = (error: unknown): FakeKernel => {
    const tree = memoryTree();
    const stat = () => {
      throw error;
    };
    const kernel = new FakeKernel(Object.assign(Object.create(tree) as PosixTree, { root: tree.root, stat }));
    kernel.ask('getattr', 1, [0, 0, 0, 0]);
    return kernel;
  };
  assert.equal(failing(posixFault('EXDEV', 'x')).now().errno, ERRNO.EXDEV);
  assert.equal(failing(new Fault('quota', 'x')).now().errno, ERRNO.EDQUOT);
  assert.equal(failing(new Fault('not-found', 'x', { errno: 'ENOSYS' })).now().errno, ERRNO.ENOENT);
  const unknown = failing(new TypeError('x'));
  assert.equal(unknown.now().errno, ERRNO.EIO);
  assert.equal(unknown.logged[0]?.event, 'fuse.operation-failed');
  const corrupt = failing(new Fault('corrupt', 'x'));
  assert.equal(corrupt.now().errno, ERRNO.EIO);
  assert.equal(corrupt.logged.length, 1);
  for (const code of FAULT_CODES) assert.equal(errnoOf(new Fault(code, 'x')).errno, FAULT_ERRNO[code]);
});

test('what is not spoken is ENOSYS, and a forget is never answered', () => {
  const kernel = new FakeKernel(memoryTree());
  for (const operation of ['access', 'poll', 'bmap', 63] as const) {
    kernel.ask(operation, 1, [0, 0]);
    assert.equal(kernel.now().errno, ERRNO.ENOSYS);
  }
  const before = kernel.answers.length;
  kernel.ask('forget', 5, [1, 0]);
  kernel.ask('batchForget', 0, [2, 0, 5, 0, 1, 0, 6, 0, 1, 0]);
  assert.equal(kernel.answers.length, before);
});

test('an unlinked node goes when the kernel forgets it', () => {
  const tree = memoryTree();
  const kernel = new FakeKernel(tree);
  const { node, handle } = created(kernel);
  kernel.ask('unlink', 1, 'file');
  kernel.ask('release', node, [handle, 0, 0, 0, 0, 0]);
  assert.equal(tree.nodeCount, 2);
  kernel.ask('batchForget', 0, [1, 0, node, 0, 1, 0]);
  assert.equal(tree.nodeCount, 1);
});

test('the end of a session closes what is open', async () => {
  const tree = memoryTree();
  const kernel = new FakeKernel(tree);
  created(kernel);
  kernel.ask('opendir', 1, [0, 0]);
  const before = kernel.answers.length;
  assert.equal(tree.openCount, 2);
  await kernel.operations.end();
  assert.equal(tree.openCount, 0);
  assert.equal(kernel.answers.length, before);
});

test('notices are laid out one behind the other', () => {
  const name = Buffer.from('ab');
  const bytes = encodeNotices([
    { kind: 'node', node: 7, data: false },
    { kind: 'entry', parent: 1, name },
    { kind: 'delete', parent: 1, node: 7, name },
    { kind: 'everything' },
  ]);
  const view = new DataView(bytes.buffer);
  const heads: [number, number][] = [];
  for (let at = 0; at < bytes.length; at += view.getUint32(at, true)) {
    heads.push([view.getUint32(at, true), view.getInt32(at + 4, true)]);
  }
  assert.deepEqual(heads, [
    [40, 2],
    [35, 3],
    [43, 6],
    [16, 8],
  ]);
  assert.equal(view.getBigInt64(24, true), -1n, 'attributes only');
  assert.equal(Buffer.from(bytes.subarray(72, 75)).toString('latin1'), 'ab\0');
});
