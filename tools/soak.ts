/**
 * `npm run soak -- NAME [words]`: the large numbers. Each file in test/soak is a soak by its name; without a name, they
 * are listed. What a soak takes as further words it says itself; all that draw by chance take `--seed N`, print the seed
 * they use, and do the same again for the same one.
 */
import { globSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { withPrograms } from './programs.ts';

export interface Soak {
  /** One line: what it does, and how long it takes. */
  readonly about: string;
  /** Rejects when something is wrong. */
  run(words: SoakWords): Promise<void>;
}

/** Words of the form `--name value`. */
export interface SoakWords {
  /** A whole number; `absent` when it is not given. @throws Error when it is none. */
  number(name: string, absent: number): number;
  /** As it was given. */
  text(name: string): string | undefined;
}

const folder = resolve(import.meta.dirname, '../test/soak');

if (import.meta.main) Object.assign(process.env, withPrograms(process.env));
if (import.meta.main) process.exitCode = await main(process.argv.slice(2));

async function main([name, ...rest]: readonly string[]): Promise<number> {
  const names = globSync('*.ts', { cwd: folder })
    .map((file) => basename(file, '.ts'))
    .sort();
  if (name === undefined || !names.includes(name)) {
    for (const each of names) process.stdout.write(`${each.padEnd(14)} ${(await soakOf(each)).about}\n`);
    if (name !== undefined) process.stderr.write(`There is no soak ${name}. Give one of the names above.\n`);
    return name === undefined ? 0 : 2;
  }
  const started = performance.now();
  await (await soakOf(name)).run(wordsOf(rest));
  process.stdout.write(`soak ${name}: ok, ${((performance.now() - started) / 1000).toFixed(1)} s\n`);
  return 0;
}

async function soakOf(name: string): Promise<Soak> {
  const { soak } = (await import(join(folder, `${name}.ts`))) as { readonly soak: Soak };
  return soak;
}

function wordsOf(words: readonly string[]): SoakWords {
  const given = new Map<string, string>();
  for (let at = 0; at < words.length; at += 2) {
    const [name = '', value] = [words[at], words[at + 1]];
    if (!name.startsWith('--') || value === undefined) throw new Error(`Give words as --name value; not ${name}.`);
    given.set(name.slice(2), value);
  }
  return {
    text: (name) => given.get(name),
    number: (name, absent) => {
      const text = given.get(name);
      const value = text === undefined ? absent : Number(text);
      if (!Number.isSafeInteger(value)) throw new Error(`--${name} takes a whole number, not ${text}.`);
      return value;
    },
  };
}
