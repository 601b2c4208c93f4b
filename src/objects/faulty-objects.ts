/**
 * An object store with bad luck, for tests: requests fail before or after they took effect, appends are torn, answers
 * come late, and a crash takes what was not synced. All of it is drawn from one seed, so a run can be repeated; what it
 * lets through is what the inner store answers, unchanged.
 */
import { type Clock, concatBytes, Fault, type FaultCode, type Random } from '../base/index.ts';
import { aroundObjects, type ObjectRequest } from './around-objects.ts';
import type { Appender, ObjectName, ObjectStore } from './object-store.ts';

export interface FaultyObjectsOptions {
  readonly random: Random;
  readonly clock: Clock;
  /** Share of requests that fail, half of them before and half after their effect; 0–1, 0 when absent. */
  readonly failShare?: number;
  /** Share of appends (and of their syncs) that fail: torn, whole or without effect; 0–1, 0 when absent. */
  readonly appendFailShare?: number;
  /** What failing requests answer; `unavailable` when absent. */
  readonly code?: FaultCode;
  /** Every request first waits up to so long; 0 when absent. */
  readonly latencyMsMax?: number;
  /** Loses what the inner store has not synced, in `crash`: for MemoryObjects its `loseUnsynced`. */
  readonly loseUnsynced?: (random: Random) => void;
}

export interface FaultyObjects extends ObjectStore {
  /** Faults made so far. */
  faultCount(): number;
  /** From now on nothing fails or waits (true), or as the options say (false). */
  setQuiet(isQuiet: boolean): void;
  /**
   * The process using the store dies and the power goes: appenders end, requests under way answer `unavailable`, what
   * was not synced is lost. Afterwards the store can be used as by a new process.
   */
  crash(): Promise<void>;
}

export function faultyObjects(inner: ObjectStore, options: FaultyObjectsOptions): FaultyObjects {
  const luck = new BadLuck(options);
  return {
    ...aroundObjects(luck.trackAppenders(inner), (request, work) => luck.around(request, work)),
    faultCount: () => luck.faultCount,
    setQuiet: (isQuiet) => {
      luck.isQuiet = isQuiet;
    },
    crash: () => luck.crash(),
  };
}

class BadLuck {
  readonly #options: FaultyObjectsOptions;
  /** Inner appenders by name, because a crash lets go of them; closed ones may stand here, closing twice is safe. */
  readonly #appenders = new Map<ObjectName, Appender>();
  /** Crashes so far: who asked in an earlier life hears nothing any more. */
  #life = 0;
  faultCount = 0;
  isQuiet = false;

  constructor(options: FaultyObjectsOptions) {
    this.#options = options;
  }

  trackAppenders(inner: ObjectStore): ObjectStore {
    return {
      ...aroundObjects(inner, (_, work) => work()),
      append: async (name, at) => {
        const appender = await inner.append(name, at);
        this.#appenders.set(name, appender);
        return appender;
      },
    };
  }

  async around<T>(request: ObjectRequest, work: () => Promise<T>): Promise<T> {
    const { clock, random, latencyMsMax = 0 } = this.#options;
    const born = this.#life;
    if (!this.isQuiet && latencyMsMax > 0) await clock.sleep(random.fraction() * latencyMsMax, request.signal);
    this.#checkAlive(born);
    const answer = await this.#withFaults(request, work);
    this.#checkAlive(born);
    return answer;
  }

  async crash(): Promise<void> {
    this.#life++;
    await Promise.all([...this.#appenders.values()].map((appender) => appender.close()));
    this.#appenders.clear();
    this.#options.loseUnsynced?.(this.#options.random);
  }

  async #withFaults<T>(request: ObjectRequest, work: () => Promise<T>): Promise<T> {
    const { random } = this.#options;
    if (random.fraction() >= this.#failShareOf(request)) return await work();
    if (random.below(2) === 0) {
      await tear(request, random);
      throw this.#fault(request, 'before');
    }
    await work();
    // Nobody gets the appender whose opening is said to have failed, so nobody else would close it.
    if (request.operation === 'append') await this.#appenders.get(request.name ?? '')?.close();
    throw this.#fault(request, 'after');
  }

  #failShareOf({ operation }: ObjectRequest): number {
    if (this.isQuiet) return 0;
    const isAppend = operation === 'append-bytes' || operation === 'append-sync';
    return (isAppend ? this.#options.appendFailShare : this.#options.failShare) ?? 0;
  }

  #fault({ operation, name }: ObjectRequest, when: 'before' | 'after'): Fault {
    this.faultCount++;
    const sentence = `Request ${operation} ${name ?? ''} was made to fail ${when} its effect. Try again.`;
    return new Fault(this.#options.code ?? 'unavailable', sentence, { operation, name });
  }

  #checkAlive(born: number): void {
    if (born === this.#life) return;
    throw new Fault('unavailable', 'The process that asked has crashed. Ask from a new one.');
  }
}

/** Appends a beginning of what should be appended; nothing for other requests. */
async function tear({ appender, parts }: ObjectRequest, random: Random): Promise<void> {
  if (appender === undefined || parts === undefined) return;
  const whole = concatBytes(parts);
  await appender.append([whole.subarray(0, random.below(whole.length + 1))]);
}
