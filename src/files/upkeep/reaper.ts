/**
 * Takes apart what nobody can reach any more, in bounded steps between other people's work: contents without a name,
 * folders that were unlinked whole, and what a dead process was building hidden. Each step is a change of its own that
 * may be cut off anywhere; the `reaps` rows say what is left to do, so the next opening goes on.
 */
import { Fault, isPromise, type Moment } from '../../base/index.ts';
import {
  type Change,
  type Delete,
  type Expect,
  NODE_KIND,
  type NodeRow,
  type Put,
  REAP_KIND,
  type ReapRow,
} from '../../meta/index.ts';
import { type Context, commit, type Space } from '../context.ts';
import { ABANDONED } from '../copy.ts';
import { expectNode, keptVersion } from '../plan.ts';
import { attributeRows } from '../record.ts';

/** Extents, or entries of a folder, that one step takes away. */
const STEP_EXTENTS = 1_000;
const STEP_ENTRIES = 250;
/** Rows of the queue read at once. */
const QUEUE_ROWS = 100;

export class Reaper {
  readonly #context: () => Context;
  readonly #spaces: () => readonly Space[];
  #running: Promise<void> | undefined;
  #isAsked = false;
  #isClosed = false;

  constructor(context: () => Context, spaces: () => readonly Space[]) {
    this.#context = context;
    this.#spaces = spaces;
  }

  /** Something may be there to reap; returns at once. */
  kick(): void {
    this.#isAsked = true;
    if (this.#isClosed || this.#running !== undefined) return;
    this.#running = this.#run();
  }

  /** Resolves when nothing is left to reap (what is being read excepted), or it was closed. */
  async drain(): Promise<void> {
    this.kick();
    await this.#running;
  }

  /** Ends after the step under way. */
  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#running;
  }

  async #run(): Promise<void> {
    while (this.#isAsked && !this.#isClosed) {
      this.#isAsked = false;
      try {
        for (const space of this.#spaces()) await this.#reapSpace(space);
      } catch (error) {
        // What is left stays queued; whoever makes something unreachable next, or the next opening, asks again.
        this.#context().log.warn('files.reap-failed', { error: String(error) });
        break;
      }
    }
    this.#running = undefined;
  }

  async #reapSpace(space: Space): Promise<void> {
    const context = this.#context();
    let after: readonly number[] | undefined;
    while (!this.#isClosed) {
      const rows: readonly ReapRow[] = await context.meta.scan('reaps', {
        prefix: [space.space],
        ...(after === undefined ? {} : { after }),
        limit: QUEUE_ROWS,
      });
      for (const row of rows) {
        // A turn for everybody else between two steps.
        while (!this.#isClosed && (await step(context, space, row))) await turn();
      }
      const last = rows.at(-1);
      if (last === undefined) return;
      after = [last.kind, last.target];
    }
  }
}

function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** One step of one row; true while there is more to do and it may be done. */
async function step(context: Context, space: Space, row: ReapRow): Promise<boolean> {
  if (row.owner === context.owner) return false;
  const change =
    row.kind === REAP_KIND.content
      ? await planContentStep(context, space, row)
      : await planFolderStep(context, space, row);
  if (change === undefined) return false;
  try {
    await commit(context, change.change);
  } catch (error) {
    // A file here has a name elsewhere and was changed there meanwhile: look again.
    if (Fault.is(error, 'conflict'))
      return (await context.meta.get('reaps', [row.space, row.kind, row.target])) !== undefined;
    throw error;
  }
  return !change.isLast;
}

interface Step {
  readonly change: Change;
  readonly isLast: boolean;
}

async function planContentStep(context: Context, space: Space, row: ReapRow): Promise<Step | undefined> {
  if (context.reading.has(`${space.space}:${row.target}`)) return undefined;
  const content = await context.meta.get('contents', [space.space, row.target]);
  if (content !== undefined && content.refs > 0) return { change: dropRow(context, space, row), isLast: true };
  const extents = await context.meta.scan('extents', { prefix: [space.space, row.target], limit: STEP_EXTENTS });
  const past = await context.meta.scan('extentsHistory', { prefix: [space.space, row.target], limit: STEP_EXTENTS });
  const isLast = extents.length < STEP_EXTENTS && past.length < STEP_EXTENTS;
  const deletes: Delete[] = extents.map(({ offset }) => ({ table: 'extents', key: [space.space, row.target, offset] }));
  for (const { offset, died } of past)
    deletes.push({ table: 'extentsHistory', key: [space.space, row.target, offset, died] });
  if (isLast && content !== undefined) deletes.push({ table: 'contents', key: [space.space, row.target] });
  if (isLast) deletes.push({ table: 'reaps', key: [row.space, row.kind, row.target] });
  return { change: { ...base(context, row), deletes }, isLast };
}

/** A content that was named again while it waited; the row alone goes. */
function dropRow(context: Context, space: Space, row: ReapRow): Change {
  return {
    ...base(context, row),
    space: space.space,
    deletes: [{ table: 'reaps', key: [row.space, row.kind, row.target] }],
  };
}

