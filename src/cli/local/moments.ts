/**
 * Modification times between the disk (nanoseconds since 1970) and the store's interface (ISO 8601). The years that ISO
 * writes with four digits are kept; a time outside them is left to the store.
 */
import { isoOfMoment, momentOfIso } from '../../base/index.ts';
import { TIME_TOLERANCE_NS } from './file-times.ts';

const NANOSECONDS = 1_000_000_000n;
/** 0001-01-01 to 9999-12-31. */
const SECONDS_MIN = -62_135_596_800;
const SECONDS_MAX = 253_402_300_799;

/** `undefined` for a time that four-digit years do not reach. */
export function isoOfNs(mtimeNs: bigint): string | undefined {
  const nanoseconds = ((mtimeNs % NANOSECONDS) + NANOSECONDS) % NANOSECONDS;
  const seconds = Number((mtimeNs - nanoseconds) / NANOSECONDS);
  if (seconds < SECONDS_MIN || seconds > SECONDS_MAX) return undefined;
  return isoOfMoment({ seconds, nanoseconds: Number(nanoseconds) });
}

export function nsOfIso(iso: string): bigint | undefined {
  const moment = momentOfIso(iso);
  return moment === undefined ? undefined : BigInt(moment.seconds) * NANOSECONDS + BigInt(moment.nanoseconds);
}

export function isSameMoment(iso: string, mtimeNs: bigint): boolean {
  const ns = nsOfIso(iso);
  if (ns === undefined) return false;
  const difference = ns - mtimeNs;
  return difference < TIME_TOLERANCE_NS && difference > -TIME_TOLERANCE_NS;
}
