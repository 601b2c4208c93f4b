/**
 * What locks that last (locks.ts) allow a mount that is told to mind them. A mount presents no lock of its own, so
 * whatever would need one that somebody holds is refused with EBUSY, by the rules that hold for every other door: to
 * change what is behind a node takes X on it, to make or take away a name takes X on that, and both take IX on all that
 * stands above. A program that has a file open for writing was let in when it opened it, and is not stopped.
 */
import { type Clock, momentOfMs, msOfMoment } from '../../base/index.ts';
import {
  areCompatible,
  type LockMode,
  type LockRow,
  lockedFault,
  NODE_KIND,
  type NodeId,
  type NodeRow,
  SCAN_ROWS_MAX,
  type SyncReader,
} from '../../meta/index.ts';
import type { Space } from '../context.ts';
import { keyOfName, keyOfNode } from '../locks/lock-places.ts';
import { shownName } from './open-files.ts';

/** Folders above one another, as far as any path reaches. */
const DEPTH_MAX = 4_096;

export class LockGuard {
  readonly #rows: SyncReader;
  readonly #space: Space;
  readonly #clock: Clock;

  constructor(options: { readonly rows: SyncReader; readonly space: Space; readonly clock: Clock }) {
    this.#rows = options.rows;
    this.#space = options.space;
    this.#clock = options.clock;
  }

  /** Before what is behind a node changes; of a folder that is what it says of itself. @throws Fault `locked`. */
  checkNode(row: Pick<NodeRow, 'node' | 'kind'>): void {
    if (!this.#hasLocks) return;
    const what = this.#pathOf(row.node);
    this.#check(keyOfNode(row.node), row.kind === NODE_KIND.folder ? 'IX' : 'X', what);
    this.#checkAbove(row.node, what);
  }

  /** Before a name comes to be or goes, with the node behind it where that is given. @throws Fault `locked`. */
  checkName(parent: NodeId, name: Uint8Array, node?: NodeId): void {
    if (!this.#hasLocks) return;
    const folder = this.#pathOf(parent);
    const what = `${folder === '/' ? '' : folder}/${shownName(name)}`;
    this.#check(keyOfName(parent, name), 'X', what);
    this.#check(keyOfNode(parent), 'IX', what);
    this.#checkAbove(parent, what);
    if (node === undefined) return;
    this.#check(keyOfNode(node), 'X', what);
    this.#checkAbove(node, what);
  }

  /** A space has few locks or, nearly always, none: then this is one short look. */
  get #hasLocks(): boolean {
    return this.#rows.scan('locks', { prefix: [this.#space.space], limit: 1 }).length > 0;
  }

  /** All names of a node, and all folders above them. */
  #checkAbove(node: NodeId, what: string): void {
    const seen = new Set<NodeId>();
    let level: readonly NodeId[] = [node];
    for (let depth = 0; level.length > 0 && depth < DEPTH_MAX; depth++) {
      const next: NodeId[] = [];
      for (const at of level) {
        for (const { parent, name } of this.#namesOf(at)) {
          this.#check(keyOfName(parent, name), 'IX', what);
          if (seen.has(parent)) continue;
          seen.add(parent);
          this.#check(keyOfNode(parent), 'IX', what);
          next.push(parent);
        }
      }
      level = next;
    }
  }

  #namesOf(node: NodeId): readonly { readonly parent: NodeId; readonly name: Uint8Array }[] {
    if (node === this.#space.root) return [];
    return this.#rows.scan('entriesByNode', { prefix: [this.#space.space, node], limit: SCAN_ROWS_MAX });
  }

  #pathOf(node: NodeId): string {
    const names: string[] = [];
    for (let at = node; names.length < DEPTH_MAX; ) {
      const [entry] = this.#namesOf(at);
      if (entry === undefined) break;
      names.unshift(shownName(entry.name));
      at = entry.parent;
    }
    return `/${names.join('/')}`;
  }

  #check(key: string, mode: LockMode, path: string): void {
    const rows = this.#rows.scan('locksByKey', { prefix: [this.#space.space, key], limit: SCAN_ROWS_MAX });
    const nowMs = msOfMoment(this.#clock.now());
    const other = rows.find((row: LockRow) => row.expiresMs > nowMs && !areCompatible(row.mode, mode));
    if (other === undefined) return;
    throw lockedFault({
      ...{ path, holder: other.holder, heldMs: nowMs - other.grantedMs, isHeld: true, token: other.token },
      ...(other.path === path ? {} : { lockedPath: other.path }),
      expires: momentOfMs(other.expiresMs),
    });
  }
}
