/**
 * One turn of the `link` comparison, inside a network namespace whose loopback device is shaped: what iperf3 gets over
 * it, and what curl gets from and to a Holdfast. Prints the figures as one line of JSON, in bytes a second.
 * Its argument is a Turn as JSON.
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { incompressibleFile } from './corpora.ts';
import { delayProxy } from './delay-proxy.ts';
import { run, serve } from './process.ts';
import { freePort, serveHoldfast } from './servers.ts';

export interface Turn {
  readonly folder: string;
  readonly iperf: string;
  readonly curl: string;
  readonly bytes: number;
  readonly seconds: number;
  /** One way; 0 for none. */
  readonly delayMs: number;
  readonly seed: number;
}

export interface TurnResult {
  readonly iperfUp: number;
  readonly iperfDown: number;
  readonly up: number;
  readonly down: number;
}

if (process.argv[1] === import.meta.filename) {
  const result = await takeTurn(JSON.parse(process.argv[2] ?? '') as Turn);
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

async function takeTurn(turn: Turn): Promise<TurnResult> {
  mkdirSync(turn.folder, { recursive: true });
  const iperfUp = await iperf(turn);
  const iperfDown = await iperf(turn, '-R');
  await using stack = new AsyncDisposableStack();
  const server = stack.use(await serveHoldfast(join(turn.folder, 'holdfast')));
  const port = await reach(stack, turn, server.port);
  const content = join(turn.folder, 'content');
  incompressibleFile(content, turn.bytes, turn.seed);
  const url = (path: string): string => `http://127.0.0.1:${port}${path}`;
  const speed = async (which: 'upload' | 'download', ...words: string[]): Promise<number> => {
    const { said } = await run({
      // The server answers to its own address only, whatever stands in front of it.
      words: [
        ...[turn.curl, '-fsS', '-H', `Host: 127.0.0.1:${server.port}`, '-H', 'Expect:'],
        ...['-o', '/dev/null', '-w', `\\n%{speed_${which}}`, ...words],
      ],
    });
    return Number(said.trim().split('\n').at(-1));
  };
  const up = await speed('upload', '-T', content, url(server.newPathOf('file')));
  const down = await speed('download', url(server.pathOf('file')));
  return { iperfUp, iperfDown, up, down };
}

/** The port at which a client finds the server: through the delay where there is one. */
async function reach(stack: AsyncDisposableStack, turn: Turn, target: number): Promise<number> {
  if (turn.delayMs === 0) return target;
  const port = await freePort();
  stack.use(await delayProxy({ port, target, delayMs: turn.delayMs, seed: turn.seed }));
  return port;
}

/** What arrives, bytes a second. */
async function iperf(turn: Turn, ...more: string[]): Promise<number> {
  await using stack = new AsyncDisposableStack();
  const target = await freePort();
  stack.use(serve({ words: [turn.iperf, '-s', '-1', '-B', '127.0.0.1', '-p', String(target)] }));
  await new Promise((resolve) => setTimeout(resolve, 300)); // It says nothing when it listens.
  const port = await reach(stack, turn, target);
  const words = [turn.iperf, '-c', '127.0.0.1', '-p', String(port), '-t', String(turn.seconds), '-J', ...more];
  const { said } = await run({ words });
  const received = /"sum_received":\s*\{[^}]*"bits_per_second":\s*([\d.e+]+)/.exec(said)?.[1];
  if (received === undefined) throw new Error(`iperf3 says nothing of what arrived: ${said.slice(-500)}`);
  return Number(received) / 8;
}
