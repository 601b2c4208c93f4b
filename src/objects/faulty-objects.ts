/**
 * An object store with bad luck, for tests: requests fail before or after they took effect, appends are torn, answers
 * come late, and a crash takes what was not synced. All of it is drawn from one seed, so a run can be repeated; what it
 * lets through is what the inner store answers, unchanged.
 */
import { type Clock, concatBytes, Fault, type FaultCode, type Random } from '../base/index.ts';
import { type Around, aroundObjects, type ObjectRequest } from './around-objects.ts';
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
  const { random, clock, code = 'unavailable', latencyMsMax = 0 } = options;
  /** Inner appenders by name, because a crash lets go of them; closed ones may stand here, closing twice is safe. */
  const appenders = new Map<ObjectName, Appender>();
  let [life, faultCount, isQuiet] = [0, 0, false];

  const failing = ({ operation, name }: ObjectRequest, when: 'before' | 'after'): Fault => {
    faultCount++;
    const sentence = `Request ${operation} ${name ?? ''} was made to fail ${when} its effect. Try again.`;
    return new Fault(code, sentence, { operation, name });
  };
  const shareOf = ({ operation }: ObjectRequest): number => {
    if (isQuiet) return 0;
    const isAppend = operation === 'append-bytes' || operation === 'append-sync';
    return (isAppend ? options.appendFailShare : options.failShare) ?? 0;
  };
  const withFaults: Around = async (request, work) => {
    if (random.fraction() >= shareOf(request)) return await work();
    if (random.below(2) === 0) {
      await tear(request, random);
      throw failing(request, 'before');
    }
    await work();
    // Nobody gets the appender whose opening is said to have failed, so nobody else would close it.
    if (request.operation === 'append') await appenders.get(request.name ?? '')?.close();
    throw failing(request, 'after');
  };
  const around: Around = async (request, work) => {
    const born = life;
    const checkAlive = (): void => {
      if (born !== life) throw new Fault('unavailable', 'The process that asked has crashed. Ask from a new one.');
    };
    if (!isQuiet && latencyMsMax > 0) await clock.sleep(random.fraction() * latencyMsMax, request.signal);
    checkAlive();
    const answer = await withFaults(request, work);
    checkAlive();
    return answer;
  };
  const tracked: ObjectStore = {
    ...aroundObjects(inner, (_, work) => work()),
    append: async (name, at) => {
      const appender = await inner.append(name, at);
      appenders.set(name, appender);
      return appender;
    },
  };
  return {
    ...aroundObjects(tracked, around),
    faultCount: () => faultCount,
    setQuiet: (value) => {
      isQuiet = value;
    },
    crash: async () => {
      life++;
      await Promise.all([...appenders.values()].map((appender) => appender.close()));
      appenders.clear();
      options.loseUnsynced?.(random);
    },
  };
}

/** Appends a beginning of what should be appended; nothing for other requests. */
async function tear({ appender, parts }: ObjectRequest, random: Random): Promise<void> {
  if (appender === undefined || parts === undefined) return;
  const whole = concatBytes(parts);
  await appender.append([whole.subarray(0, random.below(whole.length + 1))]);
}
