/**
 * Web servers that files are put to and got from, each on a free port of the loopback address and ended with its scope:
 * `holdfast serve` and nginx with its WebDAV methods, set up as a person in a hurry would: one worker a processor,
 * sendfile, no access log. nginx answers a PUT without syncing anything; Holdfast answers when the bytes are durable.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { HOLDFAST } from './keepers.ts';
import { findProgram, run, type Service, serve } from './process.ts';

const START_TIMEOUT_MS = 20_000;
const RETRY_MS = 50;

export interface WebServer extends AsyncDisposable {
  readonly port: number;
  /** Where a file stands; its path and, for a new one, its query. */
  readonly pathOf: (name: string) => string;
  readonly newPathOf: (name: string) => string;
  peakBytes(): number;
  /** Processor time of the server so far. */
  cpuSeconds(): number;
}

export async function serveHoldfast(folder: string, memory: 'normal' | 'small' = 'normal'): Promise<WebServer> {
  mkdirSync(folder);
  const port = await freePort();
  const words = [HOLDFAST, 'serve', '--store', join(folder, 'store'), '--port', String(port)];
  const service = serve({ words, folder, environment: { HOLDFAST_MEMORY: memory, XDG_CONFIG_HOME: folder } });
  await answers(service, `http://127.0.0.1:${port}/v1/health`);
  return {
    port,
    pathOf: (name) => `/v1/files/${name}`,
    newPathOf: (name) => `/v1/files/${name}?create=true`,
    peakBytes: () => service.peakBytes(),
    cpuSeconds: () => service.cpuSeconds(),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

export const NGINX_MISSING = 'not installed (apt-get install nginx-light)';

/** @throws Error when nginx is not there or does not know WebDAV's methods. */
export async function serveNginx(folder: string): Promise<WebServer> {
  const program = findProgram('nginx');
  if (program === undefined) throw new Error(NGINX_MISSING);
  mkdirSync(join(folder, 'files'), { recursive: true });
  const port = await freePort();
  const configuration = join(folder, 'nginx.conf');
  writeFileSync(configuration, nginxConfiguration(folder, port));
  const words = [program, '-c', configuration, '-p', folder, '-e', join(folder, 'error.txt')];
  await run({ words: [...words, '-t'] });
  const service = serve({ words, folder });
  await answers(service, `http://127.0.0.1:${port}/`);
  return {
    port,
    pathOf: (name) => `/${name}`,
    newPathOf: (name) => `/${name}`,
    peakBytes: () => service.peakBytes(),
    cpuSeconds: () => service.cpuSeconds(),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}

function nginxConfiguration(folder: string, port: number): string {
  // Bodies arrive on the file system they stay on, so that a finished PUT is a rename.
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${folder}/${kind};`)
    .join('\n');
  return `${process.getuid?.() === 0 ? 'user root;\n' : ''}daemon off;
worker_processes auto;
pid ${folder}/nginx.pid;
events { worker_connections 4096; }
http {
${temporary}
  access_log off;
  sendfile on;
  tcp_nopush on;
  keepalive_requests 100000000;
  client_max_body_size 0;
  server {
    listen 127.0.0.1:${port};
    root ${folder}/files;
    location / { dav_methods PUT DELETE; }
  }
}
`;
}

/** Waits until the server answers. @throws Error with the server's own words when it ended instead. */
async function answers(service: Service, url: string): Promise<void> {
  const until = performance.now() + START_TIMEOUT_MS;
  for (let isUp = false; !isUp; isUp = await doesAnswer(url)) {
    const failure = service.failure() ?? (performance.now() > until ? `${url} does not answer` : undefined);
    if (failure !== undefined) {
      await service[Symbol.asyncDispose]();
      throw new Error(failure);
    }
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
  }
}

async function doesAnswer(url: string): Promise<boolean> {
  try {
    await (await fetch(url)).arrayBuffer();
    return true;
  } catch {
    return false; // Not up yet.
  }
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}
