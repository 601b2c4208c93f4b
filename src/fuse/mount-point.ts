/**
 * The folder a tree is shown at: looking at it before, mounting, unmounting. As root by mount(2) itself; as anybody else
 * with the setuid program fusermount3, which hands the open device over through a socket.
 */
import { spawn, spawnSync } from 'node:child_process';
import { closeSync, readFileSync, writeFileSync } from 'node:fs';
import { readdir, realpath, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Fault, type Log } from '../base/index.ts';
import { deviceDenied, openDevice, type SystemCalls } from './device.ts';
import type { KernelThread } from './kernel-thread.ts';
import { ERRNO } from './protocol.ts';

export interface MountPointOptions {
  /** A folder that is there. */
  readonly mountPoint: string;
  /** The type is `fuse.NAME`. Letters, digits, `-` and `_`. */
  readonly name: string;
  /** What `df` and /proc/mounts show as mounted; any text. */
  readonly source: string;
  readonly allowOther: boolean;
  readonly readOnly: boolean;
  /** Mount over a folder that has entries, which are hidden meanwhile. */
  readonly overEntries: boolean;
}

export const UNMOUNT = { force: 1, detach: 2, noFollow: 8 } as const;

const MS_RDONLY = 1;
const MS_NOSUID = 2;
const MS_NODEV = 4;
/** Reading changes no times: whoever looks at the options of the mount is told. */
const MS_NOATIME = 1_024;
const READ_AHEAD_KIB = 1_024;
const EXIT_UNMOUNT_MS = 3_000;
/** Where fusermount3 may be; the environment is not ours to read. */
const PATH = '/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin:/run/wrappers/bin';
const AF_UNIX = 1;
const SOCK_STREAM_CLOEXEC = 0o2000001;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

const isRoot = (): boolean => process.geteuid?.() === 0;

/**
 * Looks at the folder and takes away a mount whose server has died.
 * @returns the absolute path.
 * @throws Fault `not-found`, `not-folder`, `not-empty`, `locked` (somebody's Holdfast is mounted there), `denied`.
 */
export async function prepareMountPoint(
  options: Pick<MountPointOptions, 'mountPoint' | 'name' | 'overEntries'>,
  system: SystemCalls,
  log: Log,
): Promise<string> {
  const path = await placeOf(options.mountPoint);
  const about = { mountPoint: path };
  if (!/^[A-Za-z0-9_-]+$/.test(options.name)) {
    throw new Fault('invalid', `A mount's name has letters, digits, "-" and "_" only, not "${options.name}".`, about);
  }
  let code = await lookAt(path);
  if (isEndOfServer(code)) {
    log.warn('fuse.dead-mount-removed', about);
    await detachDead(path, system);
    code = await lookAt(path);
  }
  if (code === 'ENOENT') throw new Fault('not-found', `There is no folder ${path} to mount at. Make it first.`, about);
  if (code === 'ENOTDIR') throw new Fault('not-folder', `${path} is no folder: it cannot be mounted at.`, about);
  if (code !== undefined) {
    throw new Fault(
      code === 'EACCES' ? 'denied' : 'io',
      `The mount point ${path} cannot be looked at (${code}).`,
      about,
    );
  }
  if (mountAt(path)?.type === `fuse.${options.name}`) {
    const sentence = `A Holdfast is mounted at ${path} already. Unmount it first, or choose another folder.`;
    throw new Fault('locked', sentence, about);
  }
  if (!options.overEntries && (await readdir(path)).length > 0) {
    const sentence = `The folder ${path} has entries, which a mount would hide. Choose an empty folder, or ask to mount over them.`;
    throw new Fault('not-empty', sentence, about);
  }
  return path;
}

/**
 * The path as the kernel lists it: absolute, without symlinks. What is mounted there, dead perhaps, is not asked; what is
 * not there comes back as it was said.
 */
export async function placeOf(path: string): Promise<string> {
  const absolute = resolve(path);
  if (mountAt(absolute) !== undefined) return absolute;
  try {
    const above = join(await realpath(dirname(absolute)), basename(absolute));
    return mountAt(above) === undefined ? await realpath(above) : above;
  } catch {
    return absolute;
  }
}

/** The errno name for what is in the way; `undefined` for a folder. */
async function lookAt(path: string): Promise<string | undefined> {
  try {
    return (await stat(path)).isDirectory() ? undefined : 'ENOTDIR';
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? 'EIO';
  }
}

const isEndOfServer = (code: string | undefined): boolean => code === 'ENOTCONN' || code === 'ECONNABORTED';

/** True when the path is a mount whose server is gone. */
export async function isDead(path: string): Promise<boolean> {
  return mountAt(path) !== undefined && isEndOfServer(await lookAt(path));
}

