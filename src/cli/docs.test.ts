/** docs/cli.md is what the command table says. `bin/holdfast help --markdown > docs/cli.md` writes it anew. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { reference } from './words/help.ts';

test('docs/cli.md is current', () => {
  const page = readFileSync(new URL('../../docs/cli.md', import.meta.url), 'utf8');
  assert.equal(page, reference(), 'write it anew with: bin/holdfast help --markdown > docs/cli.md');
});
