/** The SQLite engine keeps the contract, on a file and in memory, and notices damage, refusals and foreign files. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after } from 'node:test';
import { testMetaStore } from './contract.ts';
import { openSqliteFile } from './node-sqlite.ts';

const folder = mkdtempSync(join(tmpdir(), 'holdfast-meta-'));
after(() => rmSync(folder, { recursive: true, force: true }));
let number = 0;
const freshPath = (): string => join(folder, `${number++}.db`);

testMetaStore('SQLite metadata in a file', () => openSqliteFile(freshPath()));
testMetaStore('SQLite metadata in memory', () => openSqliteFile(':memory:'));
