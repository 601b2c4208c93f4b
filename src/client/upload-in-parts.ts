/**
 * A large file sent in parts, several at once, and gone on with: after a break of the connection, a restart of the server,
 * or a new start of this client. An open upload of the same path, size and modification time is taken up again; parts that
 * it has are compared with the file by their hash, and only the others are sent. What the server stored of each part is
 * compared as well, so that in the end every byte was looked at on both sides. Where the source can cut as the store does,
 * the store is asked which chunks of a part it has, and only the others are sent; the less it has, the rarer it is asked.
 */
import {
  type ByteSource,
  type Changing,
  type ChunkClaim,
  type Chunking,
  type FileRecord,
  type FileService,
  HAVE_CHUNKS_MAX,
  type UploadPartRecord,
  type UploadRecord,
} from '../api/index.ts';
import { assert, type Clock, Fault, momentOfIso, type Random, retry } from '../base/index.ts';

/** The bytes of a range, read once, and their XXH3-64 (16 hex digits) when all of them were. */
export interface HashedRun {
  readonly bytes: ByteSource;
  readonly hash: () => string;
}

export interface PartsSource {
  readonly size: number;
  /** As often as it takes. */
  readonly read: (offset: number, length: number) => HashedRun;
  /** The chunks of a range, as a store cuts and names them; absent where the source cannot tell. */
  readonly cut?: ((offset: number, length: number, chunking: Chunking) => Promise<readonly ChunkClaim[]>) | undefined;
  /** @throws when the file is no longer as it was: then nothing of it becomes visible. */
  readonly check: () => void;
}

export interface PartsOptions extends Changing {
  readonly modified: string | undefined;
  readonly permissions?: number | undefined;
  /** Parts at once. */
  readonly atOnce?: number | undefined;
  /** Bytes of a part, for an upload that is begun. */
  readonly partSize?: number | undefined;
  readonly clock: Clock;
  readonly random: Random;
  /** Bytes that are on their way or there; less than none for a part that is sent again. */
  readonly onBytes?: ((bytes: number) => void) | undefined;
}

const AT_ONCE = 3;
/** Smaller than where a server chooses itself: so much at most of each is sent again after a break. */
const PART_BYTES = 16 * 1024 * 1024;
const PARTS_WANTED_MAX = 5_000;
/** Tries of one part; enough for a server to be started again in between. */
const ATTEMPTS_MAX = 14;
const RETRY_DELAY_MS = 200;
const RETRY_DELAY_MS_MAX = 5_000;
/** Of a part, from which on it was worth asking; and after how many parts it is asked again at the latest. */
const KNOWN_SHARE_MIN = 0.1;
const PARTS_UNASKED_MAX = 32;
/** Uploads that turn out not to be of this file, or vanish, before it is given up. */
const UPLOADS_MAX = 3;

export async function uploadInParts(
  service: FileService,
  path: string,
  source: PartsSource,
  options: PartsOptions,
): Promise<FileRecord> {
  for (let tried = 1; ; tried++) {
    const sending = new Sending(service, path, source, options);
    try {
      return await sending.run();
    } catch (error) {
      sending.takeBack();
      // It was removed or has expired meanwhile, or has parts of other bytes.
      const isGone = Fault.is(error, 'not-found') && error.about.upload_id !== undefined;
      const isOther = error instanceof OtherUpload || isGone;
      if (!isOther || tried >= UPLOADS_MAX) throw error instanceof OtherUpload ? error.fault : error;
    }
  }
}

/** The upload is of other bytes than the file has. */
class OtherUpload extends Error {
  readonly fault: Fault;

  constructor(fault: Fault) {
    super(fault.message);
    this.fault = fault;
  }
}

class Sending {
  readonly #service: FileService;
  readonly #path: string;
  readonly #source: PartsSource;
  readonly #options: PartsOptions;
  /** The first failure ends all parts, and is what comes of it. */
  readonly #over = new AbortController();
  readonly #signal: AbortSignal;
  readonly #asking: Asking;
  #bytesTold = 0;

  constructor(service: FileService, path: string, source: PartsSource, options: PartsOptions) {
    this.#service = service;
    this.#path = path;
    this.#source = source;
    this.#options = options;
    this.#signal = AbortSignal.any([this.#over.signal, ...(options.signal === undefined ? [] : [options.signal])]);
    this.#asking = new Asking(service, source, this.#signal);
  }

  async run(): Promise<FileRecord> {
    const { uploads } = this.#service;
    const { signal, lockToken } = this.#options;
    const upload = await this.#again(() => this.#findOrBegin());
    const id = upload.upload_id;
    await this.#sendMissing(upload);
    this.#source.check();
    const size = this.#source.size;
    return await this.#again(() => uploads.complete(id, { size, lockToken, signal }));
  }

