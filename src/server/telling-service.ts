/**
 * The service of doors that stand beside mounts: a change is answered when the kernel has been told of it too, so that
 * whoever got the answer sees it in every mount, and no program is shown what the kernel remembered from before.
 * Telling comes after the commit: what fails there takes nothing back, and the mounts' own bounds hold.
 */
import type { BulkItem, BulkResult, Changing, FileService } from '../api/index.ts';

/** `told` resolves when every change so far has been told; it never rejects. */
export function tellingService(service: FileService, told: () => Promise<void>): FileService {
  const after = async <T>(change: Promise<T>): Promise<T> => {
    const answer = await change;
    await told();
    return answer;
  };
  return {
    ...service,
    makeFolder: (path, options) => after(service.makeFolder(path, options)),
    write: (path, source, options) => after(service.write(path, source, options)),
    async *writeMany(items: AsyncIterable<BulkItem> | Iterable<BulkItem>, options?: Changing) {
      for await (const result of service.writeMany(items, options) as AsyncIterable<BulkResult>) {
        await told();
        yield result;
      }
    },
    setAttributes: (target, change, options) => after(service.setAttributes(target, change, options)),
    move: (from, to, options) => after(service.move(from, to, options)),
    copy: (from, to, options) => after(service.copy(from, to, options)),
    remove: (path, options) => after(service.remove(path, options)),
    uploads: {
      ...service.uploads,
      complete: (upload, options) => after(service.uploads.complete(upload, options)),
    },
    batch: (request, options) => after(service.batch(request, options)),
    restoreTree: (path, at, options) => after(service.restoreTree(path, at, options)),
    undo: (commit, options) => after(service.undo(commit, options)),
    createSnapshot: (name, options) => after(service.createSnapshot(name, options)),
    removeSnapshot: (name, options) => after(service.removeSnapshot(name, options)),
    pruneSnapshots: (options) => after(service.pruneSnapshots(options)),
    restore: (target, version, options) => after(service.restore(target, version, options)),
  };
}
