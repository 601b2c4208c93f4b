/**
 * What a person or a program does with a store, step by step, and what must stand in it afterwards. A script is drawn
 * from a seed; each step is decided from the tree that the steps before it left, so that it fits also when one of them
 * failed. A tree is a map from paths to marks; a mark says everything about a node that a reader can see.
 */
import { createHash } from 'node:crypto';
import {
  type BatchOperation,
  type BulkItem,
  type FileRecord,
  type FileService,
  PART_BYTES_MIN,
} from '../../src/api/index.ts';
import { Fault, hexOf, type Random } from '../../src/base/index.ts';

/** Path to what stands there: `folder 755`, `symlink 777 → goal`, `file 644 10 bytes 1a2b… {"user.tag":"…"}`. */
export type Tree = ReadonlyMap<string, string>;

export interface Step {
  readonly name: string;
  /** The trees that may be seen while it runs, in order: the one before first, the one when it is done last. */
  readonly trees: readonly Tree[];
  /** It is many small changes, and while it runs each of them may be there or not. */
  readonly isMixed?: boolean;
  /** It fails, as its source does, and changes nothing. */
  readonly isGivenUp?: boolean;
  /** It carries an idempotency key: running it again, done or not, succeeds and leaves its last tree. */
  readonly isRepeatable?: boolean;
  /** Calls `acknowledged` with a tree when more is acknowledged before it is done. */
  run(service: FileService, acknowledged: (tree: Tree) => void): Promise<void>;
}

/** Whether a tree may be found when `acknowledged` was the last tree acknowledged, and `step` is under way. */
export function isAllowed(found: Tree, acknowledged: Tree, step: Step | undefined): boolean {
  if (step === undefined) return isSameTree(found, acknowledged);
  if (step.isMixed !== true) return treesFrom(step.trees, acknowledged).some((tree) => isSameTree(found, tree));
  const after = step.trees.at(-1) ?? acknowledged;
  return [...new Set([...found.keys(), ...acknowledged.keys()])].every((path) =>
    [acknowledged.get(path), after.get(path)].includes(found.get(path)),
  );
}

function treesFrom(trees: readonly Tree[], acknowledged: Tree): readonly Tree[] {
  return trees.slice(Math.max(0, trees.indexOf(acknowledged)));
}

export function isSameTree(a: Tree, b: Tree): boolean {
  return a.size === b.size && [...a].every(([path, mark]) => b.get(path) === mark);
}

/** What differs between two trees, in a few words. */
export function differenceOf(found: Tree, wanted: Tree): string {
  const paths = [...new Set([...found.keys(), ...wanted.keys()])].sort();
  const differing = paths.filter((path) => found.get(path) !== wanted.get(path));
  return differing.map((path) => `${path} is ${found.get(path)}, not ${wanted.get(path)}`).join('; ');
}

/** Bytes by the digest in a file's mark; only those that some step wrote. */
export type Contents = Map<string, Uint8Array>;

export interface ScriptOptions {
  readonly random: Random;
  /** Folder in which everything happens: '' for the root, or `/name`, which the first step makes. */
  readonly home: string;
  readonly contents: Contents;
  /** Bytes of the largest file: `large` needs several hidden steps to be built. */
  readonly largeBytes: number;
}

const SMALL_BYTES_MAX = 4_096;
const CHUNKS_BYTES_MAX = 60_000;
const PIECE_BYTES = 16 * 1024;
const IDLE_TURNS = 20;
const MANY_FILES = 8;
const CROWD_FILES = 600;
const MODES = [0o600, 0o640, 0o644, 0o755];

export function markOfBytes(bytes: Uint8Array, mode: number, contents: Contents, tag?: string): string {
  const digest = digestOf(bytes);
  contents.set(digest, bytes);
  return `file ${mode.toString(8)} ${bytes.length} bytes ${digest}${tag === undefined ? '' : ` tag ${tag}`}`;
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex').slice(0, 24);
}

/** Everything that can be seen at and below a folder, read in whole. */
export async function treeOf(service: FileService): Promise<Tree> {
  const tree = new Map<string, string>();
  for await (const record of service.manifest({ path: '/' })) tree.set(record.path, await markOf(service, record));
  return tree;
}

