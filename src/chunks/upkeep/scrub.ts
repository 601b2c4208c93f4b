/**
 * Reading packs back behind everybody's back: one pack at a time, the one that was found whole longest ago first, within a
 * rate that the caller sets. Where it stands is in the rows of the packs (`verifiedSeconds`), so it goes on after any
 * stop, and begins no pack again that is done. What it finds is noted as a check notes it: nothing in a pack with damage
 * counts as stored unread any more, and bytes that come again heal it.
 *
 * A pack in which damage is known waits its turn like the others, from the moment it was looked at last: reading it over
 * and over would find nothing new.
 */
import type { Clock } from '../../base/index.ts';
import type { PackId, PackRow } from '../../meta/index.ts';
import type { Scrubbed, ScrubOptions } from '../chunk-store.ts';
import type { Epochs } from '../reading/readings.ts';
import { packRows, type RowsContext } from './stats.ts';
import { type VerifyContext, verifyPack } from './verify.ts';

export interface ScrubContext extends VerifyContext {
  readonly clock: Clock;
  readonly epochs: Epochs;
}

/** Damaged packs whose last look is remembered; with more of them some are looked at again early. */
const DAMAGED_MAX = 10_000;

export class Scrubber {
  readonly #context: ScrubContext;
  /** When packs with damage were looked at last, wall seconds: their rows only say that there is damage. */
  readonly #lookedAt = new Map<PackId, number>();

  constructor(context: ScrubContext) {
    this.#context = context;
  }

  /** The next pack that is due; undefined when none is. */
  async next(options: ScrubOptions): Promise<Scrubbed | undefined> {
    const { clock, epochs } = this.#context;
    const row = await oldestPack(this.#context, options.dueSeconds, (pack) => this.#lookedAt.get(pack));
    if (row === undefined) return undefined;
    using _epoch = epochs.pin();
    const seconds = clock.now().seconds;
    const { report, isWhole } = await verifyPack(this.#context, row, options);
    if (isWhole) this.#lookedAt.delete(row.pack);
    else if (this.#lookedAt.size < DAMAGED_MAX) this.#lookedAt.set(row.pack, seconds);
    return { pack: row.pack, object: row.object, bytes: row.lengthBytes, chunks: report.chunksVerified, isWhole };
  }
}

/** Which pack was found whole longest ago, and before `dueSeconds` (wall seconds). */
async function oldestPack(
  context: RowsContext,
  dueSeconds: number,
  lookedAt: (pack: PackId) => number | undefined,
): Promise<PackRow | undefined> {
  let oldest: { readonly row: PackRow; readonly seconds: number } | undefined;
  for await (const row of packRows(context)) {
    if (row.lengthBytes === 0) continue;
    const seconds = lookedAt(row.pack) ?? lastWholeSeconds(row);
    if (seconds < dueSeconds && (oldest === undefined || seconds < oldest.seconds)) oldest = { row, seconds };
  }
  return oldest?.row;
}

/** When a pack was found whole or written; 0 for one in which damage was found. */
export function lastWholeSeconds({ verifiedSeconds, createdSeconds }: PackRow): number {
  return verifiedSeconds ?? createdSeconds;
}
