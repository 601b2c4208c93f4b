/**
 * Makes a script that fails smaller while it goes on failing: operations are left out, many at once and then one by one
 * (delta debugging; Zeller and Hildebrandt, 2002), actors are left out, the setting is made plainer, and where leaving
 * something out moves the calls of the disk about, faults are tried at earlier calls.
 */
import type { Operation, Script, Setting } from './operation.ts';

export interface MinimiseOptions {
  /** Whether a script fails; what counts as the same failure is up to the caller. */
  readonly fails: (script: Script) => Promise<boolean>;
  /** Runs at most. */
  readonly runsMax: number;
}

export async function minimise(script: Script, options: MinimiseOptions): Promise<Script> {
  return new Minimiser(script, options).go();
}

class Minimiser {
  #script: Script;
  readonly #options: MinimiseOptions;
  #runs = 0;

  constructor(script: Script, options: MinimiseOptions) {
    this.#script = script;
    this.#options = options;
  }

  async go(): Promise<Script> {
    for (let before = -1; before !== this.#runs && this.#hasRuns; ) {
      const size = sizeOf(this.#script);
      before = this.#runs;
      await this.#dropActors();
      await this.#dropOperations();
      await this.#plainer();
      await this.#earlierFaults();
      if (sizeOf(this.#script) === size) break;
    }
    return this.#script;
  }

  get #hasRuns(): boolean {
    return this.#runs < this.#options.runsMax;
  }

  /** Takes the candidate when it fails too. */
  async #try(candidate: Script): Promise<boolean> {
    if (!this.#hasRuns) return false;
    this.#runs++;
    if (!(await this.#options.fails(candidate))) return false;
    this.#script = candidate;
    return true;
  }

  async #dropActors(): Promise<void> {
    for (let index = this.#script.actors.length - 1; index >= 0 && this.#script.actors.length > 1; index--)
      await this.#try({ ...this.#script, actors: this.#script.actors.filter((_, at) => at !== index) });
  }

  async #dropOperations(): Promise<void> {
    for (let actor = 0; actor < this.#script.actors.length; actor++) {
      let step = Math.max(1, this.#operationsOf(actor).length >> 1);
      for (;;) {
        let hasDropped = false;
        for (let at = 0; at < this.#operationsOf(actor).length; ) {
          const left = this.#operationsOf(actor).filter((_, index) => index < at || index >= at + step);
          if (await this.#try(withOperations(this.#script, actor, left))) hasDropped = true;
          else at += step;
        }
        if (!this.#hasRuns || (step === 1 && !hasDropped)) break;
        step = Math.max(1, step >> 1);
      }
    }
  }

  #operationsOf(actor: number): readonly Operation[] {
    return this.#script.actors[actor] ?? [];
  }

  async #plainer(): Promise<void> {
    const plain: readonly Partial<Setting>[] = [
      { makingCut: 0 },
      { isSlow: false },
      { engine: 'journal' },
      { idAlgorithm: 'blake3' },
      { packBytes: 512_000 },
      { keepsVersions: true },
    ];
    for (const part of plain) {
      const setting = { ...this.#script.setting, ...part };
      if (JSON.stringify(setting) !== JSON.stringify(this.#script.setting))
        await this.#try({ ...this.#script, setting });
    }
  }

  /** With fewer calls before a fault, more may be left out the next time. */
  async #earlierFaults(): Promise<void> {
    for (let actor = 0; actor < this.#script.actors.length; actor++)
      for (let at = 0; at < this.#operationsOf(actor).length; at++) await this.#earlierFault(actor, at);
  }

  async #earlierFault(actor: number, at: number): Promise<void> {
    const fault = this.#operationsOf(actor)[at];
    if (fault?.do !== 'fault') return;
    for (let call = 1; call < fault.call; call++) {
      const operations = this.#operationsOf(actor).with(at, { ...fault, call });
      if (await this.#try(withOperations(this.#script, actor, operations))) return;
    }
  }
}

function withOperations(script: Script, actor: number, operations: readonly Operation[]): Script {
  return { ...script, actors: script.actors.with(actor, operations) };
}

function sizeOf({ actors }: Script): number {
  return actors.reduce((sum, operations) => sum + operations.length, actors.length);
}