async function markOf(service: FileService, record: FileRecord): Promise<string> {
  const mode = record.mode.toString(8);
  if (record.kind === 'symlink') return `symlink ${mode} → ${record.target ?? ''}`;
  if (record.kind !== 'file') return `${record.kind} ${mode}`;
  const bytes = await bytesOf(service, record.path);
  const { attributes } = await service.stat({ path: record.path }, { withAttributes: true });
  const tag = attributes?.['user.tag'];
  const size = bytes.length === record.size ? '' : ` (of ${record.size})`;
  return `file ${mode} ${bytes.length}${size} bytes ${digestOf(bytes)}${tag === undefined ? '' : ` tag ${tag}`}`;
}

export async function bytesOf(service: FileService, path: string, version?: number): Promise<Uint8Array> {
  const { bytes } = await service.read({ path }, { version });
  const parts: Uint8Array[] = [];
  // A part handed out is valid until the next is asked for.
  for await (const part of bytes) parts.push(part.slice());
  return Buffer.concat(parts);
}

/** The kinds of steps, in the order in which the short script takes them. */
export const STEP_KINDS = [
  'make-folder',
  'write-small',
  'write-chunks',
  'write-many',
  'overwrite',
  'append',
  'set-attributes',
  'copy-file',
  'move-file',
  'move-over',
  'write-large',
  'copy-folder',
  'move-folder',
  'restore',
  'give-up',
  'remove-file',
  'remove-folder',
  'idle',
] as const;
/**
 * Besides those, for scripts that ask for it: a folder with more files than one step of a copy or a removal takes, and
 * many operations as one, a file that comes in parts.
 */
export type StepKind = (typeof STEP_KINDS)[number] | 'write-crowd' | 'batch' | 'upload';

/** More nodes than this, and steps that remove some come next. */
const NODES_MAX = 40;

/** A kind by chance; a tree that has grown is cut back. */
export function anyKind(before: Tree, random: Random): StepKind {
  if (before.size > NODES_MAX) return random.below(4) === 0 ? 'remove-file' : 'remove-folder';
  return STEP_KINDS[random.below(STEP_KINDS.length)] ?? 'idle';
}

/** The next step of a kind, or the nearest one that the tree has the material for. */
export function stepOf(kind: StepKind, before: Tree, options: ScriptOptions): Step {
  return new StepMaker(before, options).make(kind);
}

class StepMaker {
  readonly #before: Tree;
  readonly #options: ScriptOptions;
  readonly #random: Random;
  readonly #files: readonly string[];
  /** Without the home itself. */
  readonly #folders: readonly string[];

  constructor(before: Tree, options: ScriptOptions) {
    const paths = [...before.keys()].filter((path) => path.startsWith(`${options.home}/`)).sort();
    this.#before = before;
    this.#options = options;
    this.#random = options.random;
    this.#files = paths.filter((path) => before.get(path)?.startsWith('file'));
    this.#folders = paths.filter((path) => before.get(path)?.startsWith('folder'));
  }

  make(kind: StepKind): Step {
    const { home } = this.#options;
    if (home !== '' && !this.#before.has(home)) return this.#makeFolder(home);
    switch (kind) {
      case 'make-folder':
        return this.#makeFolder(this.#newPath('folder'));
      case 'write-small':
        return this.#write(this.#newPath('small'), this.#bytes(this.#random.below(SMALL_BYTES_MAX + 1)), 'create');
      case 'write-chunks':
        return this.#write(this.#newPath('chunks'), this.#chunksBytes(), 'create');
      case 'write-large':
        return this.#write(this.#newPath('large'), this.#bytes(this.#options.largeBytes), 'create');
      case 'write-many':
        return this.#writeMany('many', MANY_FILES, 600);
      case 'write-crowd':
        return this.#writeMany('crowd', CROWD_FILES, 40);
      case 'batch':
        return this.#batch();
      case 'upload':
        return this.#upload();
      case 'idle':
        return this.#idle();
      case 'give-up':
        return this.#giveUp();
      case 'copy-folder':
      case 'move-folder':
      case 'remove-folder':
        return this.#withFolder(kind);
      default:
        return this.#withFile(kind);
    }
  }

  #withFile(kind: StepKind): Step {
    const path = this.#one(this.#files);
    if (path === undefined) return this.make('write-small');
    switch (kind) {
      case 'overwrite':
        return this.#write(path, this.#random.below(2) === 0 ? this.#bytes(700) : this.#chunksBytes(), 'replace');
      case 'append':
        return this.#append(path);
      case 'set-attributes':
        return this.#setAttributes(path);
      case 'copy-file':
        return this.#copy(path, this.#newPath('copy'));
      case 'move-file':
        return this.#move(path, this.#newPath('moved'));
      case 'move-over':
        return this.#moveOver(path);
      case 'restore':
        return this.#restore(path);
      default:
        return this.#removeFile(path);
    }
  }

