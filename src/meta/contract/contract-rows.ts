/** Rows for the contract: plain ones, to be spread and changed. */
import type { Moment } from '../../base/index.ts';
import type { Change, CommitRecord } from '../meta-store.ts';
import { EXTENT_KIND, NODE_KIND, type NodeRow, PACK_STATE, type PinRow, type Rows } from '../rows/rows.ts';

export const RECORD: CommitRecord = { actor: 'owner', door: 'test', request: 'r', kind: 'write', items: [] };

export function bytes(...values: readonly number[]): Uint8Array<ArrayBuffer> {
  return new Uint8Array(values);
}

export function at(seconds: number, nanoseconds = 0): Moment {
  return { seconds, nanoseconds };
}

/** What makes an engine usable: a space with its root folder, and a pack of its realm. */
export function firstChanges(space = 1): readonly Change[] {
  return [
    {
      space,
      now: at(1),
      puts: [
        { table: 'spaces', mode: 'insert', row: spaceRow(space) },
        { table: 'nodes', mode: 'insert', row: folderNode(space, 1, 1) },
      ],
    },
    { now: at(1), puts: [{ table: 'packs', mode: 'insert', row: packRow(space) }] },
  ];
}

export function spaceRow(space: number): Rows['spaces'] {
  return {
    space,
    realm: 1,
    name: `user${space}`,
    root: 1,
    head: 0,
    headSeconds: 0,
    headNanoseconds: 0,
    liveBytes: 0,
    historyBytes: 0,
    quotaBytes: null,
  };
}

export function fileNode(space: number, node: number, content: number | null): NodeRow {
  return {
    space,
    node,
    kind: NODE_KIND.file,
    parent: null,
    mode: 0o644,
    uid: 1000,
    gid: 1000,
    links: 1,
    size: 10,
    content,
    version: 1,
    versionCommit: 0,
    replacedNode: null,
    modifiedSeconds: 1,
    modifiedNanoseconds: 2,
    changedSeconds: 3,
    changedNanoseconds: 4,
    accessedSeconds: 5,
    accessedNanoseconds: 6,
    createdSeconds: 7,
    createdNanoseconds: 8,
    device: 0,
    target: null,
    born: 0,
  };
}

export function folderNode(space: number, node: number, parent: number): NodeRow {
  return { ...fileNode(space, node, null), kind: NODE_KIND.folder, parent, mode: 0o755, links: 2, size: 0, version: 0 };
}

export function entryRow(space: number, parent: number, name: string, node: number): Rows['entries'] {
  return { space, parent, name: new TextEncoder().encode(name), node, kind: NODE_KIND.file, born: 0 };
}

export function contentRow(space: number, content: number): Rows['contents'] {
  return { space, content, size: 10, refs: 0, base: null, hash: null };
}

export function extentRow(space: number, content: number, offset: number, chunk: Uint8Array | null): Rows['extents'] {
  const kind = chunk === null ? EXTENT_KIND.inline : EXTENT_KIND.chunk;
  const data = chunk === null ? bytes(1, 2, 3) : null;
  return { space, content, offset, length: 1, kind, chunk, chunkOffset: 0, unsettled: 0, data, born: 0 };
}

export function packRow(pack: number): Rows['packs'] {
  return {
    realm: 1,
    pack,
    object: `pack-${pack}`,
    state: PACK_STATE.open,
    lengthBytes: 0,
    recordCount: 0,
    liveBytes: 0,
    liveCount: 0,
    owner: 'me',
    createdSeconds: 1,
    verifiedSeconds: null,
  };
}

/** 10 stored bytes in pack 1. */
export function chunkRow(id: Uint8Array): Rows['chunks'] {
  return { realm: 1, id, pack: 1, refs: 0, plainLength: 20, storedLength: 10, base: null, depth: 0, zeroSeconds: null };
}

export function pinRow(space: number, pin: number, fromCommit: number, toCommit: number | null): PinRow {
  return { space, pin, holder: 'snapshot', name: '', fromCommit, toCommit, expiresSeconds: null };
}

/** A whole lock of session `a` on one key, from second 90 to second 200. */
export function lockRow(space: number, token: number, key: string): Rows['locks'] {
  return {
    ...{ space, token, key, mode: 'X', isTarget: 1, session: 'a', holder: 'A', path: '/locked' },
    ...{ grantedMs: 90_000, expiresMs: 200_000 },
  };
}
