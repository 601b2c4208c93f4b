/**
 * The facts that a sync plan is made of, gathered for one request: the client's manifest as it was sent, the server's as
 * of one commit, and what the server had at the base. The plan itself is made in the sync room.
 */
import {
  type FileRecord,
  type FileService,
  isWithin,
  pathOfText,
  type SyncAnswer,
  type SyncBody,
  textOfPath,
} from '../../api/index.ts';
import { Fault } from '../../base/index.ts';
import { planSync, type SyncEntry, type SyncPlan } from '../../sync/index.ts';

const BASE_VERSION = 'sync-1';

export interface SyncQuestion {
  readonly service: FileService;
  readonly body: SyncBody;
  /** Entries that each side may have. */
  readonly entriesMax: number;
  readonly signal: AbortSignal;
}

/** @throws Fault `invalid` for paths and cursors that are none, `not-kept` for a base that is gone, `too-large`. */
export async function answerSync(question: SyncQuestion): Promise<SyncAnswer> {
  const { body } = question;
  const folder = textOfPath(pathOfText(body.path ?? '/'));
  const client = clientTree(question, folder);
  // First the base: where it is not kept, nothing more has to be read.
  const cursor = body.base === undefined ? undefined : feedCursorOf(body.base, folder);
  const base = cursor === undefined ? undefined : await baseTree(question, cursor, folder);
  const now = await headOf(question);
  const server = await serverTree(question, folder, now.commit);
  const plan = planSync({ client, server, base, folder, strategy: body.conflict_resolution ?? 'manual' });
  return { ...wireOf(plan), cursor: baseOf(folder, now.cursor) };
}

/**
 * What a plan answers as its cursor: where the change feed stood, and the folder that the plan was for. What it says about
 * any other place would be wrong: a folder that the client never had would look like one that it removed.
 */
function baseOf(folder: string, cursor: string): string {
  return Buffer.from(JSON.stringify([BASE_VERSION, folder, cursor])).toString('base64url');
}

/** @throws Fault `invalid` for what is no base, and for one of a plan that `folder` was not part of. */
function feedCursorOf(base: string, folder: string): string {
  const [planned, cursor] = partsOfBase(base);
  if (isWithin(pathOfText(folder), pathOfText(planned))) return cursor;
  const sentence = `This base is of a plan for ${planned} and tells nothing of the rest of ${folder}. Ask for ${planned}, or plan without a base first.`;
  throw new Fault('invalid', sentence, { folder, base_folder: planned });
}

function partsOfBase(base: string): readonly [folder: string, cursor: string] {
  const parts = parsed(base);
  if (Array.isArray(parts) && parts.length === 3 && parts[0] === BASE_VERSION) {
    const [, folder, cursor] = parts as unknown[];
    if (typeof folder === 'string' && typeof cursor === 'string') return [folder, cursor];
  }
  throw new Fault('invalid', 'The base is not the cursor of a plan. Plan without one first, and keep its cursor.', {});
}

function parsed(base: string): unknown {
  try {
    return JSON.parse(Buffer.from(base, 'base64url').toString('utf8'));
  } catch {
    return undefined;
  }
}

type Tree = Map<string, SyncEntry>;

function clientTree({ body, entriesMax }: SyncQuestion, folder: string): Tree {
  const root = pathOfText(folder);
  const tree: Tree = new Map();
  for (const [text, entry] of Object.entries(body.client_manifest.files)) {
    const names = pathOfText(text.startsWith('/') ? text : `/${text}`);
    const path = textOfPath(names);
    if (!isWithin(names, root) || names.length === root.length)
      throw new Fault('invalid', `${path} of the manifest is not in ${folder}.`, { path, folder });
    const kind = kindOf(entry.kind, entry.is_directory === true);
    const hash = kind === 'file' ? identityOf(entry.xxhash3, entry.size) : null;
    tree.set(path, { kind, identity: hash, ...(entry.modified === undefined ? {} : { modified: entry.modified }) });
    checkCount(tree.size, entriesMax);
  }
  for (const path of tree.keys()) {
    const above = tree.get(path.slice(0, path.lastIndexOf('/')));
    if (above === undefined || above.kind === 'folder') continue;
    throw new Fault('invalid', `The manifest has ${path} below something that is no folder.`, { path });
  }
  return tree;
}

