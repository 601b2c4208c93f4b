/**
 * The folder of a store: what stands in it, making one, opening one. docs/formats/store.md has it byte by byte.
 *
 *   DIR/            0700
 *     format        what the store is; written last, never changed: a folder is a store exactly when it is there
 *     secret        32 random bytes, 0600; chunk ids and chunk borders are keyed with it; never changed
 *     meta/         the metadata
 *     meta.new/     metadata that is being brought back   (rebuild-metadata.ts)
 *     meta.damaged-TIME/  metadata whose place that took
 *     objects/      the packs
 *     lock          held by whoever has the store open      (store-lock.ts)
 *     lock.holder   who that is
 *     control.sock  where they answer, 0600                  (control-socket.ts)
 *
 * Making is all or nothing: everything else is durable before `format` gets its name, so a crash leaves a store or
 * remains that hold nothing and are made over. Only such remains are: a `meta/` or `objects/` that has something in it
 * may be a store that lost its `format`, and is never touched.
 */
import type { Clock, Random } from '../base/index.ts';
import { Fault, hexOf, isoOfMoment, utf8 } from '../base/index.ts';
import { type ChunkerName, type ChunkFormat, DEFAULT_CHUNK_FORMAT, type IdAlgorithm } from '../chunks/index.ts';
import type { Disk } from '../objects/index.ts';
import {
  FEATURES_KNOWN,
  FORMAT_VERSION,
  type FormatRecord,
  formatOfBytes,
  SECRET_BYTES,
  secretOfBytes,
  textOfFormat,
  textOfSecret,
} from './format-record.ts';
import { HOLDER_NAME, LOCK_NAME } from './store-lock.ts';

export const FORMAT_NAME = 'format';
export const SECRET_NAME = 'secret';
export const META_FOLDER = 'meta';
/** The database's file below it. */
export const META_FILE = 'metadata.sqlite';
export const OBJECTS_FOLDER = 'objects';
export const SOCKET_NAME = 'control.sock';

const FORMAT_NEW_NAME = 'format.new';
const STORE_ID_BYTES = 16;
/** Both are a few hundred bytes; more is damage and is not read. */
const RECORD_BYTES_MAX = 64 * 1024;

/** What can stand in a folder that is being made into a store; `lost+found` is every fresh ext4's. */
const NAMES_OF_MAKING: readonly string[] = [
  FORMAT_NEW_NAME,
  SECRET_NAME,
  META_FOLDER,
  OBJECTS_FOLDER,
  LOCK_NAME,
  HOLDER_NAME,
  `${HOLDER_NAME}.new`,
  SOCKET_NAME,
  'lost+found',
];

/** What a person chooses when a store is made, for good. */
export interface StoreChoice {
  readonly idAlgorithm: IdAlgorithm;
  readonly chunker: ChunkerName;
}

export interface StoreIdentity {
  readonly format: FormatRecord;
  /** 32 bytes; goes to whoever keys something with it, and nowhere else. */
  readonly secret: Uint8Array;
}

/**
 * Reads what the store in the folder is; `undefined` when the folder is none. `folder` is its path, for faults.
 * @throws Fault `corrupt`, `incompatible`, `denied`, `io`.
 */
export async function readStoreFolder(disk: Disk, folder: string): Promise<StoreIdentity | undefined> {
  const formatBytes = await readSmall(disk, FORMAT_NAME, folder);
  if (formatBytes === undefined) return undefined;
  const format = formatOfBytes(formatBytes, `${folder}/${FORMAT_NAME}`);
  const secretBytes = await readSmall(disk, SECRET_NAME, folder);
  if (secretBytes === undefined) {
    const path = `${folder}/${SECRET_NAME}`;
    throw new Fault(
      'corrupt',
      `The file ${path} is missing, and without it no chunk of this store can be named. Put it back from a backup of this store; nothing was changed.`,
      { path },
    );
  }
  return { format, secret: secretOfBytes(secretBytes, format.storeId, `${folder}/${SECRET_NAME}`) };
}

async function readSmall(disk: Disk, name: string, folder: string): Promise<Uint8Array | undefined> {
  const stat = await disk.stat(name);
  if (stat === undefined) return undefined;
  if (stat.kind !== 'file' || stat.sizeBytes > RECORD_BYTES_MAX) {
    throw new Fault(
      'corrupt',
      `${folder}/${name} is damaged: it is no file of at most ${RECORD_BYTES_MAX} bytes. Put back a copy of it from a backup of this store; nothing was changed.`,
      { path: `${folder}/${name}` },
    );
  }
  await using file = await disk.open(name, 'read');
  const bytes = new Uint8Array(stat.sizeBytes);
  return bytes.subarray(0, await file.read(bytes, 0));
}

