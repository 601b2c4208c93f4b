/**
 * What is done to a simulated store, as plain data: a script is a list of operations for each of those who act, with the
 * faults of the disk among them. An operation names its paths and bytes itself, so that any of them can be left out and
 * the rest still means the same; what it comes to is decided by the tree it meets (model.ts).
 * Paths are below the actor's own folder. Of names, `p` and `q` are folders, `l` is a symlink, all others are files.
 */
import { PART_BYTES_MIN } from '../../src/api/index.ts';
import { type Random, seededRandom } from '../../src/base/index.ts';

/** Bytes by number: the same number and length are the same bytes, and a longer one of a number begins like a shorter. */
export interface Content {
  readonly id: number;
  readonly length: number;
}

export type Operation =
  // Through the file service: durable when they answer.
  | { readonly do: 'mkdir'; readonly path: string }
  | {
      readonly do: 'put';
      readonly path: string;
      readonly content: Content;
      readonly mode: 'create' | 'replace' | 'put';
    }
  | { readonly do: 'many'; readonly folder: string; readonly contents: readonly Content[] }
  | { readonly do: 'set'; readonly path: string; readonly mode: number; readonly tag: string }
  | { readonly do: 'move'; readonly from: string; readonly to: string; readonly overwrite: boolean }
  | { readonly do: 'copy'; readonly from: string; readonly to: string }
  | { readonly do: 'remove'; readonly path: string; readonly recursive: boolean }
  /** Makes the version that is so many steps back the current one. */
  | { readonly do: 'restore'; readonly path: string; readonly back: number }
  /** Of the actor's whole folder. */
  | { readonly do: 'snapshot'; readonly name: string }
  | { readonly do: 'unsnapshot'; readonly name: string }
  /**
   * A schedule makes its snapshot of this hour, unless it has; then of all that it made so many are kept, and the newest.
   * `due` is what that snapshot is called: set when it is done, for only then is it known. Not done where several act.
   */
  | { readonly do: 'schedule'; readonly keep: number; readonly due?: string }
  /** Of what the schedule made so many are kept, and the newest. */
  | { readonly do: 'prune'; readonly keep: number }
  /** Operations of the plain kinds as one commit. */
  | { readonly do: 'batch'; readonly operations: readonly BatchPart[] }
  /** Makes the actor's folder what it was when the snapshot was made. */
  | { readonly do: 'return'; readonly name: string }
  /** Takes back what the actor did last, when that was durable and changed something. */
  | { readonly do: 'undo' }
  /**
   * A lock, refused to others; then, when it may be over, a write that presents it: it happens before the lease ends,
   * and never after.
   */
  | { readonly do: 'fence'; readonly path: string; readonly content: Content; readonly waitMs: number }
  | UploadOperation
  // Through a mount: seen at once, durable later.
  | { readonly do: 'm.create'; readonly path: string; readonly content: Content }
  | { readonly do: 'm.write'; readonly path: string; readonly offset: number; readonly content: Content }
  | { readonly do: 'm.cut'; readonly path: string; readonly size: number }
  | { readonly do: 'm.mkdir'; readonly path: string }
  | { readonly do: 'm.symlink'; readonly path: string; readonly target: string }
  | { readonly do: 'm.link'; readonly from: string; readonly to: string }
  | { readonly do: 'm.rename'; readonly from: string; readonly to: string }
  | { readonly do: 'm.unlink'; readonly path: string }
  | { readonly do: 'm.rmdir'; readonly path: string }
  | { readonly do: 'm.chmod'; readonly path: string; readonly mode: number }
  | { readonly do: 'm.tag'; readonly path: string; readonly tag: string }
  | { readonly do: 'm.fsync'; readonly path: string }
  | { readonly do: 'm.sync' }
  // What changes nothing that can be seen.
  /** Begins to read a file, so many parts of it; whatever happens to it, `read.end` gets the bytes of the beginning. */
  | { readonly do: 'read'; readonly path: string; readonly parts: number }
  | { readonly do: 'read.end' }
  | { readonly do: 'wait'; readonly ms: number }
  /** Thins versions and takes apart what is unreachable. */
  | { readonly do: 'tidy' }
  /**
   * After a sweep: gives back what nobody names since so long, from packs of which at least this share comes back; given
   * up after so many packs, where that is said.
   */
  | { readonly do: 'collect'; readonly graceSeconds: number; readonly share: number; readonly packsMax?: number }
  // What happens to the store.
  | { readonly do: 'restart' }
  /** All metadata is kept once more, as objects; once and again, it is what a rebuild goes back to. */
  | { readonly do: 'checkpoint' }
  /** A stop; then the metadata is gone, and is brought back from objects alone. */
  | { readonly do: 'lose' }
  /**
   * The `call`th changing call of the disk from now on: the power goes in it, the process is killed before it, it fails.
   * `chance` decides what the power cut leaves.
   */
  | { readonly do: 'fault'; readonly kind: FaultKind; readonly call: number; readonly chance: number }
  /** The disk has so many bytes left, until there is room again or the next start. */
  | { readonly do: 'shrink'; readonly bytes: number }
  | { readonly do: 'room' };

