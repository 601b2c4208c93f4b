/**
 * Uploads ten files to a running Holdfast, downloads them again, and compares their hashes.
 *
 *   node examples/ten-files.ts [http://127.0.0.1:8420]
 *
 * Uses nothing but HTTP, so it reads as well in any other language. Exit code 0 when all ten came back as they went.
 */
import { createHash, randomBytes } from 'node:crypto';

const server = process.argv[2] ?? 'http://127.0.0.1:8420';
const folder = `examples/ten-files-${Date.now()}`;

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

async function call(method: string, path: string, body?: Uint8Array<ArrayBuffer>): Promise<Response> {
  const answer = await fetch(`${server}/v1/${path}`, { method, ...(body === undefined ? {} : { body }) });
  if (answer.ok) return answer;
  // Errors are application/problem+json: a stable code for programs, a sentence for people.
  const problem = (await answer.json()) as { code: string; detail: string };
  throw new Error(`${method} ${path}: ${answer.status} ${problem.code}: ${problem.detail}`);
}

await call('POST', `directories/${folder}?parents=true`);

const sent = new Map<string, string>();
for (let number = 1; number <= 10; number++) {
  const name = `file-${number}.bin`;
  const bytes = new Uint8Array(randomBytes(number * 100_000));
  await call('POST', `files/${folder}/${name}`, bytes);
  sent.set(name, sha256(bytes));
}

let wrong = 0;
for (const [name, hash] of sent) {
  const answer = await call('GET', `files/${folder}/${name}`);
  const received = sha256(new Uint8Array(await answer.arrayBuffer()));
  const isSame = received === hash;
  if (!isSame) wrong++;
  console.log(`${isSame ? 'same ' : 'WRONG'} ${name} ${received} ${answer.headers.get('etag')}`);
}
console.log(wrong === 0 ? 'All ten files came back as they went.' : `${wrong} files differ.`);
process.exitCode = wrong === 0 ? 0 : 1;
