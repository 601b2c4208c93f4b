/** The thread that writes SQLite metadata. Started and spoken to by writer-thread.ts; what it does, writer-session.ts says. */
import { statSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { assert, Fault } from '../../base/index.ts';
import { openNodeSqlite } from './node-sqlite.ts';
import { configure } from './sqlite-writing.ts';
import type { WriterAnswer, WriterRequest, WriterStart } from './writer-messages.ts';
import { WriterSession } from './writer-session.ts';

/** Nobody else writes while this thread may; what the other connection does at the same time is over in a moment. */
const BUSY_MS_MAX = 10_000;

const port = parentPort;
assert(port !== null, 'this file runs as a worker thread');
const { path, inode, settings } = workerData as WriterStart;
requireSameFile();
const db = openNodeSqlite(path, { isShared: true });
db.exec(`PRAGMA busy_timeout = ${BUSY_MS_MAX}`);
configure(db, settings);
const session = new WriterSession(db);

port.on('message', (request: WriterRequest) => {
  const message = session.take(request);
  if (message !== undefined) answer(message);
  if (request.kind === 'close') port.close();
});
answer({ kind: 'ready' });

function answer(message: WriterAnswer): void {
  port?.postMessage(message);
}

/** What was moved away while it is open must not become two databases. */
function requireSameFile(): void {
  const found = statSync(path, { throwIfNoEntry: false });
  if (found?.ino === inode) return;
  throw new Fault('io', `The metadata file ${path} is not the one that was opened.`, { path });
}
