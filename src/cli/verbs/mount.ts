/** `mount`: shows the store as a folder, and answers to other commands on this machine, until it is unmounted. */
import { resolve } from 'node:path';
import type { Context } from '../context.ts';
import type { ExitCode } from '../exit-codes.ts';
import { untilEnded } from '../until-ended.ts';
import { localTextOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { MOUNT_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof MOUNT_FLAGS>, context: Context): Promise<ExitCode> {
  const { create, ...how } = given.flags;
  const path = resolve(localTextOfWord(given.words[0] ?? '', 'mount point'));
  return untilEnded(context, create, (room, wishes) => room.mount(context.asked, { ...how, path }, wishes));
}
