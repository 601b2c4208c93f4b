/** A service in the hands of somebody who holds a lock: every change presents it. */
import type { Changing, FileService } from '../../api/index.ts';

export function presenting(service: FileService, lockToken: number): FileService {
  const as = <Options extends Changing>(options: Options | undefined): Options =>
    ({ ...options, lockToken }) as Options;
  // Methods stay bound to the service; what changes something is given the lock.
  const bound = new Proxy(service, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name, target);
      return typeof member === 'function' ? member.bind(target) : member;
    },
  });
  const changes: Partial<FileService> = {
    makeFolder: (path, options) => service.makeFolder(path, as(options)),
    write: (path, source, options) => service.write(path, source, as(options)),
    writeMany: (items, options) => service.writeMany(items, as(options)),
    setAttributes: (target, change, options) => service.setAttributes(target, change, as(options)),
    move: (from, to, options) => service.move(from, to, as(options)),
    copy: (from, to, options) => service.copy(from, to, as(options)),
    remove: (path, options) => service.remove(path, as(options)),
    uploads: {
      ...service.uploads,
      create: (path, options) => service.uploads.create(path, as(options)),
      complete: (upload, options) => service.uploads.complete(upload, as(options)),
    },
    batch: (request, options) => service.batch(request, as(options)),
    restore: (target, version, options) => service.restore(target, version, as(options)),
  };
  return new Proxy(bound, {
    get: (target, name) => Reflect.get(changes, name) ?? Reflect.get(target, name),
  });
}
