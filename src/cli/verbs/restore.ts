/** `restore`: makes an older version the current one, as a new version. */
import { Fault } from '../../base/index.ts';
import type { Given } from '../command.ts';
import type { RESTORE_FLAGS } from '../commands.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { shownName } from '../show-record.ts';
import { storedPath } from '../stored.ts';

export async function run(given: Given<typeof RESTORE_FLAGS>, context: Context): Promise<ExitCode> {
  const { path, version } = wanted(given.words);
  const { say, signal } = context;
  const service = await context.reach();
  const dryRun = given.flags.dry_run;
  const record = await service.restore({ path }, version, { dryRun, signal });
  await say.record(record);
  const shown = shownName(say, record.path);
  if (dryRun)
    await say.line(`would make version ${version} of ${shown} current: ${record.size} bytes of ${record.modified}`);
  else if (record.version === version) await say.note(`version ${version} of ${shown} is current already`);
  else await say.note(`version ${version} of ${shown} is current again, as version ${record.version}`);
  return EXIT.ok;
}

function wanted(words: readonly string[]): { readonly path: string; readonly version: number } {
  const [first = '', second] = words;
  const match = second === undefined ? /^(.+)@(\d+)$/.exec(first) : [first, first, second];
  const version = Number(match?.[2]);
  if (match?.[1] === undefined || !/^\d+$/.test(match[2] ?? '') || !Number.isSafeInteger(version) || version < 1) {
    throw new Fault(
      'invalid',
      'Say which version: `restore PATH VERSION` or `restore PATH@VERSION`; `holdfast versions PATH` lists them.',
    );
  }
  return { path: storedPath(match[1]), version };
}
