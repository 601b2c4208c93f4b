/** docs/errors.md names every fault code as the code does, and every line of docs/api.md works as printed. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { FAULT_MEANINGS, type FaultMeaning } from '../src/api/index.ts';
import { FAULT_CODES, Fault } from '../src/base/index.ts';
import { exitOf } from '../src/cli/exit-codes.ts';
import { ERRNO, FAULT_ERRNO } from '../src/fuse/protocol.ts';
import { openFakeDoor } from '../src/http/fake-door.ts';

const docs = resolve(import.meta.dirname, '../docs');
const page = (name: string): string => readFileSync(join(docs, name), 'utf8');

test('docs/errors.md has every fault code with its status, older word and exit code', () => {
  const rows = page('errors.md').matchAll(/^\| `([a-z-]+)` \| [^|]+ \| (\d+) \| (?:`(\w+)` )?\| (\d+) \| [^|]+ \|$/gm);
  const told = [...rows].map(([, code, status, older, exit]) => [code, Number(status), older, Number(exit)]);
  const wanted = FAULT_CODES.map((code) => {
    const meaning: FaultMeaning = FAULT_MEANINGS[code];
    return [code, meaning.status, meaning.olderCode, exitOf(new Fault(code, 'x'))];
  });
  assert.deepEqual(told, wanted);
});

test('docs/errors.md says which errno each fault code is on a mount', () => {
  const rows = page('errors.md').matchAll(/^\| `(E[A-Z]+)` \| ([^|]+) \|$/gm);
  const told = [...rows].flatMap(([, errno, codes]) =>
    [...(codes ?? '').matchAll(/`([a-z-]+)`/g)].map(([, code]) => [code, ERRNO[errno as keyof typeof ERRNO]]),
  );
  assert.deepEqual(Object.fromEntries(told), FAULT_ERRNO);
});

test('every example of docs/api.md works as printed', async () => {
  const blocks = [...page('api.md').matchAll(/```sh\n(.*?)```/gs)].map(([, script]) => script ?? '');
  const script = blocks.filter((block) => !block.startsWith('holdfast')).join('\n');
  assert.ok((script.match(/curl/g) ?? []).length > 25);
  await using door = await openFakeDoor();
  const cwd = mkdtempSync(join(tmpdir(), 'holdfast-docs-'));
  try {
    const env = { PATH: process.env.PATH ?? '', URL: door.url };
    const { stdout } = await promisify(execFile)('bash', ['-eu', '-o', 'pipefail', '-c', script], { cwd, env });
    assert.match(stdout, /^412$/m);
    assert.match(stdout, /^423$/m);
    assert.match(stdout, /"is_clean":true/);
    const paths: string[] = [];
    for await (const { path } of door.service.manifest({ path: '/' })) paths.push(path);
    assert.deepEqual(paths, ['/docs', '/docs/form.txt', '/docs/notes.txt', '/docs/old', '/docs/old/once.txt']);
  } finally {
    rmSync(cwd, { recursive: true });
  }
});