/**
 * Makes the folder a store, durable when it resolves. The caller holds its lock.
 * @throws Fault `exists` when it is a store already, `not-empty` when it holds anything that is not a store's; `full`, `io`.
 */
export async function makeStoreFolder(
  disk: Disk,
  folder: string,
  choice: StoreChoice,
  parts: { readonly clock: Clock; readonly random: Random },
): Promise<StoreIdentity> {
  await requireRoomForStore(disk, folder);
  const format: FormatRecord = {
    version: FORMAT_VERSION,
    storeId: hexOf(parts.random.bytes(STORE_ID_BYTES)),
    features: FEATURES_KNOWN,
    chunks: chunkFormatOf(choice),
    created: isoOfMoment(parts.clock.now()),
  };
  const secret = parts.random.bytes(SECRET_BYTES);
  await disk.makeFolder(META_FOLDER);
  await disk.makeFolder(OBJECTS_FOLDER);
  await writeWhole(disk, SECRET_NAME, textOfSecret(secret, format.storeId));
  await writeWhole(disk, FORMAT_NEW_NAME, textOfFormat(format));
  // Every name above is durable before the one that makes it a store.
  await disk.syncFolder('');
  await disk.rename(FORMAT_NEW_NAME, FORMAT_NAME);
  await disk.syncFolder('');
  return { format, secret };
}

/** Stands in a store's folder once its metadata has been made: from then on metadata that is missing is lost, not new. */
const METADATA_MADE_NAME = 'metadata.made';

/**
 * Whether the metadata may be made now: in a store that never had any. @throws Fault `corrupt` when there was some and
 * it is gone: an empty tree would be shown, and written to, in its place.
 */
export async function requireMetadata(disk: Disk, folder: string, file: string): Promise<void> {
  const stat = await disk.stat(file);
  if (stat !== undefined && stat.sizeBytes > 0) return;
  if ((await disk.stat(METADATA_MADE_NAME)) === undefined) return;
  throw new Fault(
    'corrupt',
    `${folder}/${file} is ${stat === undefined ? 'missing' : 'empty'}: it says which files the store holds. Bring it back with \`holdfast check --rebuild-meta\`, or put it back from a backup of this store; nothing was changed.`,
    { path: `${folder}/${file}` },
  );
}

/** Notes, durably and once, that the store has metadata. */
export async function noteMetadata(disk: Disk): Promise<void> {
  if ((await disk.stat(METADATA_MADE_NAME)) !== undefined) return;
  await writeWhole(disk, METADATA_MADE_NAME, 'The metadata of this store was made; without it the store is damaged.\n');
  await disk.syncFolder('');
}

function chunkFormatOf(choice: StoreChoice): ChunkFormat {
  return { ...DEFAULT_CHUNK_FORMAT, idAlgorithm: choice.idAlgorithm, chunker: choice.chunker };
}

async function writeWhole(disk: Disk, name: string, text: string): Promise<void> {
  // What an unfinished making left; there is no `format`, so nothing depends on it.
  await disk.remove(name);
  await using file = await disk.open(name, 'create');
  await file.write([utf8(text)], 0);
  await file.sync();
}

/**
 * Passes when a store may be made here. @throws Fault `exists`, `not-empty`.
 */
export async function requireRoomForStore(disk: Disk, folder: string): Promise<void> {
  const names = await disk.list('');
  if (names.includes(FORMAT_NAME)) {
    throw new Fault('exists', `There is a store in ${folder} already. Use it as it is, or choose another folder.`, {
      store: folder,
    });
  }
  const foreign = names.find((name) => !NAMES_OF_MAKING.includes(name));
  if (foreign !== undefined) {
    throw new Fault(
      'not-empty',
      `The folder ${folder} is not empty (it has ${JSON.stringify(foreign)} in it) and is no store. Choose an empty or a new folder.`,
      { store: folder, name: foreign },
    );
  }
  for (const name of [META_FOLDER, OBJECTS_FOLDER]) {
    if (!names.includes(name) || (await disk.list(name)).length === 0) continue;
    throw new Fault(
      'not-empty',
      `The folder ${folder} has a ${name}/ with something in it but no ${FORMAT_NAME} record: it looks like a store that lost that file. Put the file back from a backup, or choose another folder.`,
      { store: folder, name },
    );
  }
}
