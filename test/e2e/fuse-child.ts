/**
 * A process that mounts a tree in memory and does what its parent says: a process must not use its own mount, since a
 * call that waits for an answer keeps the thread that would give it.
 * The first argument is JSON: MountOptions, and `tree` for those of the tree. Without a parent it serves until SIGINT.
 */
import { logTo, type Maybe } from '../../src/base/index.ts';
import type { OutsideChange } from '../../src/files/index.ts';
import { type MountOptions, memoryTree, mountTree } from '../../src/fuse/index.ts';

/** What the parent may ask; `value` comes back, or `error` with the fault's code. */
export type ChildCall =
  | { readonly call: 'stats' }
  | { readonly call: 'outside'; readonly changes: readonly OutsideChange[] }
  | { readonly call: 'unmount'; readonly options: { readonly busyMs?: number; readonly refuseBusy?: boolean } }
  | { readonly call: 'delay'; readonly ms: number }
  /** Leaves with the mount still there. */
  | { readonly call: 'exit' };

export interface ChildOptions extends Omit<MountOptions, 'log' | 'clock'> {
  readonly tree?: { readonly root?: number; readonly delayMs?: number };
}

const options = JSON.parse(process.argv[2] ?? '{}') as ChildOptions;
const { root, delayMs } = options.tree ?? {};
const tree = memoryTree({
  ...(root === undefined ? {} : { root: root as never }),
  ...(delayMs === undefined ? {} : { delayMs }),
});
const log = logTo(({ level, event, data }) => {
  if (level !== 'info') process.stderr.write(`${level} ${event} ${JSON.stringify(data)}\n`);
}, 'info');
const tell = (message: unknown): void => void process.send?.(message);

try {
  const mounted = await mountTree(tree, { ...options, log });
  const answers: { [K in ChildCall['call']]: (call: Extract<ChildCall, { call: K }>) => Maybe<unknown> } = {
    stats: () => ({ ...mounted.stats, nodes: tree.nodeCount, open: tree.openCount }),
    outside: async ({ changes }) => {
      // Names come as arrays of numbers: what was sent is JSON.
      for (const change of changes) {
        tree.outside('name' in change ? { ...change, name: Uint8Array.from(change.name) } : change);
      }
      await mounted.told();
    },
    delay: ({ ms }) => tree.delay(ms),
    unmount: ({ options }) => mounted.unmount(options),
    exit: () => process.exit(3),
  };
  process.on('message', (message: ChildCall) => {
    const call = answers[message.call] as (call: ChildCall) => Maybe<unknown>;
    Promise.resolve()
      .then(() => call(message))
      .then(
        (value) => tell({ value: value ?? null }),
        (error) => tell({ error: { code: error.code, message: error.message } }),
      );
  });
  // Whoever waits in front of it may send it twice.
  process.on('SIGINT', () => void mounted.unmount());
  tell({ value: 'mounted' });
  await mounted.ended;
  tell({ ended: { nodes: tree.nodeCount, open: tree.openCount } });
} catch (error) {
  tell({ error: { code: (error as { code?: string }).code, message: (error as Error).message } });
  if (process.send === undefined) throw error;
}
// Answers that are on their way go first.
setImmediate(() => process.disconnect?.());
