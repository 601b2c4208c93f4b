/**
 * What bringing something back would lose for good. Contents that are replaced or removed become versions, and what a pin
 * keeps (the window of history, a snapshot made before) can be had again. Everything else has no other copy: where a
 * symlink pointed, special files, folders with what is in them, named attributes, modes and owners, and contents where
 * the rules keep no versions. With the window of history there is never anything to lose, and nothing is looked at.
 */
import { type Path, textOfPath } from '../../api/index.ts';
import { Fault, type Moment } from '../../base/index.ts';
import { type CommitNumber, NODE_KIND, type NodeRow, PinSet } from '../../meta/index.ts';
import type { Context, Space } from '../context.ts';
import { attributeRows, kindOf } from '../record.ts';
import { walk } from '../tree.ts';
import { boundedByAge, itemsToDrop, type KeepRules } from './keep-rules.ts';
import { PIN_HOLDER, pinsOf } from './moments.ts';

/** Entries of a removed folder that are looked at; one that has more counts as lost. */
const LOOKED_MAX = 10_000;
/** Losses that a refusal names. */
const NAMED_MAX = 5;
/** Losses that a plan has; more are counted. */
const LOSSES_MAX = 1_000;

export interface Loss {
  readonly path: string;
  readonly what: string;
}

export class Losses {
  readonly #context: Context;
  readonly #space: Space;
  readonly #now: Moment;
  readonly #pins: PinSet;
  readonly #died: CommitNumber;
  readonly #isAllKept: boolean;
  readonly all: Loss[] = [];
  more = 0;

  private constructor(context: Context, space: Space, now: Moment, pins: PinSet, head: CommitNumber, isAll: boolean) {
    this.#context = context;
    this.#space = space;
    this.#now = now;
    this.#pins = pins;
    this.#died = head + 1;
    this.#isAllKept = isAll;
  }

  static async open(context: Context, space: Space, now: Moment): Promise<Losses> {
    const pins = (await pinsOf(context, space)).filter(({ holder }) => holder !== PIN_HOLDER.released);
    const head = (await context.meta.get('spaces', [space.space]))?.head ?? 0;
    const isAll = pins.some(({ fromCommit, toCommit }) => toCommit === null && fromCommit <= head);
    return new Losses(context, space, now, new PinSet(pins), head, isAll);
  }

  #isKept(born: CommitNumber): boolean {
    return this.#isAllKept || this.#pins.needs({ born, died: this.#died }, this.#now.seconds);
  }

  #add(path: Path, what: string): void {
    if (this.all.length < LOSSES_MAX) this.all.push({ path: textOfPath(path), what });
    else this.more++;
  }

  /** A node that goes with its last name. */
  async removed(path: Path, node: NodeRow): Promise<void> {
    if (this.#isKept(node.born)) return;
    if (node.kind !== NODE_KIND.file) return this.#add(path, kindOf(node));
    if (!this.#hasVersion(boundedByAge(this.#context.options.versionsKept))) this.#add(path, 'content');
    if ((await attributeRows(this.#context, this.#space, node)).length > 0) this.#add(path, 'attributes');
  }

  /** A folder with all that is in it. */
  async removedFolder(path: Path, node: NodeRow): Promise<void> {
    if (this.#isAllKept) return;
    let isKept = this.#isKept(node.born);
    let looked = 0;
    for await (const child of walk(this.#context, this.#space, { path, node, entry: undefined })) {
      if (!isKept || ++looked > LOOKED_MAX) break;
      isKept = this.#isKept(child.node.born) && this.#isKept(child.entry?.born ?? 0);
    }
    if (!isKept || looked > LOOKED_MAX) this.#add(path, 'folder with what is in it');
  }

  changed(path: Path, before: NodeRow, after: NodeRow): void {
    if (this.#isKept(before.born)) return;
    if (before.content !== after.content && !this.#hasVersion(this.#context.options.versionsKept))
      this.#add(path, 'content');
    const isSame = before.mode === after.mode && before.uid === after.uid && before.gid === after.gid;
    if (!isSame) this.#add(path, 'mode and owner');
  }

  /** An attribute that gets another value, or goes. */
  attribute(path: Path, name: Uint8Array, born: CommitNumber): void {
    if (!this.#isKept(born)) this.#add(path, `attribute ${Buffer.from(name).toString()}`);
  }

  /** Whether a version that is replaced now is kept at all. */
  #hasVersion(rules: KeepRules): boolean {
    const { seconds } = this.#now;
    return itemsToDrop({ items: [seconds], secondsOf: (at) => at, rules, asOfSeconds: seconds }).length === 0;
  }

  /** @throws Fault `conflict` when there is anything to lose: an answer for whoever asked, not one of deciding. */
  refuse(what: string): void {
    if (this.all.length === 0) return;
    const named = this.all.slice(0, NAMED_MAX).map((loss) => `${loss.path} (${loss.what})`);
    const more = this.all.length + this.more - named.length;
    const sentence = `${what} would lose what nothing else keeps: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}. Make a snapshot first (\`holdfast snapshot create NAME\`), or ask for it with \`force\`.`;
    throw new Fault('conflict', sentence, {
      losses: this.all.slice(0, NAMED_MAX),
      losses_more: Math.max(0, more),
    });
  }
}
