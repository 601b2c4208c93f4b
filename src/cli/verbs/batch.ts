/** `batch`: many operations in the store as one commit, from a file of JSON. */
import { BatchRequest } from '../../api/index.ts';
import { Fault, textOfUtf8 } from '../../base/index.ts';
import type { Context } from '../context.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { readBounded } from '../local/read-bounded.ts';
import { counted } from '../saying/display.ts';
import type { Given } from '../words/command.ts';
import type { BATCH_FLAGS } from '../words/commands.ts';

export async function run({ flags, words }: Given<typeof BATCH_FLAGS>, context: Context): Promise<ExitCode> {
  const { say, signal } = context;
  const request = await requestOf(await readBounded(words[0] ?? '', context));
  const service = await context.reach();
  const answer = await service.batch(
    {
      ...request,
      ...(flags.mode === undefined ? {} : { mode: flags.mode }),
      ...(flags.dry_run ? { dry_run: true } : {}),
    },
    { signal },
  );
  for (const result of answer.results) {
    await say.record(result);
    if (!result.ok) await say.note(`operation ${result.index} failed: ${result.error ?? result.code ?? ''}`);
  }
  const { done, failed } = answer;
  const what = `${answer.dry_run ? 'would do' : 'did'} ${counted(done, 'operation')}`;
  await say.note(`${what}${failed === 0 ? '' : `; ${failed} failed`}`);
  return failed === 0 ? EXIT.ok : EXIT.partly;
}

/** Checked here as a server does it: a store that this command opens itself takes what it is given. */
async function requestOf(bytes: Uint8Array): Promise<BatchRequest> {
  const text = textOfUtf8(bytes);
  let value: unknown;
  try {
    value = JSON.parse(text ?? '');
  } catch (error) {
    throw new Fault('invalid', 'The file of a batch is no JSON.', {}, error);
  }
  const request = Array.isArray(value) ? { operations: value } : value;
  if (typeof request !== 'object' || request === null || !('operations' in request))
    throw new Fault('invalid', 'A batch is a list of operations, or an object with `operations`.', {});
  // Not before it is needed: the checks of the door are several hundred modules.
  const { bodyChecker } = await import('../../http/index.ts');
  bodyChecker(BatchRequest)(request);
  return request as BatchRequest;
}