  #withFolder(kind: 'copy-folder' | 'move-folder' | 'remove-folder'): Step {
    const path = this.#one(this.#folders);
    if (path === undefined) return this.make('make-folder');
    if (kind === 'remove-folder') return this.#removeFolder(path);
    const goal = `${this.#options.home}/${kind === 'copy-folder' ? 'copied' : 'moved'}-${this.#random.below(1e6)}`;
    return kind === 'copy-folder' ? this.#copy(path, goal) : this.#move(path, goal);
  }

  #makeFolder(path: string): Step {
    return this.#once(`make folder ${path}`, this.#with([[path, 'folder 755']]), async (service, idempotencyKey) => {
      await service.makeFolder(path, { idempotencyKey });
    });
  }

  #write(path: string, bytes: Uint8Array, mode: 'create' | 'replace', why = 'write'): Step {
    const before = this.#before.get(path);
    const permissions = before === undefined ? 0o644 : Number.parseInt(before.split(' ')[1] ?? '', 8);
    const mark = markOfBytes(bytes, permissions, this.#options.contents, tagOf(before));
    return this.#once(
      `${why} ${path} (${bytes.length})`,
      this.#with([[path, mark]]),
      async (service, idempotencyKey) => {
        await service.write(path, inPieces(bytes), { mode, idempotencyKey });
      },
    );
  }

  /** A folder is made, filled with what is new and what was there, and one file goes: all of it or nothing. */
  #batch(): Step {
    const { home, contents } = this.#options;
    const folder = `${home}/batch-${this.#random.below(1e6)}`;
    const [moved, removed] = this.#files;
    const after = new Map(this.#without([moved, removed].filter((path) => path !== undefined)));
    after.set(folder, 'folder 755');
    const operations: BatchOperation[] = [{ op: 'mkdir', path: folder }];
    for (let i = 0; i < 4; i++) {
      const bytes = this.#bytes(this.#random.below(12_000));
      operations.push({ op: 'put', path: `${folder}/new-${i}`, content: Buffer.from(bytes).toString('base64') });
      after.set(`${folder}/new-${i}`, markOfBytes(bytes, 0o644, contents));
    }
    if (moved !== undefined) {
      operations.push({ op: 'move', from_path: moved, to_path: `${folder}/moved` });
      operations.push({ op: 'copy', from_path: `${folder}/moved`, to_path: `${folder}/copied` });
      for (const name of ['moved', 'copied']) after.set(`${folder}/${name}`, this.#before.get(moved) ?? '');
    }
    if (removed !== undefined) operations.push({ op: 'delete', path: removed });
    return this.#once(`batch of ${operations.length} in ${folder}`, after, async (service, idempotencyKey) => {
      await service.batch({ operations }, { idempotencyKey });
    });
  }

  /** The last part first, one that breaks off between, and another upload that is given up. */
  #upload(): Step {
    const path = this.#newPath('uploaded');
    const bytes = this.#bytes(2 * PART_BYTES_MIN + 1 + this.#random.below(20_000));
    const mark = markOfBytes(bytes, 0o644, this.#options.contents);
    const part = (number: number): Uint8Array => bytes.subarray((number - 1) * PART_BYTES_MIN, number * PART_BYTES_MIN);
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield bytes.subarray(5, PART_BYTES_MIN / 2);
      throw new Fault('aborted', 'The part was given up.');
    };
    const run: Step['run'] = async ({ uploads }) => {
      const { upload_id: id } = await uploads.create(path, { size: bytes.length, partSize: PART_BYTES_MIN });
      const { upload_id: other } = await uploads.create(path, { partSize: PART_BYTES_MIN });
      await uploads.putPart(id, 3, inPieces(part(3)));
      await uploads.putPart(id, 1, broken()).catch((error: unknown) => {
        if (!Fault.is(error, 'aborted')) throw error;
      });
      await Promise.all([1, 2].map((number) => uploads.putPart(id, number, inPieces(part(number)))));
      await uploads.putPart(other, 1, inPieces(part(1)));
      await uploads.complete(id);
      await uploads.remove(other);
    };
    return {
      name: `upload ${path} (${bytes.length})`,
      trees: [this.#before, this.#with([[path, mark]])],
      isRepeatable: true,
      run,
    };
  }

  #append(path: string): Step {
    const before = this.#contentAt(path);
    return this.#write(path, Buffer.concat([before, this.#chunksBytes()]), 'replace', 'append to');
  }

  #writeMany(word: string, fileCount: number, smallBytes: number): Step {
    const folder = this.#newPath(word);
    const marks: (readonly [string, string])[] = [[folder, 'folder 755']];
    const items: BulkItem[] = [{ path: folder, kind: 'folder' }];
    for (let index = 0; index < fileCount; index++) {
      const bytes = this.#bytes(this.#random.below(index % 3 === 0 && index < MANY_FILES ? 12_000 : smallBytes));
      const path = `${folder}/file-${index}`;
      items.push({ path, kind: 'file', source: () => [bytes], size: bytes.length });
      marks.push([path, markOfBytes(bytes, 0o644, this.#options.contents)]);
    }
    items.push({ path: `${folder}/link`, kind: 'symlink', target: 'file-0' });
    marks.push([`${folder}/link`, 'symlink 777 → file-0']);
    const after = this.#with(marks);
    const run: Step['run'] = async (service, acknowledged) => {
      const tree = new Map(this.#before);
      const markAt = new Map(marks);
      for await (const result of service.writeMany(items)) {
        if (!result.ok) throw result.fault;
        tree.set(result.path, markAt.get(result.path) ?? '');
        acknowledged(new Map(tree));
      }
    };
    return { name: `write many to ${folder}`, trees: [this.#before, after], isMixed: true, run };
  }

  #setAttributes(path: string): Step {
    const mode = this.#one(MODES) ?? 0o600;
    const tag = Buffer.from(`tag ${this.#random.below(1e6)}`).toString('base64');
    const mark = markOfBytes(this.#contentAt(path), mode, this.#options.contents, tag);
    return this.#once(`set attributes of ${path}`, this.#with([[path, mark]]), async (service, idempotencyKey) => {
      await service.setAttributes({ path }, { mode, attributes: { 'user.tag': tag } }, { idempotencyKey });
    });
  }

  #copy(from: string, to: string): Step {
    const copied = this.#below(from).map(([path, mark]) => [to + path.slice(from.length), mark] as const);
    return this.#once(`copy ${from} to ${to}`, this.#with(copied), async (service, idempotencyKey) => {
      await service.copy(from, to, { idempotencyKey });
    });
  }

  #move(from: string, to: string): Step {
    const moved = this.#below(from);
    const marks = moved.map(([path, mark]) => [to + path.slice(from.length), mark] as const);
    const after = new Map([...this.#without(moved.map(([path]) => path)), ...marks]);
    return this.#once(`move ${from} to ${to}`, after, async (service, idempotencyKey) => {
      await service.move(from, to, { idempotencyKey });
    });
  }

  #moveOver(from: string): Step {
    const to = this.#one(this.#files.filter((path) => path !== from));
    if (to === undefined) return this.#move(from, this.#newPath('moved'));
    const after = new Map([...this.#without([from]), [to, this.#before.get(from) ?? '']]);
    return this.#once(`move ${from} over ${to}`, after, async (service, idempotencyKey) => {
      await service.move(from, to, { overwrite: true, idempotencyKey });
    });
  }

  /** Replaces the content and goes back to what it was. */
  #restore(path: string): Step {
    const before = this.#before.get(path) ?? '';
    const bytes = this.#bytes(5_000);
    const mode = Number.parseInt(before.split(' ')[1] ?? '', 8);
    const between = this.#with([[path, markOfBytes(bytes, mode, this.#options.contents, tagOf(before))]]);
    const run: Step['run'] = async (service, acknowledged) => {
      const { version } = await service.stat({ path });
      await service.write(path, inPieces(bytes), { mode: 'replace' });
      acknowledged(between);
      await service.restore({ path }, version);
    };
    return { name: `replace and restore ${path}`, trees: [this.#before, between, new Map(this.#before)], run };
  }

  /** The source of a file breaks off: nothing of it may ever be seen. */
  #giveUp(): Step {
    const path = this.#newPath('given-up');
    const bytes = this.#bytes(this.#options.largeBytes);
    const broken = async function* (): AsyncGenerator<Uint8Array> {
      yield* inPieces(bytes);
      throw new Fault('aborted', 'The source was given up.');
    };
    return {
      name: `give up writing ${path}`,
      trees: [this.#before],
      isGivenUp: true,
      run: async (service) => {
        await service.write(path, broken(), { mode: 'create' });
      },
    };
  }

  #removeFile(path: string): Step {
    return this.#once(`remove ${path}`, this.#without([path]), async (service, idempotencyKey) => {
      await service.remove(path, { idempotencyKey });
    });
  }

  #removeFolder(path: string): Step {
    const gone = this.#below(path).map(([name]) => name);
    return this.#once(`remove folder ${path}`, this.#without(gone), async (service, idempotencyKey) => {
      await service.remove(path, { recursive: true, idempotencyKey });
    });
  }

  /** Leaves the work behind the operations some turns of its own. */
  #idle(): Step {
    const run = async (): Promise<void> => {
      for (let turn = 0; turn < IDLE_TURNS; turn++) await new Promise((resolve) => setImmediate(resolve));
    };
    return { name: 'idle', trees: [this.#before], run };
  }

  /** One change, with a key that makes it safe to send again. */
  #once(name: string, after: Tree, act: (service: FileService, idempotencyKey: string) => Promise<void>): Step {
    const key = `key-${hexOf(this.#random.bytes(8))}`;
    return { name, trees: [this.#before, after], isRepeatable: true, run: (service) => act(service, key) };
  }

  #with(marks: readonly (readonly [string, string])[]): Tree {
    return new Map([...this.#before, ...marks]);
  }

  #without(paths: readonly string[]): Tree {
    const gone = new Set(paths);
    return new Map([...this.#before].filter(([path]) => !gone.has(path)));
  }

  #below(path: string): (readonly [string, string])[] {
    return [...this.#before].filter(([other]) => other === path || other.startsWith(`${path}/`));
  }

  #newPath(word: string): string {
    const folder = this.#random.below(2) === 0 ? undefined : this.#one(this.#folders);
    return `${folder ?? this.#options.home}/${word}-${this.#random.below(1e6)}`;
  }

  #contentAt(path: string): Uint8Array {
    return contentOf(this.#before.get(path) ?? '', this.#options.contents);
  }

  /** Compressible and not, with a run of zeros now and then, which becomes a hole. */
  #bytes(length: number): Uint8Array {
    const bytes = this.#random.bytes(length);
    if (this.#random.below(2) === 0) for (let at = 0; at < length; at++) bytes[at] = 97 + ((bytes[at] ?? 0) % 4);
    if (length > 20_000 && this.#random.below(2) === 0) bytes.fill(0, 4_000, 16_000);
    return bytes;
  }

  #chunksBytes(): Uint8Array {
    return this.#bytes(SMALL_BYTES_MAX + 1 + this.#random.below(CHUNKS_BYTES_MAX));
  }

  #one<T>(list: readonly T[]): T | undefined {
    return list.length === 0 ? undefined : list[this.#random.below(list.length)];
  }
}

export function contentOf(mark: string, contents: Contents): Uint8Array {
  const digest = / bytes ([0-9a-f]+)/.exec(mark)?.[1] ?? '';
  return contents.get(digest) ?? new Uint8Array(0);
}

function tagOf(mark: string | undefined): string | undefined {
  return / tag (\S+)$/.exec(mark ?? '')?.[1];
}

function* inPieces(bytes: Uint8Array): Generator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES);
}
