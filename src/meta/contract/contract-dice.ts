/**
 * Random changes for the contract, each from one number that fast-check rolls: a small world of few keys, so that rows
 * are replaced, deleted, referred to and pinned again and again. What would be a bug of the caller (an insert of a
 * row that is there, bytes below zero) is never made; what is a refusal is made often.
 */
import { type Random, seededRandom } from '../../base/index.ts';
import { LOCK_MODES } from '../lock-modes.ts';
import {
  type Change,
  type Delete,
  type Expect,
  type Put,
  type PutMode,
  THIS_COMMIT,
  type Touch,
} from '../meta-store.ts';
import { keyString } from '../rows/row-key.ts';
import { REAP_KIND, type Rows, type TableName } from '../rows/rows.ts';
import { type Key, keyOf, type Row, table } from '../rows/tables.ts';
import type { Model } from './contract-model.ts';
import {
  at,
  bytes,
  chunkRow,
  contentRow,
  extentRow,
  fileNode,
  folderNode,
  lockRow,
  packRow,
  pinRow,
  RECORD,
} from './contract-rows.ts';

/** Rolls that follow from one number. */
export class Dice {
  readonly #random: Random;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
  }

  /** A number from 0 to bound − 1. */
  below(bound: number): number {
    return this.#random.below(bound);
  }

  oneOf<T>(choices: readonly [T, ...T[]]): T {
    return choices[this.below(choices.length)] ?? choices[0];
  }
}

const FOLDERS = [1, 2, 3] as const;
const NODES = [1, 2, 3, 4, 5, 6] as const;
const CONTENTS = [1, 2, 3, 4, 5, 6] as const;
const NAMES = [bytes(97), bytes(97, 0), bytes(255)] as const;
const TOKENS = [1, 2, 3] as const;
const LOCK_KEYS = ['n:1', 'n:10', 'e:1:61'] as const;
const CHUNKS = [bytes(0), bytes(0, 0), bytes(255), bytes(7, 8)] as const;
const SEEN_TABLES = [
  ...(['nodes', 'nodes', 'entries', 'entries', 'attributes', 'contents', 'contents', 'extents', 'extents'] as const),
  ...(['versions', 'chunks', 'chunks', 'packs', 'pins', 'pins', 'reaps', 'nodesHistory', 'extentsHistory'] as const),
  'locks',
] as const;
type SeenTable = (typeof SEEN_TABLES)[number];

export function anyChange(dice: Dice, model: Model): Change {
  const space = 1 + dice.below(2);
  const head = model.get<Rows['spaces']>('spaces', [space])?.head ?? 0;
  const isCommit = dice.below(3) > 0;
  const deletes: Delete[] = [];
  const puts: Put[] = [];
  for (let count = dice.below(6); count > 0; count--) {
    const name = dice.oneOf(SEEN_TABLES);
    if (dice.below(3) === 0) {
      for (const put of anyFile(dice, model, space)) addPut(puts, deletes, model, dice, put);
      continue;
    }
    if (dice.below(4) === 0) deletes.push(...anyDelete(dice, model, space, name));
    else addPut(puts, deletes, model, dice, anyRow(dice, model, space, name));
  }
  return {
    space,
    now: at(100 + dice.below(20), dice.below(2)),
    ...(isCommit
      ? { record: { ...RECORD, items: dice.below(2) === 0 ? [] : [{ node: 4, kind: 1, version: 1 }] } }
      : {}),
    ...(!isCommit && dice.below(3) === 0 ? { died: Math.max(0, head - dice.below(3)) } : {}),
    expects: dice.below(8) === 0 ? [anyExpect(dice, model, space)] : [],
    touches: anyTouches(dice, space),
    deletes,
    puts: puts.map((put) => withKnownCounts(put, deletes)),
    bytes: anyBytes(dice, model, space),
  };
}

function anyTouches(dice: Dice, space: number): readonly Touch[] {
  const count = [0, 0, 0, 1, 1, 2][dice.below(6)] ?? 0;
  // The root is the one that is surely there.
  return Array.from({ length: count }, () => ({
    space,
    folder: dice.oneOf([1, 1, 1, 1, 1, 1, 2, 3]),
    links: dice.below(2),
  }));
}

function anyBytes(dice: Dice, model: Model, space: number): { readonly live: number; readonly history: number } {
  const row = model.get<Rows['spaces']>('spaces', [space]);
  const change = (now: number): number => Math.max(-now, dice.below(40) - 15);
  return { live: change(row?.liveBytes ?? 0), history: change(row?.historyBytes ?? 0) };
}

