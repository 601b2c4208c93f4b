/**
 * One run of a script (operation.ts) on a whole store (world.ts): everything that is not decided by the script comes from
 * its seed, so the same script is the same run, call for call; `digest` says so.
 *
 * The store lives until the power goes, its process is killed, or it is told to start again; then the next start finds
 * what the disk kept. What each start must show of an actor's folder is one of the states that are possible then:
 *
 *   acknowledged operations, all of them, in order
 *   what was added through a mount since, an unbroken beginning of it
 *   the operation under way, whole or not at all
 *
 * Once a call of the disk failed, an operation may be refused with a fault; what readers see then is what they go on
 * seeing, and what was refused may yet be found by the next start, until something is acknowledged again.
 */
import { createHash, type Hash } from 'node:crypto';
import { Fault, ManualClock, msOfMoment, type Random, seededRandom } from '../../src/base/index.ts';
import type { PosixTree } from '../../src/files/index.ts';
import { SeededDisk } from '../../src/objects/index.ts';
import { drive, shownError, Wrong } from './drive.ts';
import {
  ChangedMeanwhile,
  lookBelow,
  problemAtRest,
  type Seen,
  unforetold,
  unknownVersion,
  wrongLog,
} from './looking.ts';
import {
  applyTo,
  beginningsOf,
  differenceOf,
  digestOf,
  EMPTY,
  hasNamesApart,
  isSame,
  type Marks,
  marksOf,
  partsOf,
  type Step,
  sightOf,
  type Tree,
  withBytes,
  withLosses,
} from './model.ts';
import { BEGINNING, bytesOf, isLate, type Operation, type Script, type Setting, shown } from './operation.ts';
import { dueNow, endReadings, isAdded, isMissing, LOCKS_OVER_MS, perform } from './perform.ts';
import { loseAndRebuild } from './rebuild.ts';
import { slowDisk } from './slow-disk.ts';
import { expireUploads, unexpired } from './uploading.ts';
import { type BootOptions, boot, type World, type Wraps } from './world.ts';

export interface RunReport {
  /** What was wrong first; absent when nothing was. */
  readonly problem: string | undefined;
  /** Of everything that happened, in order. */
  readonly digest: string;
  readonly operations: number;
  readonly starts: number;
}

export interface RunOptions {
  /** A store that is wrong on purpose; see Wraps. */
  readonly wraps?: Wraps;
  /** Told what happens, line by line. */
  readonly tell?: (line: string) => void;
}

/** Groups of added changes that are lost one after the other while somebody looks. */
const LOSSES_MAX = 5;
/** One run in so many ends with a collection of everything that nobody needs, where at least a share comes back or not. */
const COLLECT_ALL_EVERY = 3;
const FREED_SHARE = 0.3;
/** States that are possible; with more, the store starts again. What nobody can acknowledge doubles them with every operation. */
const POSSIBLE_MAX = 250;
/** Starts that fail one after the other. */
const FAILED_STARTS_MAX = 3;

export function run(script: Script, options: RunOptions = {}): Promise<RunReport> {
  return new Run(script, options).go();
}

interface Actor {
  /** '' or `/name`. */
  readonly home: string;
  readonly operations: readonly Operation[];
  /** The next one. */
  at: number;
  current: Tree;
  /** What the next start may find, `current` last. */
  possible: readonly Tree[];
  underWay: Operation | undefined;
  /** What was there before the operation that can be undone: the last one, when it was durable and changed something. */
  undoable: Tree | undefined;
  /** Something was found that may not be durable: only what is acknowledged next settles it. */
  isDoubtful: boolean;
  /** Some call failed, and the actor has not had anything acknowledged since. */
  isTroubled: boolean;
}

/** A disk as the next start finds it, and what that may show to each actor. */
interface Left {
  readonly disk: SeededDisk;
  readonly possible: readonly (readonly Tree[])[];
  readonly kept: readonly Tree[];
  readonly keeping: readonly Tree[];
  readonly isLossy: boolean;
}

