/**
 * What a collection does with one pack, decided from plain facts: nothing, drop it, or rewrite it with what is needed.
 * Bytes are exact: a record keeps its bytes wherever it lies, so the length of the new object is known beforehand.
 */
import type { PackId } from '../../meta/index.ts';
import { PACK_HEADER_BYTES, sealBytesOf } from '../packs/pack-format.ts';

/** Records of a kind, and their bytes, headers included. */
export interface Records {
  readonly count: number;
  readonly bytes: number;
}

/** What is known of a pack when it is decided about. Records that are in none of these have no row that names the pack. */
export interface PackFacts {
  readonly pack: PackId;
  readonly object: string;
  /** Bytes of the object as it is now. */
  readonly objectBytes: number;
  readonly idBytes: number;
  /** Chunks with references. */
  readonly live: Records;
  /** Chunks without references whose time has not come, or which somebody counts on. */
  readonly waiting: Records;
  /** Chunks without references whose time has come. */
  readonly due: Records;
  /** Somebody is about to name a record that has no row yet. */
  readonly isClaimed: boolean;
}

export type PackAction = 'keep' | 'drop' | 'rewrite' | 'join';

export interface PackPlan {
  readonly pack: PackId;
  readonly object: string;
  readonly action: PackAction;
  readonly bytesBefore: number;
  /** Of the object that takes its place; the same for a pack that is kept, 0 for one that is dropped. */
  readonly bytesAfter: number;
  /** Chunks that leave the index. */
  readonly chunksDiscarded: number;
  readonly waiting: Records;
}

/** Small packs that are made one: together no more than a pack may have, and enough of them to be worth a commit. */
export interface JoinRule {
  readonly packBytesMax: number;
  /** Bytes that one collection copies for it; the rest waits for the next. */
  readonly joinedBytesMax: number;
}

/** A pack is small when so many of its size fit into one. */
const SMALL_PACKS_IN_ONE = 8;
const JOINED_PACKS_MIN = 4;

/** Which of these packs are joined, in their order; one that is alone, or nearly so, stays. */
export function planJoins<T extends { readonly lengthBytes: number }>(
  packs: Iterable<T>,
  { packBytesMax, joinedBytesMax }: JoinRule,
): readonly (readonly T[])[] {
  const groups: T[][] = [];
  let [group, bytes, all]: [T[], number, number] = [[], 0, 0];
  for (const pack of packs) {
    const { lengthBytes } = pack;
    if (lengthBytes * SMALL_PACKS_IN_ONE > packBytesMax) continue;
    if (all + lengthBytes > joinedBytesMax) break;
    if (bytes + lengthBytes > packBytesMax) {
      groups.push(group);
      [group, bytes] = [[], 0];
    }
    group.push(pack);
    bytes += lengthBytes;
    all += lengthBytes;
  }
  groups.push(group);
  return groups.filter(({ length }) => length >= JOINED_PACKS_MIN);
}

/** `freedShareMin`: the least share of the object (0 to 1) that a rewrite must give back. */
export function planPack(facts: PackFacts, rule: { readonly freedShareMin: number }): PackPlan {
  const { pack, object, objectBytes, idBytes, live, waiting, due } = facts;
  const count = live.count + waiting.count;
  const rewritten = PACK_HEADER_BYTES + live.bytes + waiting.bytes + sealBytesOf(count, idBytes);
  const bytesAfter = count === 0 ? 0 : rewritten;
  const freed = objectBytes - bytesAfter;
  const isWorthIt = count === 0 || (freed > 0 && freed >= objectBytes * rule.freedShareMin);
  if (facts.isClaimed || !isWorthIt)
    return {
      pack,
      object,
      action: 'keep',
      bytesBefore: objectBytes,
      bytesAfter: objectBytes,
      chunksDiscarded: 0,
      waiting,
    };
  const action = count === 0 ? 'drop' : 'rewrite';
  return { pack, object, action, bytesBefore: objectBytes, bytesAfter, chunksDiscarded: due.count, waiting };
}
