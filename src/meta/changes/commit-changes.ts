/** A transaction of changes on their own, without a group: what every engine's `commit` does. */

import { Fault } from '../../base/index.ts';
import type { Change, Outcome } from '../meta-store.ts';
import type { RowSource, RowWrite } from '../rows/row-source.ts';
import { Pending } from './pending.ts';

/**
 * Applies the changes in order and answers what became of each, and the rows to write.
 * @throws the fault of one of the first `essential` changes.
 */
export function decideChanges(
  rows: RowSource,
  changes: readonly Change[],
  essential = 0,
): { readonly outcomes: readonly Outcome[]; readonly writes: Iterable<RowWrite> } {
  const pending = new Pending(rows);
  const layer = pending.begin();
  const outcomes = changes.map((change, index) => {
    const outcome = outcomeOf(pending, change);
    if (!outcome.ok && index < essential) throw outcome.fault;
    return outcome;
  });
  return { outcomes, writes: layer.writes() };
}

function outcomeOf(pending: Pending, change: Change): Outcome {
  try {
    return { ok: true, ...pending.apply(change) };
  } catch (error) {
    if (!Fault.is(error)) throw error;
    return { ok: false, fault: error };
  }
}