/** Uploads in parts, by names that nobody else sees. */
export type UploadOperation =
  | { readonly do: 'up.begin'; readonly name: string; readonly path: string; readonly content: Content }
  /** `isRest`: the store is asked what it has, and gets the rest; not done where it cannot be asked. */
  | { readonly do: 'up.part'; readonly name: string; readonly part: number; readonly isRest: boolean }
  | { readonly do: 'up.complete'; readonly name: string }
  | { readonly do: 'up.remove'; readonly name: string }
  /** So much time goes by that all of them are given up. */
  | { readonly do: 'up.expire' };

export function isOfUpload(operation: Operation): operation is UploadOperation {
  return operation.do.startsWith('up.');
}

export type BatchPart = Extract<Operation, { do: 'mkdir' | 'put' | 'move' | 'copy' | 'remove' }>;

export type FaultKind = 'cut' | 'kill' | 'io' | 'full';

/** Of the lock that a `fence` takes. */
export const LEASE_MS = 60_000;

/** Whether the lease of a `fence` ends before it writes. */
export function isLate({ waitMs }: Extract<Operation, { do: 'fence' }>): boolean {
  return waitMs > LEASE_MS;
}

/** How a store is set up. */
export interface Setting {
  readonly engine: 'journal' | 'sqlite';
  readonly idAlgorithm: 'blake3' | 'xxh3-128';
  /** Calls of the packs' disk take some turns, by chance. */
  readonly isSlow: boolean;
  readonly packBytes: number;
  /** Without, what is replaced or removed is forgotten at the next sweep. */
  readonly keepsVersions: boolean;
  /** The store is made in the run, and the power goes in this call of it; 0 for a store that is there. */
  readonly makingCut: number;
}

export interface Script {
  /** Of the disk and of all chance within the store. */
  readonly seed: number;
  readonly setting: Setting;
  /** For each of those who act at the same time. One alone is at home in the root. */
  readonly actors: readonly (readonly Operation[])[];
}

const contents = new Map<string, Uint8Array>();
const CONTENT_BYTES_MAX = 72 * 1024;

/** Shared: not to be written into. */
export function bytesOf({ id, length }: Content): Uint8Array {
  const key = `${id} ${length}`;
  const known = contents.get(key);
  if (known !== undefined) return known;
  const bytes = seededRandom(id).bytes(CONTENT_BYTES_MAX).slice(0, length);
  if (id % 2 === 1) for (let at = 0; at < length; at++) bytes[at] = 97 + ((bytes[at] ?? 0) % 4);
  if (id % 4 === 3) bytes.fill(0, 6_000, 14_000);
  contents.set(key, bytes);
  return bytes;
}

export function contentBy(random: Random): Content {
  return { id: random.below(CONTENT_COUNT), length: one(LENGTHS, random) };
}

