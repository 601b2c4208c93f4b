/** Byte ranges of RFC 9110 §14, pure: one range is answered, several or unreadable ones with the whole file. */

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/** `whole`: there is no range to honour. `none`: no byte of the file is in the range. */
export type RangeAnswer = ByteRange | 'whole' | 'none';

export function rangeOf(header: string | undefined, size: number): RangeAnswer {
  const match = header === undefined ? null : /^bytes\s*=\s*(\d{0,16})\s*-\s*(\d{0,16})\s*$/i.exec(header);
  const [, first = '', last = ''] = match ?? [];
  if (match === null || (first === '' && last === '')) return 'whole';
  if (first === '') return suffixOf(Number(last), size);
  const offset = Number(first);
  if (last !== '' && Number(last) < offset) return 'whole';
  if (offset >= size) return 'none';
  const end = last === '' ? size : Math.min(size, Number(last) + 1);
  return { offset, length: end - offset };
}

function suffixOf(length: number, size: number): RangeAnswer {
  if (length === 0) return 'none';
  // An empty file has no byte that Content-Range could name, yet the range is satisfiable.
  if (size === 0) return 'whole';
  const taken = Math.min(length, size);
  return { offset: size - taken, length: taken };
}
