/** Where a page ended, as text that nobody outside this room looks into: base64url of a JSON array, with a version. */
import { Fault } from '../base/index.ts';

/** Numbers and strings that tell a place in an order. */
export type Position = readonly (number | string)[];

const CURSOR_VERSION = 1;
const CURSOR_LENGTH_MAX = 16_384;

export function cursorOf(position: Position): string {
  return Buffer.from(JSON.stringify([CURSOR_VERSION, ...position])).toString('base64url');
}

/** `undefined` for no cursor. @throws Fault `invalid` for one that was not given out here. */
export function positionOf(cursor: string | undefined): Position | undefined {
  if (cursor === undefined) return undefined;
  const position = cursor.length <= CURSOR_LENGTH_MAX ? parse(cursor) : undefined;
  if (position !== undefined) return position;
  throw new Fault('invalid', 'The cursor is not one that this store gave out. Start again without a cursor.', {});
}

function parse(cursor: string): Position | undefined {
  try {
    const [version, ...position] = JSON.parse(Buffer.from(cursor, 'base64url').toString('utf8')) as unknown[];
    const isPosition = position.every((part) => typeof part === 'string' || Number.isSafeInteger(part));
    return version === CURSOR_VERSION && isPosition ? (position as Position) : undefined;
  } catch {
    return undefined;
  }
}