class Run {
  readonly #script: Script;
  readonly #options: RunOptions;
  /** Somebody makes checkpoints; of several who act at once nobody could say what one of them holds. */
  readonly #keepsCheckpoints: boolean;
  readonly #clock: ManualClock;
  readonly #random: Random;
  readonly #trace: Hash = createHash('sha1');
  readonly #actors: readonly Actor[];
  /** Of all bytes that somebody wrote. */
  readonly #digests = new Set<string>([digestOf(new Uint8Array(0))]);
  #disk!: SeededDisk;
  #watch: Disposable | undefined;
  /** The call in which the store's life ends. */
  #endsAt: { readonly call: number; readonly kind: 'cut' | 'kill' } | undefined;
  /** What the end of its life left; the store goes on for nobody, until it can be closed. */
  #left: Left | undefined;
  /** Calls that fail. */
  #failing: number[] = [];
  #isShrunk = false;
  /** Some call failed since the last start: of bytes that a mount had written, some may be lost. */
  #isLossy = false;
  /** Some file had names in several folders: until what was removed with its folder is taken apart, it counts as a name. */
  #hadNamesApart = false;
  /** Some call failed in this run. */
  #hadLosses = false;
  /** Whether what was left was left by a power cut; then all that the next start finds is durable. */
  #wasCut = false;
  #isFoundDurable = false;
  #chance = 0;
  #isRestartWanted = false;
  #isMetaLost = false;
  /** What the next start finds was just brought back, and made a checkpoint. */
  #isFoundKept = false;
  /** What a rebuild may bring back: what the last checkpoint holds, and one that was begun since. Of one who acts alone. */
  #kept: readonly Tree[] = [];
  #keeping: readonly Tree[] = [];
  #starts = 0;
  #operations = 0;