/** Few, so that the same chunks come again and again. */
const CONTENT_COUNT = 4;
/** Inline, one chunk, several. */
const LENGTHS = [0, 700, 4_096, 4_097, 6_000, 9_000, 9_000, 16_000] as const;
const FOLDERS = ['', '', '/p', '/q', '/p/q'] as const;
const FILES = ['x', 'y', 'z'] as const;
const SNAPSHOTS = ['one', 'two'] as const;
const MODES = [0o600, 0o640, 0o644, 0o755] as const;
const SIZES = [0, 5, 3_000, 5_000, 12_000] as const;
/** Disk calls until a fault: an operation makes about eight. */
const CALLS_MAX = 24;

function one<T>(list: readonly T[], random: Random): T {
  return list[random.below(list.length)] as T;
}

function folderBy(random: Random): string {
  return one(['/p', '/q', '/p/q', '/q/p'], random);
}

function fileBy(random: Random): string {
  return `${one(FOLDERS, random)}/${one(FILES, random)}`;
}

function tagBy(random: Random): string {
  return `tag ${random.below(4)}`;
}

/** Bytes come, go, and come again around a collection, and now and then the power goes in it. */
function comingAndGoing(random: Random): readonly Operation[] {
  const content = { id: random.below(CONTENT_COUNT), length: one([6_000, 9_000, 16_000], random) };
  const paths = [`/${one(FILES, random)}`, fileBy(random)] as const;
  const collect = { do: 'collect', graceSeconds: 0, share: 0 } as const;
  return [
    { do: 'put', path: paths[0], content, mode: 'put' },
    random.below(2) === 0
      ? { do: 'remove', path: paths[0], recursive: false }
      : { do: 'put', path: paths[0], content: contentBy(random), mode: 'put' },
    ...(random.below(2) === 0 ? [faultBy(random)] : []),
    collect,
    { do: 'put', path: paths[1], content, mode: 'put' },
  ];
}

/** A file is changed in place while somebody reads it, and what it was is collected: he goes on reading. */
function readingBesideBy(random: Random): readonly Operation[] {
  const path = `/${one(FILES, random)}`;
  const length = one([9_000, 16_000, 16_000], random);
  return [
    // Three has a hole: what is behind it is read apart.
    { do: 'put', path, content: { id: one([1, 3, 3], random), length }, mode: 'put' },
    { do: 'read', path, parts: 1 + random.below(3) },
    random.below(4) > 0
      ? { do: 'm.write', path, offset: 0, content: { id: 2, length } }
      : { do: 'remove', path, recursive: false },
    { do: 'm.sync' },
    // Until nothing of the past is kept, but not as long as nobody reads.
    { do: 'wait', ms: one([1, 1_000_000], random) },
    { do: 'collect', graceSeconds: one([0, 0, 600], random), share: 0 },
    { do: 'read.end' },
  ];
}

function batchBy(random: Random): Operation {
  const part = (): BatchPart => {
    const put = (): BatchPart => {
      const mode = one(['put', 'put', 'put', 'create'] as const, random);
      return { do: 'put', path: `/${one(FILES, random)}`, content: contentBy(random), mode };
    };
    const kinds: readonly (() => BatchPart)[] = [
      ...[put, put, put, put, put],
      () => ({ do: 'mkdir', path: folderBy(random) }),
      () => ({ do: 'move', from: fileBy(random), to: fileBy(random), overwrite: random.below(3) > 0 }),
      () => ({ do: 'copy', from: fileBy(random), to: fileBy(random) }),
      () => ({ do: 'remove', path: fileBy(random), recursive: false }),
    ];
    return one(kinds, random)();
  };
  return { do: 'batch', operations: Array.from({ length: 2 + random.below(3) }, part) };
}

