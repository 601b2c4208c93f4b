/** In which order the operations of a batch are done, and what of a request is wrong before anything is looked at. */
import { Fault } from '../base/index.ts';
import { BATCH_OPERATIONS_MAX, type BatchOperation } from './records.ts';

/**
 * Indexes in the order in which they are done: as they stand, but each behind what it depends on.
 * @throws Fault `too-large`, `invalid` for an id that is there twice, is unknown, or depends on itself.
 */
export function batchOrder(operations: readonly BatchOperation[]): readonly number[] {
  if (operations.length > BATCH_OPERATIONS_MAX) {
    const sentence = `A batch has ${BATCH_OPERATIONS_MAX} operations at most; this one has ${operations.length}. Send several.`;
    throw new Fault('too-large', sentence, { operations: operations.length, operationsMax: BATCH_OPERATIONS_MAX });
  }
  const byId = batchIds(operations);
  const order: number[] = [];
  const state = new Map<number, 'open' | 'done'>();
  const visit = (index: number, path: readonly number[]): void => {
    if (state.get(index) === 'done') return;
    if (state.get(index) === 'open') throw circleFault(operations, [...path.slice(path.indexOf(index)), index]);
    state.set(index, 'open');
    for (const other of dependencies(operations, index, byId)) visit(other, [...path, index]);
    state.set(index, 'done');
    order.push(index);
  };
  for (const index of operations.keys()) visit(index, []);
  return order;
}

/** Indexes that an operation depends on. */
export function dependencies(
  operations: readonly BatchOperation[],
  index: number,
  byId: ReadonlyMap<string, number> = batchIds(operations),
): readonly number[] {
  return (operations[index]?.depends_on ?? []).map((id) => {
    const other = byId.get(id);
    if (other !== undefined) return other;
    const sentence = `Operation ${index} depends on ${JSON.stringify(id)}, and no operation has that id.`;
    throw new Fault('invalid', sentence, { operation: index, id });
  });
}

/** Which operation has which id. */
export function batchIds(operations: readonly BatchOperation[]): ReadonlyMap<string, number> {
  const byId = new Map<string, number>();
  for (const [index, { id }] of operations.entries()) {
    if (id === undefined) continue;
    const before = byId.get(id);
    if (before !== undefined) {
      const sentence = `Operations ${before} and ${index} have the same id ${JSON.stringify(id)}.`;
      throw new Fault('invalid', sentence, { operation: index, id });
    }
    byId.set(id, index);
  }
  return byId;
}

function circleFault(operations: readonly BatchOperation[], circle: readonly number[]): Fault {
  const named = circle.map((index) => operations[index]?.id ?? String(index));
  const sentence = `Operations depend on each other in a circle: ${named.join(' → ')}.`;
  return new Fault('invalid', sentence, { operation: circle[0], cycle: named });
}
