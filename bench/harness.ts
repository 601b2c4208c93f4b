/**
 * What every comparison is made of: rounds in which the contestants take turns, samples with medians, tables, and
 * verdicts against targets. A verdict is a line for people: no exit code ever depends on a timing.
 *
 * A contestant that is not installed, or that fails, stays in the table with the reason, so that nobody takes its
 * absence for a result.
 */
import { cpus, release, totalmem } from 'node:os';

export interface BenchOptions {
  readonly rounds: number;
  /** About a tenth of everything: shows that the bench works, decides nothing. */
  readonly isSmall: boolean;
  /** Of `mount` only: MiB of the big files, how many small files, and whether clients and servers get a processor each. */
  readonly sizeMiB?: number | undefined;
  readonly fileCount?: number | undefined;
  readonly isPinned?: boolean;
}

export interface Comparison {
  readonly summary: string;
  /** Whether it loads packages of bench/package.json. */
  readonly needsPackages?: boolean;
  readonly run: (report: Report, options: BenchOptions) => Promise<void>;
}

/** One column of a table. */
export interface Column {
  readonly metric: string;
  readonly title: string;
  readonly digits?: number;
  /** Adds the ratio to this contestant's median. */
  readonly against?: string;
}

export interface Verdict {
  readonly target: string;
  readonly reached: string;
  /** Undefined when it could not be measured. */
  readonly isMet: boolean | undefined;
}

/** `atLeast` or `atMost`: the median of `contestant`, divided by that of `against` when there is one. */
export interface Target {
  readonly says: string;
  readonly contestant: string;
  readonly metric: string;
  readonly against?: string;
  readonly atLeast?: number;
  readonly atMost?: number;
  /** Printed behind the figure that was reached. */
  readonly unit?: string;
}

/** Takes samples, prints as it goes and keeps everything for `--json`. */
export class Report {
  readonly #samples = new Map<string, Map<string, number[]>>();
  readonly #absent = new Map<string, string>();
  readonly #notes: string[] = [];
  readonly #verdicts: Verdict[] = [];

  /** A line of text that belongs to the result. */
  note(line: string): void {
    this.#notes.push(line);
    process.stdout.write(`${line}\n`);
  }

  /** A line for whoever waits; not part of the result. */
  progress(line: string): void {
    process.stderr.write(`  … ${line}\n`);
  }

  add(contestant: string, metric: string, value: number): void {
    const metrics = this.#samples.get(contestant) ?? new Map<string, number[]>();
    this.#samples.set(contestant, metrics);
    metrics.set(metric, [...(metrics.get(metric) ?? []), value]);
  }