/** A change that is taken back by itself, or with all since a snapshot. */
function thereAndBack(random: Random): readonly Operation[] {
  const change = plainBy(random);
  if (random.below(2) === 0) return [change, ...(random.below(3) === 0 ? [faultBy(random)] : []), { do: 'undo' }];
  const name = one(SNAPSHOTS, random);
  return [
    { do: 'snapshot', name },
    change,
    plainBy(random),
    ...(random.below(3) === 0 ? [faultBy(random)] : []),
    { do: 'return', name },
  ];
}

function plainBy(random: Random): Operation {
  const kinds: readonly (() => Operation)[] = [
    () => ({ do: 'put', path: `/${one(FILES, random)}`, content: contentBy(random), mode: 'put' }),
    () => ({ do: 'remove', path: one(['/x', '/p', '/p/y'], random), recursive: true }),
    () => ({ do: 'move', from: one(['/x', '/p/y'], random), to: fileBy(random), overwrite: true }),
    () => ({ do: 'move', from: '/p', to: '/q', overwrite: false }),
    () => ({ do: 'set', path: '/x', mode: one(MODES, random), tag: tagBy(random) }),
    () => ({ do: 'copy', from: '/p', to: '/q' }),
    () => batchBy(random),
  ];
  return one(kinds, random)();
}

function faultBy(random: Random): Operation {
  const kind = one(['cut', 'cut', 'cut', 'kill', 'io', 'full'] as const, random);
  return { do: 'fault', kind, call: 1 + random.below(CALLS_MAX), chance: random.below(2 ** 31) };
}

const UPLOADS = ['u', 'v'] as const;
/** Of one part; of two now and then, of which the first is of 64 KiB. */
const UPLOAD_LENGTHS = [700, 6_000, 9_000, 16_000, 16_000, 67_000] as const;

/** Parts in any order, what is there already or not, and an end; or none, and somebody else finds it again. */
function uploadBy(random: Random): readonly Operation[] {
  const name = one(UPLOADS, random);
  const content = { id: random.below(CONTENT_COUNT), length: one(UPLOAD_LENGTHS, random) };
  const parts: Operation[] = partsBy(content, name, random);
  const faults = random.below(2) === 0 ? [faultBy(random)] : [];
  const ends: readonly Operation[] = [
    { do: 'up.complete', name },
    { do: 'up.complete', name },
    { do: 'up.remove', name },
  ];
  return [
    { do: 'up.begin', name, path: fileBy(random), content },
    ...(random.below(2) === 0 ? faults : []),
    ...parts,
    ...(random.below(3) === 0 ? [{ do: 'collect', graceSeconds: 0, share: 0 } as const] : []),
    ...(random.below(4) === 0 ? [] : [one(ends, random)]),
  ];
}

function partsBy({ length }: Content, name: string, random: Random): Operation[] {
  const count = Math.ceil(length / PART_BYTES_MIN);
  const parts = Array.from({ length: count }, (_, index): Operation => {
    return { do: 'up.part', name, part: index + 1, isRest: random.below(2) === 0 };
  });
  return random.below(2) === 0 ? parts : parts.reverse();
}

/** A checkpoint, changes behind it, which may take away what it needs; and then only objects are left. */
function losingBy(random: Random): readonly Operation[] {
  const path = `/${one(FILES, random)}`;
  const content = { id: random.below(CONTENT_COUNT), length: one([6_000, 9_000, 16_000], random) };
  const gone: readonly Operation[] = [
    { do: 'remove', path, recursive: false },
    // Until nothing of the past is kept.
    { do: 'wait', ms: 4_000_000 },
    { do: 'tidy' },
    { do: 'collect', graceSeconds: 0, share: 0 },
  ];
  return [
    { do: 'put', path, content, mode: 'put' },
    { do: 'checkpoint' },
    ...(random.below(2) === 0 ? gone : [plainBy(random)]),
    ...(random.below(3) === 0 ? [faultBy(random)] : []),
    ...(random.below(3) === 0 ? [{ do: 'checkpoint' } as const, plainBy(random)] : []),
    { do: 'lose' },
  ];
}

const HOUR_MS = 3_600_000;

