/**
 * The process's standard streams as Sinks. A write resolves when the stream has taken it, so that a slow reader slows
 * us down instead of filling memory; a reader that is gone is BrokenPipe, whichever write finds out.
 */
import type { WriteStream } from 'node:tty';
import { Fault } from '../base/index.ts';
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
      return (stream as Partial<WriteStream>).columns ?? 80;
    },
  };
}

function failureOf(error: Error): Error {
  const code = 'code' in error ? error.code : undefined;
  if (code === 'EPIPE' || code === 'ERR_STREAM_DESTROYED') return new BrokenPipe();
  if (code === 'ENOSPC') return new Fault('full', 'Writing the output failed: the disk has no room left.', {}, error);
  return new Fault('io', `Writing the output failed: ${error.message}.`, {}, error);
}