async function detachDead(path: string, system: SystemCalls): Promise<void> {
  // Nobody answers for it, so unmounting waits for nobody.
  if (isRoot()) {
    if (system.umount2(path, UNMOUNT.detach | UNMOUNT.noFollow) < 0) throw unmountFault(path, system.errno());
    return;
  }
  const { status, said } = await fusermount(['-u', '-z', '--', path]);
  if (status !== 0)
    throw new Fault('io', `The dead mount at ${path} cannot be taken away: ${said}`, { mountPoint: path });
}

export function unmountFault(path: string, errno: number): Fault {
  const about = { mountPoint: path, errno };
  if (errno === ERRNO.EBUSY) return new Fault('locked', `${path} is in use: programs have files open there.`, about);
  if (errno === ERRNO.EPERM) return new Fault('denied', `This user may not unmount ${path}.`, about);
  return new Fault('io', `${path} cannot be unmounted (errno ${errno}).`, about);
}

/** Mounts; answers the descriptor of the connection. @throws Fault `denied`, `unavailable`, `io`. */
export async function mountDevice(path: string, options: MountPointOptions, system: SystemCalls): Promise<number> {
  return isRoot() ? mountAsRoot(path, options, system) : await mountAsUser(path, options, system);
}

function mountAsRoot(path: string, options: MountPointOptions, system: SystemCalls): number {
  const fd = openDevice();
  const data = [`fd=${fd}`, 'rootmode=40000', 'user_id=0', 'group_id=0', 'default_permissions'];
  if (options.allowOther) data.push('allow_other');
  const flags = MS_NOSUID | MS_NODEV | MS_NOATIME | (options.readOnly ? MS_RDONLY : 0);
  if (system.mount(options.source, path, `fuse.${options.name}`, flags, data.join(',')) >= 0) return fd;
  const errno = system.errno();
  closeSync(fd);
  const about = { mountPoint: path, errno };
  if (errno === ERRNO.EPERM || errno === ERRNO.EACCES) {
    const sentence = `Mounting at ${path} is not allowed here. A container needs "--cap-add SYS_ADMIN --device /dev/fuse" (and, with AppArmor, "--security-opt apparmor=unconfined").`;
    throw new Fault('denied', sentence, about);
  }
  if (errno === ERRNO.ENODEV) {
    throw new Fault('unavailable', 'The kernel has no FUSE. Load its module (modprobe fuse).', about);
  }
  throw new Fault('io', `Mounting at ${path} failed (errno ${errno}).`, about);
}

async function mountAsUser(path: string, options: MountPointOptions, system: SystemCalls): Promise<number> {
  const pair = new Int32Array(2);
  if (system.socketpair(AF_UNIX, SOCK_STREAM_CLOEXEC, 0, pair) < 0) {
    throw new Fault('io', `No socket for fusermount3 (errno ${system.errno()}).`);
  }
  const [ours, theirs] = pair as unknown as [number, number];
  const source = options.source.replace(/[\\,]/g, '\\$&');
  const words = [`fsname=${source}`, `subtype=${options.name}`, 'default_permissions', 'noatime'];
  if (options.allowOther) words.push('allow_other');
  if (options.readOnly) words.push('ro');
  try {
    const { status, said } = await fusermount(['-o', words.join(','), '--', path], theirs);
    if (status !== 0) throw fusermountFault(path, said);
    return receiveDescriptor(system, ours);
  } finally {
    closeSync(ours);
    closeSync(theirs);
  }
}

function fusermountFault(path: string, said: string): Fault {
  const about = { mountPoint: path, said };
  if (said.includes('user_allow_other')) {
    const sentence = 'Letting other users in needs the line "user_allow_other" in /etc/fuse.conf.';
    return new Fault('denied', sentence, about);
  }
  if (/open \/dev\/fuse: (permission denied|operation not permitted)/i.test(said)) return deviceDenied(about);
  if (/permission denied|not permitted|no write access/i.test(said)) {
    const sentence = `Mounting at ${path} is not allowed: ${said}. Whoever is not root mounts at a folder of their own, or as root.`;
    return new Fault('denied', sentence, about);
  }
  return new Fault('io', `Mounting at ${path} failed: ${said}`, about);
}

/** Runs fusermount3, or fusermount where that is not there. `socket` becomes its descriptor 3. */
async function fusermount(
  args: readonly string[],
  socket?: number,
): Promise<{ readonly status: number; readonly said: string }> {
  for (const program of ['fusermount3', 'fusermount']) {
    try {
      return await run(program, args, socket);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    }
  }
  const sentence = 'Mounting without being root needs fusermount3. Install the package fuse3.';
  throw new Fault('unavailable', sentence);
}

