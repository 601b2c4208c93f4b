/** Numbers of open files and folders, from 1, used again after release: one source for the trees behind one mount. */
import type { Handle } from './posix.ts';

export class HandleSource {
  readonly #free: Handle[] = [];
  #last = 0;

  take(): Handle {
    return this.#free.pop() ?? ++this.#last;
  }

  giveBack(handle: Handle): void {
    this.#free.push(handle);
  }
}