/** A schedule makes a snapshot in each of some hours, in which things change, and drops the oldest; snapshots made by hand stay. */
function schedulingBy(random: Random): readonly Operation[] {
  const keep = 1 + random.below(2);
  const turn = (): readonly Operation[] => [{ do: 'schedule', keep }, plainBy(random), { do: 'wait', ms: HOUR_MS }];
  return [
    ...turn(),
    ...(random.below(3) === 0 ? [{ do: 'snapshot', name: one(SNAPSHOTS, random) } as const] : []),
    ...turn(),
    ...(random.below(2) === 0 ? turn() : []),
    ...(random.below(2) === 0 ? [faultBy(random)] : []),
    random.below(2) === 0 ? { do: 'schedule', keep } : { do: 'prune', keep: random.below(2) },
  ];
}

type Maker = (random: Random) => Operation | readonly Operation[];

/** Each kind of operation with its share. */
const MAKERS: readonly (readonly [number, Maker])[] = [
  [8, (r) => ({ do: 'mkdir', path: folderBy(r) })],
  [
    14,
    (r) => ({ do: 'put', path: fileBy(r), content: contentBy(r), mode: one(['put', 'put', 'create', 'replace'], r) }),
  ],
  [3, (r) => ({ do: 'many', folder: one(FOLDERS, r), contents: [contentBy(r), contentBy(r), contentBy(r)] })],
  [3, (r) => ({ do: 'set', path: fileBy(r), mode: one(MODES, r), tag: tagBy(r) })],
  [5, (r) => ({ do: 'move', from: fileBy(r), to: fileBy(r), overwrite: r.below(3) > 0 })],
  [2, (r) => ({ do: 'move', from: folderBy(r), to: folderBy(r), overwrite: false })],
  [4, (r) => ({ do: 'copy', from: fileBy(r), to: fileBy(r) })],
  [2, (r) => ({ do: 'copy', from: folderBy(r), to: folderBy(r) })],
  [5, (r) => ({ do: 'remove', path: fileBy(r), recursive: false })],
  [2, (r) => ({ do: 'remove', path: folderBy(r), recursive: r.below(4) > 0 })],
  [4, (r) => ({ do: 'restore', path: fileBy(r), back: 1 + r.below(2) })],
  [6, (r) => ({ do: 'm.create', path: fileBy(r), content: contentBy(r) })],
  [8, (r) => ({ do: 'm.write', path: fileBy(r), offset: one(SIZES, r), content: contentBy(r) })],
  [3, (r) => ({ do: 'm.cut', path: fileBy(r), size: one(SIZES, r) })],
  [3, (r) => ({ do: 'm.mkdir', path: folderBy(r) })],
  [2, (r) => ({ do: 'm.symlink', path: `${one(FOLDERS, r)}/l`, target: one(['x', '../y', 'nowhere'], r) })],
  [3, (r) => ({ do: 'm.link', from: fileBy(r), to: fileBy(r) })],
  [4, (r) => ({ do: 'm.rename', from: fileBy(r), to: fileBy(r) })],
  [2, (r) => ({ do: 'm.rename', from: folderBy(r), to: folderBy(r) })],
  [4, (r) => ({ do: 'm.unlink', path: fileBy(r) })],
  [1, (r) => ({ do: 'm.rmdir', path: folderBy(r) })],
  [2, (r) => ({ do: 'm.chmod', path: fileBy(r), mode: one(MODES, r) })],
  [2, (r) => ({ do: 'm.tag', path: fileBy(r), tag: tagBy(r) })],
  [4, (r) => ({ do: 'm.fsync', path: fileBy(r) })],
  [2, () => ({ do: 'm.sync' })],
  [3, (r) => ({ do: 'wait', ms: one([1, 600, 700_000, 4_000_000], r) })],
  [3, () => ({ do: 'tidy' })],
  [5, (r) => ({ do: 'collect', graceSeconds: one([0, 0, 1, 600], r), share: one([0, 0.3], r) })],
  [2, (r) => ({ do: 'collect', graceSeconds: 0, share: 0, packsMax: 1 + r.below(2) })],
  [14, comingAndGoing],
  [6, readingBesideBy],
  [1, (r) => ({ do: 'read', path: fileBy(r), parts: 1 })],
  [1, () => ({ do: 'read.end' })],
  [5, batchBy],
  [9, thereAndBack],
  [2, () => ({ do: 'undo' })],
  [1, (r) => ({ do: 'return', name: one(SNAPSHOTS, r) })],
  [2, (r) => ({ do: 'fence', path: fileBy(r), content: contentBy(r), waitMs: one([0, 1_000, 70_000], r) })],
  [5, (r) => ({ do: 'snapshot', name: one(SNAPSHOTS, r) })],
  [3, (r) => ({ do: 'unsnapshot', name: one(SNAPSHOTS, r) })],
  [4, schedulingBy],
  [1, () => ({ do: 'schedule', keep: 2 })],
  [1, (r) => ({ do: 'prune', keep: r.below(3) })],
  [6, uploadBy],
  [1, (r) => ({ do: 'up.complete', name: one(UPLOADS, r) })],
  [1, (r) => ({ do: 'up.part', name: one(UPLOADS, r), part: 1, isRest: true })],
  [1, () => ({ do: 'up.expire' })],
  [5, losingBy],
  [1, () => ({ do: 'checkpoint' })],
  [1, () => ({ do: 'lose' })],
  [2, () => ({ do: 'restart' })],
  [14, faultBy],
  [1, (r) => ({ do: 'shrink', bytes: r.below(12_000) })],
  [1, () => ({ do: 'room' })],
];
const SHARES = MAKERS.reduce((sum, [share]) => sum + share, 0);

