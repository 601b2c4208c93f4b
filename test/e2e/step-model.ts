/**
 * A single writer's work on a folder, one call of the file system after the other, and what must stand there after each.
 * The calls follow from a seed and from nothing else, so that a process that made them and one that looks at what is
 * left of them need to exchange only how many there were.
 *
 * Each call is one request to a file system: a file is made, written in pieces and closed in calls of their own, several
 * files at once. So "a prefix of what was done" means one thing: the folder after N calls, for one N.
 */
import { createHash } from 'node:crypto';
import type { Random } from '../../src/base/index.ts';
import { seededRandom } from '../../src/base/index.ts';

/** Paths are relative to the writer's folder; a slot stands for an open file. */
export type Step =
  | { readonly kind: 'create'; readonly path: string; readonly slot: number }
  | { readonly kind: 'open'; readonly path: string; readonly slot: number; readonly isCut: boolean }
  | { readonly kind: 'write'; readonly slot: number; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly slot: number; readonly size: number }
  | { readonly kind: 'fsync' | 'close'; readonly slot: number }
  | { readonly kind: 'rename' | 'link'; readonly from: string; readonly to: string }
  | { readonly kind: 'symlink'; readonly path: string; readonly target: string }
  | { readonly kind: 'chmod'; readonly path: string; readonly mode: number }
  | { readonly kind: 'mkdir' | 'rmdir' | 'unlink'; readonly path: string };

export interface WorkStyle {
  readonly seed: number;
  /** Bytes that a file is grown to, about. */
  readonly fileBytesMax: number;
  /** One call in so many is a fsync; 0: none. */
  readonly fsyncEvery: number;
}

/** What can be seen of a node: `folder 755`, `symlink goal`, `file 644 1 links 10 bytes 1a2b…`. */
export type Marks = ReadonlyMap<string, string>;

interface Node {
  readonly kind: 'file' | 'folder' | 'symlink';
  mode: number;
  target: string;
  bytes: Buffer;
  size: number;
  links: number;
  /** The last call that changed it. */
  touched: number;
}

/** One call writes at most this: below what the kernel sends at once. */
const PIECE_BYTES = 100_000;
const PAGE_BYTES = 4_096;
const SLOTS_MAX = 4;
const FOLDER_DEPTH_MAX = 4;
const NODES_MAX = 150;
const POOL_BYTES = 1 << 20;

export class StepModel {
  readonly #style: WorkStyle;
  readonly #random: Random;
  readonly #tree = new Map<string, Node>();
  readonly #open: (Node | undefined)[] = [];
  readonly #noise: Buffer;
  readonly #text: Buffer;
  #count = 0;

  constructor(style: WorkStyle) {
    this.#style = style;
    this.#random = seededRandom(style.seed);
    this.#noise = Buffer.from(this.#random.bytes(POOL_BYTES));
    this.#text = Buffer.alloc(POOL_BYTES, `a line of writer ${style.seed} that many files have\n`);
  }

