/** `holdfast up`: HTTP and mounts on one store, each seeing at once what came in through the other. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import * as fs from 'node:fs/promises';
import { test } from 'node:test';
import { run as program, whyNoMount } from './fuse-mount.ts';
import { holdfast } from './holdfast.ts';
import { isMounted, Place, startRunning, until } from './running.ts';

const skip = whyNoMount() ?? false;
const limits = { skip, timeout: 120_000 * Number(process.env.TEST_HOLDFAST_SCALE ?? 1) } as const;

/** HTTP, the whole store at `all`, its folder /part at `part`. */
async function configured(place: Place, more = ''): Promise<readonly string[]> {
  for (const name of ['all', 'part']) place.folder(name);
  const file = place.at('holdfast.toml');
  await fs.writeFile(
    file,
    `store = "store"
${more}
[[mounts]]
path = "all"

[[mounts]]
path = "part"
subdir = "/part"

[http]
port = 0
`,
  );
  await holdfast(['init', '--store', place.store]);
  await holdfast(['mkdir', '--store', place.store, '/part']);
  return ['up', '--config', file];
}

async function put(url: string, path: string, text: string): Promise<void> {
  const answer = await fetch(`${url}/v1/files${path}?create`, { method: 'PUT', body: text });
  assert.ok(answer.ok, await answer.text());
}

async function textAt(url: string, path: string): Promise<string> {
  return await (await fetch(`${url}/v1/files${path}`)).text();
}

test('HTTP and two mounts on one store see at once what the others did', limits, async () => {
  using place = new Place();
  await using up = await startRunning(await configured(place), { records: 3 });
  const { url } = up;
  const [all, part] = [place.at('all'), place.at('part')];
  assert.deepEqual(
    up.records.map(({ event, mount_point }) => mount_point ?? event),
    [all, part, 'serving'],
  );
  // Names and attributes that the kernel remembers must go when they are no longer true.
  await assert.rejects(fs.stat(`${all}/part/f`), { code: 'ENOENT' });
  await assert.rejects(fs.stat(`${part}/f`), { code: 'ENOENT' });
  await put(url, '/part/f', 'by HTTP');
  for (const path of [`${all}/part/f`, `${part}/f`]) assert.equal(await fs.readFile(path, 'utf8'), 'by HTTP');
  await put(url, '/part/f', 'by HTTP, changed');
  for (const path of [`${all}/part/f`, `${part}/f`]) {
    assert.equal((await fs.stat(path)).size, 16);
    assert.equal(await fs.readFile(path, 'utf8'), 'by HTTP, changed');
  }
  // From a mount to HTTP and to the other mount.
  await fs.writeFile(`${part}/g`, 'by one mount');
  assert.equal(await textAt(url, '/part/g'), 'by one mount');
  assert.equal(await fs.readFile(`${all}/part/g`, 'utf8'), 'by one mount');
  await fs.appendFile(`${all}/part/g`, ' and the other');
  assert.equal(await textAt(url, '/part/g'), 'by one mount and the other');
  assert.equal(await fs.readFile(`${part}/g`, 'utf8'), 'by one mount and the other');
  // From one mount to the other with nobody in between: as soon as it is durable, which is soon.
  await fs.writeFile(`${all}/part/g`, 'by the other mount');
  await until('the other mount sees it', () => readFileSync(`${part}/g`, 'utf8') === 'by the other mount');
  // Gone for one, gone for all.
  assert.deepEqual(await fs.readdir(part), ['f', 'g']);
  assert.equal((await fetch(`${url}/v1/files/part/f`, { method: 'DELETE' })).status, 204);
  for (const path of [`${all}/part/f`, `${part}/f`]) await assert.rejects(fs.stat(path), { code: 'ENOENT' });
  await fs.rename(`${all}/part/g`, `${all}/g`);
  assert.deepEqual(await fs.readdir(part), []);
  assert.equal((await fetch(`${url}/v1/files/part/g`)).status, 404);
  assert.equal(await textAt(url, '/g'), 'by the other mount');
});

