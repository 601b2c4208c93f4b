/**
 * Paths and names on the wire. A name is 1–255 bytes, never normalised or folded; a path is names from the root down.
 *
 * Text form, used in JSON and on the command line: UTF-8 as it is; every byte that is not part of well-formed UTF-8 is
 * written `\xHH` (two upper-case hex digits), and a backslash that would read as the start of such an escape is written
 * `\x5C`. So every name has exactly one canonical text, and every text reads back as exactly one name.
 * Raw form, used in URLs and in `path_raw`: percent-encoded bytes, slashes plain.
 */
import { compareBytes, Fault, hexOf, textOfUtf8, utf8 } from '../base/index.ts';

export type Name = Uint8Array;
/** From the root down; the root itself is the empty path. */
export type Path = readonly Name[];

export const NAME_BYTES_MAX = 255;
/** As PATH_MAX of Linux without its NUL. */
export const PATH_BYTES_MAX = 4_095;
/** Names that a root keeps for Holdfast itself. */
export const RESERVED_ROOT_NAMES: readonly string[] = ['.snapshots', '.vault', '.holdfast'];

const SLASH = 0x2f;
const URL_PLAIN = /^[A-Za-z0-9\-._~]*$/;

/** Reads a path in text form. A leading slash is optional, a trailing one allowed. @throws Fault `invalid`. */
export function pathOfText(text: string): Path {
  if (/\\x2f/i.test(text))
    throw new Fault('invalid', `The path ${JSON.stringify(shorten(text))} cannot be used: a name in it has a slash.`, {
      path: shorten(text),
    });
  return pathOfBytes(bytesOfText(text), text);
}

/** A path of so few characters is not too long, whatever its characters are. */
const SHORT_CHARACTERS_MAX = Math.floor(PATH_BYTES_MAX / 3);

/** Folders that a reader of many paths remembers; beyond, all are forgotten. */
const FOLDERS_KEPT = 1_000;

/** Reads many paths in text form, as `pathOfText` does. Many stand in few folders, and each of those is read once. */
export class PathReader {
  readonly #folders = new Map<string, Path>();

