/**
 * A fresh file system of the kernel's own, to compare with: ext4 in a sparse image, mounted over a loop device, or tmpfs.
 * Needs root. Unmounted when disposed of; what a killed run leaves is an image in the temporary folder.
 */
import { execFileSync } from 'node:child_process';
import { closeSync, ftruncateSync, mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const IMAGE_BYTES = 512 * 1_048_576;
const COMMAND_MS_MAX = 60_000;

export interface Mount extends Disposable {
  /** Empty but for what mkfs makes, and root's. */
  readonly path: string;
}

/** Blocks of 4 KiB (files up to 16 TiB), inodes with nanoseconds, attributes larger than a block. */
export function mountExt4(): Mount {
  return mounted((folder, path) => {
    const image = join(folder, 'image');
    const fd = openSync(image, 'w');
    ftruncateSync(fd, IMAGE_BYTES);
    closeSync(fd);
    const options = ['-q', '-F', '-b', '4096', '-I', '256', '-N', '65536', '-O', 'ea_inode', '-m', '0'];
    command('mkfs.ext4', [...options, '-E', 'lazy_itable_init=1,lazy_journal_init=1', image]);
    command('mount', ['-t', 'ext4', '-o', 'loop', image, path]);
    rmSync(join(path, 'lost+found'), { recursive: true });
  });
}

export function mountTmpfs(mebibytes: number = 512): Mount {
  return mounted((_, path) => command('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m`, 'holdfast-test', path]));
}

/** Why a test that mounts cannot run here; nothing when it can. */
export function whyNoExt4(): string | undefined {
  if (process.getuid?.() !== 0) return 'mounting a file system to compare with needs root';
  try {
    mountExt4()[Symbol.dispose]();
    return undefined;
  } catch (error) {
    return `no ext4 can be mounted here: ${String(error).split('\n')[0]}`;
  }
}

function mounted(mount: (folder: string, path: string) => void): Mount {
  const folder = mkdtempSync(join(tmpdir(), 'holdfast-mount-'));
  const path = join(folder, 'mnt');
  mkdirSync(path);
  try {
    mount(folder, path);
  } catch (error) {
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
  return {
    path,
    [Symbol.dispose]() {
      // Lazily, because a killed case may still hold something; the loop device goes with its last user.
      command('umount', ['--lazy', path]);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function command(name: string, args: readonly string[]): void {
  execFileSync(name, args, { timeout: COMMAND_MS_MAX, stdio: ['ignore', 'ignore', 'pipe'] });
}
