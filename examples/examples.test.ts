/** Every example runs against a real server, as its own head says. */
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { startServer } from '../test/e2e/server.ts';

const run = promisify(execFile);

test('ten files go up and come back the same', { timeout: 60_000 }, async () => {
  await using server = await startServer();
  const { stdout } = await run(process.execPath, ['examples/ten-files.ts', server.origin], {
    cwd: `${import.meta.dirname}/..`,
  });
  assert.match(stdout, /All ten files came back/);
  assert.equal(stdout.match(/^same /gm)?.length, 10);
});