  /** @throws Fault `invalid`. */
  of(text: string): Path {
    const end = text.lastIndexOf('/');
    // In the root some names are kept, and behind the last slash there may be no name.
    if (end <= 0 || end === text.length - 1 || text.length > SHORT_CHARACTERS_MAX) return pathOfText(text);
    const folder = text.slice(0, end);
    const above = this.#folders.get(folder);
    if (above !== undefined) {
      const name = bytesOfText(text.slice(end + 1));
      checkName(name, text);
      return [...above, name];
    }
    const path = pathOfText(text);
    if (path.length === 1) return path;
    if (this.#folders.size >= FOLDERS_KEPT) this.#folders.clear();
    this.#folders.set(folder, path.slice(0, -1));
    return path;
  }
}

/** Reads a percent-encoded path as it stands in a URL, `%2F` counting as a slash. @throws Fault `invalid`. */
export function pathOfUrl(encoded: string): Path {
  return pathOfBytes(bytesOfPercent(encoded), encoded);
}

/** Splits bytes at slashes and checks every name. @throws Fault `invalid`. */
export function pathOfBytes(bytes: Uint8Array, shown: string = textOfBytes(bytes)): Path {
  const names: Name[] = [];
  let start = 0;
  let total = 0;
  for (let at = 0; at <= bytes.length; at++) {
    if (at < bytes.length && bytes[at] !== SLASH) continue;
    const name = bytes.subarray(start, at);
    const isEdge = start === 0 || at === bytes.length;
    start = at + 1;
    if (name.length === 0 && isEdge) continue;
    checkName(name, shown);
    names.push(name.slice());
    total += name.length + 1;
  }
  if (total > PATH_BYTES_MAX) {
    throw new Fault(
      'invalid',
      `The path has ${total} bytes; ${PATH_BYTES_MAX} is the most. Use fewer or shorter folders.`,
      {
        bytes: total,
        bytesMax: PATH_BYTES_MAX,
      },
    );
  }
  checkReserved(names, shown);
  return names;
}

/** @throws Fault `invalid` when the bytes cannot be a name. */
export function checkName(name: Name, shown: string = textOfBytes(name)): void {
  const wrong = whatIsWrong(name);
  if (wrong !== undefined) {
    throw new Fault('invalid', `The path ${JSON.stringify(shorten(shown))} cannot be used: ${wrong}.`, {
      path: shorten(shown),
    });
  }
}

function whatIsWrong(name: Name): string | undefined {
  if (name.length === 0) return 'a name in it is empty';
  if (name.length > NAME_BYTES_MAX) return `a name in it has ${name.length} bytes, ${NAME_BYTES_MAX} is the most`;
  if (name.includes(0)) return 'a name in it has a NUL byte';
  if (name.includes(SLASH)) return 'a name in it has a slash';
  if (name[0] === 0x2e && (name.length === 1 || (name.length === 2 && name[1] === 0x2e)))
    return '`.` and `..` are not names';
  return undefined;
}

function checkReserved(names: readonly Name[], shown: string): void {
  const first = names[0] === undefined ? undefined : textOfUtf8(names[0]);
  if (first === undefined || !RESERVED_ROOT_NAMES.includes(first)) return;
  throw new Fault(
    'invalid',
    `The path ${JSON.stringify(shorten(shown))} cannot be used: ${first} in the root is kept for Holdfast itself.`,
    {
      path: shorten(shown),
      reserved: first,
    },
  );
}

function shorten(text: string): string {
  return text.length <= 300 ? text : `${text.slice(0, 297)}…`;
}

/** `/` for the root, else `/a/b`. */
export function textOfPath(path: Path): string {
  return `/${path.map(textOfBytes).join('/')}`;
}

/** `` for the root, else `a/b`, percent-encoded: what stands behind `/v1/files/`. */
export function urlOfPath(path: Path): string {
  return path.map(percentOfBytes).join('/');
}

/** The text form of a name, or of any bytes. */
export function textOfBytes(bytes: Uint8Array): string {
  const whole = textOfUtf8(bytes);
  if (whole !== undefined) return escapeEscapes(whole);
  let text = '';
  let start = 0;
  while (start < bytes.length) {
    const length = wellFormedLength(bytes, start);
    if (length > 0) {
      text += textOfUtf8(bytes.subarray(start, start + length)) ?? '';
      start += length;
    } else {
      // A mark that no text has, so that escapeEscapes can tell ours from a literal backslash.
      text += `\u0000${hexOf(bytes.subarray(start, start + 1)).toUpperCase()}`;
      start++;
    }
  }
  return escapeEscapes(text).replaceAll('\u0000', '\\x');
}

function escapeEscapes(text: string): string {
  return text.includes('\\x') ? text.replace(/\\(?=x[0-9A-Fa-f]{2})/g, '\\x5C') : text;
}

/** Length of the well-formed UTF-8 character at `at`, 0 when there is none (RFC 3629 §4). */
function wellFormedLength(bytes: Uint8Array, at: number): number {
  const lead = bytes[at] ?? 0;
  if (lead === 0) return 0;
  const length = lead < 0x80 ? 1 : lead < 0xc2 ? 0 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : lead < 0xf5 ? 4 : 0;
  return length > 0 && at + length <= bytes.length && textOfUtf8(bytes.subarray(at, at + length)) !== undefined
    ? length
    : 0;
}

/** The bytes of a text form. Lone surrogates, which UTF-8 cannot hold, are refused. @throws Fault `invalid`. */
export function bytesOfText(text: string): Uint8Array {
  if (!text.isWellFormed())
    throw new Fault('invalid', 'The path has half a surrogate pair, which no bytes can hold.', {});
  if (!text.includes('\\x')) return utf8(text);
  const parts = text.split(/(\\x[0-9A-Fa-f]{2})/);
  const bytes: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (index % 2 === 1) bytes.push(Number.parseInt(part.slice(2), 16));
    else for (const byte of utf8(part)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

export function percentOfBytes(bytes: Uint8Array): string {
  const whole = textOfUtf8(bytes);
  if (whole !== undefined && URL_PLAIN.test(whole)) return whole;
  let text = '';
  for (const byte of bytes) {
    const character = String.fromCharCode(byte);
    text += byte < 0x80 && URL_PLAIN.test(character) ? character : `%${hexOf(Uint8Array.of(byte)).toUpperCase()}`;
  }
  return text;
}

/** @throws Fault `invalid` for a `%` without two hex digits. Characters above U+007F count as their UTF-8. */
export function bytesOfPercent(encoded: string): Uint8Array {
  if (!encoded.includes('%')) return utf8(encoded);
  const bytes: number[] = [];
  for (const part of encoded.split(/(%[0-9A-Fa-f]{2})/)) {
    if (/^%[0-9A-Fa-f]{2}$/.test(part)) bytes.push(Number.parseInt(part.slice(1), 16));
    else if (part.includes('%')) {
      throw new Fault(
        'invalid',
        `The path ${JSON.stringify(shorten(encoded))} has a % without two hex digits behind it.`,
        {
          path: shorten(encoded),
        },
      );
    } else for (const byte of utf8(part)) bytes.push(byte);
  }
  return Uint8Array.from(bytes);
}

export function equalPaths(a: Path, b: Path): boolean {
  return (
    a.length === b.length &&
    a.every((name, index) => compareBytes(name, b[index] ?? name) === 0 && b[index] !== undefined)
  );
}

/** True when `path` is `folder` or lies under it. */
export function isWithin(path: Path, folder: Path): boolean {
  return path.length >= folder.length && equalPaths(path.slice(0, folder.length), folder);
}

/** Child of a folder; checks the name. */
export function joinPath(folder: Path, name: Name): Path {
  checkName(name);
  return [...folder, name];
}
