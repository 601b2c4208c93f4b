/**
 * Small files as a process of its own: `node bulk-load.ts '{…BulkLoad…}'` prints one line of JSON, the seconds that it
 * took. `form` sends all of them as one form, `forms` some hundred a form from two connections, `puts` each by itself
 * from eight connections; `frames` gets all of them in one answer, `gets` each by itself. What is sent is made before the
 * clock starts, and nothing makes it smaller.
 */
import { createCipheriv } from 'node:crypto';
import { Agent, type ClientRequest, type IncomingMessage, request } from 'node:http';

export interface BulkLoad {
  readonly port: number;
  readonly how: 'form' | 'forms' | 'puts' | 'frames' | 'gets';
  readonly count: number;
  readonly bytesMin: number;
  readonly bytesMax: number;
  readonly seed: number;
  /** Of single requests; `#` stands for the number of the file. */
  readonly path?: string;
}

const SINGLE_CLIENTS = 8;
const FORM_CLIENTS = 2;
const FORM_FILES = 500;
const BOUNDARY = 'a-boundary-of-the-bench';

const load = JSON.parse(process.argv[2] ?? '{}') as BulkLoad;
const agent = new Agent({ keepAlive: true, maxSockets: SINGLE_CLIENTS });

function contents(): readonly Buffer[] {
  const key = Buffer.alloc(32, load.seed);
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16, load.seed >>> 8));
  // Sizes that are the same for all contestants, spread evenly.
  return Array.from({ length: load.count }, (_, index) => {
    const spread = ((index * 2_654_435_761) >>> 0) / 2 ** 32;
    return cipher.update(Buffer.alloc(Math.floor(load.bytesMin + spread * (load.bytesMax - load.bytesMin))));
  });
}

function formOf(files: readonly Buffer[], from: number): Buffer {
  const parts = files.flatMap((content, index) => {
    const name = `d${(from + index) % 100}/f${from + index}`;
    const head = `--${BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="${name}"\r\n\r\n`;
    return [Buffer.from(head), content, Buffer.from('\r\n')];
  });
  return Buffer.concat([...parts, Buffer.from(`--${BOUNDARY}--\r\n`)]);
}

interface Asked {
  readonly method: string;
  readonly path: string;
  readonly body?: Buffer | string;
  readonly headers?: Readonly<Record<string, string>>;
}

function ask({
  method,
  path,
  body = '',
  headers = {},
}: Asked): Promise<{ readonly length: number; readonly text: string }> {
  return new Promise((resolve, reject) => {
    const length = { 'content-length': Buffer.byteLength(body) };
    const where = { host: '127.0.0.1', port: load.port, agent, method, path, headers: { ...length, ...headers } };
    const sent: ClientRequest = request(where, (answer: IncomingMessage) => {
      let bytes = 0;
      let start = '';
      answer.on('data', (piece: Buffer) => {
        bytes += piece.length;
        if (start.length < 1_000_000) start += piece.toString('latin1');
      });
      answer.on('end', () => {
        if ((answer.statusCode ?? 0) < 300) resolve({ length: bytes, text: start });
        else reject(new Error(`${method} ${path}: ${answer.statusCode} ${start.slice(0, 300)}`));
      });
      answer.on('error', reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function atOnce(clients: number, count: number, each: (index: number) => Promise<void>): Promise<void> {
  let next = 0;
  const run = async (): Promise<void> => {
    for (let index = next++; index < count; index = next++) await each(index);
  };
  await Promise.all(Array.from({ length: clients }, run));
}

async function sendForm(form: Buffer, count: number): Promise<void> {
  const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` };
  const { text } = await ask({ method: 'POST', path: '/v1/bulk/upload?path=/bulk', body: form, headers });
  const { success, failed } = JSON.parse(text) as { success: unknown[]; failed: unknown[] };
  if (success.length !== count) throw new Error(`only ${success.length}: ${JSON.stringify(failed[0])}`);
}

async function measured(): Promise<number> {
  const { how, count, path = '' } = load;
  const single = (index: number): string => path.replace('#', String(index));
  const files = how === 'gets' || how === 'frames' ? [] : contents();
  const perForm = how === 'form' ? count : FORM_FILES;
  const forms: { readonly form: Buffer; readonly count: number }[] = [];
  for (let from = 0; how.startsWith('form') && from < count; from += perForm) {
    const some = files.slice(from, from + perForm);
    forms.push({ form: formOf(some, from), count: some.length });
  }
  const started = performance.now();
  switch (how) {
    case 'form':
    case 'forms':
      await atOnce(FORM_CLIENTS, forms.length, async (index) => {
        const one = forms[index];
        if (one !== undefined) await sendForm(one.form, one.count);
      });
      break;
    case 'puts':
      await atOnce(SINGLE_CLIENTS, count, async (index) => {
        await ask({ method: 'PUT', path: single(index), body: files[index] ?? '' });
      });
      break;
    case 'gets':
      await atOnce(SINGLE_CLIENTS, count, async (index) => {
        await ask({ method: 'GET', path: single(index) });
      });
      break;
    case 'frames': {
      const paths = Array.from({ length: count }, (_, index) => `/bulk/d${index % 100}/f${index}`);
      const headers = { 'content-type': 'application/json', accept: 'application/vnd.holdfast.frames' };
      const { length } = await ask({
        method: 'POST',
        path: '/v1/bulk/download',
        body: JSON.stringify({ paths }),
        headers,
      });
      if (length < count * load.bytesMin) throw new Error(`only ${length} bytes came`);
    }
  }
  return (performance.now() - started) / 1_000;
}

const seconds = await measured();
agent.destroy();
process.stdout.write(`${JSON.stringify({ seconds })}\n`);