function anyExpect(dice: Dice, model: Model, space: number): Expect {
  const folder = dice.oneOf(FOLDERS);
  const key = [space, dice.oneOf(NODES)] as const;
  switch (dice.below(6)) {
    case 4:
    case 5:
      return anyLocksExpect(dice, space);
    case 0:
      return { kind: 'empty', space, folder };
    case 1:
      return { kind: 'reachable', space, folder };
    case 2:
      return { kind: 'absent', table: 'nodes', key };
    default: {
      const row = model.get<Rows['nodes']>('nodes', key);
      return { kind: 'row', table: 'nodes', key, equals: { born: row?.born ?? 0, target: bytes(dice.below(2)) } };
    }
  }
}

function anyLocksExpect(dice: Dice, space: number): Expect {
  const held = Array.from({ length: dice.below(3) }, () => dice.oneOf(TOKENS));
  if (dice.below(3) === 0) return { kind: 'locks', space, held };
  const needs = Array.from({ length: 1 + dice.below(2) }, () => ({
    ...{ key: dice.oneOf(LOCK_KEYS), mode: dice.oneOf(LOCK_MODES), path: '/x' },
  }));
  return { kind: 'locks', space, held, needs };
}

/** Mostly a row that is there. */
function anyDelete(dice: Dice, model: Model, space: number, name: SeenTable): readonly Delete[] {
  const of = table(name);
  // History goes when no pin needs it any more; simplest: when there is none.
  const isPinned =
    table(name).columns.includes('died') && name !== 'reaps' && model.rows('pins').some((pin) => pin.space === space);
  const rows = isPinned ? [] : model.rows(name).filter((row) => row.space === undefined || row.space === space);
  // The root stays, so that most changes have somewhere to go.
  const row = rows.filter((each) => name !== 'nodes' || each.node !== 1)[dice.below(Math.max(1, rows.length))];
  if (row === undefined) return [];
  const own = { table: name, key: keyOf(of, row) } as unknown as Delete;
  // A content leaves the queue with its row; otherwise nobody would ever reap it.
  const isQueue = name === 'reaps' && row.kind === REAP_KIND.content;
  return isQueue ? [own, { table: 'contents', key: [space, Number(row.target)] }] : [own];
}

/** What an insert gives a counted row that was there is the caller's to count; that has a test of its own. */
function withKnownCounts(put: Put, deletes: readonly Delete[]): Put {
  const of = table(put.table);
  const id = keyString(keyOf(of, put.row as unknown as Row));
  const isDeleted = deletes.some((each) => each.table === put.table && keyString(each.key) === id);
  return isDeleted && of.counted.length > 0 ? { ...put, mode: 'replace' } : put;
}

function addPut(puts: Put[], deletes: readonly Delete[], model: Model, dice: Dice, made: Put | undefined): void {
  if (made === undefined) return;
  const of = table(made.table);
  const key = keyOf(of, made.row as unknown as Row);
  const isSame = (each: { readonly table: TableName }, other: Key): boolean =>
    each.table === made.table && keyString(other) === keyString(key);
  const isDeleted = deletes.some((each) => isSame(each, each.key));
  const isThere =
    puts.some((each) => isSame(each, keyOf(table(each.table), each.row as unknown as Row))) ||
    (!isDeleted && model.get(made.table, key) !== undefined);
  const mode: PutMode = isThere
    ? dice.oneOf(['replace', 'replace', 'keep'])
    : dice.oneOf(['insert', 'replace', 'keep']);
  puts.push({ ...made, mode });
}

/** A file whose content appears with it, which is how contents are named at all: one that nobody names is queued. */
function anyFile(dice: Dice, model: Model, space: number): readonly Put[] {
  const named = model.rows('contents').filter((row) => row.space === space && Number(row.refs) > 0);
  const fresh = CONTENTS.filter((each) => model.get('contents', [space, each]) === undefined);
  const isFresh = named.length === 0 || dice.below(2) === 0;
  const content = isFresh ? fresh[0] : Number(named[dice.below(named.length)]?.content);
  if (content === undefined) return [];
  const chunk = dice.oneOf(CHUNKS);
  return [
    ...(isFresh ? [{ table: 'contents', mode: 'insert', row: contentRow(space, content) } as const] : []),
    ...(model.get('chunks', [1, chunk]) === undefined ? [anyChunkPut(dice, model, chunk)] : []),
    { table: 'extents', mode: 'replace', row: extentRow(space, content, dice.below(3), chunk) },
    { table: 'nodes', mode: 'replace', row: fileNode(space, 4 + dice.below(3), content) },
  ];
}

/** Mostly a content or chunk that is there. */
function anyKnown<T>(dice: Dice, known: readonly T[], all: readonly [T, ...T[]]): T {
  return known.length > 0 && dice.below(8) > 0 ? (known[dice.below(known.length)] ?? all[0]) : dice.oneOf(all);
}