  /** Progress of an upload that came to nothing is none. */
  takeBack(): void {
    this.#tell(-this.#bytesTold);
  }

  #tell(bytes: number): void {
    this.#bytesTold += bytes;
    this.#options.onBytes?.(bytes);
  }

  async #findOrBegin(): Promise<UploadRecord> {
    const { uploads } = this.#service;
    const { modified, permissions, lockToken, signal } = this.#options;
    const { size } = this.#source;
    const open = (await uploads.list({ path: this.#path, signal })).uploads.filter((one) => this.#isOurs(one));
    const most = open.reduce<UploadRecord | undefined>(
      (best, one) => (one.received >= (best?.received ?? 0) ? one : best),
      undefined,
    );
    if (most !== undefined) return most;
    const usual = size > PARTS_WANTED_MAX * PART_BYTES ? undefined : PART_BYTES;
    const partSize = this.#options.partSize ?? usual;
    const wanted = { size, partSize, modified, permissions, parents: true, lockToken, signal };
    return await uploads.create(this.#path, { mode: 'put', ...wanted });
  }

  #isOurs({ size, part_size, modified, mode }: UploadRecord): boolean {
    const [there, here] = [modified, this.#options.modified].map((iso) => momentOfIso(iso ?? ''));
    const isSameTime = there?.seconds === here?.seconds && there?.nanoseconds === here?.nanoseconds;
    return size === this.#source.size && part_size !== null && mode === 'put' && isSameTime;
  }

  async #sendMissing(upload: UploadRecord): Promise<void> {
    const waiting: UploadPartRecord[] = [];
    for (let after: number | undefined = 0; after !== undefined; ) {
      const at: number = after;
      const page = await this.#again(() =>
        this.#service.uploads.parts(upload.upload_id, { after: at, signal: this.#options.signal }),
      );
      waiting.push(...page.parts);
      after = page.next;
    }
    const work = async (): Promise<void> => {
      for (let part = waiting.shift(); part !== undefined && !this.#signal.aborted; part = waiting.shift())
        await this.#settlePart(upload, part).catch((error: unknown) => this.#over.abort(error));
    };
    await Promise.all(Array.from({ length: this.#options.atOnce ?? AT_ONCE }, work));
    if (this.#over.signal.aborted) throw this.#over.signal.reason;
    if (this.#signal.aborted) throw Fault.aborted(this.#signal, 'Sending a file');
  }

  async #settlePart(upload: UploadRecord, listed: UploadPartRecord): Promise<void> {
    await this.#again(async (attempt) => {
      // The answer to the try before may have been lost when all of it was stored.
      const part = attempt === 1 ? listed : await this.#partNow(upload, listed);
      let told = 0;
      const tell = (bytes: number): void => {
        told += bytes;
        this.#tell(bytes);
      };
      try {
        if (part.received) await this.#comparePart(upload, part, tell);
        else await this.#sendPart(upload, part, tell);
      } catch (error) {
        this.#tell(-told);
        throw error;
      }
    });
  }

  async #partNow(upload: UploadRecord, { part }: UploadPartRecord): Promise<UploadPartRecord> {
    const options = { after: part - 1, limit: 1, signal: this.#signal };
    const { parts } = await this.#service.uploads.parts(upload.upload_id, options);
    const [found] = parts;
    assert(found?.part === part, 'a part of an upload is listed', { part });
    return found;
  }

  async #comparePart(upload: UploadRecord, part: UploadPartRecord, tell: (bytes: number) => void): Promise<void> {
    const { bytes, hash } = this.#source.read(part.offset, part.size ?? 0);
    for await (const piece of bytes) tell(piece.length);
    if (hash() !== part.xxhash3) await this.#refuse(upload, part);
  }

  async #sendPart(upload: UploadRecord, part: UploadPartRecord, tell: (bytes: number) => void): Promise<void> {
    const signal = this.#signal;
    const size = Math.min(upload.part_size ?? 0, this.#source.size - part.offset);
    const wanted = await this.#asking.ask(upload, part.part, { offset: part.offset, length: size });
    if (wanted === 'all there') return await this.#comparePart(upload, await this.#partNow(upload, part), tell);
    const { bytes, hash } = this.#source.read(part.offset, size);
    const source = piecesIn(bytes, wanted?.runs ?? [{ offset: 0, length: size }], tell);
    const options = { size: wanted?.bytes ?? size, isRest: wanted !== undefined, signal };
    const sent = await this.#service.uploads
      .putPart(upload.upload_id, part.part, source, options)
      .catch((error: unknown) => {
        // It came from a file that was another one, and was stored meanwhile.
        if (isThere(error, part.part)) return undefined;
        throw error;
      });
    if (hash() !== sent?.xxhash3) await this.#refuse(upload, part);
  }

  /** What was stored of it is of no use for this file. */
  async #refuse(upload: UploadRecord, { part }: UploadPartRecord): Promise<never> {
    this.#source.check();
    const sentence = `Part ${part} of ${this.#path} was stored with other bytes than the file has. Put it again when it is at rest.`;
    const other = new OtherUpload(new Fault('mismatch', sentence, { path: this.#path, part }));
    this.#over.abort(other);
    await this.#service.uploads.remove(upload.upload_id, { signal: this.#options.signal });
    throw other;
  }

  /** Tries again what may only need a moment: everything here is safe to repeat. */
  #again<T>(act: (attempt: number) => Promise<T>): Promise<T> {
    const { clock, random } = this.#options;
    const signal = this.#signal;
    // That too many uploads are open does not pass in a moment.
    const isPassing = (error: unknown): boolean =>
      Fault.is(error, 'unavailable', 'timeout', 'busy', 'aborted') &&
      error.about.openMax === undefined &&
      !signal.aborted;
    const delays = { delayMs: RETRY_DELAY_MS, delayMsMax: RETRY_DELAY_MS_MAX };
    return retry(act, { clock, random, attemptsMax: ATTEMPTS_MAX, ...delays, isPassing, signal });
  }
}

/** The part is stored, and not to be changed. */
function isThere(error: unknown, part: number): boolean {
  return Fault.is(error, 'conflict') && error.about.part === part;
}

interface Run {
  /** From the beginning of the part. */
  readonly offset: number;
  readonly length: number;
}

/** What is missing of a part. */
interface Wanted {
  readonly runs: readonly Run[];
  readonly bytes: number;
}

/** Asks which chunks of a part the store has, as long as it has some. */
class Asking {
  readonly #service: FileService;
  readonly #source: PartsSource;
  readonly #signal: AbortSignal;
  #chunking: Promise<Chunking | undefined> | undefined;
  /** Parts that are sent without asking, from now on and after the next answer that finds little. */
  #unasked = 0;
  #pace = 0;

  constructor(service: FileService, source: PartsSource, signal: AbortSignal) {
    this.#service = service;
    this.#source = source;
    this.#signal = signal;
  }

  /** Undefined: all of it is to be sent. 'all there': it was stored meanwhile. */
  async ask(upload: UploadRecord, part: number, { offset, length }: Run): Promise<Wanted | 'all there' | undefined> {
    const { cut } = this.#source;
    if (cut === undefined || this.#unasked-- > 0) return undefined;
    this.#unasked = 0;
    this.#chunking ??= this.#askChunking();
    const chunking = await this.#chunking;
    if (chunking === undefined) return undefined;
    const claims = await cut(offset, length, chunking);
    if (claims.length > HAVE_CHUNKS_MAX) return undefined;
    const options = { signal: this.#signal };
    const have = await this.#service.uploads.have(upload.upload_id, part, claims, options).catch((error: unknown) => {
      if (isThere(error, part)) return undefined;
      throw error;
    });
    if (have === undefined) return 'all there';
    const { missing, missing_bytes } = have;
    const isWorthIt = missing_bytes <= length * (1 - KNOWN_SHARE_MIN);
    this.#pace = isWorthIt ? 0 : Math.min(PARTS_UNASKED_MAX, Math.max(1, this.#pace * 2));
    this.#unasked = this.#pace;
    return missing_bytes === length ? undefined : { runs: runsOf(claims, new Set(missing)), bytes: missing_bytes };
  }

  async #askChunking(): Promise<Chunking | undefined> {
    try {
      return await this.#service.uploads.chunking({ signal: this.#signal });
    } catch (error) {
      // A store whose names prove nothing.
      if (Fault.is(error, 'unsupported')) return undefined;
      throw error;
    }
  }
}

function runsOf(claims: readonly ChunkClaim[], missing: ReadonlySet<number>): readonly Run[] {
  const runs: Run[] = [];
  let offset = 0;
  for (const [index, { size: length }] of claims.entries()) {
    if (missing.has(index)) runs.push({ offset, length });
    offset += length;
  }
  return runs;
}

/** Of all bytes of a part those in the runs; the others are read, and left out. */
async function* piecesIn(
  bytes: ByteSource,
  runs: readonly Run[],
  tell: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  let [at, number] = [0, 0];
  for await (const piece of bytes) {
    const end = at + piece.length;
    for (let run = runs[number]; run !== undefined && run.offset < end; run = runs[number]) {
      const from = Math.max(at, run.offset);
      const to = Math.min(end, run.offset + run.length);
      if (to > from) yield piece.subarray(from - at, to - at);
      if (run.offset + run.length > end) break;
      number++;
    }
    tell(piece.length);
    at = end;
  }
}