function base(context: Context, row: ReapRow): Pick<Change, 'space' | 'now' | 'expects' | 'died'> {
  return {
    space: row.space,
    now: context.clock.now(),
    expects: [{ kind: 'row', table: 'reaps', key: [row.space, row.kind, row.target] }],
    ...(row.died > 0 ? { died: row.died } : {}),
  };
}

async function planFolderStep(context: Context, space: Space, row: ReapRow): Promise<Step> {
  const now = context.clock.now();
  const entries = await context.meta.scan('entries', { prefix: [space.space, row.target], limit: STEP_ENTRIES });
  const parts: StepParts = { expects: [], puts: [], deletes: [], live: 0, history: 0 };
  for (const entry of entries) {
    parts.deletes.push({ table: 'entries', key: [entry.space, entry.parent, entry.name] });
    const found = context.meta.get('nodes', [space.space, entry.node]);
    const node = isPromise(found) ? await found : found;
    if (node === undefined) continue;
    if (node.kind === NODE_KIND.folder) {
      parts.puts.push({ table: 'reaps', mode: 'insert', row: { ...row, target: node.node } });
    } else await dropNode(context, space, node, row, now, parts);
  }
  const isLast = entries.length < STEP_ENTRIES;
  if (isLast) {
    const node = await context.meta.get('nodes', [space.space, row.target]);
    if (node !== undefined) await deleteNode(context, space, node, parts);
    parts.deletes.push({ table: 'reaps', key: [row.space, row.kind, row.target] });
  }
  const change: Change = {
    ...base(context, row),
    expects: [...(base(context, row).expects ?? []), ...parts.expects],
    puts: parts.puts,
    deletes: parts.deletes,
    bytes: { live: parts.live, history: parts.history },
  };
  return { change, isLast };
}

interface StepParts {
  readonly expects: Expect[];
  readonly puts: Put[];
  readonly deletes: Delete[];
  live: number;
  history: number;
}

/** A file of an unlinked folder: its last version is kept as when it is removed alone, unless nobody ever saw it. */
async function dropNode(
  context: Context,
  space: Space,
  node: NodeRow,
  row: ReapRow,
  now: Moment,
  parts: StepParts,
): Promise<void> {
  parts.expects.push(expectNode(node));
  if (node.links > 1) {
    // It has names elsewhere, or in folders still to come; several here in one step are counted one by one.
    const before = parts.puts.findLast((put) => put.table === 'nodes' && put.row.node === node.node);
    const links = (before?.table === 'nodes' ? before.row.links : node.links) - 1;
    if (links > 0) {
      parts.puts.push({ table: 'nodes', mode: 'replace', row: { ...node, links } });
      return;
    }
    parts.puts.splice(parts.puts.indexOf(before ?? ({} as Put)), 1);
  }
  const wasSeen = row.owner === '';
  for (const version of wasSeen ? keptVersion(node, now) : []) {
    parts.puts.push({ table: 'versions', mode: 'insert', row: { ...version, replacedBy: row.died } });
    parts.history += node.size;
  }
  parts.live -= node.size;
  await deleteNode(context, space, node, parts);
}

async function deleteNode(context: Context, space: Space, node: NodeRow, parts: StepParts): Promise<void> {
  for (const { name } of await attributeRows(context, space, node)) {
    parts.deletes.push({ table: 'attributes', key: [space.space, node.node, name] });
  }
  parts.deletes.push({ table: 'nodes', key: [space.space, node.node] });
}

/** What dead processes were building is nobody's now. Called once, when this process has taken over the store. */
export async function releaseDeadBuilds(context: Context, space: Space): Promise<void> {
  let after: readonly number[] | undefined;
  for (;;) {
    const rows: readonly ReapRow[] = await context.meta.scan('reaps', {
      prefix: [space.space],
      ...(after === undefined ? {} : { after }),
      limit: QUEUE_ROWS,
    });
    const puts = rows
      .filter(({ owner }) => owner !== '' && owner !== ABANDONED && owner !== context.owner)
      .map((row): Put => ({ table: 'reaps', mode: 'replace', row: { ...row, owner: ABANDONED } }));
    if (puts.length > 0) await commit(context, { space: space.space, now: context.clock.now(), puts });
    const last = rows.at(-1);
    if (last === undefined) return;
    after = [last.kind, last.target];
  }
}

/** Files without a name that processes had open which are dead now: nobody can reach them any more. */
export async function dropDeadOrphans(context: Context, space: Space): Promise<void> {
  for (;;) {
    const rows = await context.meta.scan('orphans', { prefix: [space.space], limit: QUEUE_ROWS });
    const parts: StepParts = { expects: [], puts: [], deletes: [], live: 0, history: 0 };
    for (const row of rows) {
      parts.deletes.push({ table: 'orphans', key: [row.space, row.node] });
      const node = await context.meta.get('nodes', [row.space, row.node]);
      if (node !== undefined) await deleteNode(context, space, node, parts);
    }
    if (rows.length === 0) return;
    await commit(context, { space: space.space, now: context.clock.now(), deletes: parts.deletes });
    context.onUnreachable();
  }
}
