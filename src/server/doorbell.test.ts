/** The bell at the door: who rang is handed over unread, and nobody is left waiting. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtempDisposable } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Fault } from '../base/index.ts';
import { nodeTransport } from '../http/index.ts';
import { Doorbell } from './doorbell.ts';

test('who rang is handed over with all that they said, once the door is open', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const opened = Promise.withResolvers<void>();
  const admitted: Socket[] = [];
  const open = async () => {
    await opened.promise;
    return { admit: (connection: Socket) => void admitted.push(connection) };
  };
  await using bell = await Doorbell.hang({ folder: place.path, open });
  const visitor = connect(bell.shown);
  visitor.write('hello');
  while (existsSync(bell.shown)) await new Promise((done) => setTimeout(done, 5));
  assert.equal(admitted.length, 0);
  opened.resolve();
  await bell.stop();
  assert.equal(admitted.length, 1);
  const [connection] = admitted as [Socket];
  assert.equal(connection.bytesRead, 0);
  connection.resume();
  assert.equal(String((await once(connection, 'data'))[0]), 'hello');
  connection.destroy();
  await once(visitor.resume(), 'close');
});

test('a door that cannot be opened ends the visit, and the visitor knows that nothing was done', async () => {
  await using place = await mkdtempDisposable(join(tmpdir(), 'holdfast-'));
  const open = () => Promise.reject(new Fault('io', 'It does not open.'));
  await using bell = await Doorbell.hang({ folder: place.path, open });
  using transport = nodeTransport({ socketPath: bell.shown });
  await assert.rejects(
    transport.send({ method: 'DELETE', path: '/v1/files/a', headers: {} }),
    (error) => Fault.is(error, 'unavailable') && error.about.was_sent === false,
  );
});
