/**
 * From a stream of bytes to a content that a commit can link. A small content is kept as drafts and goes into the very
 * change that links it. A larger one is built hidden, in bounded steps: each step is a group of its own, under a `reaps`
 * row that names this process as its builder; the linking change removes that row. Whatever happens in between, a
 * crash included, leaves a content that nobody can see and that is taken apart later.
 */
import type { ByteSource } from '../../api/index.ts';
import { assert, EMPTY_BYTES, Fault } from '../../base/index.ts';
import {
  type CompressionLevel,
  type ContentWriter,
  type Draft,
  INLINE_BYTES_MAX,
  type TakenFile,
  xxh3Of,
} from '../../chunks/index.ts';
import { type ContentId, type Delete, type Put, REAP_KIND } from '../../meta/index.ts';
import { type Context, commit, type Space } from '../context.ts';
import { extentsOfDrafts } from './extents.ts';

/** Drafts that one hidden step commits; a content with fewer needs none. */
export const STEP_DRAFTS = 1_000;
/** Bytes handed to the chunk store at once. */
const PIECE_BYTES = 4 * 1024 * 1024;

export interface Announced {
  readonly size?: number | undefined;
  /** XXH3-64, 16 hex digits. */
  readonly xxhash3?: string | undefined;
  /** Lower-case hex. */
  readonly sha256?: string | undefined;
}

export interface BuildOptions {
  readonly level: CompressionLevel;
  readonly announced: Announced;
  readonly signal?: AbortSignal | undefined;
  /** Bytes as they pass, for a checksum that the caller wants besides. */
  readonly onBytes?: ((bytes: Uint8Array) => void) | undefined;
}

/** A content that is ready to be linked. Dispose after the commit, or instead of it. */
export interface Built extends AsyncDisposable {
  readonly content: ContentId;
  readonly size: number;
  readonly hash: Uint8Array;
  /** What the linking change must put before the node that names the content. */
  readonly puts: readonly Put[];
  /** Takes away the note that it is being built hidden, if it is. */
  readonly reap: readonly Delete[];
  /** The commit that links it is durable. */
  linked(): void;
}

/** @throws Fault `mismatch` for an announcement that did not come true, `too-large`, and whatever the source throws. */
export async function buildContent(
  context: Context,
  space: Space,
  source: ByteSource,
  options: BuildOptions,
): Promise<Built> {
  const announced = options.announced.size;
  if (announced !== undefined) checkSize(context, announced);
  const few = fewBytesOf(source);
  if (few !== undefined) return buildFew(context, space, few, options);
  const content = await context.ids.content(space.space);
  const builder = new ContentBuilder(context, space, content, options);
  try {
    for await (const bytes of source) await builder.write(bytes);
    return await builder.finish();
  } catch (error) {
    await builder[Symbol.asyncDispose]();
    throw error;
  }
}

/** All bytes of a source, where they are at hand and so few that they stand in their row. */
export function fewBytesOf(source: ByteSource): Uint8Array | undefined {
  if (!Array.isArray(source) || source.length > 1) return undefined;
  const [bytes = EMPTY_BYTES] = source as readonly Uint8Array[];
  return bytes.length <= INLINE_BYTES_MAX ? bytes : undefined;
}

/** What a writer would make of them, without one. */
async function buildFew(
  context: Context,
  space: Space,
  bytes: Uint8Array,
  { announced, level, signal, onBytes }: BuildOptions,
): Promise<Built> {
  if (signal?.aborted) throw Fault.aborted(signal, 'Writing a file');
  const size = bytes.length;
  checkSize(context, size);
  if (announced.size !== undefined && announced.size !== size) throw sizeMismatch(announced.size, String(size));
  onBytes?.(bytes);
  const drafts = size === 0 ? [] : [await context.chunks.keepInline(bytes, level)];
  const content = await context.ids.content(space.space);
  return builtOf(space, content, { size, hash: xxh3Of(bytes), drafts: { drafts, puts: [] }, release: () => undefined });
}

/** A file that the chunk store has taken whole, as a content. */
export function builtOf(space: Space, content: ContentId, file: TakenFile): Built {
  return new TakenContent(space, content, file);
}

class TakenContent implements Built {
  readonly content: ContentId;
  readonly size: number;
  readonly hash: Uint8Array;
  readonly puts: readonly Put[];
  readonly reap = NO_DELETES;
  readonly #release: () => void;

  constructor(space: Space, content: ContentId, { size, hash, drafts, release }: TakenFile) {
    const row = { space: space.space, content, size, refs: 0, base: null, hash };
    const extents = extentsOfDrafts(space, content, drafts.drafts, 0, 'insert');
    this.content = content;
    this.size = size;
    this.hash = hash;
    this.puts = [{ table: 'contents', mode: 'insert', row }, ...drafts.puts, ...extents];
    this.#release = release;
  }

  linked(): void {}

  async [Symbol.asyncDispose](): Promise<void> {
    this.#release();
  }
}