function kindOf(kind: string | undefined, isFolder: boolean): SyncEntry['kind'] {
  if (isFolder || kind === 'folder') return 'folder';
  return kind === undefined || kind === 'file' ? 'file' : 'other';
}

function identityOf(hash: string | null | undefined, size: number | undefined): string | null {
  return hash == null ? null : `${hash.toLowerCase()}:${size ?? ''}`;
}

function checkCount(count: number, entriesMax: number): void {
  if (count <= entriesMax) return;
  const sentence = `There are more than ${entriesMax} files and folders to compare, which is the most for one plan. Ask folder by folder, with \`path\`.`;
  throw new Fault('too-large', sentence, { entriesMax });
}

/** What was there at a cursor of the change feed. */
async function baseTree(question: SyncQuestion, cursor: string, folder: string): Promise<Tree> {
  const { service, signal } = question;
  const [next] = (await service.changes({ after: cursor, limit: 1, signal })).commits;
  // Nothing has changed since: it is what is there now.
  const commit = next === undefined ? (await headOf(question)).commit : next.commit - 1;
  return commit === undefined || commit < 1 ? new Map() : readTree(question, folder, String(commit));
}

interface Head {
  /** Absent when there is none. */
  readonly commit: number | undefined;
  readonly cursor: string;
}

async function headOf({ service, signal }: SyncQuestion): Promise<Head> {
  const [last] = (await service.log({ limit: 1, signal })).commits;
  if (last?.cursor !== undefined) return { commit: last.commit, cursor: last.cursor };
  const { next } = await service.changes({ after: 'now', signal });
  return { commit: undefined, cursor: next };
}

/** As of that commit, so that the cursor fits what was compared; where nothing of the past is kept, as it is now. */
async function serverTree(question: SyncQuestion, folder: string, commit: number | undefined): Promise<Tree> {
  if (commit === undefined) return readTree(question, folder, undefined);
  try {
    return await readTree(question, folder, String(commit));
  } catch (error) {
    if (Fault.is(error, 'not-kept')) return readTree(question, folder, undefined);
    throw error;
  }
}

/** A folder that is not there is an empty one: it may be new at the client. */
async function readTree(
  { service, entriesMax, signal }: SyncQuestion,
  folder: string,
  at: string | undefined,
): Promise<Tree> {
  const tree: Tree = new Map();
  try {
    for await (const record of service.manifest({ path: folder }, { at, signal })) {
      tree.set(record.path, entryOf(record));
      checkCount(tree.size, entriesMax);
    }
  } catch (error) {
    if (!Fault.is(error, 'not-found')) throw error;
  }
  return tree;
}

function entryOf(record: FileRecord): SyncEntry {
  const { kind, xxhash3, size, modified } = record;
  if (kind === 'folder') return { kind, identity: null };
  if (kind === 'file') return { kind, identity: identityOf(xxhash3, size), modified };
  return { kind: 'other', identity: null };
}

function wireOf(plan: SyncPlan): Omit<SyncAnswer, 'cursor'> {
  return {
    client_upload: [...plan.clientUpload],
    client_download: [...plan.clientDownload],
    client_delete: [...plan.clientDelete],
    client_create_dirs: [...plan.clientCreateFolders],
    server_create_dirs: [...plan.serverCreateFolders],
    server_delete: [...plan.serverDelete],
    conflicts: plan.conflicts.map(({ path, resolution, client, server }) => ({
      path,
      resolution,
      local_modified: client.modified ?? null,
      remote_modified: server.modified ?? null,
    })),
  };
}
