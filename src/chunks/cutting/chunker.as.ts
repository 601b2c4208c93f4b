/**
 * Where to cut: the two content-defined chunkers and two quick looks at bytes, in AssemblyScript for WebAssembly.
 * Built by tools/build-wasm.ts into chunker.wasm; the algorithms, with all constants, are in docs/formats/chunking.md,
 * and the plain TypeScript reference that must cut alike stands in chunker.reference.ts.
 * Every function gets the bytes from the start of a chunk on, as many as there are or more than the largest chunk, and
 * up to 32 bytes behind them are read (their values do not matter). Nothing is kept between calls.
 */

/** Where the caller puts the 256 gears of FastCDC. */
const GEARS: usize = 1024;

/** Masks of UltraCDC before and behind the normal size, and its pattern. */
const MASK_SMALL: i32 = 0x2f;
const MASK_LARGE: i32 = 0x2c;
const PATTERN: i8 = -86; // 0xAA
/** Equal windows in a row after which UltraCDC cuts. */
const LOW_ENTROPY_WINDOWS: i32 = 64;

@inline
function distanceOf(window: u64): i32 {
  return <i32>popcnt<u64>(window ^ 0xaaaaaaaaaaaaaaaa);
}

/**
 * Tests the eight places of one window. Answers how far into it the cut is, or -1.
 */
@inline
function cutInWindow(at: usize, mask: i32): i32 {
  for (let j = 0; j < 8; j++) {
    if ((distanceOf(load<u64>(at + j - 8)) & mask) == 0) return j;
  }
  return -1;
}

/** Length of the first chunk of `length` bytes at `start`. With `hasFallback`, a forced cut looks for the extremum. */
export function ultracdc(
  start: usize,
  length: i32,
  chunkMin: i32,
  chunkNormal: i32,
  chunkMax: i32,
  chunkMean: i32,
  hasFallback: bool,
): i32 {
  if (length <= chunkMin) return length;
  const isForced = length >= chunkMax;
  const end = isForced ? chunkMax : length;
  const normal = end < chunkNormal ? end : chunkNormal;

  const pattern = i8x16.splat(PATTERN);
  const zero = i8x16.splat(0);
  const maskSmall = i8x16.splat(<i8>MASK_SMALL);
  const maskLarge = i8x16.splat(<i8>MASK_LARGE);
  let equalWindows = 0;
  let i = chunkMin + 8;
  // Distances of the bytes i − 8 … i + 7; carried from step to step.
  let low = i8x16.popcnt(v128.xor(v128.load(start + i - 8), pattern));

  while (i <= end - 8) {
    // Two windows a step, sixteen places, unless the step straddles the normal size or the end.
    if (i <= end - 16 && (i >= normal || i + 8 < normal)) {
      const before = v128.load(start + i - 8);
      const here = v128.load(start + i);
      const high = i8x16.popcnt(v128.xor(v128.load(start + i + 8), pattern));
      if (!v128.any_true(i64x2.eq(before, here))) {
        equalWindows = 0;
        const sums = windowSums(low, high);
        const hits = i8x16.eq(v128.and(sums, i >= normal ? maskLarge : maskSmall), zero);
        if (v128.any_true(hits)) return i + <i32>ctz<i32>(i8x16.bitmask(hits));
        low = high;
        i += 16;
        continue;
      }
    }
    if (load<u64>(start + i) == load<u64>(start + i - 8)) {
      equalWindows++;
      if (equalWindows >= LOW_ENTROPY_WINDOWS) return i + 8;
    } else {
      equalWindows = 0;
      const cut = cutInWindow(start + i, i >= normal ? MASK_LARGE : MASK_SMALL);
      if (cut >= 0) return i + cut;
    }
    i += 8;
    low = i8x16.popcnt(v128.xor(v128.load(start + i - 8), pattern));
  }
  if (!isForced || !hasFallback) return end;
  return extremum(start, chunkMean >> 1, chunkMean + (chunkMean >> 1));
}

/**
 * Sums of eight neighbours each: lane k of the answer is the sum of lanes k … k + 7 of `low` followed by `high`.
 * Three doublings; of the sums over `high` alone only the low lanes are used, so what the shuffles wrap in is harmless.
 */
