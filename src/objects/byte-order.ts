/**
 * Names in the order of their UTF-8 bytes, which is the order that every list of Holdfast promises. Sorting text as
 * JavaScript does, by UTF-16 units, gives the same but for characters beyond the surrogates.
 */

/** Sorts in place. */
export function inByteOrder(names: string[]): string[] {
  const isPlain = names.every((name) => !/[\ud800-\uffff]/.test(name));
  return isPlain ? names.sort() : names.sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
}
