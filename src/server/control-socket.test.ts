/** The control socket's address: short paths as they are, long ones through a handle. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdirSync, readdirSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { controlSocketOf, SOCKET_PATH_BYTES_MAX } from './control-socket.ts';

async function talk(folder: string): Promise<string> {
  using bound = controlSocketOf(folder);
  using address = controlSocketOf(folder);
  const server = createServer((socket) => socket.end('hello')).listen(bound.path);
  await once(server, 'listening');
  const socket = connect(address.path);
  const [bytes] = await once(socket, 'data');
  socket.destroy();
  server.close();
  await once(server, 'close');
  return String(bytes);
}

test('a socket is bound and reached at a short path and at one beyond what the system allows', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  assert.equal(await talk(place.path), 'hello');
  assert.deepEqual(readdirSync(place.path), []);
  const deep = join(place.path, 'd'.repeat(100), 'e'.repeat(100));
  mkdirSync(deep, { recursive: true });
  assert.ok(Buffer.byteLength(join(deep, 'control.sock')) > SOCKET_PATH_BYTES_MAX);
  assert.equal(await talk(deep), 'hello');
  assert.deepEqual(readdirSync(deep), []);
});
