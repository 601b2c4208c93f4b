/** Reads the whole database and names what is damaged. */
import type { MetaProblem } from './meta-store.ts';
import type { SqlDatabase } from './sql.ts';

export async function* checkSqlite(db: SqlDatabase, _signal: AbortSignal | undefined): AsyncGenerator<MetaProblem> {
  for (const [found] of db.prepare('PRAGMA integrity_check(100)').all([])) {
    if (found === 'ok') continue;
    const sentence = `SQLite finds its own structure damaged: ${String(found)}.`;
    yield { table: 'engine', sentence, about: { found } };
  }
}
