/** `npm run format`: writes the one format, sorts imports and applies the safe lint fixes. */
import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';

const root = resolve(import.meta.dirname, '..');
const biome = resolve(root, 'node_modules/@biomejs/cli-linux-x64/biome');
const where = process.argv.slice(2);
const done = spawnSync(biome, ['check', '--write', ...(where.length > 0 ? where : ['.'])], {
  cwd: root,
  stdio: 'inherit',
});
process.exit(done.status ?? 1);