function anyContent(dice: Dice, model: Model, space: number): number {
  const known = model.rows('contents').filter((row) => row.space === space);
  return anyKnown<number>(
    dice,
    known.map((row) => Number(row.content)),
    CONTENTS as unknown as readonly [number, ...number[]],
  );
}

function anyChunk(dice: Dice, model: Model): Uint8Array {
  const known = model.rows('chunks').map((row) => row.id as Uint8Array);
  return anyKnown<Uint8Array>(dice, known, CHUNKS as unknown as readonly [Uint8Array, ...Uint8Array[]]);
}

function anyRow(dice: Dice, model: Model, space: number, name: SeenTable): Put | undefined {
  const mode = 'replace';
  switch (name) {
    case 'nodes': {
      const node = dice.oneOf(NODES);
      const isFolder = node <= 3;
      const content = isFolder || dice.below(4) === 0 ? null : anyContent(dice, model, space);
      const target = bytes(dice.below(2));
      const row = isFolder ? folderNode(space, node, node - (node > 1 ? 1 : 0)) : fileNode(space, node, content);
      return { table: name, mode, row: { ...row, target, versionCommit: dice.oneOf([THIS_COMMIT, 1]) } };
    }
    case 'entries': {
      const [parent, entry, node] = [dice.oneOf(FOLDERS), dice.oneOf(NAMES), dice.oneOf(NODES)];
      return { table: name, mode, row: { space, parent, name: entry, node, kind: 1, born: 0 } };
    }
    case 'attributes':
      return {
        table: name,
        mode,
        row: { space, node: dice.oneOf(NODES), name: dice.oneOf(NAMES), value: bytes(1), born: 0 },
      };
    case 'contents': {
      const content = dice.oneOf(CONTENTS);
      const base = dice.below(4) === 0 ? anyContent(dice, model, space) : null;
      return {
        table: name,
        mode,
        row: { ...contentRow(space, content), size: dice.below(9), base: base === content ? null : base },
      };
    }
    case 'extents': {
      const chunk = dice.below(4) === 0 ? null : anyChunk(dice, model);
      return { table: name, mode, row: extentRow(space, anyContent(dice, model, space), dice.below(3), chunk) };
    }
    case 'versions':
      return { table: name, mode, row: anyVersion(dice, model, space) };
    case 'chunks':
      return anyChunkPut(dice, model);
    case 'packs':
      return { table: name, mode, row: { ...packRow(dice.oneOf([1, 2])), lengthBytes: dice.below(9) } };
    case 'pins': {
      const fromCommit = dice.below(6);
      const toCommit = dice.below(2) === 0 ? null : fromCommit + dice.below(4);
      const expiresSeconds = dice.below(3) === 0 ? 100 + dice.below(20) : null;
      return { table: name, mode, row: { ...pinRow(space, dice.below(3), fromCommit, toCommit), expiresSeconds } };
    }
    case 'locks': {
      const token = dice.oneOf(TOKENS);
      // All rows of one lock have its session and its end.
      const session = token % 2 === 0 ? 'a' : 'b';
      const expiresMs = 1000 * (95 + ((token * 17) % 40));
      const key = dice.oneOf(LOCK_KEYS);
      return {
        table: name,
        mode,
        row: { ...lockRow(space, token, key), session, mode: dice.oneOf(LOCK_MODES), expiresMs },
      };
    }
    case 'reaps': {
      const kind = dice.oneOf([REAP_KIND.folder, REAP_KIND.content]);
      return {
        table: name,
        mode,
        row: { space, kind, target: 2 + dice.below(2), owner: dice.oneOf(['', 'me']), died: 0 },
      };
    }
    default:
      return undefined;
  }
}

function anyVersion(dice: Dice, model: Model, space: number): Rows['versions'] {
  return {
    space,
    node: dice.oneOf(NODES),
    version: dice.below(3),
    content: anyContent(dice, model, space),
    commit: THIS_COMMIT,
    replacedBy: THIS_COMMIT,
    size: 1,
    modifiedSeconds: 0,
    modifiedNanoseconds: 0,
    replacedSeconds: 0,
    replacedNode: null,
    heir: null,
  };
}

/** A chunk that is there gets no deeper. */
function anyChunkPut(dice: Dice, model: Model, id: Uint8Array = dice.oneOf(CHUNKS)): Put {
  const known = model.get<Rows['chunks']>('chunks', [1, id]);
  const base = dice.below(3) === 0 ? anyChunk(dice, model) : null;
  const depth = base === null ? 0 : Math.min(known?.depth ?? 9, 1 + dice.below(3));
  const row = { ...chunkRow(id), pack: dice.oneOf([1, 1, 2]), base: depth === 0 ? null : base, depth };
  return { table: 'chunks', mode: 'replace', row: { ...row, storedLength: 1 + dice.below(5) } };
}
