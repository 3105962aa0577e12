// Two texts as edits of the lines that differ, so that a preview shows what changes and the rest keeps its place under the cursor.

export interface LineEdit {
  /** Lines [begin, end) of the old text. */
  begin: number;
  end: number;
  /** With their line ends. */
  text: string;
}

const linesOf = (text: string): string[] => text.split(/(?<=\n)/).filter((line) => line !== '');

/** By a longest common subsequence of lines: recipes are short. */
export function lineEdits(before: string, after: string): LineEdit[] {
  const [a, b] = [linesOf(before), linesOf(after)];
  const width = b.length + 1;
  const longest = new Uint32Array((a.length + 1) * width);
  for (let i = a.length - 1; i >= 0; i -= 1)
    for (let j = b.length - 1; j >= 0; j -= 1)
      longest[i * width + j] =
        a[i] === b[j]
          ? (longest[(i + 1) * width + j + 1] ?? 0) + 1
          : Math.max(longest[(i + 1) * width + j] ?? 0, longest[i * width + j + 1] ?? 0);
  const edits: LineEdit[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      i += 1;
      j += 1;
      continue;
    }
    const begin = i;
    let text = '';
    while ((i < a.length || j < b.length) && !(i < a.length && j < b.length && a[i] === b[j])) {
      const removes = j >= b.length || (i < a.length && (longest[(i + 1) * width + j] ?? 0) >= (longest[i * width + j + 1] ?? 0));
      if (removes) i += 1;
      else text += b[j++] ?? '';
    }
    edits.push({ begin, end: i, text });
  }
  return edits;
}
