/**
 * Many things over HTTP, results in the order of the items. Small ones go together: a form of many files is one request
 * and few commits, where single requests would wait for a commit each. What is larger, or of unknown size, is a request of
 * its own. A request waits for those before it that it stands on: the folders above its items, and whatever has one of
 * their paths.
 */
import {
  type BulkAnswer,
  type BulkItem,
  type BulkResult,
  bytesOfText,
  type Changing,
  type FileService,
  faultOfProblem,
  pathOfText,
  textOfPath,
  urlOfPath,
} from '../api/index.ts';
import { bytesOfHex, concatBytes, Fault, limit, utf8 } from '../base/index.ts';

/** Files up to this size go together. */
const SMALL_BYTES_MAX = 256 * 1024;
/** Items and bytes of one form. The server commits as many items at once. */
const FORM_ITEMS_MAX = 512;
const FORM_BYTES_MAX = 4 * 1024 * 1024;
/** Forms, and single requests, at once. */
const FORMS_AT_ONCE_MAX = 2;
const WRITES_AT_ONCE_MAX = 16;
/** Sources that are read at once. */
const READS_AT_ONCE_MAX = 32;
/** Single requests begun before the result of the first of them is taken; a form counts as many. */
const WINDOW_MAX = 64;
const FORM_WEIGHT = 16;
const FILE_MODE_MAX = 0o7777;

export interface BulkWriter {
  readonly service: FileService;
  /** Of the forms that are sent. */
  readonly boundary: string;
  readonly sendForm: (form: Uint8Array) => Promise<BulkAnswer>;
}

export async function* writeManyThrough(
  writer: BulkWriter,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  options: Changing,
): AsyncGenerator<BulkResult> {
  const sending = new Sending(writer, options);
  for await (const item of items) {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Writing many files');
    sending.add(item);
    while (sending.isFull) yield* await sending.first();
  }
  sending.flush();
  while (sending.hasMore) yield* await sending.first();
}

/** One part of a form, or why there is none. */
type Part = { readonly bytes: Uint8Array } | { readonly fault: Error };

interface Gathered {
  readonly item: BulkItem;
  readonly part: Promise<Part>;
}

interface Begun {
  readonly results: Promise<readonly BulkResult[]>;
  readonly weight: number;
}

class Sending {
  readonly #writer: BulkWriter;
  readonly #options: Changing;
  readonly #forms = limit({ running: FORMS_AT_ONCE_MAX, what: 'forms of files' });
  readonly #writes = limit({ running: WRITES_AT_ONCE_MAX, what: 'writing many files' });
  readonly #reads = limit({ running: READS_AT_ONCE_MAX, what: 'reading many files' });
  readonly #inFlight = new Map<string, Promise<unknown>>();
  readonly #begun: Begun[] = [];
  #weight = 0;
  #gathered: Gathered[] = [];
  #gatheredBytes = 0;

  constructor(writer: BulkWriter, options: Changing) {
    this.#writer = writer;
    this.#options = options;
  }

  get isFull(): boolean {
    return this.#weight >= WINDOW_MAX;
  }

  get hasMore(): boolean {
    return this.#begun.length > 0;
  }

  /** Results of what was begun first. */
  async first(): Promise<readonly BulkResult[]> {
    const begun = this.#begun.shift();
    this.#weight -= begun?.weight ?? 0;
    return (await begun?.results) ?? [];
  }

  add(item: BulkItem): void {
    const bytes = item.kind === 'file' ? item.size : 0;
    if (bytes === undefined || bytes > SMALL_BYTES_MAX) {
      this.flush();
      this.#begin([item], 1, () => this.#writes.run(async () => [await this.#writeOne(item)]));
      return;
    }
    const isFull = this.#gathered.length === FORM_ITEMS_MAX || this.#gatheredBytes + bytes > FORM_BYTES_MAX;
    if (isFull) this.flush();
    this.#gathered.push({ item, part: this.#reads.run(() => partOf(item, this.#writer.boundary)) });
    this.#gatheredBytes += bytes;
  }

  /** Sends what was gathered. */
  flush(): void {
    const gathered = this.#gathered;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    if (gathered.length === 0) return;
    const items = gathered.map(({ item }) => item);
    this.#begin(items, FORM_WEIGHT, () => this.#forms.run(() => this.#sendForm(gathered)));
  }

