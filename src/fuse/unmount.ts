/**
 * Unmounting from outside: a mount of Holdfast that some process serves, or did until it died. What programs wrote is made
 * durable first; who serves it then ends by itself. Who keeps it busy is found in /proc, where nothing asks the mount.
 */
import { open, readdir, readFile, readlink } from 'node:fs/promises';
import { type Clock, Fault, systemClock } from '../base/index.ts';
import { KernelThread } from './kernel-thread.ts';
import { mountAt, placeOf, UNMOUNT, unmountFault, unmountPath } from './mount-point.ts';
import { ERRNO } from './protocol.ts';

export interface UnmountPointOptions {
  /** Take it away from its place at once, although programs use it: they keep what they have open. Default false. */
  readonly lazy?: boolean;
  /** What the mount was called when it was made. Default `holdfast`. */
  readonly name?: string;
  readonly clock?: Clock;
}

const GONE_MS_MAX = 10_000;
const GONE_RETRY_MS = 20;
/** Processes that a refusal names. */
const HOLDERS_SHOWN_MAX = 5;

/**
 * Unmounts what Holdfast shows at the path; resolves when it is gone from there. Answers the path as the kernel has it.
 * @throws Fault `not-found` when no Holdfast is mounted there, `locked` naming who uses it, `denied`, `timeout`, `io`.
 */
export async function unmountPoint(path: string, options: UnmountPointOptions = {}): Promise<string> {
  const { lazy = false, name = 'holdfast', clock = systemClock } = options;
  const place = await placeOf(path);
  const entry = mountAt(place);
  if (entry?.type !== `fuse.${name}`) throw noMountFault(place, entry?.type);
  if (!lazy) await syncMount(place);
  await using thread = new KernelThread();
  const errno = await unmountPath(place, lazy ? UNMOUNT.detach : 0, thread);
  const isThere = (): boolean => mountAt(place)?.device === entry.device;
  // Somebody was faster; or fusermount3 does not know it as a mount of this user.
  if (errno === ERRNO.EINVAL && isThere()) throw unmountFault(place, ERRNO.EPERM);
  if (errno === ERRNO.EBUSY) throw busyFault(place, await holdersOf(place));
  if (errno !== 0 && errno !== ERRNO.EINVAL) throw unmountFault(place, errno);
  const untilMs = clock.monotonicMs() + GONE_MS_MAX;
  while (isThere()) {
    if (clock.monotonicMs() >= untilMs) {
      throw new Fault('timeout', `${place} was unmounted but is still there after ${GONE_MS_MAX / 1000} seconds.`, {
        mountPoint: place,
      });
    }
    await clock.sleep(GONE_RETRY_MS);
  }
  return place;
}

function noMountFault(place: string, type: string | undefined): Fault {
  const what = type === undefined ? 'nothing is mounted there' : `what is mounted there is ${type}`;
  const about = { mountPoint: place, ...(type === undefined ? {} : { type }) };
  return new Fault('not-found', `${place} is no mount of Holdfast: ${what}. \`findmnt\` lists what is mounted.`, about);
}

function busyFault(place: string, holders: readonly Holder[]): Fault {
  const shown = holders.slice(0, HOLDERS_SHOWN_MAX).map(({ command, pid }) => `${command} (process ${pid})`);
  const more = holders.length > shown.length ? ` and ${holders.length - shown.length} more` : '';
  const who = shown.length === 0 ? 'programs that this user may not see' : `${shown.join(', ')}${more}`;
  const sentence = `${place} is in use by ${who}. End them, or let them leave the folder; --lazy takes it away all the same.`;
  return new Fault('locked', sentence, { mountPoint: place, holders: holders.slice(0, HOLDERS_SHOWN_MAX) });
}

/** A fsync of the root folder makes everything durable; a mount whose server is dead has nothing to say any more. */
async function syncMount(place: string): Promise<void> {
  try {
    await using folder = await open(place, 'r');
    await folder.sync();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== 'EIO' && code !== 'ENOSPC') return;
    const sentence = `Something written to ${place} could not be stored (${code}; the log of the process that serves it says why), so it was left mounted. --lazy takes it away all the same.`;
    throw new Fault('io', sentence, { mountPoint: place, errno: code }, error);
  }
}

interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** Processes with an open file, their working folder or their program below the path, as far as this user may look. */
async function holdersOf(place: string): Promise<readonly Holder[]> {
  const holders: Holder[] = [];
  for (const name of await readdir('/proc')) {
    const pid = Number(name);
    if (!Number.isInteger(pid) || !(await isHolding(pid, place))) continue;
    const command = await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'a program');
    holders.push({ pid, command: command.trim() });
  }
  return holders;
}

async function isHolding(pid: number, place: string): Promise<boolean> {
  // Ended meanwhile, or somebody else's.
  const open = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const link of ['cwd', 'root', 'exe', ...open.map((fd) => `fd/${fd}`)]) {
    const target = await readlink(`/proc/${pid}/${link}`).catch(() => '');
    if (target === place || target.startsWith(`${place}/`)) return true;
  }
  return false;
}
