/**
 * Uploads in parts, as operations of a simulated run: what a start shows of one is which parts are there, each whole or
 * not at all. They are told apart by the note that is kept with them.
 */
import { PART_BYTES_MIN, type UploadRecord } from '../../src/api/index.ts';
import { assert, bytesOfHex, hexOf } from '../../src/base/index.ts';
import { Cutter } from '../../src/chunks/index.ts';
import { bytesOf, type Content, type UploadOperation } from './operation.ts';
import type { World } from './world.ts';

const DAY_MS = 24 * 3_600_000;
/** What is older is given up. */
const EXPIRED_MS = DAY_MS + 3_600_000;

export function partCountOf({ length }: Content): number {
  return Math.max(1, Math.ceil(length / PART_BYTES_MIN));
}

export async function performUpload(world: World, home: string, operation: UploadOperation): Promise<void> {
  const { uploads } = world.service;
  switch (operation.do) {
    case 'up.begin':
      await uploads.create(home + operation.path, {
        size: operation.content.length,
        partSize: PART_BYTES_MIN,
        note: noteOf(home, operation),
      });
      return;
    case 'up.part':
      return sendPart(world, await uploadOf(world, home, operation.name), operation);
    case 'up.complete':
      await uploads.complete((await uploadOf(world, home, operation.name)).upload_id);
      return;
    case 'up.remove':
      await uploads.remove((await uploadOf(world, home, operation.name)).upload_id);
      return;
    case 'up.expire':
      return expireUploads(world);
  }
}

/** With all that is left of those that are complete. */
export async function expireUploads({ clock, files }: World): Promise<void> {
  clock.advance(EXPIRED_MS);
  await files.expireUploadsNow();
}

/** A row of an upload, where all of them are over their time. */
export async function unexpired({ meta }: World): Promise<string | undefined> {
  for (const table of ['uploads', 'uploadParts'] as const) {
    const [row] = await meta.scan(table, { prefix: [], limit: 1 });
    if (row !== undefined) return `an upload that was given up left ${JSON.stringify(row)} in ${table}`;
  }
  return undefined;
}

/** What was begun, with its content, so that whoever looks knows it again. */
function noteOf(home: string, { name, content }: Extract<UploadOperation, { do: 'up.begin' }>): string {
  return `${home}:${name}:${content.id}`;
}

async function openUploads({ service }: World, home: string): Promise<readonly UploadRecord[]> {
  const { uploads } = await service.uploads.list();
  return uploads.filter(({ note }) => note?.startsWith(`${home}:`) === true);
}

async function uploadOf(world: World, home: string, name: string): Promise<UploadRecord> {
  const found = (await openUploads(world, home)).find(({ note }) => note?.split(':')[1] === name);
  assert(found !== undefined, 'an upload that the model has is open', { name });
  return found;
}

async function sendPart(
  { service: { uploads } }: World,
  upload: UploadRecord,
  { part, isRest }: Extract<UploadOperation, { do: 'up.part' }>,
): Promise<void> {
  const id = upload.upload_id;
  const content = { id: Number(upload.note?.split(':')[2]), length: upload.size ?? 0 };
  const bytes = bytesOf(content).subarray((part - 1) * PART_BYTES_MIN, part * PART_BYTES_MIN);
  if (!isRest) {
    await uploads.putPart(id, part, [bytes]);
    return;
  }
  const claims = await claimsOf(uploads, bytes);
  const { missing } = await uploads.have(id, part, claims);
  await uploads.putPart(id, part, [restOf(bytes, claims, new Set(missing))], { isRest: true });
}

type Claim = { readonly size: number; readonly id: string };

async function claimsOf(uploads: World['service']['uploads'], bytes: Uint8Array): Promise<Claim[]> {
  const { ids, chunker, bytes_min, bytes_mean, bytes_max, id_key } = await uploads.chunking();
  const sizes = { chunkBytesMin: bytes_min, chunkBytesMean: bytes_mean, chunkBytesMax: bytes_max };
  assert(chunker === 'ultracdc', 'simulated stores cut without a table of gears');
  const cutter = new Cutter(
    { idAlgorithm: ids, chunker, ...sizes },
    { idKey: bytesOfHex(id_key) ?? new Uint8Array(0) },
  );
  return (await cutter.chunksOf([bytes])).map(({ length, id }) => ({ size: length, id: hexOf(id) }));
}

function restOf(bytes: Uint8Array, claims: readonly Claim[], missing: ReadonlySet<number>): Uint8Array {
  const parts: Uint8Array[] = [];
  let at = 0;
  for (const [index, { size }] of claims.entries()) {
    if (missing.has(index)) parts.push(bytes.subarray(at, at + size));
    at += size;
  }
  return Buffer.concat(parts);
}

/** Marks of the open ones, as the model has them. */
export async function uploadMarks(world: World, home: string): Promise<ReadonlyMap<string, string>> {
  const marks = new Map<string, string>();
  for (const { upload_id, note, path, size } of await openUploads(world, home)) {
    const { parts } = await world.service.uploads.parts(upload_id);
    const received = parts.filter((part) => part.received).map(({ part }) => part);
    const [, name = '', id] = note?.split(':') ?? [];
    marks.set(
      `^${name}`,
      markOfUpload({ path: path.slice(home.length), content: { id: Number(id), length: size ?? 0 }, parts: received }),
    );
  }
  return marks;
}

export interface ModelUpload {
  readonly path: string;
  readonly content: Content;
  /** Those that are there, in order. */
  readonly parts: readonly number[];
}

export function markOfUpload({ path, content, parts }: ModelUpload): string {
  return `upload to ${path} of ${content.id} ${content.length}, parts ${parts.join(' ')}`;
}
