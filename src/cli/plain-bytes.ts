/**
 * Memory as it comes, not cleared, with an ArrayBuffer of its own, and no Buffer: whoever calls slice() on a Uint8Array
 * expects a copy, and a Buffer gives a view.
 */
export function plainBytes(length: number): Uint8Array {
  return new Uint8Array(Buffer.allocUnsafeSlow(length).buffer);
}
