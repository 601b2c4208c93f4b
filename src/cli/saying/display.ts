/**
 * Texts for people: sizes, rates, spans of time, columns, and names made safe for a terminal. Sizes are decimal (kB is
 * 1,000 bytes), as disks and links are sold and as the figures of other tools read; exact bytes are printed where a
 * script might look. Pure.
 */

const UNITS = ['B', 'kB', 'MB', 'GB', 'TB', 'PB'];

/** `0 B`, `999 B`, `1.02 kB`, `342 MB`: three digits that count. */
export function shownBytes(bytes: number): string {
  let unit = 0;
  let value = bytes;
  while (value >= 999.5 && unit < UNITS.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${unit === 0 ? value : threeDigits(value)} ${UNITS[unit]}`;
}

function threeDigits(value: number): string {
  return value >= 99.95 ? value.toFixed(0) : value >= 9.995 ? value.toFixed(1) : value.toFixed(2);
}

export function shownRate(bytesPerSecond: number): string {
  return `${shownBytes(Math.round(bytesPerSecond))}/s`;
}

/** `1,234,567`. */
export function shownCount(count: number): string {
  return String(count).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** `1 file`, `2 files`. */
export function counted(count: number, noun: string): string {
  return `${shownCount(count)} ${noun}${count === 1 ? '' : 's'}`;
}

/** `0.42 s`, `12.3 s`, `4 min 05 s`, `2 h 10 min`. */
export function shownSpan(seconds: number): string {
  if (seconds < 60) return `${seconds < 10 ? seconds.toFixed(2) : seconds.toFixed(1)} s`;
  const whole = Math.round(seconds);
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${String(whole % 60).padStart(2, '0')} s`;
  return `${Math.floor(whole / 3600)} h ${String(Math.floor((whole % 3600) / 60)).padStart(2, '0')} min`;
}

/** `2026-11-21 01:09:05`, in UTC; what `ls -l` shows of a moment. */
export function shownMoment(iso: string): string {
  return iso.slice(0, 19).replace('T', ' ');
}

const KIND_LETTER: Readonly<Record<string, string>> = {
  file: '-',
  folder: 'd',
  symlink: 'l',
  fifo: 'p',
  socket: 's',
  'char-device': 'c',
  'block-device': 'b',
};

/** `drwxr-xr-x`, with s, S, t and T as ls has them. */
export function shownMode(kind: string, mode: number): string {
  const letters = [8, 7, 6, 5, 4, 3, 2, 1, 0].map((bit) => ((mode >> bit) & 1 ? 'xwr'[bit % 3] : '-'));
  const special = (bit: number, at: number, set: string): void => {
    if ((mode >> bit) & 1) letters[at] = letters[at] === 'x' ? set : set.toUpperCase();
  };
  special(11, 2, 's');
  special(10, 5, 's');
  special(9, 8, 't');
  return `${KIND_LETTER[kind] ?? '?'}${letters.join('')}`;
}

/** C0, DEL, C1, line separators, and marks that turn the direction of what follows: they could fake other output. */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/g;

/** The text with every character that steers a terminal written `\xHH` per byte, as in text form. */
export function escapedForTerminal(text: string, options: { readonly keepLines?: boolean } = {}): string {
  return text.replace(UNSAFE, (character) => {
    if (options.keepLines === true && character === '\n') return character;
    return [...new TextEncoder().encode(character)]
      .map((byte) => `\\x${byte.toString(16).toUpperCase().padStart(2, '0')}`)
      .join('');
  });
}

const ZERO_WIDTH = /\p{Mark}|\p{Cf}/u;
const WIDE =
  /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;

/** Cells that the text takes on a terminal. */
export function widthOf(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const character of text) width += ZERO_WIDTH.test(character) ? 0 : WIDE.test(character) ? 2 : 1;
  return width;
}

/** The beginning of the text that fits into `width` cells, with an ellipsis where something is left out. */
export function fitted(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let out = '';
  let used = 1;
  for (const character of text) {
    used += widthOf(character);
    if (used > width) break;
    out += character;
  }
  return width < 1 ? '' : `${out}…`;
}

function padded(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - widthOf(text)));
}

/** Names down the columns, as ls sets them: as many columns as fit into `width`. */
export function inColumns(names: readonly string[], width: number): string[] {
  const widths = names.map(widthOf);
  for (let columns = Math.min(names.length, Math.floor(width / 3) + 1); columns > 1; columns--) {
    const rows = Math.ceil(names.length / columns);
    const columnWidths = Array.from({ length: Math.ceil(names.length / rows) }, (_, column) =>
      Math.max(...widths.slice(column * rows, (column + 1) * rows)),
    );
    const total = columnWidths.reduce((sum, one) => sum + one + 2, -2);
    if (total > width) continue;
    return Array.from({ length: rows }, (_, row) =>
      columnWidths
        .map((one, column) => padded(names[column * rows + row] ?? '', one))
        .join('  ')
        .trimEnd(),
    );
  }
  return [...names];
}

/** Rows as a table; columns in `right` are aligned right. */
export function inTable(rows: readonly (readonly string[])[], right: ReadonlySet<number> = new Set()): string[] {
  const widths: number[] = [];
  for (const row of rows) for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, widthOf(cell));
  return rows.map((row) =>
    row
      .map((cell, at) => {
        const gap = ' '.repeat(Math.max(0, (widths[at] ?? 0) - widthOf(cell)));
        return right.has(at) ? gap + cell : cell + gap;
      })
      .join('  ')
      .trimEnd(),
  );
}