  #begin(items: readonly BulkItem[], weight: number, send: () => Promise<readonly BulkResult[]>): void {
    const before = new Set<Promise<unknown>>();
    const own = new Set<string>();
    for (const { path } of items) {
      const paths = pathsOf(path);
      for (const one of paths) {
        const other = this.#inFlight.get(one);
        if (other !== undefined) before.add(other);
      }
      if (paths[0] !== undefined) own.add(paths[0]);
    }
    const results = Promise.all(before).then(send);
    for (const path of own) this.#inFlight.set(path, results);
    const forget = (): void => {
      for (const path of own) if (this.#inFlight.get(path) === results) this.#inFlight.delete(path);
    };
    results.then(forget, forget);
    this.#begun.push({ results, weight });
    this.#weight += weight;
  }

  /** Never rejects: what fails is the fault of every item that was in it. */
  async #sendForm(gathered: readonly Gathered[]): Promise<readonly BulkResult[]> {
    const parts = await Promise.all(gathered.map(({ part }) => part));
    const ready = parts.flatMap((part) => ('bytes' in part ? [part.bytes] : []));
    let sent: BulkAnswer['results'] = [];
    let fault: Error | undefined;
    try {
      if (this.#options.signal?.aborted) throw Fault.aborted(this.#options.signal, 'Writing many files');
      const end = utf8(`--${this.#writer.boundary}--\r\n`);
      if (ready.length > 0) sent = (await this.#writer.sendForm(concatBytes([...ready, end]))).results ?? [];
    } catch (error) {
      fault = asError(error);
    }
    const rest = sent.values();
    return gathered.map(({ item: { path } }, index): BulkResult => {
      const part = parts[index];
      if (part !== undefined && 'fault' in part) return { path, ok: false, fault: part.fault };
      const result = fault === undefined ? rest.next().value : undefined;
      if (result?.record !== undefined) return { path, ok: true, record: result.record };
      const told = faultOfProblem(result?.problem);
      return { path, ok: false, fault: fault ?? told ?? new Fault('unavailable', 'The server did not say.', { path }) };
    });
  }

  /** Never rejects. */
  async #writeOne(item: BulkItem): Promise<BulkResult> {
    const { path, size, xxhash3, sha256, modified, permissions } = item;
    const { signal } = this.#options;
    try {
      if (signal?.aborted) throw Fault.aborted(signal, 'Writing many files');
      const source = (await item.source?.()) ?? [];
      const announced = { size, xxhash3, sha256, modified, permissions };
      const record = await this.#writer.service.write(path, source, { mode: 'put', ...announced, ...this.#options });
      return { path, ok: true, record };
    } catch (error) {
      return { path, ok: false, fault: asError(error) };
    }
  }
}

function asError(error: unknown): Error {
  return error instanceof Error ? error : new Fault('io', `Writing failed: ${error}`, {});
}

/** The path itself and all above it, in one spelling; nothing for a path that is refused anyway. */
function pathsOf(text: string): string[] {
  try {
    const path = pathOfText(text);
    return path.map((_, depth) => textOfPath(path.slice(0, path.length - depth)));
  } catch {
    return [];
  }
}

/** Never rejects. */
async function partOf(item: BulkItem, boundary: string): Promise<Part> {
  try {
    const { kind, size, xxhash3, sha256, modified, permissions } = item;
    const headers: Readonly<Record<string, string | undefined>> = {
      'content-disposition': 'form-data; name="file"; filename="file"',
      'x-file-path': urlOfPath(pathOfText(item.path)),
      'x-file-kind': kind,
      'x-file-size': kind === 'file' ? size?.toString() : undefined,
      'x-file-hash': xxhash3,
      'content-digest': sha256 === undefined ? undefined : `sha-256=:${base64OfHex(sha256)}:`,
      'x-modified-time': modified,
      'x-file-mode': permissions === undefined ? undefined : (permissions & FILE_MODE_MAX).toString(8),
    };
    const lines = Object.entries(headers).map(([name, value]) => (value === undefined ? '' : `${name}: ${value}\r\n`));
    const head = utf8(`--${boundary}\r\n${lines.join('')}\r\n`);
    return { bytes: concatBytes([head, await contentOf(item), utf8('\r\n')]) };
  } catch (error) {
    return { fault: asError(error) };
  }
}

function base64OfHex(hex: string): string {
  return btoa(String.fromCharCode(...(bytesOfHex(hex) ?? [])));
}

async function contentOf(item: BulkItem): Promise<Uint8Array> {
  if (item.kind === 'symlink') return bytesOfText(item.target ?? '');
  if (item.kind === 'folder') return new Uint8Array();
  const pieces: Uint8Array[] = [];
  let length = 0;
  for await (const piece of (await item.source?.()) ?? []) {
    length += piece.length;
    // One byte too many is enough for the server to refuse it.
    pieces.push(piece.slice());
    if (length > (item.size ?? 0)) break;
  }
  return concatBytes(pieces);
}
