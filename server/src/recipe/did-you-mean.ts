// The nearest of known names, by edit distance, for messages and quick fixes.

/**
 * Insertions, deletions, replacements, and exchanges of neighbours (optimal string alignment); Infinity when it is more than `most`, which is
 * seen early. The arrays hold a row each and are reused: a name is compared with thousands.
 */
function distance(a: string, b: string, most: number, rows: [Uint16Array, Uint16Array, Uint16Array]): number {
  if (Math.abs(a.length - b.length) > most) return Infinity;
  let [beforeLast, last, row] = rows;
  for (let j = 0; j <= b.length; j += 1) last[j] = j;
  for (let i = 1; i <= a.length; i += 1) {
    const letter = a.charCodeAt(i - 1);
    let least = (row[0] = i);
    for (let j = 1; j <= b.length; j += 1) {
      let here = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (letter === b.charCodeAt(j - 1) ? 0 : 1));
      if (i > 1 && j > 1 && letter === b.charCodeAt(j - 2) && a.charCodeAt(i - 2) === b.charCodeAt(j - 1))
        here = Math.min(here, (beforeLast[j - 2] ?? 0) + 1);
      row[j] = here;
      if (here < least) least = here;
    }
    // An exchange reaches back two rows, and costs one from there.
    if (least > most) return Infinity;
    [beforeLast, last, row] = [last, row, beforeLast];
  }
  const found = last[b.length] ?? 0;
  return found > most ? Infinity : found;
}

/** A longer text is no slip of a name, and comparing it with every layer of a model would take seconds. */
const longestName = 200;

/** null when nothing is near: more than a third of the letters differ. Of equally near names the first. */
export function nearestName(name: string, known: readonly string[]): string | null {
  if (name.length > longestName) return null;
  const wanted = name.toLowerCase();
  const longest = known.reduce((most, candidate) => Math.max(most, candidate.length), 0) + 1;
  const rows: [Uint16Array, Uint16Array, Uint16Array] = [new Uint16Array(longest), new Uint16Array(longest), new Uint16Array(longest)];
  let best: { name: string; distance: number } | null = null;
  for (const candidate of known) {
    const near = Math.max(1, Math.floor(Math.max(name.length, candidate.length) / 3));
    const found = distance(wanted, candidate.toLowerCase(), best === null ? near : Math.min(near, best.distance - 1), rows);
    if (found !== Infinity) best = { name: candidate, distance: found };
  }
  return best?.name ?? null;
}
