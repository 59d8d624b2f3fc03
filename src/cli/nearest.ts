/**
 * Finds what was probably meant, for messages about words that are unknown.
 *
 * @module
 */

/**
 * The candidate that is most like `word`: the one the fewest typing mistakes away. Null where even that
 * one has more than a mistake in three letters: a far-fetched guess is worse than none.
 */
export function nearest(word: string, candidates: readonly string[]): string | null {
  let best: string | null = null;
  let fewest = Math.max(1, Math.floor(word.length / 3)) + 1;
  for (const candidate of candidates) {
    if (Math.abs(word.length - candidate.length) >= fewest) continue; // as many letters are missing
    const mistakes = editDistance(word, candidate);
    if (mistakes < fewest) [best, fewest] = [candidate, mistakes];
  }
  return best;
}

/**
 * Letters to insert, delete or replace that turn `a` into `b`; two swapped neighbours count once.
 */
function editDistance(a: string, b: string): number {
  const rows = [Array.from({ length: b.length + 1 }, (_, j) => j)];
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(rows[i - 1][j] + 1, row[j - 1] + 1, rows[i - 1][j - 1] + Number(!same));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, rows[i - 2][j - 2] + 1);
      }
      row.push(cost);
    }
    rows.push(row);
  }
  return rows[a.length][b.length];
}