  /** Draws the next call, from what the calls before it left. */
  next(): Step {
    this.#count++;
    const { fsyncEvery } = this.#style;
    const slot = this.#random.below(SLOTS_MAX);
    const node = this.#open[slot];
    if (fsyncEvery > 0 && node !== undefined && this.#random.below(fsyncEvery) === 0) return { kind: 'fsync', slot };
    if (this.#random.below(3) === 0) return this.#onNames() ?? this.#begin(slot, node);
    return node === undefined ? this.#begin(slot, node) : this.#onFile(slot, node);
  }

  #begin(slot: number, node: Node | undefined): Step {
    if (node !== undefined) return { kind: 'close', slot };
    const path = this.#any('file');
    if (path !== undefined && this.#random.below(3) === 0)
      return { kind: 'open', path, slot, isCut: this.#random.below(2) === 0 };
    if (this.#tree.size < NODES_MAX) return { kind: 'create', path: this.#fresh('f'), slot };
    return path === undefined ? { kind: 'mkdir', path: this.#fresh('d') } : { kind: 'unlink', path };
  }

  #onFile(slot: number, node: Node): Step {
    const dice = this.#random.below(20);
    if (dice < 4) return { kind: 'close', slot };
    if (dice === 4) return { kind: 'truncate', slot, size: this.#random.below(node.size * 2 + 2) };
    const offset = dice < 7 ? this.#random.below(node.size + 5_000) : node.size;
    if (offset >= this.#style.fileBytesMax) return { kind: 'close', slot };
    return { kind: 'write', slot, offset, bytes: this.#bytes() };
  }

  /** Says itself whose and which call it was, so that none looks like another. */
  #bytes(): Uint8Array {
    const length = 40 + this.#random.below(this.#random.below(3) === 0 ? PIECE_BYTES : 6_000);
    const pool = this.#random.below(3) === 0 ? this.#text : this.#noise;
    const at = this.#random.below(pool.length - length);
    const bytes = Buffer.from(pool.subarray(at, at + length));
    bytes.write(`[${this.#style.seed} call ${this.#count}]`);
    return bytes;
  }

  #onNames(): Step | undefined {
    const dice = this.#random.below(12);
    const file = this.#any('file');
    const folder = this.#any('folder');
    if (dice < 2) return { kind: 'mkdir', path: this.#fresh('d') };
    if (dice === 2 && folder !== undefined) return this.#onFolder(folder);
    if (dice === 3) return { kind: 'symlink', path: this.#fresh('l'), target: `goal-${this.#count}` };
    if (file === undefined) return undefined;
    if (dice === 4) return { kind: 'chmod', path: file, mode: 0o600 + this.#random.below(0o100) };
    if (dice === 5) return { kind: 'link', from: file, to: this.#fresh('h') };
    if (dice === 6) return { kind: 'rename', from: file, to: this.#fresh('r') };
    if (dice < 9) return { kind: 'unlink', path: file };
    const goal = this.#any('file');
    if (goal === undefined || this.#tree.get(goal) === this.#tree.get(file)) return undefined;
    return { kind: 'rename', from: file, to: goal };
  }

  #onFolder(folder: string): Step | undefined {
    const isEmpty = ![...this.#tree.keys()].some((path) => path.startsWith(`${folder}/`));
    if (isEmpty && this.#random.below(2) === 0) return { kind: 'rmdir', path: folder };
    const to = this.#fresh('m');
    return to.startsWith(`${folder}/`) ? undefined : { kind: 'rename', from: folder, to };
  }

  #any(kind: Node['kind']): string | undefined {
    const paths = [...this.#tree].filter(([, node]) => node.kind === kind).map(([path]) => path);
    return paths.length === 0 ? undefined : paths[this.#random.below(paths.length)];
  }

  #fresh(letter: string): string {
    const folder = this.#random.below(2) === 0 ? this.#any('folder') : undefined;
    const name = `${letter}${this.#count}`;
    return folder === undefined || folder.split('/').length >= FOLDER_DEPTH_MAX ? name : `${folder}/${name}`;
  }

  /** Answers the paths whose marks may be others now. */
  apply(step: Step): readonly string[] {
    const paths = this.#apply(step);
    for (const path of paths) {
      const node = this.#tree.get(path);
      if (node !== undefined) node.touched = this.#count;
    }
    return paths;
  }

  /** How many calls are durable once the file in the slot is: up to the last that changed it. Others may come later. */
  durableWith(slot: number): number {
    return this.#opened(slot).touched;
  }

  #apply(step: Step): readonly string[] {
    switch (step.kind) {
      case 'create':
        this.#open[step.slot] = newNode('file', 0o644);
        this.#tree.set(step.path, this.#opened(step.slot));
        return [step.path];
      case 'open': {
        const node = this.#node(step.path);
        this.#open[step.slot] = node;
        if (!step.isCut) return [];
        return this.#resize(node, 0);
      }
      case 'write': {
        const node = this.#opened(step.slot);
        const end = step.offset + step.bytes.length;
        if (end > node.size) this.#resize(node, end);
        node.bytes.set(step.bytes, step.offset);
        return this.#pathsOf(node);
      }
      case 'truncate':
        return this.#resize(this.#opened(step.slot), step.size);
      case 'fsync':
        return [];
      case 'close':
        this.#open[step.slot] = undefined;
        return [];
      case 'link': {
        const node = this.#node(step.from);
        node.links++;
        this.#tree.set(step.to, node);
        return this.#pathsOf(node);
      }
      case 'rename':
        return this.#rename(step.from, step.to);
      case 'unlink':
        return this.#unlink(step.path);
      case 'mkdir':
        this.#tree.set(step.path, newNode('folder', 0o755));
        return [step.path];
      case 'rmdir':
        this.#tree.delete(step.path);
        return [step.path];
      case 'symlink':
        this.#tree.set(step.path, { ...newNode('symlink', 0o777), target: step.target });
        return [step.path];
      case 'chmod': {
        const node = this.#node(step.path);
        node.mode = step.mode;
        return this.#pathsOf(node);
      }
    }
  }

  #unlink(path: string): readonly string[] {
    const node = this.#node(path);
    this.#tree.delete(path);
    node.links--;
    return [path, ...this.#pathsOf(node)];
  }

  #rename(from: string, to: string): readonly string[] {
    const touched = this.#tree.has(to) ? this.#unlink(to) : [];
    const below = [...this.#tree].filter(([path]) => path === from || path.startsWith(`${from}/`));
    const goals = below.map(([path]) => to + path.slice(from.length));
    for (const [path] of below) this.#tree.delete(path);
    for (const [index, [, node]] of below.entries()) this.#tree.set(goals[index] ?? '', node);
    return [...touched, ...below.map(([path]) => path), ...goals];
  }

  #resize(node: Node, size: number): readonly string[] {
    if (size > node.bytes.length) {
      const larger = Buffer.alloc(size * 2);
      larger.set(node.bytes.subarray(0, node.size));
      node.bytes = larger;
    } else if (size < node.size) node.bytes.fill(0, size, node.size);
    node.size = size;
    return this.#pathsOf(node);
  }

  #node(path: string): Node {
    const node = this.#tree.get(path);
    if (node === undefined) throw new Error(`The model has no ${path}.`);
    return node;
  }

  #opened(slot: number): Node {
    const node = this.#open[slot];
    if (node === undefined) throw new Error(`The model has nothing open in slot ${slot}.`);
    return node;
  }

  #pathsOf(node: Node): string[] {
    return [...this.#tree].filter(([, each]) => each === node).map(([path]) => path);
  }

  /** Whether the path looks as it was found; without a mark: whether it is not there. */
  looksLike(path: string, found: string | undefined): boolean {
    const node = this.#tree.get(path);
    if (node === undefined || found === undefined) return node === undefined && found === undefined;
    const cheap = markStart(node);
    if (node.kind !== 'file') return found === cheap;
    return found.startsWith(cheap) && found === cheap + digestOf(node.bytes.subarray(0, node.size));
  }

  markOf(path: string): string {
    const node = this.#tree.get(path);
    if (node === undefined) return 'nothing';
    return markStart(node) + (node.kind === 'file' ? digestOf(node.bytes.subarray(0, node.size)) : '');
  }
}

function newNode(kind: Node['kind'], mode: number): Node {
  return { kind, mode, target: '', bytes: Buffer.alloc(0), size: 0, links: 1, touched: 0 };
}

/** All of a mark but the digest of a file's bytes. */
export function markStart(node: Pick<Node, 'kind' | 'mode' | 'target' | 'size' | 'links'>): string {
  if (node.kind === 'folder') return `folder ${node.mode.toString(8)}`;
  if (node.kind === 'symlink') return `symlink ${node.target}`;
  return `file ${node.mode.toString(8)} ${node.links} links ${node.size} bytes `;
}

export function digestOf(bytes: Uint8Array): string {
  return createHash('sha1').update(bytes).digest('hex');
}

/** The requests that the kernel makes of a call: a write that begins within a page may come in two, cut where that ends. */
function partsOf(step: Step): Step[] {
  if (step.kind !== 'write') return [step];
  const head = PAGE_BYTES - (step.offset % PAGE_BYTES);
  if (head === PAGE_BYTES || head >= step.bytes.length) return [step];
  const { offset, bytes } = step;
  return [
    { ...step, bytes: bytes.subarray(0, head) },
    { ...step, offset: offset + head, bytes: bytes.subarray(head) },
  ];
}

export interface PrefixQuestion {
  readonly style: WorkStyle;
  readonly found: Marks;
  /** Calls that are durable for certain. */
  readonly floor: number;
  /** Calls that may have been made, the one under way among them. */
  readonly ceiling: number;
}

/** How many calls the folder shows the effects of, exactly; else the nearest miss, in words. */
export function prefixOf({ style, found, floor, ceiling }: PrefixQuestion): number | string {
  const model = new StepModel(style);
  const wrong = new Set(found.keys());
  let nearest = { count: 0, wrong: [...wrong] };
  const take = (step: Step): void => {
    for (const path of model.apply(step)) {
      if (model.looksLike(path, found.get(path))) wrong.delete(path);
      else wrong.add(path);
    }
  };
  for (let count = 0; ; count++) {
    if (count >= floor) {
      if (wrong.size === 0) return count;
      if (count === floor || wrong.size < nearest.wrong.length) nearest = { count, wrong: [...wrong] };
    }
    if (count === ceiling) break;
    const [last, ...first] = partsOf(model.next()).reverse();
    for (const part of first) {
      take(part);
      if (count >= floor && wrong.size === 0) return count;
    }
    if (last !== undefined) take(last);
  }
  return `no prefix of ${floor} to ${ceiling} calls is what was found; nearest is ${sayMiss(style, found, nearest)}`;
}

const MISSES_SHOWN = 5;
const STEPS_SHOWN = 12;

function sayMiss(
  style: WorkStyle,
  found: Marks,
  nearest: { readonly count: number; readonly wrong: readonly string[] },
): string {
  const model = new StepModel(style);
  const last: string[] = [];
  for (let count = 0; count < nearest.count; count++) {
    const step = model.next();
    model.apply(step);
    last.push(`${count + 1} ${sayStep(step)}`);
  }
  const misses = nearest.wrong
    .slice(0, MISSES_SHOWN)
    .map((path) => `${path}: expected ${model.markOf(path)}, found ${found.get(path) ?? 'nothing'}`);
  return [`${nearest.count}, with ${nearest.wrong.length} wrong:`, ...misses, ...last.slice(-STEPS_SHOWN)].join('\n  ');
}

function sayStep(step: Step): string {
  return JSON.stringify(step, (key, value) => (key === 'bytes' ? Object.keys(value).length : value));
}
