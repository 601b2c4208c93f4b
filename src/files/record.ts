/** From rows to what goes over the wire: file records, in text form and ISO 8601. */
import {
  FILE_KINDS,
  type FileKind,
  type FileRecord,
  type Path,
  percentOfBytes,
  textOfBytes,
  urlOfPath,
} from '../api/index.ts';
import { andThen, hexOf, isoOfMoment, type Maybe, type Moment, textOfUtf8 } from '../base/index.ts';
import { type AttributeRow, NODE_KIND, type NodeKind, type NodeRow } from '../meta/index.ts';
import type { Space, View } from './context.ts';
import type { Found } from './tree.ts';

/** Named attributes that one node may have. */
export const ATTRIBUTES_MAX = 1_000;

const KIND_OF_ROW: Readonly<Record<NodeKind, FileKind>> = {
  [NODE_KIND.file]: 'file',
  [NODE_KIND.folder]: 'folder',
  [NODE_KIND.symlink]: 'symlink',
  [NODE_KIND.fifo]: 'fifo',
  [NODE_KIND.socket]: 'socket',
  [NODE_KIND.charDevice]: 'char-device',
  [NODE_KIND.blockDevice]: 'block-device',
};

export function kindOf(node: Pick<NodeRow, 'kind'>): FileKind {
  return KIND_OF_ROW[node.kind] ?? FILE_KINDS[0];
}

export function modifiedOf(node: NodeRow): Moment {
  return { seconds: node.modifiedSeconds, nanoseconds: node.modifiedNanoseconds };
}

/** The whole-file hash of a node, 16 hex digits; null for what has none, or until it is computed. */
export function hashOf(context: View, space: Space, node: Pick<NodeRow, 'content' | 'size'>): Maybe<string | null> {
  if (node.content === null) return null;
  const content = context.meta.get('contents', [space.space, node.content]);
  // One that was changed in place since says its new size.
  return andThen(content, (row) => (row?.hash == null || row.size !== node.size ? null : hexOf(row.hash)));
}

export function recordOf(
  path: Path,
  node: NodeRow,
  hash: string | null,
  attributes?: readonly AttributeRow[],
): FileRecord {
  const texts = path.map(textOfBytes);
  const name = texts.at(-1) ?? '';
  // Written out: records are made by the thousand, and to spread into one costs more than all else about it.
  const record: FileRecord = {
    file_id: node.node,
    path: `/${texts.join('/')}`,
    name,
    kind: kindOf(node),
    is_directory: node.kind === NODE_KIND.folder,
    size: node.size,
    modified: isoOfMoment(modifiedOf(node)),
    changed: isoOfMoment({ seconds: node.changedSeconds, nanoseconds: node.changedNanoseconds }),
    created: isoOfMoment({ seconds: node.createdSeconds, nanoseconds: node.createdNanoseconds }),
    mode: node.mode,
    uid: node.uid,
    gid: node.gid,
    links: node.links,
    version: node.version,
    xxhash3: hash,
  };
  // Bytes that are no text stand there as `\xHH`, and few names have that.
  const isRaw = texts.some((text) => text.includes('\\x'));
  if (!isRaw && node.target === null && attributes === undefined) return record;
  return {
    ...record,
    ...(isRaw ? rawOf(path) : {}),
    ...(node.target === null ? {} : { target: textOfBytes(node.target) }),
    ...(attributes === undefined ? {} : { attributes: attributesOf(attributes) }),
  };
}

/** Path and name once more, exactly, where they hold bytes that are no text. */
function rawOf(path: Path): Pick<FileRecord, 'path_raw' | 'name_raw'> {
  const isText = (part: Uint8Array): boolean => textOfUtf8(part) !== undefined;
  const name = path.at(-1);
  return {
    ...(path.every(isText) ? {} : { path_raw: `/${urlOfPath(path)}` }),
    ...(name === undefined || isText(name) ? {} : { name_raw: percentOfBytes(name) }),
  };
}

function attributesOf(rows: readonly AttributeRow[]): Record<string, string> {
  return Object.fromEntries(rows.map(({ name, value }) => [textOfBytes(name), Buffer.from(value).toString('base64')]));
}

export async function attributeRows(context: View, space: Space, node: NodeRow): Promise<readonly AttributeRow[]> {
  return context.meta.scan('attributes', { prefix: [space.space, node.node], limit: ATTRIBUTES_MAX });
}

export async function recordOfFound(
  context: View,
  space: Space,
  found: Found,
  withAttributes = false,
): Promise<FileRecord> {
  const hash = await hashOf(context, space, found.node);
  const attributes = withAttributes ? await attributeRows(context, space, found.node) : undefined;
  return recordOf(found.path, found.node, hash, attributes);
}
