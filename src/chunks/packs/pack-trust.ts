/**
 * How far a pack is trusted when somebody brings bytes that it is said to hold: a chunk in a pack that was written or
 * read whole lately counts at once; any other is read and verified first, so that no upload is acknowledged on the
 * strength of a record that is gone bad.
 *
 * A pack in which damage was found is suspect: nothing in it counts unread any more. That is remembered here, and in
 * the metadata as `verifiedSeconds` 0, so that a process that comes later knows it too. Only a check that finds every
 * record of the pack whole takes the suspicion away. When the note cannot be written, memory alone has it; that is
 * logged, and reading goes on.
 */
import { andThen, type Clock, type Log, Lru, type Maybe } from '../../base/index.ts';
import type { Change, MetaStore, PackId, PackRow, RealmId } from '../../meta/index.ts';
import type { OpenPack } from './open-pack.ts';

/** `verifiedSeconds` of a pack in which damage was found. */
const NEVER_WHOLE = 0;
/** Suspect packs that are told apart; with more of them every pack is one. */
const SUSPECTS_MAX = 10_000;
/** Packs whose time is remembered. */
const PACKS_MAX = 10_000;
/** Rows of one change that notes what a check has verified. */
const STEP_ROWS = 500;

export interface PackTrustContext {
  readonly meta: MetaStore;
  readonly realm: RealmId;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a pack counts unread after it was written or last found whole. */
  readonly verifyAfterSeconds: number;
  /** The pack while this process writes it: its row is put again by its writer. */
  readonly findOpen: (pack: PackId) => OpenPack | undefined;
  /** Called when a pack becomes suspect: what was taken for known in it is not any more. */
  readonly onSuspect: () => void;
}

export class PackTrust {
  readonly #context: PackTrustContext;
  /** By pack, which suspicion (they are numbered) was the last. */
  readonly #suspects = new Map<PackId, number>();
  readonly #trusted = new Lru<PackId, number>({ weightMax: PACKS_MAX });
  /** Notes under way, by pack. */
  readonly #noting = new Map<PackId, Promise<void>>();
  #suspicionCount = 0;

  constructor(context: PackTrustContext) {
    this.#context = context;
  }

  /** Suspicions so far: what a verification hands back to say when it began. */
  get suspicionCount(): number {
    return this.#suspicionCount;
  }

  /** Until when (wall seconds) what is verified now may count unread. */
  untilFromNow(): number {
    return this.#context.clock.now().seconds + this.#context.verifyAfterSeconds;
  }

  /** Until when (wall seconds) a chunk of the pack counts unread; 0 when it never does. */
  trustedUntil(pack: PackId): Maybe<number> {
    if (this.#isSuspect(pack)) return 0;
    const known = this.#trusted.get(pack);
    if (known !== undefined) return known;
    const { meta, realm, verifyAfterSeconds } = this.#context;
    return andThen(meta.get('packs', [realm, pack]), (row) => {
      if (row === undefined || row.verifiedSeconds === NEVER_WHOLE) return 0;
      const until = (row.verifiedSeconds ?? row.createdSeconds) + verifyAfterSeconds;
      this.#trusted.set(pack, until);
      return until;
    });
  }

  /** Damage was found in the pack. Answers at once; the note follows. */
  suspect(pack: PackId): void {
    const wasSuspect = this.#isSuspect(pack);
    this.#suspicionCount++;
    if (wasSuspect || this.#suspects.size < SUSPECTS_MAX) this.#suspects.set(pack, this.#suspicionCount);
    if (!wasSuspect) this.#context.onSuspect();
    this.#noteSuspect(pack);
  }

  #noteSuspect(pack: PackId): void {
    if (this.#noting.has(pack)) return;
    const noting = this.#note([pack], NEVER_WHOLE)
      .catch((error: unknown) => this.#context.log.warn('chunks.suspect-not-noted', { pack, error: String(error) }))
      .finally(() => this.#noting.delete(pack));
    this.#noting.set(pack, noting);
  }

  /** Every record of these packs was found whole by a reading that began at `suspicionCount`. */
  async verified(packs: readonly PackId[], began: { readonly seconds: number; readonly suspicionCount: number }) {
    const whole = packs.filter((pack) => (this.#suspects.get(pack) ?? 0) <= began.suspicionCount);
    for (let at = 0; at < whole.length; at += STEP_ROWS) {
      const step = whole.slice(at, at + STEP_ROWS);
      await this.#note(step, began.seconds);
      for (const pack of step) {
        this.#suspects.delete(pack);
        this.#trusted.delete(pack);
      }
    }
  }

  /** Waits for notes under way; a group that was forming meanwhile may have put an older row over one of them. */
  async close(): Promise<void> {
    await Promise.all(this.#noting.values());
    for (const pack of this.#suspects.keys()) this.#noteSuspect(pack);
    await Promise.all(this.#noting.values());
  }

  #isSuspect(pack: PackId): boolean {
    return this.#suspects.has(pack) || this.#suspects.size >= SUSPECTS_MAX;
  }

  async #note(packs: readonly PackId[], verifiedSeconds: number): Promise<void> {
    const { meta, realm, findOpen } = this.#context;
    const changes: Change[] = [];
    for (const pack of packs) {
      // Its writer puts the row again and again, and must say the same.
      const open = findOpen(pack);
      if (open !== undefined) open.verifiedSeconds = verifiedSeconds;
      const row = await meta.get('packs', [realm, pack]);
      if (row !== undefined && row.verifiedSeconds !== verifiedSeconds)
        changes.push(this.#changeOf(row, verifiedSeconds));
    }
    for (const outcome of changes.length === 0 ? [] : await meta.commit(changes))
      if (!outcome.ok) this.#context.log.debug('chunks.note-overtaken', { reason: outcome.fault.message });
  }

  /** Expects the row as it was read: an open pack may have grown meanwhile. */
  #changeOf(row: PackRow, verifiedSeconds: number): Change {
    const { realm, pack, object, state, lengthBytes, recordCount } = row;
    return {
      now: this.#context.clock.now(),
      expects: [
        { kind: 'row', table: 'packs', key: [realm, pack], equals: { object, state, lengthBytes, recordCount } },
      ],
      puts: [{ table: 'packs', mode: 'replace', row: { ...row, verifiedSeconds } }],
    };
  }
}
