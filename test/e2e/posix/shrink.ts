/**
 * Makes a failing list of steps shorter, as long as it still fails, by leaving out runs of steps: halves first, then
 * quarters and so on (Zeller's delta debugging). Bounded in tries: what remains is short, not proven shortest.
 */
const TRY_COUNT_MAX = 300;

export async function shrink<T>(steps: readonly T[], fails: (steps: readonly T[]) => Promise<boolean>): Promise<T[]> {
  let kept = [...steps];
  let tryCount = 0;
  for (let run = Math.ceil(kept.length / 2); run >= 1; run = run === 1 ? 0 : Math.ceil(run / 2)) {
    for (let at = 0; at < kept.length && tryCount < TRY_COUNT_MAX; tryCount++) {
      const shorter = [...kept.slice(0, at), ...kept.slice(at + run)];
      if (shorter.length > 0 && (await fails(shorter))) kept = shorter;
      else at += run;
    }
  }
  return kept;
}
