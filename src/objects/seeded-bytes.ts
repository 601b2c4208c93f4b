/**
 * The bytes of one file on a seeded disk, twice: as they read now, and as they stand on the medium. Between the two lie
 * the changes since the last sync. At a power cut each of them is lost, kept or torn by sectors of 512 bytes, in any
 * order, as a write-back cache does it; a file may also come back with its new length and zeros where bytes were lost.
 */
import type { Random } from '../base/index.ts';

export const SECTOR_BYTES = 512;

/** What a power cut does with all that was not synced: chosen once for names and once for each file. */
export const CRASH_MOODS = ['lose', 'keep', 'prefix', 'chance'] as const;
export type CrashMood = (typeof CRASH_MOODS)[number];

export function crashMood(random: Random): CrashMood {
  return CRASH_MOODS[random.below(CRASH_MOODS.length)] ?? 'lose';
}

/**
 * A run of bytes that grows at its end without copying all of it each time. Gaps read as zeros.
 * A twin shares the memory until one of the two changes, so that a whole disk is copied for the price of its names.
 */
export class GrowingBytes {
  #bytes = new Uint8Array(0);
  #length = 0;
  #isShared = false;

  get length(): number {
    return this.#length;
  }

  /** A view that is valid until the next change. */
  view(start = 0, end = this.#length): Uint8Array<ArrayBuffer> {
    return this.#bytes.subarray(start, Math.min(end, this.#length));
  }

  read(into: Uint8Array, offset: number): number {
    const found = this.view(Math.min(offset, this.#length), offset + into.length);
    into.set(found);
    return found.length;
  }

  twin(): GrowingBytes {
    const twin = new GrowingBytes();
    twin.#bytes = this.#bytes;
    twin.#length = this.#length;
    twin.#isShared = this.#isShared = true;
    return twin;
  }

  write(bytes: Uint8Array, offset: number): void {
    this.resize(Math.max(this.#length, offset + bytes.length));
    this.#bytes.set(bytes, offset);
  }

  /** Shorter, or longer with zeros. Ends the sharing with a twin, so every change comes through here. */
  resize(length: number): void {
    const isTooSmall = length > this.#bytes.length;
    if (isTooSmall || this.#isShared) {
      const own = new Uint8Array(isTooSmall ? Math.max(length, 2 * this.#bytes.length, 64) : this.#bytes.length);
      own.set(this.view());
      this.#bytes = own;
      this.#isShared = false;
    }
    // What lies behind the end must read as zeros when the end moves over it again.
    if (length < this.#length) this.#bytes.fill(0, length, this.#length);
    this.#length = length;
  }
}

type Unsynced =
  | { readonly kind: 'write'; readonly offset: number; readonly bytes: Uint8Array }
  | { readonly kind: 'truncate'; readonly length: number };

export class SeededBytes {
  readonly #now: GrowingBytes;
  readonly #durable: GrowingBytes;
  #unsynced: Unsynced[] = [];

  constructor(now = new GrowingBytes(), durable = new GrowingBytes()) {
    this.#now = now;
    this.#durable = durable;
  }

  get length(): number {
    return this.#now.length;
  }

  read(into: Uint8Array, offset: number): number {
    return this.#now.read(into, offset);
  }

  write(bytes: Uint8Array, offset: number): void {
    this.#now.write(bytes, offset);
    this.#unsynced.push({ kind: 'write', offset, bytes: new Uint8Array(bytes) });
  }

  truncate(length: number): void {
    this.#now.resize(length);
    this.#unsynced.push({ kind: 'truncate', length });
  }

  sync(): void {
    for (const change of this.#unsynced) applyTo(this.#durable, change);
    this.#unsynced = [];
  }

  /**
   * A sync that failed: as on Linux the changes read back until the next start, but no later sync writes them again;
   * those that chance did not put on the medium are lost.
   */
  failSync(random: Random): void {
    for (const change of this.#unsynced) if (random.below(2) === 0) applyTo(this.#durable, change);
    this.#unsynced = [];
  }

  /** Whether a power cut may leave anything else than what reads now. */
  get isSynced(): boolean {
    return this.#unsynced.length === 0;
  }

  /** What the next start finds. */
  afterCrash(random: Random, mood = crashMood(random)): GrowingBytes {
    const found = this.#durable.twin();
    const keptCount = mood === 'prefix' ? random.below(this.#unsynced.length + 1) : this.#unsynced.length;
    if (mood === 'lose') return found;
    for (const change of this.#unsynced.slice(0, keptCount)) {
      if (mood === 'chance') applyByChance(found, change, random);
      else applyTo(found, change);
    }
    const torn = mood === 'prefix' ? this.#unsynced[keptCount] : undefined;
    if (torn !== undefined) applyTorn(found, torn, random);
    return found;
  }

  clone(): SeededBytes {
    const copy = new SeededBytes(this.#now.twin(), this.#durable.twin());
    copy.#unsynced = [...this.#unsynced];
    return copy;
  }
}

function applyTo(target: GrowingBytes, change: Unsynced): void {
  if (change.kind === 'write') target.write(change.bytes, change.offset);
  else target.resize(change.length);
}

function applyByChance(target: GrowingBytes, change: Unsynced, random: Random): void {
  const fate = random.below(3);
  if (fate === 1) applyTo(target, change);
  if (fate === 2) applyTorn(target, change, random);
}

/** Some sectors of a write and not the others; a changed length is one small record and happens or not. */
function applyTorn(target: GrowingBytes, change: Unsynced, random: Random): void {
  if (change.kind === 'truncate') {
    if (random.below(2) === 0) target.resize(change.length);
    return;
  }
  const end = change.offset + change.bytes.length;
  // The new length may be on the medium before the bytes are.
  if (random.below(2) === 0) target.resize(Math.max(target.length, end));
  for (let at = change.offset; at < end; ) {
    const next = Math.min(end, (Math.floor(at / SECTOR_BYTES) + 1) * SECTOR_BYTES);
    if (random.below(2) === 0) target.write(change.bytes.subarray(at - change.offset, next - change.offset), at);
    at = next;
  }
}
