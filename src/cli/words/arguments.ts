/**
 * The words of the command line, byte for byte. Node decodes them as UTF-8 and loses what is not; on Linux the bytes
 * are read again from the kernel when that has happened. Inside the program such a byte 0xHH stands as the lone
 * surrogate U+DCHH, which no other text contains, until the word turns out to name a local file (then it is the byte
 * again) or a stored one (then it is `\xHH`, as everywhere in text form).
 */
import { readFileSync } from 'node:fs';
import { Fault } from '../../base/index.ts';

const REPLACEMENT = '\ufffd';

/** What stands behind the script's name. `read` answers the process's command line, NUL after each word. */
export function wordsOfProcess(
  argv: readonly string[],
  read: () => Buffer = () => readFileSync('/proc/self/cmdline'),
): string[] {
  const words = argv.slice(2);
  if (!words.some((word) => word.includes(REPLACEMENT))) return words;
  try {
    const raw = splitAtNul(read());
    // Node's own flags come first and are not in argv, so count from the end.
    return words.map((word, index) => wordOfBytes(raw[raw.length - words.length + index] ?? Buffer.from(word)));
  } catch {
    return words;
  }
}

function splitAtNul(bytes: Buffer): Buffer[] {
  const parts: Buffer[] = [];
  for (let start = 0; start < bytes.length; ) {
    const end = bytes.indexOf(0, start);
    parts.push(bytes.subarray(start, end === -1 ? bytes.length : end));
    start = end === -1 ? bytes.length : end + 1;
  }
  return parts;
}

/** Text with U+DCHH for each byte that is not part of well-formed UTF-8. */
export function wordOfBytes(bytes: Buffer): string {
  let word = '';
  for (let at = 0; at < bytes.length; ) {
    const character = characterAt(bytes, at);
    word += character ?? String.fromCharCode(0xdc00 + (bytes[at] ?? 0));
    at += character === undefined ? 1 : Buffer.byteLength(character);
  }
  return word;
}

function characterAt(bytes: Buffer, at: number): string | undefined {
  for (let length = 1; length <= 4 && at + length <= bytes.length; length++) {
    const text = bytes.toString('utf8', at, at + length);
    if (!text.includes(REPLACEMENT) || bytes.subarray(at, at + length).equals(Buffer.from(REPLACEMENT))) return text;
  }
  return undefined;
}

const LONE = /[\udc80-\udcff](?<![\ud800-\udbff].)/g;

/** The bytes of a local path, as a string with one character (U+0000 to U+00FF) for each byte. */
export function rawOfWord(word: string): string {
  let raw = '';
  let start = 0;
  for (const match of word.matchAll(LONE)) {
    raw += Buffer.from(word.slice(start, match.index)).toString('latin1');
    raw += String.fromCharCode(match[0].charCodeAt(0) - 0xdc00);
    start = match.index + 1;
  }
  return raw + Buffer.from(word.slice(start)).toString('latin1');
}

/**
 * A local path that may only be text. `what` says what it names: `folder of a store`.
 * @throws Fault `invalid` for bytes that are not UTF-8.
 */
export function localTextOfWord(word: string, what: string): string {
  const raw = rawOfWord(word);
  const text = Buffer.from(raw, 'latin1').toString();
  if (Buffer.from(text).toString('latin1') === raw) return text;
  throw new Fault('invalid', `The ${what} needs a name in UTF-8.`);
}

/** The text form of a stored path. */
export function textOfWord(word: string): string {
  return word.replace(LONE, (lone) => `\\x${(lone.charCodeAt(0) - 0xdc00).toString(16).toUpperCase()}`);
}
