/**
 * Local paths as Linux has them: bytes. In here a path is a "raw" string with one character (U+0000 to U+00FF) for each
 * byte, because such strings sort in byte order, cost nothing where all is ASCII, and never lose a byte. Text form is
 * what people see and what the store's interface takes; both turn into each other exactly.
 */
import { bytesOfText, textOfBytes } from '../../api/index.ts';

const ASCII = /^[\x00-\x7f]*$/;

/** What the system calls take. */
export function systemPath(raw: string): string | Buffer {
  return ASCII.test(raw) ? raw : Buffer.from(raw, 'latin1');
}

export function textOfRaw(raw: string): string {
  return ASCII.test(raw) && !raw.includes('\\x') ? raw : textOfBytes(Buffer.from(raw, 'latin1'));
}

/** @throws Fault `invalid` for half a surrogate pair. */
export function rawOfText(text: string): string {
  return ASCII.test(text) && !text.includes('\\x') ? text : Buffer.from(bytesOfText(text)).toString('latin1');
}

export function joinRaw(folder: string, name: string): string {
  if (name === '') return folder;
  return folder === '' ? name : folder.endsWith('/') ? folder + name : `${folder}/${name}`;
}

/** The last name, without trailing slashes; empty for `/`. */
export function lastName(raw: string): string {
  const trimmed = trimSlashes(raw);
  return trimmed.slice(trimmed.lastIndexOf('/') + 1);
}

/** The folder a path stands in; `.` for a bare name. */
export function folderOf(raw: string): string {
  const trimmed = trimSlashes(raw);
  const slash = trimmed.lastIndexOf('/');
  return slash < 0 ? '.' : slash === 0 ? '/' : trimmed.slice(0, slash);
}

export function trimSlashes(raw: string): string {
  const trimmed = raw.replace(/\/+$/, '');
  return trimmed === '' && raw !== '' ? '/' : trimmed;
}

/** True when `path` lies under `folder`; everything lies under the empty one. */
export function liesUnder(path: string, folder: string): boolean {
  return folder === '' || (path.length > folder.length && path[folder.length] === '/' && path.startsWith(folder));
}

const SLASH = 0x2f;

/**
 * The order of a manifest and of a walk: names of a folder in byte order, what is in a subfolder right behind it. So a
 * slash comes before every byte that a name can have. < 0, 0 or > 0.
 */
export function comparePaths(a: string, b: string): number {
  if (a === b) return 0;
  const length = Math.min(a.length, b.length);
  for (let at = 0; at < length; at++) {
    const [left, right] = [a.charCodeAt(at), b.charCodeAt(at)];
    if (left !== right) return (left === SLASH ? -1 : left) - (right === SLASH ? -1 : right);
  }
  return a.length - b.length;
}

/** The name a path gives what it names; empty for `/`, `.` and `..`, which have none of their own. */
export function ownName(raw: string): string {
  const name = lastName(raw);
  return name === '.' || name === '..' || name === '/' ? '' : name;
}
