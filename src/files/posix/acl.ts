/**
 * POSIX access control lists as their extended attributes carry them (linux/posix_acl_xattr.h: version 2, then entries
 * of tag, permissions and id, little-endian), and what they have to do with permission bits (POSIX.1e draft 17, §23).
 * Checking access is the kernel's; keeping mode and list in step, and inheriting, is ours. Pure.
 */

export const ACL_ACCESS = 'system.posix_acl_access';
export const ACL_DEFAULT = 'system.posix_acl_default';

const VERSION = 2;
const HEADER_BYTES = 4;
const ENTRY_BYTES = 8;
const TAG = { userObj: 0x01, user: 0x02, groupObj: 0x04, group: 0x08, mask: 0x10, other: 0x20 } as const;
const NO_ID = 0xffff_ffff;
/** Entries of one list; the kernel allows no more in an attribute of 64 KiB. */
const ENTRIES_MAX = 8_191;

interface AclEntry {
  readonly tag: number;
  /** r 4, w 2, x 1. */
  readonly permissions: number;
  readonly id: number;
}

export type Acl = readonly AclEntry[];

/** Undefined when the bytes are no list, or one that POSIX does not allow. */
export function parseAcl(bytes: Uint8Array): Acl | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = (bytes.length - HEADER_BYTES) / ENTRY_BYTES;
  if (!Number.isInteger(count) || count < 0 || count > ENTRIES_MAX || view.getUint32(0, true) !== VERSION)
    return undefined;
  const acl = Array.from({ length: count }, (_, n): AclEntry => {
    const at = HEADER_BYTES + n * ENTRY_BYTES;
    return {
      tag: view.getUint16(at, true),
      permissions: view.getUint16(at + 2, true),
      id: view.getUint32(at + 4, true),
    };
  });
  return count === 0 || isValid(acl) ? acl : undefined;
}

/** One owner, one group, one other; a mask where anybody is named; in the order of tags, named ids once each. */
function isValid(acl: Acl): boolean {
  const count = (tag: number): number => acl.filter((entry) => entry.tag === tag).length;
  const named = acl.filter(({ tag }) => tag === TAG.user || tag === TAG.group);
  const hasMask = count(TAG.mask);
  const isOrdered = acl.every((entry, n) => n === 0 || (acl[n - 1]?.tag ?? 0) <= entry.tag);
  const isOnce = new Set(named.map(({ tag, id }) => `${tag}:${id}`)).size === named.length;
  const isPlain = acl.every(({ tag, permissions }) => permissions <= 7 && Object.values(TAG).includes(tag as never));
  const hasParts = count(TAG.userObj) === 1 && count(TAG.groupObj) === 1 && count(TAG.other) === 1;
  return isPlain && isOrdered && isOnce && hasParts && hasMask <= 1 && (named.length === 0 || hasMask === 1);
}

export function bytesOfAcl(acl: Acl): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + acl.length * ENTRY_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, VERSION, true);
  for (const [n, { tag, permissions, id }] of acl.entries()) {
    const at = HEADER_BYTES + n * ENTRY_BYTES;
    view.setUint16(at, tag, true);
    view.setUint16(at + 2, permissions, true);
    view.setUint32(at + 4, isNamed(tag) ? id : NO_ID, true);
  }
  return bytes;
}

function isNamed(tag: number): boolean {
  return tag === TAG.user || tag === TAG.group;
}

/** Whether it says nothing that permission bits do not say. */
export function isPlainMode(acl: Acl): boolean {
  return acl.every(({ tag }) => tag === TAG.userObj || tag === TAG.groupObj || tag === TAG.other);
}

/** The entry that the group bits of a mode stand for: the mask, where there is one. */
function groupTag(acl: Acl): number {
  return acl.some(({ tag }) => tag === TAG.mask) ? TAG.mask : TAG.groupObj;
}

function permissionsOf(acl: Acl, tag: number): number {
  return acl.find((entry) => entry.tag === tag)?.permissions ?? 0;
}

/** `mode` with its nine permission bits as the list has them. */
export function modeOfAcl(acl: Acl, mode: number): number {
  const bits =
    (permissionsOf(acl, TAG.userObj) << 6) | (permissionsOf(acl, groupTag(acl)) << 3) | permissionsOf(acl, TAG.other);
  return (mode & ~0o777) | bits;
}

/** The list after its file got another mode. */
export function aclOfMode(acl: Acl, mode: number): Acl {
  return withPermissions(acl, (tag, _) =>
    tag === TAG.userObj ? (mode >> 6) & 7 : tag === groupTag(acl) ? (mode >> 3) & 7 : tag === TAG.other ? mode & 7 : _,
  );
}

/** What a new node gets under a folder's default list: its own list, and its mode; nothing beyond what was asked for. */
export function inheritAcl(defaults: Acl, mode: number): { readonly acl: Acl; readonly mode: number } {
  const acl = withPermissions(defaults, (tag, permissions) =>
    tag === TAG.userObj
      ? permissions & (mode >> 6)
      : tag === groupTag(defaults)
        ? permissions & (mode >> 3)
        : tag === TAG.other
          ? permissions & mode
          : permissions,
  );
  return { acl, mode: modeOfAcl(acl, mode) };
}

function withPermissions(acl: Acl, permissionsFor: (tag: number, permissions: number) => number): Acl {
  return acl.map((entry) => ({ ...entry, permissions: permissionsFor(entry.tag, entry.permissions) & 7 }));
}