@inline
function windowSums(low: v128, high: v128): v128 {
  const low2 = i8x16.add(low, v128.shuffle<i8>(low, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
  const high2 = i8x16.add(high, v128.shuffle<i8>(high, high, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16));
  const low4 = i8x16.add(low2, v128.shuffle<i8>(low2, high2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17));
  const high4 = i8x16.add(
    high2,
    v128.shuffle<i8>(high2, high2, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17),
  );
  return i8x16.add(low4, v128.shuffle<i8>(low4, high4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19));
}

/**
 * The place p in [from, to) whose eight bytes before it have the largest hash; the first one of equals.
 * `to - from` is a multiple of 4.
 * Four places a step: lane k holds the hash of place p + k.
 */
function extremum(start: usize, from: i32, to: i32): i32 {
  const multiplierLow = i32x4.splat(0x9e3779b1);
  const multiplierHigh = i32x4.splat(0x85ebca77);
  const multiplierLast = i32x4.splat(0xc2b2ae3d);
  const four = i32x4.splat(4);
  let best = i32x4.splat(0);
  let places = i32x4(from, from + 1, from + 2, from + 3);
  let bestPlaces = places;
  for (let p = from; p < to; p += 4) {
    const bytes = v128.load(start + p - 8);
    const windowLow = v128.shuffle<i8>(bytes, bytes, 0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5, 3, 4, 5, 6);
    const windowHigh = v128.shuffle<i8>(bytes, bytes, 4, 5, 6, 7, 5, 6, 7, 8, 6, 7, 8, 9, 7, 8, 9, 10);
    let hash = i32x4.add(i32x4.mul(windowLow, multiplierLow), i32x4.mul(windowHigh, multiplierHigh));
    hash = i32x4.mul(v128.xor(hash, i32x4.shr_u(hash, 15)), multiplierLast);
    const isLarger = i32x4.gt_u(hash, best);
    best = v128.bitselect(hash, best, isLarger);
    bestPlaces = v128.bitselect(places, bestPlaces, isLarger);
    places = i32x4.add(places, four);
  }
  // Lanes in turn; an equal hash counts only when it stands further in front.
  let hash: u32 = 0;
  let place = i32.MAX_VALUE;
  for (let lane = 0; lane < 4; lane++) {
    const h = <u32>i32x4.extract_lane(best, 0);
    const p = i32x4.extract_lane(bestPlaces, 0);
    if (h > hash || (h == hash && p < place)) {
      hash = h;
      place = p;
    }
    best = v128.shuffle<i32>(best, best, 1, 2, 3, 0);
    bestPlaces = v128.shuffle<i32>(bestPlaces, bestPlaces, 1, 2, 3, 0);
  }
  return place;
}

/** Length of the first chunk: gear hash of the bytes behind the least size, zero in its top bits. */
export function fastcdc(
  start: usize,
  length: i32,
  chunkMin: i32,
  chunkNormal: i32,
  chunkMax: i32,
  bitsSmall: i32,
  bitsLarge: i32,
): i32 {
  if (length <= chunkMin) return length;
  const end = length >= chunkMax ? chunkMax : length;
  const normal = end < chunkNormal ? end : chunkNormal;
  const shiftSmall: u64 = 64 - bitsSmall;
  const shiftLarge: u64 = 64 - bitsLarge;
  let hash: u64 = 0;
  let i = chunkMin;
  for (; i < normal; i++) {
    hash = (hash << 1) + load<u64>(GEARS + ((<usize>load<u8>(start + i)) << 3));
    if (hash >> shiftSmall == 0) return i + 1;
  }
  for (; i < end; i++) {
    hash = (hash << 1) + load<u64>(GEARS + ((<usize>load<u8>(start + i)) << 3));
    if (hash >> shiftLarge == 0) return i + 1;
  }
  return end;
}

/** Whether all bytes are zero. */
export function isZero(start: usize, length: i32): bool {
  let i = 0;
  for (; i <= length - 64; i += 64) {
    const at = start + i;
    const any = v128.or(
      v128.or(v128.load(at), v128.load(at, 16)),
      v128.or(v128.load(at, 32), v128.load(at, 48)),
    );
    if (v128.any_true(any)) return false;
  }
  for (; i < length; i++) if (load<u8>(start + i) != 0) return false;
  return true;
}

/** Where the counts of `sameness` stand. */
const COUNTS: usize = 4096;

/**
 * Sum of the squared counts of the byte values in four samples of `sampleLength` bytes, spread evenly:
 * about n + n² / 256 (n = 4 × sampleLength) when the values are evenly spread, larger the more uneven.
 */
export function sameness(start: usize, length: i32, sampleLength: i32): i32 {
  memory.fill(COUNTS, 0, 1024);
  const gap = (length - sampleLength) / 3;
  for (let sample = 0; sample < 4; sample++) {
    const from = start + sample * gap;
    for (let i = 0; i < sampleLength; i++) {
      const at = COUNTS + ((<usize>load<u8>(from + i)) << 2);
      store<u32>(at, load<u32>(at) + 1);
    }
  }
  let sum: u32 = 0;
  for (let value: usize = 0; value < 256; value++) {
    const count = load<u32>(COUNTS + (value << 2));
    sum += count * count;
  }
  return sum;
}
