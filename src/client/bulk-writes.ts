/**
 * Many small things over single requests: some at once, results in the order of the items. An item waits for those
 * before it that it stands on: the folders above it, and whatever has its own path.
 */
import {
  type BulkItem,
  type BulkResult,
  type Changing,
  type FileRecord,
  type FileService,
  pathOfText,
  textOfPath,
} from '../api/index.ts';
import { Fault, limit } from '../base/index.ts';

/** Requests at once. */
const WRITES_AT_ONCE_MAX = 16;
/** Items begun before the result of the first of them is taken. */
const WINDOW_ITEMS_MAX = 64;
const FILE_MODE_MAX = 0o7777;

export interface BulkWriter {
  readonly service: FileService;
  readonly symlink: (path: string, target: string, modified: string | undefined) => Promise<FileRecord>;
}

export async function* writeManyThrough(
  writer: BulkWriter,
  items: AsyncIterable<BulkItem> | Iterable<BulkItem>,
  options: Changing,
): AsyncGenerator<BulkResult> {
  const { signal } = options;
  const turns = limit({ running: WRITES_AT_ONCE_MAX, what: 'writing many files' });
  const inFlight = new Map<string, Promise<BulkResult>>();
  const window: Promise<BulkResult>[] = [];
  const begin = (item: BulkItem): Promise<BulkResult> => {
    const [own, ...above] = pathsOf(item.path);
    const before = [own, ...above].map((path) => (path === undefined ? undefined : inFlight.get(path)));
    const result = Promise.all(before).then(() => turns.run(() => writeOne(writer, item, options)));
    if (own !== undefined) {
      inFlight.set(own, result);
      void result.then(() => inFlight.get(own) === result && inFlight.delete(own));
    }
    return result;
  };
  for await (const item of items) {
    if (signal?.aborted) throw Fault.aborted(signal, 'Writing many files');
    window.push(begin(item));
    if (window.length >= WINDOW_ITEMS_MAX) yield await (window.shift() as Promise<BulkResult>);
  }
  for (const result of window) yield await result;
}

/** The path itself and all above it, in one spelling; nothing for a path that is refused anyway. */
function pathsOf(text: string): string[] {
  try {
    const path = pathOfText(text);
    return path.map((_, depth) => textOfPath(path.slice(0, path.length - depth)));
  } catch {
    return [];
  }
}

/** Never rejects. */
async function writeOne(writer: BulkWriter, item: BulkItem, options: Changing): Promise<BulkResult> {
  const { path } = item;
  try {
    if (options.signal?.aborted) throw Fault.aborted(options.signal, 'Writing many files');
    return { path, ok: true, record: await made(writer, item, options) };
  } catch (error) {
    return {
      path,
      ok: false,
      fault: error instanceof Error ? error : new Fault('io', `Writing failed: ${error}`, { path }),
    };
  }
}

async function made(writer: BulkWriter, item: BulkItem, options: Changing): Promise<FileRecord> {
  const { path, kind, size, modified, permissions } = item;
  switch (kind) {
    case 'file': {
      const source = (await item.source?.()) ?? [];
      return writer.service.write(path, source, { mode: 'put', size, modified, permissions, ...options });
    }
    case 'folder':
      return madeFolder(writer.service, item, options);
    case 'symlink':
      return writer.symlink(path, item.target ?? '', modified);
  }
}

/** A folder that is there already stays as it is. */
async function madeFolder(service: FileService, item: BulkItem, options: Changing): Promise<FileRecord> {
  const { path, modified, permissions } = item;
  try {
    const mode = permissions === undefined ? {} : { permissions: permissions & FILE_MODE_MAX };
    const record = await service.makeFolder(path, { ...mode, ...options });
    if (modified === undefined) return record;
    return await service.setAttributes({ id: record.file_id }, { modified }, options);
  } catch (error) {
    if (!Fault.is(error, 'exists')) throw error;
    const record = await service.stat({ path }, { signal: options.signal });
    if (record.is_directory) return record;
    throw error;
  }
}