function run(
  program: string,
  args: readonly string[],
  socket: number | undefined,
): Promise<{ readonly status: number; readonly said: string }> {
  return new Promise((resolve, reject) => {
    const env = { PATH, LC_ALL: 'C', ...(socket === undefined ? {} : { _FUSE_COMMFD: '3' }) };
    const child = spawn(program, args, { env, stdio: ['ignore', 'ignore', 'pipe', socket ?? 'ignore'] });
    let said = '';
    child.stderr?.on('data', (text) => (said = `${said}${text}`.slice(-1_000)));
    child.once('error', reject);
    child.once('close', (status) => resolve({ status: status ?? -1, said: said.trim() }));
  });
}

/**
 * The descriptor that fusermount3 sent: recvmsg with one byte of data and one control message.
 *   msghdr 56 bytes: iov @16, iov count @24, control @32, control length @40; cmsghdr 16 bytes, then the descriptor.
 */
function receiveDescriptor(system: SystemCalls, socket: number): number {
  const whole = new ArrayBuffer(112);
  const base = system.addressOf(whole);
  const at = { header: 0, iov: 56, data: 72, control: 80 } as const;
  const iov = new BigUint64Array(whole, at.iov, 2);
  iov[0] = base + BigInt(at.data);
  iov[1] = 1n;
  const header = new BigUint64Array(whole, at.header, 7);
  header[2] = base + BigInt(at.iov);
  header[3] = 1n;
  header[4] = base + BigInt(at.control);
  header[5] = 32n;
  const received = system.recvmsg(socket, new Uint8Array(whole), MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  const fd = new DataView(whole).getInt32(at.control + 16, true);
  if (received < 0 || fd <= 2) {
    throw new Fault('io', `fusermount3 mounted but did not hand over the connection (errno ${system.errno()}).`);
  }
  return fd;
}

/** Unmounts without touching the serving thread. Answers errno. */
export async function unmountPath(path: string, flags: number, thread: KernelThread): Promise<number> {
  if (isRoot()) return await thread.call({ kind: 'unmount', target: path, flags: flags | UNMOUNT.noFollow });
  const { status, said } = await fusermount(['-u', ...(flags & UNMOUNT.detach ? ['-z'] : []), '--', path]);
  if (status === 0) return 0;
  return /busy/i.test(said) ? ERRNO.EBUSY : /not found|invalid/i.test(said) ? ERRNO.EINVAL : ERRNO.EPERM;
}

export interface MountEntry {
  readonly type: string;
  /** `major:minor` of the mount's device: its name under /sys/class/bdi. */
  readonly device: string;
}

/** The topmost mount at the path, as the kernel lists it; the mount itself is not touched. */
export function mountAt(path: string): MountEntry | undefined {
  return parseMounts(readFileSync('/proc/self/mountinfo', 'latin1')).findLast((entry) => entry.path === path);
}

/** Lines of /proc/self/mountinfo. Pure. */
export function parseMounts(text: string): (MountEntry & { readonly path: string })[] {
  return text.split('\n').flatMap((line) => {
    const [before, behind] = line.split(' - ');
    const fields = (before ?? '').split(' ');
    const [device, escaped] = [fields[2], fields[4]];
    const type = (behind ?? '').split(' ')[0];
    if (device === undefined || escaped === undefined || type === undefined) return [];
    const bytes = escaped.replace(/\\([0-7]{3})/g, (_, octal: string) =>
      String.fromCharCode(Number.parseInt(octal, 8)),
    );
    return [{ device, type, path: Buffer.from(bytes, 'latin1').toString('utf8') }];
  });
}

/** Lets the kernel read further ahead than FUSE's usual 128 KiB. Root only, and only for speed: failing is no fault. */
export async function raiseReadAhead(path: string, log: Log): Promise<void> {
  const device = mountAt(path)?.device;
  if (device === undefined || !isRoot()) return;
  try {
    await writeFile(`/sys/class/bdi/${device}/read_ahead_kb`, String(READ_AHEAD_KIB));
  } catch (error) {
    log.debug('fuse.read-ahead-unchanged', { error: String(error) });
  }
}

/**
 * Ends the connection at once from a process that is about to exit: a thread that waits in a read of the device would
 * otherwise keep it for ever. Nothing else of the process runs any more, so nothing here may wait for the mount.
 */
export function abortNow(path: string, system: SystemCalls): void {
  const device = mountAt(path)?.device.split(':')[1];
  if (device === undefined) return;
  if (isRoot()) {
    system.umount2(path, UNMOUNT.force | UNMOUNT.detach | UNMOUNT.noFollow);
    return;
  }
  try {
    writeFileSync(`/sys/fs/fuse/connections/${device}/abort`, '1');
  } catch {
    // Not every system shows the connections.
  }
  const options = { env: { PATH }, timeout: EXIT_UNMOUNT_MS, stdio: 'ignore' } as const;
  spawnSync('fusermount3', ['-u', '-z', '--', path], options);
}
