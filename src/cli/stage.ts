/**
 * Where tests put the program on: a store in memory, a temporary folder, and streams that are kept. One run is one
 * command line from words to exit code, in this process.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Fault, ManualClock, type OptionRow, seededRandom } from '../base/index.ts';
import type { ExitCode } from './exit-codes.ts';
import { FakeService } from './fake-service.ts';
import { type LocalDisk, realDisk } from './local/local-disk.ts';
import { Interrupted, runProgram } from './program.ts';
import type { Sink } from './saying/say.ts';
import type { ConfigAsked, RebuiltMetadata, RunningServer, ServerRoom } from './server-room.ts';

/** A stream that remembers; `onWrite` may throw in its place. */
export class KeptSink implements Sink {
  isTerminal = false;
  columns = 80;
  onWrite: () => void = () => {};
  readonly #parts: Buffer[] = [];

  async write(data: Uint8Array | string): Promise<void> {
    this.onWrite();
    this.#parts.push(Buffer.from(data as Uint8Array));
  }

  get bytes(): Buffer {
    return Buffer.concat(this.#parts);
  }

  get text(): string {
    return this.bytes.toString();
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }

  get json(): Record<string, unknown>[] {
    return this.lines.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  clear(): void {
    this.#parts.length = 0;
  }
}

export class Stage implements Disposable {
  readonly service = new FakeService();
  readonly stdout = new KeptSink();
  readonly stderr = new KeptSink();
  readonly clock = new ManualClock();
  readonly abort = new AbortController();
  /** A fresh local folder. */
  readonly folder = mkdtempSync(join(tmpdir(), 'holdfast-cli-'));
  disk: LocalDisk = realDisk;
  input: readonly Uint8Array[] = [];
  /** What was asked of the server room. */
  readonly asked: ConfigAsked[] = [];
  rows: readonly OptionRow[] = [];
  isDisposed = false;
  /** What comes of `mount` instead of one. */
  mountFault: Fault | undefined;
  /** Where the store says that it stands. */
  storeFolder: string | undefined;

  path(name: string): string {
    return join(this.folder, name);
  }

  /** Runs one command line; what it said before is forgotten. */
  run(...words: readonly string[]): Promise<ExitCode> {
    this.stdout.clear();
    this.stderr.clear();
    return runProgram(words, {
      stdout: this.stdout,
      stderr: this.stderr,
      stdin: () => streamOf(this.input),
      clock: this.clock,
      random: seededRandom(1),
      signal: this.abort.signal,
      hurry: () => new AbortController().signal,
      disk: async () => this.disk,
      server: async () => this.#server(),
    });
  }

  interrupt(): void {
    this.abort.abort(new Interrupted(130));
  }

  #server(): ServerRoom {
    const ask = <T>(asked: ConfigAsked, answer: T): T => {
      this.asked.push(asked);
      return answer;
    };
    return {
      options: {
        store: { type: { kind: 'text', holds: 'folder' }, default: './holdfast-data', doc: 'The store.' },
        server: { type: { kind: 'text', holds: 'url' }, default: undefined, doc: 'The server.' },
        'create.ids': {
          type: { kind: 'choice', values: ['blake3', 'xxh3-128'] },
          default: 'blake3',
          doc: 'Ids.',
          flags: ['--ids'],
        },
        'compression.level': { type: { kind: 'integer', min: 1, max: 19 }, default: 1, doc: 'How hard.' },
      },
      reach: async (asked) =>
        ask(asked, {
          service: this.service,
          folder: this.storeFolder,
          [Symbol.asyncDispose]: async () => {
            this.isDisposed = true;
          },
        }),
      makeStore: async (asked) =>
        ask(asked, { store: '/s', storeId: 'id', idAlgorithm: 'blake3', chunker: 'ultracdc' }),
      rebuildMetadata: async (asked, { force }) => ask(asked, { ...REBUILT, rows: force ? 2 : 1 }),
      serve: async (asked) => ask(asked, RUNNING),
      mount: async (asked, { path }) => {
        if (this.mountFault !== undefined) throw this.mountFault;
        return ask(asked, { ...RUNNING, url: undefined, mountPoints: [path] });
      },
      up: async (asked) => ask(asked, { ...RUNNING, mountPoints: ['/mnt/a'] }),
      unmount: async (path) => path,
      configRows: async (asked) => ask(asked, this.rows),
    };
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const REBUILT: RebuiltMetadata = {
  asOf: '2026-01-01T00:00:00.000Z',
  sequence: 7,
  rows: 1,
  passedOver: [],
  packs: { added: 0, changed: 0, missing: 0 },
  newerChunks: 0,
  newerBytes: 0,
  keptAt: undefined,
};

const RUNNING: RunningServer = {
  url: 'http://127.0.0.1:1',
  mountPoints: [],
  store: '/s',
  storeId: 'id',
  isNew: false,
  banner: 'Serving /s',
  ended: Promise.resolve(),
};

async function* streamOf(parts: readonly Uint8Array[]): AsyncGenerator<Uint8Array, void> {
  yield* parts;
}