const NO_DELETES: readonly Delete[] = [];

export function checkSize(context: Context, size: number): void {
  const bytesMax = context.options.fileBytesMax;
  if (size <= bytesMax) return;
  throw new Fault(
    'too-large',
    `The file has ${size} bytes or more; the most that one file may have here is ${bytesMax}.`,
    { size, bytesMax },
  );
}

class ContentBuilder implements AsyncDisposable {
  readonly #context: Context;
  readonly #space: Space;
  readonly #content: ContentId;
  readonly #options: BuildOptions;
  readonly #writer: ContentWriter;
  #isHidden = false;
  #isLinked = false;
  /** At most one step under way: the stream goes on while it is made durable. */
  #step: Promise<void> = Promise.resolve();
  #stepFault: unknown;

  constructor(context: Context, space: Space, content: ContentId, options: BuildOptions) {
    this.#context = context;
    this.#space = space;
    this.#content = content;
    this.#options = options;
    this.#writer = context.chunks.newWriter({
      level: options.level,
      size: options.announced.size,
      signal: options.signal,
    });
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Writing a file');
    const size = this.#writer.size + bytes.length;
    checkSize(this.#context, size);
    const announced = this.#options.announced.size;
    if (announced !== undefined && size > announced) throw sizeMismatch(announced, `${size} or more`);
    this.#options.onBytes?.(bytes);
    // In pieces, so that however much comes at once, a step never has many more drafts than its bound.
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      await this.#writer.write(bytes.subarray(at, at + PIECE_BYTES));
      if (this.#writer.readyCount >= STEP_DRAFTS) await this.#startStep();
    }
  }

  async finish(): Promise<Built> {
    const { size, hash } = await this.#writer.finish();
    const { size: announcedSize } = this.#options.announced;
    if (announcedSize !== undefined && announcedSize !== size) throw sizeMismatch(announcedSize, String(size));
    while (this.#writer.readyCount > STEP_DRAFTS) await this.#startStep();
    await this.#endStep();
    const { drafts, puts } = this.#writer.take();
    const row = { space: this.#space.space, content: this.#content, size, refs: 0, base: null, hash };
    return {
      content: this.#content,
      size,
      hash,
      reap: this.#isHidden ? [{ table: 'reaps', key: [this.#space.space, REAP_KIND.content, this.#content] }] : [],
      puts: [
        { table: 'contents', mode: this.#isHidden ? 'replace' : 'insert', row },
        ...puts,
        ...this.#extents(drafts),
      ],
      linked: () => {
        this.#isLinked = true;
      },
      [Symbol.asyncDispose]: () => this[Symbol.asyncDispose](),
    };
  }

  async #startStep(): Promise<void> {
    await this.#endStep();
    const { drafts, puts } = this.#writer.take();
    assert(drafts.length > 0, 'a step has drafts');
    const isFirst = !this.#isHidden;
    this.#isHidden = true;
    const { space } = this.#space;
    const hidden: readonly Put[] = isFirst
      ? [
          {
            table: 'contents',
            mode: 'insert',
            row: { space, content: this.#content, size: 0, refs: 0, base: null, hash: null },
          },
          {
            table: 'reaps',
            mode: 'insert',
            row: { space, kind: REAP_KIND.content, target: this.#content, owner: this.#context.owner, died: 0 },
          },
        ]
      : [];
    const change = { space, now: this.#context.clock.now(), puts: [...hidden, ...puts, ...this.#extents(drafts)] };
    this.#step = commit(this.#context, change).then(
      () => undefined,
      (error: unknown) => {
        this.#stepFault = error;
      },
    );
  }

  async #endStep(): Promise<void> {
    await this.#step;
    if (this.#stepFault !== undefined) throw this.#stepFault;
  }

  #extents(drafts: readonly Draft[]): readonly Put[] {
    return extentsOfDrafts(this.#space, this.#content, drafts, 0, 'insert');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#step;
    await this.#writer[Symbol.asyncDispose]();
    if (!this.#isHidden || this.#isLinked) return;
    this.#isHidden = false;
    await abandon(this.#context, this.#space, this.#content);
  }
}

/** Gives a hidden content to the reaper. When even that fails, the next opening finds that its builder is dead. */
async function abandon(context: Context, space: Space, content: ContentId): Promise<void> {
  const row = { space: space.space, kind: REAP_KIND.content, target: content, owner: '', died: 0 };
  try {
    await commit(context, {
      space: space.space,
      now: context.clock.now(),
      puts: [{ table: 'reaps', mode: 'replace', row }],
    });
    context.onUnreachable();
  } catch (error) {
    context.log.warn('files.abandon-failed', { content, error: String(error) });
  }
}

function sizeMismatch(announced: number, actual: string): Fault {
  const sentence = `The file was announced with ${announced} bytes, but ${actual} came. Nothing was stored; send it again.`;
  return new Fault('mismatch', sentence, { announced, actual });
}
