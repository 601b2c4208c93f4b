/**
 * A process that opens a store and writes over most of its files in place, as a mount does, so that of their chunks only
 * islands are needed. Words: STORE SEED FOLDER. Says as JSON lines which files it changed: path and SHA-256 as they are now.
 */
import { Buffer } from 'node:buffer';
import { seededRandom } from '../../src/base/index.ts';
import type { OpenFlags } from '../../src/files/index.ts';
import { loadConfig } from '../../src/server/config.ts';
import { openStore } from '../../src/server/open-store.ts';
import { sha256 } from './data.ts';

const RW: OpenFlags = { read: true, write: true, append: false, truncate: false, sync: false };
const ISLAND_BYTES = 2_000;
const WRITTEN_BYTES = 100_000;

const [folder = '', seed = '1', within = '/'] = process.argv.slice(2);
const config = await loadConfig({ environment: { ...process.env, HOLDFAST_STORE: folder }, workingFolder: '/' });
await using store = await openStore({ options: config.values, command: 'overwrite test' });
const service = store.service({ door: 'test', request: '' });
const random = seededRandom(Number(seed));
await using tree = await store.openTree({});
for await (const { path, kind, file_id, size } of service.manifest({ path: within })) {
  if (kind !== 'file' || size < WRITTEN_BYTES) continue;
  const handle = await tree.open(file_id, RW);
  for (let at = ISLAND_BYTES; at < size; at += WRITTEN_BYTES + ISLAND_BYTES)
    await tree.write(handle, at, random.bytes(Math.min(WRITTEN_BYTES, size - at)));
  await tree.fsync(handle, false);
  await tree.release(handle);
  const parts: Uint8Array[] = [];
  for await (const part of (await service.read({ path })).bytes) parts.push(Buffer.from(part));
  process.stdout.write(`${JSON.stringify({ path, sha256: sha256(Buffer.concat(parts)) })}\n`);
}
