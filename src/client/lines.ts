/** Answers of lines (NDJSON), read as they come; the last line ends with the answer or with a line break. */
import { Fault } from '../base/index.ts';

/** Characters of one line: a record with its attributes stays far below. */
const LINE_CHARACTERS_MAX = 32 * 1024 * 1024;

/** @throws Fault `unavailable` for a line beyond all bounds, and whatever the body throws. */
export async function* linesOf(body: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder('utf-8', { fatal: true });
  let held = '';
  for await (const piece of body) {
    held += decoder.decode(piece, { stream: true });
    const lines = held.split('\n');
    held = lines.pop() ?? '';
    for (const line of lines) if (line !== '') yield line;
    if (held.length > LINE_CHARACTERS_MAX) throw new Fault('unavailable', 'The server sent a line without an end.', {});
  }
  held += decoder.decode();
  if (held !== '') yield held;
}
