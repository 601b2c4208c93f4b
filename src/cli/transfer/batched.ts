/**
 * Many small changes of one command as few commits: a batch by best effort for every thousand, each change standing or
 * failing alone as if it had been asked for by itself. What is too much for one commit is done one by one.
 */
import { BATCH_OPERATIONS_MAX, type BatchOperation, type BatchResult, type FileService } from '../../api/index.ts';
import { FAULT_CODES, Fault, type FaultCode } from '../../base/index.ts';

export interface Batched<Work> {
  readonly work: Work;
  readonly operation: BatchOperation;
}

export type BatchedResult<Work> =
  | { readonly work: Work; readonly record: unknown }
  | { readonly work: Work; readonly fault: unknown };

/** Results in the order of the work. */
export async function* inBatches<Work>(
  service: FileService,
  all: readonly Batched<Work>[],
  alone: (work: Work) => Promise<unknown>,
  signal: AbortSignal,
): AsyncGenerator<BatchedResult<Work>> {
  for (let from = 0; from < all.length; from += BATCH_OPERATIONS_MAX) {
    const some = all.slice(from, from + BATCH_OPERATIONS_MAX);
    const operations = some.map(({ operation }) => operation);
    const answer = await service.batch({ operations, mode: 'best-effort' }, { signal }).catch((error: unknown) => {
      if (Fault.is(error, 'too-large')) return undefined;
      throw error;
    });
    for (const [index, { work }] of some.entries()) {
      const result = answer?.results[index];
      yield result === undefined ? await tried(work, alone) : resultOf(work, result);
    }
  }
}

async function tried<Work>(work: Work, alone: (work: Work) => Promise<unknown>): Promise<BatchedResult<Work>> {
  try {
    return { work, record: await alone(work) };
  } catch (fault) {
    return { work, fault };
  }
}

function resultOf<Work>(work: Work, { ok, record, code, error, about }: BatchResult): BatchedResult<Work> {
  if (ok) return { work, record };
  const known = FAULT_CODES.find((one) => one === code) ?? ('io' satisfies FaultCode);
  return { work, fault: new Fault(known, error ?? 'It failed.', about ?? {}) };
}
