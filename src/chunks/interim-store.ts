/** A first chunk store: writes as it should, reads on the main thread; verification and rebuild follow. */
import { equalBytes, Fault, hexOf, type Clock, type Log, Lru, type Random } from '../base/index.ts';
import { type Change, type ChunkId, type MetaStore, PACK_STATE, type RealmId } from '../meta/index.ts';
import type { ObjectStore } from '../objects/index.ts';
import type { ChunkFormat, ChunkSlice, ChunkStore, ContentWriter, WriterOptions } from './chunk-store.ts';
import { newChunker } from './chunker.ts';
import { StreamWriter, type WriterContext } from './content-writer.ts';
import { Encoder } from './encoder.ts';
import { ID_BYTES, newIdHasher } from './ids.ts';
import { KnownChunks } from './known-chunks.ts';
import type { ChunkStoreOptions } from './options.ts';
import { loadIndex, type PackObject } from './pack-file.ts';
import type { PackIndex, Place } from './pack-format.ts';
import { PackWriter } from './pack-writer.ts';
import { decodeRecord, isFlaw, isRecordWhole, readHeader } from './record.ts';

export interface OpenChunkStoreOptions {
  readonly objects: ObjectStore;
  readonly meta: MetaStore;
  readonly realm?: RealmId;
  readonly format: ChunkFormat;
  readonly secret: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Log;
  readonly options: ChunkStoreOptions;
}

