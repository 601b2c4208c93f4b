/**
 * Memory as it comes, not cleared, and no Buffer: whoever calls slice() on a Uint8Array expects a copy, and a Buffer
 * gives a view. Small pieces are cut from a slab that Node keeps, because an allocation costs more than a small read.
 */
export function plainBytes(length: number): Uint8Array {
  const buffer = Buffer.allocUnsafe(length);
  return new Uint8Array(buffer.buffer, buffer.byteOffset, length);
}
