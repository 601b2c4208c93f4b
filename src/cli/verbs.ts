/**
 * What each verb of the command table does. Loaded when it is run and not before, so that help and completion start at
 * once, and each command pays only for itself.
 */
import type { Verb } from './words/command.ts';

export const VERBS: Readonly<Record<string, () => Promise<Verb>>> = {
  init: () => import('./verbs/init.ts'),
  serve: () => import('./verbs/serve.ts'),
  mount: () => import('./verbs/mount.ts'),
  umount: () => import('./verbs/umount.ts'),
  up: () => import('./verbs/up.ts'),
  put: () => import('./verbs/put.ts'),
  get: () => import('./verbs/get.ts'),
  cat: () => import('./verbs/cat.ts'),
  ls: () => import('./verbs/ls.ts'),
  stat: () => import('./verbs/stat.ts'),
  mkdir: () => import('./verbs/mkdir.ts'),
  rm: () => import('./verbs/rm.ts'),
  mv: () => import('./verbs/mv.ts'),
  cp: () => import('./verbs/cp.ts'),
  find: () => import('./verbs/find.ts'),
  versions: () => import('./verbs/versions.ts'),
  restore: () => import('./verbs/restore.ts'),
  log: () => import('./verbs/log.ts'),
  undo: () => import('./verbs/undo.ts'),
  snapshot: () => import('./verbs/snapshot.ts'),
  batch: () => import('./verbs/batch.ts'),
  lock: () => import('./verbs/lock.ts'),
  unlock: () => import('./verbs/unlock.ts'),
  locks: () => import('./verbs/locks.ts'),
  diff: () => import('./verbs/diff.ts'),
  du: () => import('./verbs/du.ts'),
  stats: () => import('./verbs/stats.ts'),
  check: () => import('./verbs/check.ts'),
  repair: () => import('./verbs/repair.ts'),
  gc: () => import('./verbs/gc.ts'),
  config: () => import('./verbs/config.ts'),
  bench: () => import('./verbs/bench.ts'),
  completion: () => import('./verbs/completion.ts'),
  help: () => import('./verbs/help.ts'),
};