export async function openChunkStore(wanted: OpenChunkStoreOptions): Promise<ChunkStore> {
  const { objects, meta, format, secret, clock, random, log, options } = wanted;
  const realm = wanted.realm ?? 1;
  const idBytes = ID_BYTES[format.idAlgorithm];
  const idOf = newIdHasher(format.idAlgorithm, secret);
  const known = new KnownChunks({ meta, realm, idCacheEntries: options.idCacheEntries, pendingEntries: options.pendingEntries });
  const indexes = new Lru<number, PackIndex>({ weightMax: options.packIndexCacheBytes, weigh: (index) => index.bytes.length });
  const cache = new Lru<string, Uint8Array>({ weightMax: options.chunkCacheBytes, weigh: (bytes) => bytes.length });
  const packs = new PackWriter({
    objects,
    meta,
    realm,
    idBytes,
    clock,
    random,
    log,
    options,
    onSealed: (pack, index) => indexes.set(pack.row.pack, index),
    onLost: (pack) => known.forgetLost(pack),
  });
  const encoder = new Encoder({ realm, packs, chunkBytesMax: format.chunkBytesMax, options, onFailed: (chunk) => known.forget(chunk) });
  const writers = new Set<StreamWriter>();
  const context: WriterContext = {
    realm,
    format,
    chunker: newChunker(format, secret),
    idOf,
    known,
    encoder,
    nowSeconds: () => clock.now().seconds,
    readBack: format.idAlgorithm === 'xxh3-128' ? (id, chunk) => (chunk?.pack ? readAt(id, chunk.pack.row.pack, chunk.pack.row.object) : read(id)) : undefined,
    onClosed: (writer) => writers.delete(writer),
  };
  const corrupt = (sentence: string, about: Record<string, unknown>): Fault => new Fault('corrupt', sentence, about);

  async function placeOf(id: ChunkId, pack: number): Promise<Place | undefined> {
    const open = packs.find(pack);
    const place = await open?.find(id);
    if (place !== undefined) return place;
    let index = indexes.get(pack);
    if (index === undefined) {
      const row = await meta.get('packs', [realm, pack]);
      if (row === undefined) return undefined;
      const object: PackObject = { object: row.object, lengthBytes: row.lengthBytes, realm, pack, idBytes };
      if (row.state === PACK_STATE.open) {
        const { walkRecords } = await import('./pack-file.ts');
        const { PackIndex: Index } = await import('./pack-format.ts');
        const entries = [];
        for await (const step of walkRecords(objects, object)) {
          if (step.kind === 'record') entries.push({ id: step.header.id, offset: step.offset, length: step.header.recordLength });
        }
        index = Index.of(entries, idBytes);
      } else index = (await loadIndex(objects, object))?.index;
      if (index === undefined) throw corrupt(`The index of pack ${pack} is damaged.`, { pack, object: row.object, chunk: hexOf(id) });
      indexes.set(pack, index);
    }
    return index.find(id);
  }

  async function readAt(id: ChunkId, pack: number, object: string): Promise<Uint8Array> {
    const chunk = hexOf(id);
    const place = await placeOf(id, pack);
    if (place === undefined) throw corrupt(`Chunk ${chunk} is not in pack ${pack}.`, { chunk, pack, object });
    const bytes = await objects.get(object, { offset: place.offset, length: place.length });
    const header = readHeader(bytes);
    const about = { chunk, pack, object, offset: place.offset };
    if (isFlaw(header)) throw corrupt(`Chunk ${chunk} in pack ${pack} is damaged: ${header.flaw}.`, about);
    if (!isRecordWhole(bytes, 0, header)) throw corrupt(`Chunk ${chunk} in pack ${pack} is damaged: its bytes do not match their checksum.`, about);
    const base = header.base === undefined ? undefined : await read(header.base);
    const plain = decodeRecord(bytes, 0, header, base);
    if (!equalBytes(idOf(plain), id)) throw corrupt(`Chunk ${chunk} in pack ${pack} is damaged: its bytes have another id.`, about);
    return plain;
  }

  async function read(id: ChunkId): Promise<Uint8Array> {
    const key = hexOf(id);
    const cached = cache.get(key);
    if (cached !== undefined) return cached;
    const row = await meta.get('chunks', [realm, id]);
    if (row === undefined) throw corrupt(`Chunk ${key} is not in the chunk index.`, { chunk: key });
    const packRow = await meta.get('packs', [realm, row.pack]);
    if (packRow === undefined) throw corrupt(`Pack ${row.pack} of chunk ${key} is not known.`, { chunk: key, pack: row.pack });
    const plain = await readAt(id, row.pack, packRow.object);
    cache.set(key, plain);
    return plain;
  }

  async function* readAll(slices: AsyncIterable<ChunkSlice> | Iterable<ChunkSlice>): AsyncGenerator<Uint8Array> {
    for await (const slice of slices) yield (await read(slice.id)).subarray(slice.offset, slice.offset + slice.length);
  }

  const store: ChunkStore = {
    realm,
    format,
    newWriter(writerOptions: WriterOptions): ContentWriter {
      const writer = new StreamWriter(context, writerOptions);
      writers.add(writer);
      return writer;
    },
    read,
    readAll,
    readInline(record) {
      const header = readHeader(record);
      if (isFlaw(header) || !isRecordWhole(record, 0, header)) throw corrupt('Bytes kept in metadata are damaged.', {});
      const plain = decodeRecord(record, 0, header);
      if (!equalBytes(idOf(plain), header.id)) throw corrupt('Bytes kept in metadata have another id.', {});
      return plain;
    },
    async sync(): Promise<readonly Change[]> {
      await packs.sync();
      for (const writer of writers) if (writer.lostFault !== undefined) throw writer.lostFault;
      return packs.changes();
    },
    async verify() {
      return { chunksVerified: 0, bytesVerified: 0, packsVerified: 0, orphanBytes: 0 };
    },
    async rebuildIndex() {
      return 0;
    },
    async stats() {
      const rows = await meta.scan('packs', { prefix: [realm], limit: 10_000 });
      return {
        chunks: rows.reduce((sum, row) => sum + row.liveCount, 0),
        uniqueBytes: 0,
        storedBytes: rows.reduce((sum, row) => sum + row.liveBytes, 0),
        packs: rows.length,
        packBytes: rows.reduce((sum, row) => sum + row.lengthBytes, 0),
      };
    },
    async close() {
      await encoder[Symbol.asyncDispose]();
      await packs.sync().catch(() => undefined);
      const changes = await packs.changes();
      if (changes.length > 0) await meta.commit(changes);
      await packs.close();
    },
    [Symbol.asyncDispose]: () => store.close(),
  };
  return store;
}
