// The nearest of known names, by edit distance, for messages and quick fixes.

/** Insertions, deletions, replacements, and exchanges of neighbours (optimal string alignment). */
function distance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = (last[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      const exchanged = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1] ? (beforeLast[j - 2] ?? 0) + 1 : Infinity;
      row.push(Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, replaced, exchanged));
    }
    [beforeLast, last] = [last, row];
  }
  return last[b.length] ?? 0;
}

/** A longer text is no slip of a name, and comparing it with every layer of a model would take seconds. */
const longestName = 200;

/** null when nothing is near: more than a third of the letters differ. */
export function nearestName(name: string, known: readonly string[]): string | null {
  if (name.length > longestName) return null;
  let best: { name: string; distance: number } | null = null;
  for (const candidate of known) {
    const found = distance(name.toLowerCase(), candidate.toLowerCase());
    if (best === null || found < best.distance) best = { name: candidate, distance: found };
  }
  return best !== null && best.distance <= Math.max(1, Math.floor(Math.max(name.length, best.name.length) / 3)) ? best.name : null;
}