  /** `contestant` takes no part (any more), and why. */
  miss(contestant: string, why: string): void {
    if (!this.#absent.has(contestant)) this.note(`!! ${contestant}: ${why}`);
    this.#absent.set(contestant, why.split('\n', 1)[0] ?? '');
  }

  isMissing(contestant: string): boolean {
    return this.#absent.has(contestant);
  }

  median(contestant: string, metric: string): number | undefined {
    const values = this.#samples.get(contestant)?.get(metric);
    return values === undefined ? undefined : medianOf(values);
  }

  max(contestant: string, metric: string): number | undefined {
    const values = this.#samples.get(contestant)?.get(metric);
    return values === undefined ? undefined : Math.max(...values);
  }

  /** Medians with the least and the largest value where they differ. */
  table(title: string, contestants: readonly string[], columns: readonly Column[]): void {
    const head = [title, ...columns.map((column) => column.title)];
    const rows = contestants.map((contestant) => this.#row(contestant, columns));
    const widths = head.map((_, at) => Math.max(...[head, ...rows].map((row) => row[at]?.length ?? 0)));
    const line = (cells: readonly string[]): string =>
      cells.map((cell, at) => (at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0))).join('  ');
    process.stdout.write(`\n${line(head)}\n${widths.map((width) => '-'.repeat(width)).join('  ')}\n`);
    for (const row of rows) process.stdout.write(`${line(row).trimEnd()}\n`);
    for (const contestant of contestants) {
      const why = this.#absent.get(contestant);
      if (why !== undefined) process.stdout.write(`!! ${contestant}: ${why}\n`);
    }
    process.stdout.write('\n');
  }

  #row(contestant: string, columns: readonly Column[]): string[] {
    const name = this.#absent.has(contestant) ? `${contestant} !!` : contestant;
    return [name, ...columns.map((column) => this.#cell(contestant, column))];
  }

  #cell(contestant: string, { metric, digits = 0, against }: Column): string {
    const values = this.#samples.get(contestant)?.get(metric);
    if (values === undefined) return '–';
    const [least, middle, most] = [Math.min(...values), medianOf(values), Math.max(...values)].map((value) =>
      value.toFixed(digits),
    );
    const spread = least === most ? '' : ` (${least}–${most})`;
    const base = against === undefined ? undefined : this.median(against, metric);
    const ratio = base === undefined || contestant === against ? '' : ` ${(medianOf(values) / base).toFixed(2)}x`;
    return `${middle}${spread}${ratio}`;
  }

  judge(target: Target): void {
    const { contestant, metric, against, atLeast = 0, atMost = Number.POSITIVE_INFINITY, unit = '' } = target;
    const mine = this.median(contestant, metric);
    const other = against === undefined ? 1 : this.median(against, metric);
    if (mine === undefined || other === undefined) {
      const lacking = mine === undefined ? contestant : against;
      this.verdict({ target: target.says, reached: `not measured: ${lacking} is missing`, isMet: undefined });
      return;
    }
    const reached = mine / other;
    const figure = against === undefined ? `${roundTo(reached)} ${unit}`.trim() : `${reached.toFixed(2)}x`;
    this.verdict({ target: target.says, reached: figure, isMet: reached >= atLeast && reached <= atMost });
  }

  verdict(verdict: Verdict): void {
    this.#verdicts.push(verdict);
    const mark = verdict.isMet === undefined ? '?    ' : verdict.isMet ? 'ok   ' : 'SHORT';
    process.stdout.write(`${mark}  ${verdict.target}: ${verdict.reached}\n`);
  }

  /** Everything, for `--json`. */
  toData(): object {
    return {
      notes: this.#notes,
      missing: Object.fromEntries(this.#absent),
      samples: Object.fromEntries([...this.#samples].map(([name, metrics]) => [name, Object.fromEntries(metrics)])),
      verdicts: this.#verdicts,
    };
  }
}

/**
 * Lets every contestant take its turn in every round, each round beginning with another one, so that drift of the
 * machine hits all alike. Who fails is named and takes no further turns.
 */
export async function inRounds<Contestant extends { readonly name: string }>(
  report: Report,
  rounds: number,
  contestants: readonly Contestant[],
  turn: (contestant: Contestant, round: number) => Promise<void>,
): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    for (let at = 0; at < contestants.length; at++) {
      const contestant = contestants[(at + round) % contestants.length];
      if (contestant === undefined || report.isMissing(contestant.name)) continue;
      report.progress(`round ${round + 1} of ${rounds}: ${contestant.name}`);
      try {
        await turn(contestant, round);
      } catch (error) {
        report.miss(contestant.name, error instanceof Error ? error.message : String(error));
      }
    }
  }
}

export function medianOf(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}

/** The value below which `share` (0–1) of the values lie. */
export function quantileOf(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN;
}

export function machineSays(): string {
  const gib = Math.round(totalmem() / 2 ** 30);
  return `${cpus().length} processors (${cpus()[0]?.model.trim() ?? 'unknown'}), ${gib} GiB, Linux ${release()}, Node ${process.versions.node}`;
}

function roundTo(value: number): string {
  return value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
}
