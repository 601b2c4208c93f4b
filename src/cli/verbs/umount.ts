/** `umount`: takes a mount away, whoever serves it, and waits until it is gone. */
import { resolve } from 'node:path';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { localTextOfWord } from '../words/arguments.ts';
import type { Given } from '../words/command.ts';
import type { UMOUNT_FLAGS } from '../words/commands.ts';

export async function run(given: Given<typeof UMOUNT_FLAGS>, context: Context): Promise<ExitCode> {
  const path = resolve(localTextOfWord(given.words[0] ?? '', 'mount point'));
  const room = await context.server();
  const mountPoint = await room.unmount(path, { lazy: given.flags.lazy });
  await context.say.record({ event: 'unmounted', mount_point: mountPoint });
  await context.say.line(`unmounted ${mountPoint}`);
  return EXIT.ok;
}
