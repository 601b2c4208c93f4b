/** The word that somebody meant who typed another: for hints in faults about names that nobody knows. Pure. */

/** The known word that is fewest edits away, when that is near enough to be a slip: a third of the letters, at most 3. */
export function nearest(word: string, known: readonly string[]): string | undefined {
  let best: { readonly word: string; readonly edits: number } | undefined;
  for (const one of known) {
    const edits = editsBetween(word.toLowerCase(), one.toLowerCase());
    const editsMax = Math.max(1, Math.min(3, Math.floor(Math.max(word.length, one.length) / 3)));
    if (edits <= editsMax && (best === undefined || edits < best.edits)) best = { word: one, edits };
  }
  return best?.word;
}

/** Fewest insertions, deletions, replacements and swaps of neighbours (optimal string alignment). */
function editsBetween(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const isSame = a[i - 1] === b[j - 1];
      let edits = Math.min((row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1, (row[j - 1] ?? 0) + (isSame ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        edits = Math.min(edits, (before[j - 2] ?? 0) + 1);
      next.push(edits);
    }
    before = row;
    row = next;
  }
  return row[b.length] ?? a.length;
}
