/**
 * What a change takes for granted, checked inside the transaction that applies it. A stale expectation is Fault
 * `conflict`, whose `about` says which expectation, of which table and key, and what was found instead (null: no row).
 */
import { equalBytes, Fault, type Moment, momentOfMs, msOfMoment, never } from '../../base/index.ts';
import type { NodeId, SpaceId } from '../ids.ts';
import { areCompatible } from '../lock-modes.ts';
import { type Expect, type LockNeed, type LocksExpect, SCAN_ROWS_MAX } from '../meta-store.ts';
import { type LockRow, NODE_KIND, REAP_KIND, type TableName } from '../rows/rows.ts';
import { shownKey, shownPlace, shownValue } from '../rows/show.ts';
import { type Key, type Row, table, type Value } from '../rows/tables.ts';
import { lockedFault, lostFault } from './lock-faults.ts';
import type { Overlay } from './overlay.ts';
import type { SpaceCache } from './space-cache.ts';

/** Folders above one another; more is a circle, which only damage can make. */
export const FOLDER_DEPTH_MAX = 100_000;

export function checkExpect(expect: Expect, overlay: Overlay, now: Moment, cache: SpaceCache): void {
  switch (expect.kind) {
    case 'row':
      checkRow(expect, overlay);
      break;
    case 'absent':
      checkAbsent(expect, overlay);
      break;
    case 'empty':
      checkEmpty(expect.space, expect.folder, overlay);
      break;
    case 'reachable':
      checkReachable(expect.space, expect.folder, overlay, cache);
      break;
    case 'locks':
      checkLocks(expect, overlay, msOfMoment(now), cache);
      break;
    case 'unnamed':
      checkUnnamed(expect, overlay);
      break;
    default:
      never(expect, 'expectation');
  }
}

function checkRow(expect: Extract<Expect, { kind: 'row' }>, overlay: Overlay): void {
  const row = overlay.read(expect.table, expect.key as never) as Row | undefined;
  if (row === undefined) throw staleFault('row', expect.table, expect.key, null);
  if (expect.equals === undefined) return;
  const different = Object.entries(expect.equals).filter(
    ([column, value]) => value !== undefined && !equalValues(row[column], value as Value),
  );
  if (different.length === 0) return;
  const found = Object.fromEntries(different.map(([column]) => [column, shownValue(column, row[column])]));
  throw staleFault('row', expect.table, expect.key, found);
}

function checkAbsent(expect: Extract<Expect, { kind: 'absent' }>, overlay: Overlay): void {
  const row = overlay.read(expect.table, expect.key as never) as Row | undefined;
  if (row === undefined) return;
  const found = Object.fromEntries(Object.entries(row).map(([column, value]) => [column, shownValue(column, value)]));
  throw staleFault('absent', expect.table, expect.key, found);
}

function checkEmpty(space: SpaceId, folder: NodeId, overlay: Overlay): void {
  const [first] = overlay.scan('entries', { prefix: [space, folder], limit: 1 });
  if (first === undefined) return;
  const found = { name: shownValue('name', first.name), node: first.node };
  throw staleFault('empty', 'nodes', [space, folder], found);
}

/**
 * A folder can be reached when it has a row, and neither it nor a folder above it is being taken apart: a folder that
 * is unlinked whole has a reaps row until its last row is gone. So without such a row in the space, a row is enough.
 */
function checkReachable(space: SpaceId, folder: NodeId, overlay: Overlay, cache: SpaceCache): void {
  const hasUnlinked = cache.hasUnlinked(space, overlay);
  let at = folder;
  for (let depth = 0; depth <= FOLDER_DEPTH_MAX; depth++) {
    const row = overlay.read('nodes', [space, at]);
    if (row?.kind !== NODE_KIND.folder || row.parent === null)
      throw staleFault('reachable', 'nodes', [space, folder], row === undefined ? null : { node: at, kind: row.kind });
    if (!hasUnlinked) return;
    const pending = overlay.read('reaps', [space, REAP_KIND.folder, at]);
    if (pending !== undefined) throw staleFault('reachable', 'nodes', [space, folder], { node: at, reaped: true });
    if (row.parent === at) return;
    at = row.parent;
  }
  const sentence = `The folders above node ${folder} of space ${space} form a circle. Run a check of the metadata.`;
  throw new Fault('corrupt', sentence, { table: 'nodes', space, folder });
}

/** A space has few locks or, nearly always, none: then this is one short look. */
function checkLocks({ space, held, needs }: LocksExpect, overlay: Overlay, nowMs: number, cache: SpaceCache): void {
  const any = cache.anyLock(space, overlay);
  const sessions = new Set<string>();
  for (const token of held) {
    const [row] = any === undefined ? [] : overlay.scan('locks', { prefix: [space, token], limit: 1 });
    if (row === undefined || row.expiresMs <= nowMs) throw lostFault(token);
    sessions.add(row.session);
  }
  if (any === undefined) return;
  if (needs === undefined) throw staleFault('locks', 'locks', [space, any.token, any.key], { path: any.path });
  for (const need of needs) {
    const rows = overlay.scan('locksByKey', { prefix: [space, need.key], limit: SCAN_ROWS_MAX });
    const isInTheWay = (row: LockRow): boolean =>
      row.expiresMs > nowMs && !sessions.has(row.session) && !areCompatible(row.mode, need.mode);
    const other = rows.find(isInTheWay);
    if (other !== undefined) throw lockedBy(other, need, nowMs);
  }
}

function lockedBy(row: LockRow, need: LockNeed, nowMs: number): Fault {
  return lockedFault({
    ...{ path: need.path, holder: row.holder, heldMs: nowMs - row.grantedMs, isHeld: true, token: row.token },
    ...(row.path === need.path ? {} : { lockedPath: row.path }),
    expires: momentOfMs(row.expiresMs),
  });
}

function checkUnnamed({ realm, pack, chunks }: Extract<Expect, { kind: 'unnamed' }>, overlay: Overlay): void {
  for (const id of chunks) {
    const row = overlay.read('chunks', [realm, id]);
    if (row?.pack === pack) throw staleFault('unnamed', 'chunks', [realm, id], { pack, refs: row.refs });
  }
}

const SENTENCES: Readonly<Record<Expect['kind'] | 'touch', string>> = {
  row: 'is not as it was when this change was decided',
  absent: 'has come to be since this change was decided',
  empty: 'is not an empty folder any more',
  reachable: 'was unlinked, or a folder above it was',
  locks: 'is a lock that this change was decided without',
  unnamed: 'is in use again',
  touch: 'is not a folder any more',
};

export function staleFault(
  expectation: Expect['kind'] | 'touch',
  name: TableName,
  key: Key,
  found: Readonly<Record<string, unknown>> | null,
): Fault {
  const of = table(name);
  const sentence = `${shownPlace(of, key)} ${SENTENCES[expectation]}. Read again and decide anew.`;
  return new Fault('conflict', sentence, { expectation, table: name, key: shownKey(of, key), found });
}

export function equalValues(a: Value | undefined, b: Value | undefined): boolean {
  if (a instanceof Uint8Array && b instanceof Uint8Array) return equalBytes(a, b);
  return a === b;
}
