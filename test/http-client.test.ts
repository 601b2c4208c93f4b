/**
 * The client through the door, over a service in memory: over TCP, over a control socket and over fetch, everything that
 * the contract of a FileService asks for comes out at the other end as it went in.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileServiceContract, type OpenedService } from '../src/api/contract.ts';
import { silentLog, systemClock, systemRandom } from '../src/base/index.ts';
import { fetchTransport, HttpFileService } from '../src/client/index.ts';
import { FakeStore } from '../src/http/fake-file-service.ts';
import { createHttpDoor, nodeTransport } from '../src/http/index.ts';

async function openDoor() {
  const store = new FakeStore();
  return createHttpDoor({
    service: (caller) => store.service(caller),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
    info: () => ({ version: '0.0.0', store_id: 'fake', uptime_seconds: 0 }),
  });
}

async function overTcp(): Promise<OpenedService> {
  const door = await openDoor();
  const address = await door.listen({ host: '127.0.0.1', port: 0 });
  const transport = nodeTransport({ origin: 'url' in address ? address.url : '' });
  return {
    service: new HttpFileService({ transport: transport.send }),
    async [Symbol.asyncDispose]() {
      transport[Symbol.dispose]();
      await door[Symbol.asyncDispose]();
    },
  };
}

async function overSocket(): Promise<OpenedService> {
  const door = await openDoor();
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-socket-'));
  const socketPath = join(folder, 'control.sock');
  await door.listen({ socketPath });
  const transport = nodeTransport({ socketPath });
  return {
    service: new HttpFileService({ transport: transport.send }),
    async [Symbol.asyncDispose]() {
      transport[Symbol.dispose]();
      await door[Symbol.asyncDispose]();
      rmSync(folder, { recursive: true });
    },
  };
}

async function overFetch(): Promise<OpenedService> {
  const door = await openDoor();
  const address = await door.listen({ host: '127.0.0.1', port: 0 });
  const origin = 'url' in address ? address.url : '';
  return {
    service: new HttpFileService({ transport: fetchTransport({ origin, streamsUploads: true }) }),
    [Symbol.asyncDispose]: () => door[Symbol.asyncDispose](),
  };
}

fileServiceContract('the client over TCP', overTcp, { door: 'http' });
fileServiceContract('the client over a control socket', overSocket, { door: 'control' });
fileServiceContract('the client over fetch', overFetch, { door: 'http' });
