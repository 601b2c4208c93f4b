/**
 * Chance comes in through constructors. `systemRandom` is cryptographic; `seededRandom` replays from a seed and is for
 * tests and simulations only (xoshiro128**, seeded by splitmix32; Blackman and Vigna, "Scrambled linear pseudorandom
 * number generators", 2021).
 */

export interface Random {
  /** `count` fresh bytes. */
  bytes(count: number): Uint8Array<ArrayBuffer>;
  /** A whole number in [0, bound); bound is 1 to 2^32. */
  below(bound: number): number;
  /** A number in [0, 1). */
  fraction(): number;
}

const GET_RANDOM_BYTES_MAX = 65_536;

export const systemRandom: Random = {
  bytes(count) {
    const bytes = new Uint8Array(count);
    for (let at = 0; at < count; at += GET_RANDOM_BYTES_MAX) {
      crypto.getRandomValues(bytes.subarray(at, at + GET_RANDOM_BYTES_MAX));
    }
    return bytes;
  },
  below(bound) {
    return Math.floor(this.fraction() * bound);
  },
  fraction() {
    const [word = 0] = crypto.getRandomValues(new Uint32Array(1));
    return word / 2 ** 32;
  },
};

export function seededRandom(seed: number): Random {
  let mix = seed >>> 0;
  const splitmix = (): number => {
    mix = (mix + 0x9e3779b9) >>> 0;
    let z = mix;
    z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
    z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
    return (z ^ (z >>> 16)) >>> 0;
  };
  let [a, b, c, d] = [splitmix(), splitmix(), splitmix(), splitmix()];
  const rotl = (x: number, k: number): number => (x << k) | (x >>> (32 - k));
  const word = (): number => {
    const result = Math.imul(rotl(Math.imul(b, 5), 7), 9) >>> 0;
    const t = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= t;
    d = rotl(d, 11);
    return result;
  };
  return {
    bytes(count) {
      const bytes = new Uint8Array(count);
      for (let at = 0; at < count; at += 4) {
        const value = word();
        for (let i = 0; i < 4 && at + i < count; i++) bytes[at + i] = value >>> (8 * i);
      }
      return bytes;
    },
    below: (bound) => Math.floor((word() / 2 ** 32) * bound),
    fraction: () => word() / 2 ** 32,
  };
}
