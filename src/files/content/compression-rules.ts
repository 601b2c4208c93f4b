/**
 * How hard to compress which file: the store's level, and rules that say otherwise for a folder or a name pattern.
 * The first rule that matches wins. A pattern with a slash is matched against the whole path (`photos/**`), one without
 * against the name (`*.jpg`).
 */
import { type Path, textOfBytes, textOfPath } from '../../api/index.ts';
import type { CompressionLevel } from '../../chunks/index.ts';
import { type Glob, globOf } from '../search/glob.ts';

export interface CompressionRule {
  readonly match: string;
  readonly level: CompressionLevel;
}

export class CompressionRules {
  readonly #level: CompressionLevel;
  readonly #rules: readonly { readonly glob: Glob; readonly level: CompressionLevel }[];

  constructor(level: CompressionLevel, rules: readonly CompressionRule[] = []) {
    this.#level = level;
    this.#rules = rules.map((rule) => ({ glob: globOf(rule.match), level: rule.level }));
  }

  /** Whether the path matters at all. */
  get hasRules(): boolean {
    return this.#rules.length > 0;
  }

  levelOf(path: Path): CompressionLevel {
    if (this.#rules.length === 0) return this.#level;
    const whole = textOfPath(path);
    const name = textOfBytes(path.at(-1) ?? new Uint8Array());
    return this.#rules.find(({ glob }) => glob.matches(glob.isPath ? whole : name))?.level ?? this.#level;
  }
}
