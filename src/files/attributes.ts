/** What a node says of itself: mode, owner, times, named attributes; and making folders. */
import { type AttributeChange, type Expecting, type FileRecord, type Path, textOfPath } from '../api/index.ts';
import { Fault, utf8 } from '../base/index.ts';
import { type AttributeRow, CHANGE_KIND, type Delete, NODE_KIND, type NodeRow, type Put } from '../meta/index.ts';
import type { Caller, Context, Space } from './context.ts';
import { checkExpected, decideOnce } from './decide.ts';
import { changeOf, expectNode, itemOf, joinParts, MODE_DEFAULT, NO_PARTS } from './plan.ts';
import { ATTRIBUTES_MAX, attributeRows, hashOf, recordOf } from './record.ts';
import { type Found, lookUp } from './tree.ts';
import { existsFault, foldersFor, momentOf, placeFor, withoutUnmade } from './write.ts';

/** Bytes of one attribute's value, as of `user.*` on other file systems. */
export const ATTRIBUTE_BYTES_MAX = 65_536;

export async function setAttributes(
  context: Context,
  space: Space,
  caller: Caller,
  find: () => Promise<Found>,
  change: AttributeChange,
  options: Expecting & { readonly idempotencyKey?: string | undefined },
): Promise<FileRecord> {
  const modified = momentOf(change.modified, 'modified');
  const accessed = momentOf(change.accessed, 'accessed');
  // The first decision is on what was found for the request.
  let first: Found | undefined = await find();
  const request = ['attributes', textOfPath(first.path), change];
  return decideOnce(context, space, 'Setting attributes', { key: options.idempotencyKey, request }, async () => {
    const found = first ?? (await find());
    first = undefined;
    checkExpected(textOfPath(found.path), options, found.node);
    const now = context.clock.now();
    const row: NodeRow = {
      ...found.node,
      mode: change.mode ?? found.node.mode,
      uid: change.uid ?? found.node.uid,
      gid: change.gid ?? found.node.gid,
      ...(modified === undefined
        ? {}
        : { modifiedSeconds: modified.seconds, modifiedNanoseconds: modified.nanoseconds }),
      ...(accessed === undefined
        ? {}
        : { accessedSeconds: accessed.seconds, accessedNanoseconds: accessed.nanoseconds }),
      changedSeconds: now.seconds,
      changedNanoseconds: now.nanoseconds,
    };
    const before = await attributeRows(context, space, found.node);
    const { puts, deletes, after } = planAttributes(row, before, change.attributes ?? {});
    const parent = found.entry?.parent ?? space.root;
    const where = { parent, name: found.path.at(-1) ?? new Uint8Array() };
    const parts = {
      ...NO_PARTS,
      expects: [expectNode(found.node), { kind: 'reachable', space: space.space, folder: parent } as const],
      puts: [{ table: 'nodes', mode: 'replace', row } satisfies Put, ...puts],
      deletes,
      items: [itemOf(row, CHANGE_KIND.attributes, { before: where, after: where })],
    };
    const hash = await hashOf(context, space, row);
    return {
      change: changeOf(space, caller, 'attributes', now, parts),
      answer: recordOf(found.path, row, hash, after),
    };
  });
}

function planAttributes(
  node: NodeRow,
  before: readonly AttributeRow[],
  change: Readonly<Record<string, string | null>>,
): { readonly puts: readonly Put[]; readonly deletes: readonly Delete[]; readonly after: readonly AttributeRow[] } {
  const after = new Map(before.map((row) => [Buffer.from(row.name).toString('latin1'), row]));
  const puts: Put[] = [];
  const deletes: Delete[] = [];
  for (const [text, value] of Object.entries(change)) {
    const name = utf8(text);
    const key = Buffer.from(name).toString('latin1');
    if (value === null) {
      if (after.delete(key)) deletes.push({ table: 'attributes', key: [node.space, node.node, name] });
      continue;
    }
    const bytes = attributeBytes(text, value);
    const row: AttributeRow = { space: node.space, node: node.node, name, value: bytes, born: 0 };
    puts.push({ table: 'attributes', mode: 'replace', row });
    after.set(key, row);
  }
  if (after.size > ATTRIBUTES_MAX) {
    throw new Fault('too-large', `A file may have ${ATTRIBUTES_MAX} attributes; this would make ${after.size}.`, {
      count: after.size,
    });
  }
  return { puts, deletes, after: [...after.values()] };
}

function attributeBytes(name: string, base64: string): Uint8Array {
  const bytes = Buffer.from(base64, 'base64');
  if (bytes.toString('base64').replace(/=+$/, '') !== base64.replace(/=+$/, '')) {
    throw new Fault('invalid', `The value of the attribute ${name} is not base64.`, { name });
  }
  if (bytes.length > ATTRIBUTE_BYTES_MAX) {
    const sentence = `The value of the attribute ${name} has ${bytes.length} bytes; ${ATTRIBUTE_BYTES_MAX} is the most.`;
    throw new Fault('too-large', sentence, { name, bytes: bytes.length, bytesMax: ATTRIBUTE_BYTES_MAX });
  }
  return new Uint8Array(bytes);
}

export interface MakeFolderOptions {
  readonly parents?: boolean | undefined;
  readonly permissions?: number | undefined;
  readonly idempotencyKey?: string | undefined;
}

export async function makeFolder(
  context: Context,
  space: Space,
  caller: Caller,
  path: Path,
  options: MakeFolderOptions,
): Promise<FileRecord> {
  const text = textOfPath(path);
  const request = ['makeFolder', text, options.parents === true, options.permissions ?? null];
  return decideOnce(context, space, `Making the folder ${text}`, { key: options.idempotencyKey, request }, async () => {
    const { found, parent } = await lookUp(context, space, path);
    if (found !== undefined) {
      if (options.parents === true && found.node.kind === NODE_KIND.folder)
        return { answer: recordOf(path, found.node, null) };
      throw existsFault(found);
    }
    const now = context.clock.now();
    // Without `parents` the folder above must be there; asking for the place says so.
    if (options.parents !== true) await placeFor(context, space, path, false, now, parent);
    const mode = options.permissions ?? MODE_DEFAULT.folder;
    const { folder, parts } = await foldersFor(context, space, path, now, mode, parent);
    const plan = withoutUnmade(joinParts(parts));
    return { change: changeOf(space, caller, 'make-folder', now, plan), answer: recordOf(path, folder.node, null) };
  });
}
