/**
 * The process's standard streams as Sinks. A write resolves when the stream has taken it, so that a slow reader slows
 * us down instead of filling memory; a reader that is gone is BrokenPipe, whichever write finds out.
 */
import { fstatSync, read } from 'node:fs';
import { addAbortSignal } from 'node:stream';
import type { WriteStream } from 'node:tty';
import { promisify } from 'node:util';
import { Fault } from '../../base/index.ts';
import { blocksOf } from '../local/local-blocks.ts';
import { BrokenPipe, type Sink } from './say.ts';

export function sinkOf(stream: NodeJS.WriteStream): Sink {
  let failure: Error | undefined;
  stream.on('error', (error) => {
    failure ??= failureOf(error);
  });
  return {
    write: (data) =>
      new Promise((resolve, reject) => {
        if (failure !== undefined) return reject(failure);
        stream.write(data, (error) => {
          if (error === null || error === undefined) resolve();
          else reject(failureOf(error));
        });
      }),
    isTerminal: stream.isTTY === true,
    get columns() {
      // A terminal that does not know its size says 0.
      return (stream as Partial<WriteStream>).columns || 80;
    },
  };
}

/** Standard input; a file behind it is read in large blocks. Ends with an error when the signal fires, also while waiting. */
export async function* standardInput(signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  if (fstatSync(0).isFile()) yield* fileBlocks(signal);
  else yield* addAbortSignal(signal, process.stdin);
}

async function* fileBlocks(signal: AbortSignal): AsyncGenerator<Uint8Array, void> {
  const readLater = promisify(read);
  const source = { read: async (target: Uint8Array) => (await readLater(0, target, 0, target.length, null)).bytesRead };
  yield* blocksOf(source, Number.POSITIVE_INFINITY, signal);
}

function failureOf(error: Error): Error {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') return new BrokenPipe();
  if (code === 'ENOSPC') return new Fault('full', 'Writing the output failed: the disk has no room left.', {}, error);
  return new Fault('io', `Writing the output failed: ${error.message}.`, {}, error);
}
