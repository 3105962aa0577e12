// The number in a generated answer and whether it is the right one, as lm-eval's gsm8k decides it (version 0.4.13).
//
// strict: what stands behind the first "#### "; flexible: the last thing that looks like a number. Both sides are then compared without commas,
// dollar signs, all that stands up to the last "#### " and a point at the end, in lower case.
const invalid = '[invalid]';

export function strictAnswer(text: string): string {
  return /#### (-?[0-9.,]+)/.exec(text)?.[1] ?? invalid;
}

export function flexibleAnswer(text: string): string {
  // Python's [0-9] and [$0-9.,] mean the same here.
  const last = [...text.matchAll(/-?[$0-9.,]{2,}|-?[0-9]+/g)].at(-1);
  return last?.[0] ?? invalid;
}

/** `reference` is the worked answer of the row. */
export const isExactMatch = (answer: string, reference: string): boolean => bare(answer) === bare(reference);

function bare(text: string): string {
  return text
    .replaceAll(',', '')
    .replaceAll('$', '')
    .replace(/^[\s\S]*#### /, '')
    .replace(/\.\n?$/, (end) => end.slice(1))
    .toLowerCase();
}
