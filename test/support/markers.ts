// Tests as text: a comment line of carets under a line states an expected problem, `#- path` splits one string into several files.

export interface ExpectedProblem {
  line: number;
  begin: number;
  end: number;
  severity: string;
  code: string;
  /** Part of the message; empty when the test does not say. */
  message: string;
}

export interface MarkedText {
  text: string;
  expected: ExpectedProblem[];
}

const mark = /^(\s*#\s*)(\^+) (error|warning|information|hint) ([\w-]+)(?:: (.*))?$/;

/** Takes the marks out of a text; each belongs to the last line before it that is no mark. */
export function readMarks(marked: string): MarkedText {
  const lines: string[] = [];
  const expected: ExpectedProblem[] = [];
  for (const line of marked.split('\n')) {
    const match = mark.exec(line);
    if (match === null) {
      lines.push(line);
      continue;
    }
    const begin = (match[1] ?? '').length;
    expected.push({
      line: lines.length - 1,
      begin,
      end: begin + (match[2] ?? '').length,
      severity: match[3] ?? '',
      code: match[4] ?? '',
      message: match[5] ?? '',
    });
  }
  return { text: lines.join('\n'), expected };
}

/** Removes the indentation that all lines share, so that recipes stand well in test files. */
export function dedent(text: string): string {
  const lines = text
    .replace(/^\n/, '')
    .replace(/\n\s*$/, '\n')
    .split('\n');
  const indents = lines.filter((line) => line.trim() !== '').map((line) => /^ */.exec(line)?.[0].length ?? 0);
  const shared = Math.min(...indents);
  return lines.map((line) => line.slice(shared)).join('\n');
}
