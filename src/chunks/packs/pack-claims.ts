/**
 * Which packs hold records that somebody wants to commit, and up to where: so that a sync notices when a pack has lost
 * some of them, before anything names them.
 */
import type { OpenPack } from './open-pack.ts';

export class PackClaims {
  readonly #ends = new Map<OpenPack, number>();

  /** Records up to `endBytes` of the pack. */
  add(pack: OpenPack, endBytes: number): void {
    this.#ends.set(pack, Math.max(this.#ends.get(pack) ?? 0, endBytes));
  }

  /** Why they cannot be committed any more; undefined while all is well. */
  get lostFault(): unknown {
    for (const [pack, endBytes] of this.#ends) {
      if (pack.fault !== undefined && endBytes > pack.durable.lengthBytes) return pack.fault;
      // Nothing can happen to it any more; a long stream would otherwise hold every pack it filled.
      if (pack.durable.isSealed) this.#ends.delete(pack);
    }
    return undefined;
  }

  clear(): void {
    this.#ends.clear();
  }
}
