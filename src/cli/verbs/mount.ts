/** `mount`: shows the store as a folder, and answers to other commands on this machine, until it is unmounted. */
import { resolve } from 'node:path';
import { Fault } from '../../base/index.ts';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { untilEnded } from '../until-ended.ts';
import { localTextOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { MOUNT_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof MOUNT_FLAGS>, context: Context): Promise<ExitCode> {
  const { create, ...how } = given.flags;
  const path = resolve(localTextOfWord(given.words[0] ?? '', 'mount point'));
  return untilEnded(context, create, async (room, wishes) => {
    try {
      return await room.mount(context.asked, { ...how, path }, wishes);
    } catch (error) {
      throw withWayOut(error, path);
    }
  });
}

/** One process has a store; a server of it and mounts are had together by `up`. */
function withWayOut(error: unknown, path: string): unknown {
  if (!Fault.is(error, 'locked')) return error;
  const { command = '' } = (error.about.holder ?? {}) as { readonly command?: string };
  if (!/^holdfast (serve|up|mount)\b/.test(command)) return error;
  const mounts = JSON.stringify([{ path }]);
  const sentence = `${error.message} To serve and mount one store, end it and run \`holdfast up --mounts '${mounts}'\`, or put its mounts into the configuration file.`;
  return new Fault('locked', sentence, error.about, error);
}