test('HTTP and mounts that change the same few files at once leave the store whole', limits, async () => {
  using place = new Place();
  await using up = await startRunning(await configured(place), { records: 3 });
  const endMs = performance.now() + 2_000;
  const path = (step: number): string => `/part/f${step % 5}`;
  // ESTALE (Node has no name for it): removed through the other mount while it was open here.
  const usual = ['ENOENT', 'EEXIST', 'EAGAIN', 'Unknown system error -116'];
  const throughMount = async (root: string): Promise<void> => {
    for (let step = 0; performance.now() < endMs; step++) {
      const change = [
        () => fs.writeFile(root + path(step), 'm'.repeat(100)),
        () => fs.rm(root + path(step)),
        () => fs.rename(root + path(step), root + path(step + 1)),
      ][step % 3];
      await change?.().catch((error: NodeJS.ErrnoException) => assert.ok(usual.includes(error.code ?? ''), `${error}`));
    }
  };
  const throughHttp = async (): Promise<void> => {
    for (let step = 0; performance.now() < endMs; step++) {
      const answer = await fetch(`${up.url}/v1/files${path(step)}?create`, { method: 'PUT', body: `step ${step}` });
      assert.ok(answer.ok || answer.status === 409, await answer.text());
    }
  };
  // The same folder both ways in.
  await fs.symlink('.', place.at('part', 'part'));
  const roots = [place.at('all'), place.at('part'), place.at('all')];
  await Promise.all([...roots.map(throughMount), ...Array.from({ length: 4 }, throughHttp)]);
  assert.equal(await up.stop(), 0, up.output());
  assert.doesNotMatch(up.output(), /"level":"error"/);
  const { code, stdout } = await holdfast(['check', '--store', place.store]);
  assert.equal(code, 0, stdout.toString());
});

test('a stop lets requests finish, then unmounts, and everything is stored', limits, async () => {
  using place = new Place();
  const words = await configured(place);
  await using up = await startRunning(words, { records: 3 });
  await fs.writeFile(place.at('part', 'late'), 'written last');
  const { port } = new URL(up.url);
  // A request that is half sent when the signal comes.
  const body = new ReadableStream({
    async start(controller) {
      controller.enqueue(new TextEncoder().encode('begun '));
      up.signal('SIGTERM');
      await until('it drains', () => up.output().includes('server.draining'));
      assert.equal(isMounted(place.at('all')), true);
      controller.enqueue(new TextEncoder().encode('and finished'));
      controller.close();
    },
  });
  const sent = { method: 'PUT', body, duplex: 'half' } as RequestInit;
  const answer = await fetch(`http://127.0.0.1:${port}/v1/files/half?create`, sent);
  assert.equal(answer.status, 201, await answer.text());
  assert.equal(await up.ended, 0, up.output());
  const events = [...up.output().matchAll(/"event":"([a-z.-]+)"/g)].map(([, event]) => event);
  const order = ['server.draining', 'server.drained', 'fuse.ended'].map((event) => events.indexOf(event));
  assert.deepEqual(
    order,
    order.toSorted((a, b) => a - b),
    events.join(' '),
  );
  for (const name of ['all', 'part']) assert.equal(isMounted(place.at(name)), false);
  const { stdout } = await holdfast(['cat', '--store', place.store, '/half', '/part/late']);
  assert.equal(stdout.toString(), 'begun and finishedwritten last');
});

test('a mount that somebody takes away leaves the rest running', limits, async () => {
  using place = new Place();
  await using up = await startRunning(await configured(place), { records: 3 });
  await program('umount', place.at('part'));
  await put(up.url, '/part/f', 'still served');
  assert.equal(await fs.readFile(place.at('all', 'part', 'f'), 'utf8'), 'still served');
});

test('without HTTP it ends when its last mount is taken away', limits, async () => {
  using place = new Place();
  const words = [...(await configured(place)), '--no-http'];
  await using up = await startRunning(words, { records: 2 });
  assert.equal(up.url, '');
  await program('umount', place.at('part'));
  await fs.writeFile(place.at('all', 'f'), 'x');
  await program('umount', place.at('all'));
  assert.equal(await up.ended, 0, up.output());
});

test('what a configuration of mounts has wrong is named, and nothing is mounted', limits, async () => {
  using place = new Place();
  const words = await configured(place);
  const wrong = async (mounts: unknown, ...more: string[]): Promise<string> => {
    const environment = { HOLDFAST_MOUNTS: JSON.stringify(mounts) };
    const { code, stderr } = await holdfast([...words, ...more], { environment });
    assert.notEqual(code, 0);
    return stderr;
  };
  assert.match(
    await wrong([{ path: place.at('all'), read_onyl: true }]),
    /`read_onyl` too \(did you mean `read_only`\?\)/,
  );
  assert.match(await wrong([{ subdir: '/' }]), /in table 1 of the list, `path` to be a text/);
  const twice = [{ path: place.at('all') }, { path: place.at('all') }];
  assert.match(await wrong(twice), /named twice/);
  const nested = [{ path: place.at('all') }, { path: place.at('all', 'part') }];
  assert.match(await wrong(nested), /is below another one/);
  const half = [{ path: place.at('all') }, { path: place.at('missing') }];
  assert.match(await wrong(half), /There is no folder .*missing/);
  assert.match(await wrong([], '--no-http'), /asks for nothing/);
  const many = Array.from({ length: 9 }, (_, index) => ({ path: place.folder(`m${index}`) }));
  assert.match(await wrong(many), /UV_THREADPOOL_SIZE=13/);
  for (const name of ['all', 'part']) assert.equal(isMounted(place.at(name)), false);
});
