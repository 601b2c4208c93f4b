/**
 * The numbers that name things. All are whole numbers from 1 to 2^53 − 1, never reused, also after an unclean start,
 * and encode nothing (no shard, no time). Branded, so that they cannot be swapped.
 */

declare const brand: unique symbol;
type Branded<T, Name> = T & { readonly [brand]?: Name };

/** One user's tree. */
export type SpaceId = Branded<number, 'space'>;
/** Those who may share chunks. */
export type RealmId = Branded<number, 'realm'>;
/** A file, folder, symlink or special file; unique in its space, survives renames. */
export type NodeId = Branded<number, 'node'>;
/** The bytes of a file as extents; unique in its space. */
export type ContentId = Branded<number, 'content'>;
/** One atomic change of a space's metadata; compared only within its space. */
export type CommitNumber = Branded<number, 'commit'>;
/** A logical pack; unique in its realm. The packs row says which object it is now. */
export type PackId = Branded<number, 'pack'>;
/** A chunk's name: 32 bytes of keyed BLAKE3, or 16 of XXH3-128 with a secret, as the store's format record says. */
export type ChunkId = Branded<Uint8Array, 'chunk'>;