/** Operations in a run, or what belongs together, over all who act: few as a rule, so that many runs are started; in one of six, many. */
const FEW = { min: 2, spread: 5 };
const MANY = { min: 8, spread: 16 };
const MANY_EVERY = 6;
/** Calls of the disk that making a store takes, and a few more. */
const MAKING_CALLS = 40;
/** One run in so many works on SQLite itself. */
const SQLITE_EVERY = 50;

/** What stands in each actor's folder in the beginning, unless the store is made in the run. */
export const BEGINNING: readonly Operation[] = [
  { do: 'mkdir', path: '/p' },
  { do: 'put', path: '/x', content: { id: 1, length: 9_000 }, mode: 'create' },
  { do: 'put', path: '/p/y', content: { id: 2, length: 6_000 }, mode: 'create' },
];

/** The run that a seed stands for. */
export function scriptOf(seed: number): Script {
  const random = seededRandom(seed);
  const actorCount = one([1, 1, 1, 2, 3], random);
  const { min, spread } = random.below(MANY_EVERY) === 0 ? MANY : FEW;
  const count = min + random.below(spread);
  const setting: Setting = {
    engine: random.below(SQLITE_EVERY) === 0 ? 'sqlite' : 'journal',
    idAlgorithm: random.below(3) === 0 ? 'xxh3-128' : 'blake3',
    isSlow: random.below(2) === 0,
    packBytes: one([24_000, 64_000, 512_000], random),
    keepsVersions: random.below(2) === 0,
    makingCut: actorCount === 1 && random.below(20) === 0 ? 1 + random.below(MAKING_CALLS) : 0,
  };
  const actors: Operation[][] = Array.from({ length: actorCount }, () => []);
  for (let index = 0; index < count; index++) actors[index % actorCount]?.push(...operationsBy(random));
  return { seed, setting, actors };
}

/** One as a rule, and several that belong together now and then. */
function operationsBy(random: Random): readonly Operation[] {
  let at = random.below(SHARES);
  for (const [share, make] of MAKERS) {
    if (at < share) return [make(random)].flat();
    at -= share;
  }
  return [];
}

/** One line for people. */
export function shown(operation: Operation): string {
  const { do: kind, ...rest } = operation;
  return `${kind} ${JSON.stringify(rest)}`;
}
