/** Records of files as people and scripts read them: names safe for a terminal, lines for `-l`, and JSON as it came. */
import type { FileRecord } from '../../api/index.ts';
import { escapedForTerminal, inColumns, inTable, shownMode, shownMoment } from './display.ts';
import type { Say } from './say.ts';

/** The text form; on a terminal also escaped where it would steer it. */
export function shownName(say: Say, name: string): string {
  return say.isTerminal ? escapedForTerminal(name) : name;
}

/** How names are set: one a line, in columns, as a table, each with NUL. */
export interface ListStyle {
  readonly isLong: boolean;
  readonly isNull: boolean;
  /** Names may stand beside each other when it is a terminal. */
  readonly mayUseColumns: boolean;
}

export interface Named {
  readonly name: string;
  readonly record: FileRecord;
}

/** Says a page of entries. Pages are set on their own, so that a long list needs no memory. */
export async function sayPage(say: Say, page: readonly Named[], style: ListStyle): Promise<void> {
  for (const { record } of page) await say.record(record);
  if (say.isJson) return;
  for (const line of linesOf(say, page, style)) await (style.isNull ? say.raw(`${line}\0`) : say.line(line));
}

function linesOf(say: Say, page: readonly Named[], style: ListStyle): string[] {
  const names = page.map(({ name }) => (style.isNull ? name : shownName(say, name)));
  if (style.isLong) {
    const rows = page.map(({ record }, index) => [
      shownMode(record.kind, record.mode),
      String(record.size),
      shownMoment(record.modified),
      `v${record.version}`,
      names[index] + (record.target === undefined ? '' : ` -> ${shownName(say, record.target)}`),
    ]);
    return inTable(rows, new Set([1, 3]));
  }
  if (!style.mayUseColumns || !say.isTerminal || style.isNull) return names;
  return inColumns(
    names.map((name, index) => (page[index]?.record.kind === 'folder' ? `${name}/` : name)),
    say.columns,
  );
}