  constructor(script: Script, options: RunOptions) {
    this.#script = script;
    this.#options = options;
    this.#clock = new ManualClock(START_MS);
    this.#random = seededRandom(script.seed + 1);
    this.#keepsCheckpoints =
      script.actors.length === 1 && script.actors.flat().some(({ do: kind }) => kind === 'checkpoint');
    const tree = script.setting.makingCut > 0 ? EMPTY : BEGUN;
    this.#wrote(BEGUN);
    this.#actors = script.actors.map((operations, index) => ({
      home: homeOf(script.actors.length, index),
      operations,
      at: 0,
      current: tree,
      possible: [tree],
      underWay: undefined,
      undoable: undefined,
      isDoubtful: false,
      isTroubled: false,
    }));
  }

  async go(): Promise<RunReport> {
    let problem: string | undefined;
    try {
      await this.#begin();
      while (this.#actors.some(({ at, operations }) => at < operations.length)) await this.#live();
      await this.#end();
    } catch (error) {
      problem = error instanceof Wrong ? error.message : shownError(error);
    } finally {
      this.#watch?.[Symbol.dispose]();
    }
    if (problem !== undefined) this.#tell(problem);
    return { problem, digest: this.#trace.digest('hex'), operations: this.#operations, starts: this.#starts };
  }

  async #begin(): Promise<void> {
    const { setting, seed, actors } = this.#script;
    const isMade = setting.makingCut === 0;
    const disk = isMade
      ? (await templateOf(setting, actors.length)).clone(seed)
      : new SeededDisk({ seed, clock: new ManualClock(START_MS) });
    this.#take(disk);
    if (!isMade) this.#endsAt = { call: setting.makingCut, kind: 'cut' };
  }

  #take(disk: SeededDisk): void {
    this.#watch?.[Symbol.dispose]();
    this.#disk = disk;
    this.#left = undefined;
    this.#endsAt = undefined;
    this.#failing = [];
    this.#isShrunk = false;
    this.#watch = disk.watch(() => this.#beforeCall());
  }

  #wrote(tree: Tree): void {
    this.#hadNamesApart ||= hasNamesApart(tree);
    for (const { bytes } of tree.nodes.values()) if (bytes !== undefined) this.#digests.add(digestOf(bytes));
  }

  #beforeCall(): void {
    const call = this.#disk.mutationCount + 1;
    if (this.#failing.includes(call)) this.#beTroubled();
    if (this.#endsAt?.call !== call) return;
    const { kind } = this.#endsAt;
    // A cut inside a call leaves nothing else than one before it or before the next.
    const disk = kind === 'cut' ? this.#disk.crash(this.#chance) : this.#disk.clone(this.#chance);
    this.#wasCut = kind === 'cut';
    const possible = this.#actors.map((actor) => this.#possibleFor(actor));
    this.#left = { disk, possible, kept: this.#kept, keeping: this.#keeping, isLossy: this.#isLossy };
    this.#tell(kind === 'cut' ? 'the power goes' : 'the process is killed');
  }

  /** Once a call failed, what was only added may be lost, and the operation under way, or a part of it, done on the rest. */
  #possibleFor({ possible, underWay }: Actor): readonly Tree[] {
    if (!this.#isLossy || underWay === undefined) return possible;
    let found = possible;
    for (const part of underWay.do === 'many' ? partsOf(underWay) : [underWay])
      found = withoutTwins([
        ...found,
        ...found.flatMap((before) => [...beginningsOf(before, part), ...[applyTo(before, part).tree ?? []].flat()]),
      ]);
    return found;
  }

  #beTroubled(): void {
    this.#isLossy = this.#hadLosses = true;
    for (const actor of this.#actors) actor.isTroubled = true;
  }

  /** From one start of the store to its end. */
  async #live(): Promise<void> {
    const world = await this.#start();
    this.#isRestartWanted = false;
    const mount = await this.#drive(world.files.openTree({ user: 'owner', diskSpace: ROOMY }), 'opening a mount');
    await this.#drive(Promise.all(this.#actors.map((actor) => this.#act(world, mount, actor))), 'acting');
    await this.#stop(world, mount);
    if (this.#isMetaLost) await this.#loseMeta();
  }

  /** Where no call failed: after that a checkpoint may be missing, which is said to operators alone. */
  async #loseMeta(): Promise<void> {
    this.#isMetaLost = false;
    const [actor] = this.#actors;
    if (actor === undefined || this.#hadLosses || this.#failing.length > 0) return;
    this.#take(this.#disk.clone(this.#chance));
    this.#tell('the metadata is lost');
    await this.#drive(loseAndRebuild(this.#disk, this.#bootOptions()), 'rebuilding');
    actor.possible = [...this.#kept, ...this.#keeping];
    this.#isFoundDurable = this.#isFoundKept = true;
  }

  #onCheckpoint(step: 'begun' | 'made'): void {
    if (this.#left !== undefined) return;
    if (step === 'begun') this.#keeping = [...this.#keeping, ...(this.#actors[0]?.possible ?? [])];
    else [this.#kept, this.#keeping] = [this.#actors[0]?.possible ?? [], []];
  }

  async #start(): Promise<World> {
    for (let time = 1; ; time++) {
      try {
        const world = await this.#drive(boot(this.#disk, this.#bootOptions()), 'opening');
        // What a template shows is known.
        // Locks of those who died.
        if (this.#starts > 1) this.#clock.advance(LOCKS_OVER_MS);
        if (this.#starts > 1 || this.#script.setting.makingCut > 0) await this.#drive(this.#look(world), 'looking');
        return world;
      } catch (error) {
        const mayFail = Fault.is(error) && (this.#failing.length > 0 || this.#isShrunk) && time <= FAILED_STARTS_MAX;
        if (!mayFail) throw error;
        this.#tell(`opening failed: ${error.message}`);
        this.#disk.setBytesMax(Number.POSITIVE_INFINITY);
        this.#isShrunk = false;
      }
    }
  }

  #bootOptions(): BootOptions {
    const { seed, setting } = this.#script;
    const { engine, idAlgorithm, isSlow, packBytes, keepsVersions } = setting;
    const wraps = this.#options.wraps ?? {};
    const packDisk: Wraps['packDisk'] = (disk) => {
      const wrapped = wraps.packDisk?.(disk) ?? disk;
      return isSlow ? slowDisk(wrapped, this.#random) : wrapped;
    };
    return {
      seed: seed + 1_000 * ++this.#starts,
      clock: this.#clock,
      engine,
      idAlgorithm,
      groupsWait: true,
      keepsVersions,
      // Little is read ahead, so that who reads a file has read a part of it.
      chunkOptions: { packBytesMax: packBytes, batchesInFlight: 2, readAheadBytes: 4_096, chunkCacheBytes: 4_096 },
      wraps: { ...wraps, packDisk },
      ...(this.#keepsCheckpoints ? { onCheckpoint: (step) => this.#onCheckpoint(step) } : {}),
    };
  }

  /** Each actor sees one of the states that are possible; it is the current one from here on. */
  async #look(world: World): Promise<void> {
    for (const actor of this.#actors) this.#recognise(actor, await this.#lookBelow(world, actor), 'finds');
    this.#isLossy = this.#isShrunk;
    for (const actor of this.#actors) actor.isTroubled = this.#isShrunk;
    if (this.#isFoundDurable) for (const actor of this.#actors) acknowledge(actor, true);
    if (this.#isFoundKept) [this.#kept, this.#keeping] = [this.#actors[0]?.possible ?? [], []];
    this.#isFoundDurable = this.#isFoundKept = false;
    this.#tell(`start ${this.#starts}: ${this.#actors.map(({ current }) => marksOf(current).size).join(' ')} names`);
  }

  async #lookBelow(world: World, { home }: Actor): Promise<Seen> {
    if (this.#hadNamesApart) await world.files.reapNow();
    return await lookBelow(world, home);
  }

  /** Takes what is seen for the current state, when it is possible. What else was possible may still be found later. */
  #recognise(actor: Actor, seen: Seen, did: string): void {
    const { possible } = actor;
    let tree = among(possible, seen.marks);
    if (tree === undefined && this.#isLossy)
      tree = among(
        possible.map((each) => withLosses(each, seen.bytes, possible)),
        seen.marks,
      );
    if (tree === undefined) throw new Wrong(`${this.#nameOf(actor)} ${did} ${differences(seen.marks, actor)}`);
    for (const bytes of seen.bytes.values()) this.#digests.add(digestOf(bytes));
    actor.current = tree;
    actor.possible = [...possible.filter((other) => other !== tree), tree];
    actor.isDoubtful = actor.possible.length > 1;
  }

  /** Goes on with the actor's operations until the store has to end. */
  async #act(world: World, mount: PosixTree, actor: Actor): Promise<void> {
    while (this.#left === undefined && !this.#isRestartWanted) {
      const operation = actor.operations[actor.at++];
      if (operation === undefined) return;
      if (!this.#arrange(operation)) await this.#perform({ world, mount, home: actor.home }, actor, operation);
      if (actor.possible.length > POSSIBLE_MAX) this.#isRestartWanted = true;
    }
  }

  /** What happens to the store; false for what an actor does. */
  #arrange(operation: Operation): boolean {
    switch (operation.do) {
      case 'restart':
        this.#isRestartWanted = true;
        break;
      case 'lose':
        // What was kept must have been, once.
        if (this.#kept.length === 0) return true;
        this.#isRestartWanted = this.#isMetaLost = true;
        break;
      case 'fault':
        this.#arm(operation);
        break;
      case 'shrink':
        this.#disk.setBytesMax(this.#disk.usedBytes + operation.bytes);
        this.#isShrunk = true;
        this.#beTroubled();
        break;
      case 'room':
        this.#disk.setBytesMax(Number.POSITIVE_INFINITY);
        // Somebody may still have to be told of what did not fit before.
        if (this.#isShrunk) this.#beTroubled();
        this.#isShrunk = false;
        break;
      default:
        return false;
    }
    this.#tell(shown(operation));
    return true;
  }

  #arm({ kind, call, chance }: Extract<Operation, { do: 'fault' }>): void {
    this.#chance = chance;
    const at = this.#disk.mutationCount + call;
    if (kind === 'cut' || kind === 'kill') {
      if (this.#left === undefined) this.#endsAt = { call: at, kind };
      return;
    }
    this.#disk.failAt(call, kind);
    this.#failing.push(at);
  }

  async #perform(place: Parameters<typeof perform>[0], actor: Actor, asked: Operation): Promise<void> {
    const before = actor.current;
    const operation = datedNow(asked, place.world);
    const step = operation.do === 'undo' ? undone(actor) : applyTo(before, operation);
    if (operation.do === 'checkpoint' && !this.#keepsCheckpoints) return;
    // Time, and the schedule, are of all of them.
    if (['up.expire', 'schedule', 'prune'].includes(operation.do) && this.#actors.length > 1) return;
    // Where names are no proof, a store is not asked for chunks.
    if (operation.do === 'up.part' && operation.isRest && this.#script.setting.idAlgorithm !== 'blake3') return;
    if ('isUnknown' in step) return;
    this.#operations++;
    const calls = this.#disk.mutationCount;
    actor.underWay = operation;
    let next = step.tree;
    // What one part of a batch wrote and the next replaced is a version too.
    for (const part of operation.do === 'batch' ? operation.operations : [])
      if (part.do === 'put') this.#digests.add(digestOf(bytesOf(part.content)));
    const expect = (tree: Tree): void => {
      next = tree;
      this.#wrote(tree);
      if (tree !== actor.current) actor.possible = [...actor.possible, tree];
    };
    if (next !== undefined) {
      actor.possible = [...actor.possible, ...beginningsOf(before, operation)];
      expect(next);
    }
    const outcome = await outcomeOf(
      perform(place, operation, (bytes) => {
        if (operation.do !== 'restore') return;
        if (bytes !== undefined) return expect(withBytes(actor.current, operation.path, bytes));
        // Only what was said before is taken back.
        if (next !== actor.current) this.#giveUp(actor);
        next = actor.current;
      }),
    );
    this.#tell(`${this.#nameOf(actor)}: ${shown(operation)} → ${outcome}`);
    if (this.#left !== undefined) return;
    if (!changesNothing(operation)) actor.undoable = undefined;
    if (actor.isTroubled) return this.#settle(place.world, actor, operation, { outcome, calls });
    const expected = step.tree === undefined ? ('fault' in step ? step.fault : '') : 'ok';
    const isMounted = operation.do.startsWith('m.');
    // What was replaced may not be kept any more.
    if (operation.do === 'undo' && outcome === 'not-kept') return this.#giveUp(actor);
    const isAsExpected = isMounted ? (outcome === 'ok') === (expected === 'ok') : outcome === expected;
    if (!isAsExpected)
      throw new Wrong(`${this.#nameOf(actor)}: ${shown(operation)} answers ${outcome}, the model ${expected}`);
    if (outcome !== 'ok' || next === undefined) return;
    actor.current = next;
    if (UNDOABLE.includes(operation.do) && !isSame(marksOf(before), marksOf(next))) actor.undoable = before;
    if (isDurable(operation, before)) acknowledgeDone(actor, operation, this.#disk.mutationCount > calls);
  }

  /** The operation under way was refused, and so will not be found. */
  #giveUp(actor: Actor): void {
    actor.possible = actor.possible.slice(0, -1);
  }

  /** After a failing call: whatever came of the operation, what is seen now was possible. */
  async #settle(
    world: World,
    actor: Actor,
    operation: Operation,
    { outcome, calls }: { readonly outcome: string; readonly calls: number },
  ): Promise<void> {
    const before = actor.current;
    actor.possible = this.#possibleFor(actor);
    const seen = await this.#seeAfterFailure(world, actor);
    if (this.#left !== undefined) return;
    this.#recognise(actor, seen, 'sees after a failure');
    if (outcome !== 'ok' || !isDurable(operation, before)) return;
    // Where several act at once, who writes may be another: only what shows is this one's own.
    const isOwn = this.#actors.length === 1 || !isSame(marksOf(before), marksOf(actor.current));
    const isWritten = this.#disk.mutationCount > calls && isOwn;
    acknowledgeDone(actor, operation, isWritten);
    // What began before the call that failed may still end well, though nothing after it does.
    const isOver = !this.#failing.some((at) => at > calls && at <= this.#disk.mutationCount);
    if (isWritten && isOver && !this.#isShrunk) actor.isTroubled = false;
  }

  /** Who reads waits for what a mount added, and hears of it when that is lost: then nothing is in the way any more. */
  async #seeAfterFailure(world: World, actor: Actor): Promise<Seen> {
    for (let time = 1; ; time++) {
      try {
        return await this.#lookBelow(world, actor);
      } catch (error) {
        const mayPass = Fault.is(error, 'io', 'full') || error instanceof ChangedMeanwhile;
        if (!mayPass || time > LOSSES_MAX) throw error;
      }
    }
  }

  async #stop(world: World, mount: PosixTree): Promise<void> {
    for (const actor of this.#actors) actor.undoable = undefined;
    try {
      await this.#drive(endReadings(world), 'giving up what is being read');
      await this.#drive(closeAll(world, mount), 'closing');
    } catch (error) {
      if (!this.#isLossy || !Fault.is(error)) throw error;
      this.#tell(`closing failed: ${error.message}`);
    }
    if (this.#left !== undefined) this.#takeLeft(this.#left);
    // An orderly stop keeps everything.
    else for (const actor of this.#actors) if (!actor.isTroubled) acknowledge(actor, false);
  }

  #takeLeft({ disk, possible, kept, keeping, isLossy }: Left): void {
    [this.#kept, this.#keeping] = [kept, keeping];
    this.#isLossy = isLossy;
    for (const [index, actor] of this.#actors.entries()) {
      actor.possible = possible[index] ?? [];
      actor.underWay = undefined;
    }
    this.#isFoundDurable = this.#wasCut;
    disk.setBytesMax(Number.POSITIVE_INFINITY);
    this.#take(disk);
  }

  /** The last start, with nothing in its way: everything is looked at, and nothing unreachable is left. */
  async #end(): Promise<void> {
    this.#chance = this.#random.below(2 ** 31);
    this.#isFoundDurable = this.#random.below(2) === 0;
    if (this.#isFoundDurable) this.#take(this.#disk.crash(this.#chance));
    else this.#take(this.#disk.clone(this.#chance));
    this.#disk.setBytesMax(Number.POSITIVE_INFINITY);
    const world = await this.#start();
    const problem = await this.#drive(this.#inspect(world), 'inspecting');
    if (problem !== undefined) throw new Wrong(problem);
    await this.#drive(world.close(), 'closing');
  }

  async #inspect(world: World): Promise<string | undefined> {
    await world.files.reapNow();
    // What a failing disk kept of a file may be kept as a version of it.
    for (const { home, current } of this.#hadLosses ? [] : this.#actors) {
      const problem = await unknownVersion(world.service, home, marksOf(current), this.#digests);
      if (problem !== undefined) return problem;
    }
    return (await problemAtRest(world)) ?? (await this.#collectAll(world));
  }

  /**
   * In one run of so many: uploads are given up and leave nothing, and a collection gives back what it foretells and takes
   * nothing that is needed.
   */
  async #collectAll(world: World): Promise<string | undefined> {
    if (this.#random.below(COLLECT_ALL_EVERY) > 0) return undefined;
    const wrong = await wrongLog(world, this.#script.setting.keepsVersions);
    if (wrong !== undefined) return wrong;
    await expireUploads(world);
    for (const actor of this.#actors) actor.possible = [{ ...actor.current, uploads: new Map() }];
    const problem = await unforetold(world, this.#random.below(2) * FREED_SHARE);
    if (problem !== undefined) return problem;
    for (const actor of this.#actors) this.#recognise(actor, await this.#lookBelow(world, actor), 'still finds');
    return (await unexpired(world)) ?? problemAtRest(world);
  }

  #drive<T>(work: Promise<T>, what: string): Promise<T> {
    return drive(work, { clock: this.#clock, random: this.#random, what });
  }

  #nameOf(actor: Actor): string {
    return actor.home === '' ? 'the actor' : actor.home.slice(1);
  }

  #tell(line: string): void {
    this.#trace.update(`${line} ${this.#disk.mutationCount} ${msOfMoment(this.#clock.now())}\n`);
    this.#options.tell?.(line);
  }
}

const START_MS = Date.UTC(2026, 0, 1);
const ROOMY = () => ({ totalBytes: 2 ** 40, freeBytes: 2 ** 39 });

function homeOf(actorCount: number, index: number): string {
  return actorCount === 1 ? '' : `/${'abcdef'[index]}`;
}

/** The tree after the beginning. */
const BEGUN = BEGINNING.reduce((tree, operation) => applyTo(tree, operation).tree ?? tree, EMPTY);

/** A store with nothing in it but the beginning of each actor's folder, made once. */
const templates = new Map<string, Promise<SeededDisk>>();

function templateOf({ engine, idAlgorithm }: Setting, actorCount: number): Promise<SeededDisk> {
  const key = `${engine} ${idAlgorithm} ${actorCount}`;
  const known = templates.get(key);
  if (known !== undefined) return known;
  const made = makeTemplate({ engine, idAlgorithm }, actorCount);
  templates.set(key, made);
  return made;
}

async function makeTemplate(setting: Pick<Setting, 'engine' | 'idAlgorithm'>, actorCount: number): Promise<SeededDisk> {
  const clock = new ManualClock(START_MS - 10_000);
  const disk = new SeededDisk({ seed: actorCount, clock });
  await using world = await boot(disk, { ...setting, seed: actorCount, clock });
  for (let index = 0; actorCount > 1 && index < actorCount; index++)
    await world.service.makeFolder(homeOf(actorCount, index));
  for (let index = 0; index < actorCount; index++)
    for (const operation of BEGINNING)
      await perform({ world, mount: undefined, home: homeOf(actorCount, index) }, operation);
  await world.close();
  return disk;
}

async function closeAll(world: World, mount: PosixTree): Promise<void> {
  try {
    await mount[Symbol.asyncDispose]();
  } finally {
    await world.close();
  }
}

/** The current state is what the next start finds; when there was doubt, only if something was written since. */
function acknowledge(actor: Actor, isWritten: boolean): void {
  if (actor.isDoubtful && !isWritten) return;
  actor.possible = [actor.current];
  actor.isDoubtful = false;
}

/** A sync of one file is about that file, and what was done before it was last changed. */
function acknowledgeDone(actor: Actor, operation: Operation, isWritten: boolean): void {
  if (operation.do !== 'm.fsync') {
    acknowledge(actor, isWritten);
    return;
  }
  if (actor.isDoubtful && !isWritten) return;
  const markIn = (tree: Tree): string | undefined => marksOf(tree).get(operation.path);
  actor.possible = actor.possible.filter((tree) => markIn(tree) === markIn(actor.current));
  actor.isDoubtful &&= actor.possible.length > 1;
}

/** With the hour in it, of which only whoever does it knows which it is. */
function datedNow(operation: Operation, { clock }: World): Operation {
  return operation.do === 'schedule' ? { ...operation, due: dueNow(clock) } : operation;
}

function isDurable(operation: Operation, before: Tree): boolean {
  // Where no upload was open, nothing is written.
  if (operation.do === 'up.expire') return before.uploads.size > 0;
  // Where the turn was taken, all are kept, or the part is there, too.
  if (['schedule', 'prune', 'up.part'].includes(operation.do)) return applyTo(before, operation).tree !== before;
  return !isAdded(operation) && !changesNothing(operation);
}

function changesNothing(operation: Operation): boolean {
  if (operation.do === 'fence') return isLate(operation);
  return ['wait', 'tidy', 'collect', 'read', 'read.end', 'checkpoint'].includes(operation.do);
}

const UNDOABLE: readonly Operation['do'][] = ['mkdir', 'put', 'set', 'move', 'copy', 'remove', 'batch', 'return'];

function undone({ undoable }: Actor): Step {
  return undoable === undefined ? { isUnknown: true } : { tree: undoable };
}

function among(trees: readonly Tree[], found: Marks): Tree | undefined {
  return trees.findLast((tree) => isSame(marksOf(tree), found));
}

function withoutTwins(trees: readonly Tree[]): readonly Tree[] {
  const first = new Map<string, Tree>();
  for (const tree of trees) {
    const sight = sightOf(marksOf(tree));
    if (!first.has(sight)) first.set(sight, tree);
  }
  return [...first.values()];
}

function differences(found: Marks, { possible }: Actor): string {
  const ways = possible.map((tree, index) => `\n  not state ${index}: ${differenceOf(found, marksOf(tree))}`);
  return `what was not promised:${ways.join('')}`;
}

/** `ok`, or the code of a fault. Everything else is a bug and goes on. */
async function outcomeOf(work: Promise<unknown>): Promise<string> {
  try {
    await work;
    return 'ok';
  } catch (error) {
    if (isMissing(error)) return 'not-found';
    if (Fault.is(error)) return error.code;
    throw error;
  }
}
