/**
 * Builds src/chunks/cutting/chunker.wasm from chunker.as.ts with the AssemblyScript compiler.
 * The module is small and committed, so that running Holdfast needs no compiler; a test builds it again and compares
 * byte for byte, so that source and module cannot part. Run with `node tools/run.mjs --dev tools/build-wasm.ts`.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { basename, resolve } from 'node:path';

const CUTTING = resolve(import.meta.dirname, '../src/chunks/cutting');
const SOURCE = resolve(CUTTING, 'chunker.as.ts');
const MODULE = resolve(CUTTING, 'chunker.wasm');

const FLAGS = [
  '-O3',
  '--noAssert',
  '--runtime=stub',
  '--enable=simd',
  '--importMemory',
  '--initialMemory=1',
  '--memoryBase=8192',
];

/** The module's bytes. @throws Error with what the compiler said. */
export async function buildChunker(): Promise<Uint8Array> {
  // Loaded on demand: the compiler takes a second to load.
  const { default: asc } = await import('assemblyscript/asc');
  let module: Uint8Array | undefined;
  const { error, stderr } = await asc.main([basename(SOURCE), '--outFile', 'chunker.wasm', ...FLAGS], {
    readFile: (name) => (name === basename(SOURCE) ? readFileSync(SOURCE, 'utf8') : null),
    writeFile: (_name, contents) => {
      module = typeof contents === 'string' ? new TextEncoder().encode(contents) : contents;
    },
    listFiles: () => [],
  });
  if (error !== null || module === undefined) throw new Error(`chunker.as.ts does not compile:\n${stderr}`);
  return module;
}

if (import.meta.main) {
  const module = await buildChunker();
  writeFileSync(MODULE, module);
  process.stdout.write(`${MODULE}: ${module.length} bytes\n`);
}
