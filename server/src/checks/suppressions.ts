// Inline suppression: `# bitwright-ignore CODE: reason`, on the line of the problem or the line above it. An error is not suppressed: the run would fail all the same.
import type { RecipeEdit } from '../../../schemas/src/problem.js';
import type { ProblemWithRange } from '../../../schemas/src/protocol/client-server.js';

interface Suppression {
  line: number;
  begin: number;
  end: number;
  codes: string[];
  hasReason: boolean;
  /** The comment is all that its line holds: it is meant for the line below. */
  alone: boolean;
}

const comment = /(^|\s)#\s*(bitwright-ignore\b(?:[ \t]+([\w-]+(?:\s*,\s*[\w-]+)*))?[ \t]*(?::[ \t]*(\S.*))?)/;

function findSuppressions(text: string): Suppression[] {
  return text.split('\n').flatMap((content, line) => {
    const match = comment.exec(content);
    if (match === null) return [];
    const begin = match.index + (match[1] ?? '').length;
    return [
      {
        line,
        begin,
        end: content.trimEnd().length,
        codes: (match[3] ?? '')
          .split(',')
          .map((code) => code.trim())
          .filter((code) => code !== ''),
        hasReason: match[4] !== undefined,
        alone: content.slice(0, begin).trim() === '',
      },
    ];
  });
}

/** The whole line where the comment has it to itself; else what stands behind the value. */
function withoutComment(text: string, { line, begin, end, alone }: Suppression): RecipeEdit {
  if (alone) {
    const isLast = text.split('\n').length === line + 1;
    const range = { start: { line, character: 0 }, end: isLast ? { line, character: end } : { line: line + 1, character: 0 } };
    return { kind: 'replace-range', range, text: '' };
  }
  const before = (text.split('\n')[line] ?? '').slice(0, begin).trimEnd().length;
  return { kind: 'replace-range', range: { start: { line, character: before }, end: { line, character: end } }, text: '' };
}

function withoutCodes(text: string, { line, begin, end, codes }: Suppression, idle: readonly string[]): RecipeEdit {
  const own = (text.split('\n')[line] ?? '').slice(begin, end);
  const left = codes.filter((code) => !idle.includes(code)).join(', ');
  const list = /(bitwright-ignore[ \t]+)[\w-]+(?:\s*,\s*[\w-]+)*/;
  const range = { start: { line, character: begin }, end: { line, character: end } };
  return { kind: 'replace-range', range, text: own.replace(list, (_, word: string) => word + left) };
}

/** Problems without those that the text suppresses, and with what is wrong about the suppressions themselves. */
export function applySuppressions(text: string, problems: readonly ProblemWithRange[]): ProblemWithRange[] {
  if (!text.includes('bitwright-ignore')) return [...problems];
  const suppressions = findSuppressions(text);
  /** Codes of each that had something to silence. */
  const used = new Map<Suppression, string[]>();
  const refused = new Map<Suppression, string>();
  const kept = problems.filter(({ code, severity, range }) => {
    const own = suppressions.find(({ line, alone, codes }) => codes.includes(code) && range.start.line === (alone ? line + 1 : line));
    if (own === undefined) return true;
    used.set(own, [...(used.get(own) ?? []), code]);
    if (severity === 'error') refused.set(own, code);
    return severity === 'error' || !own.hasReason;
  });
  const about = (suppression: Suppression, code: string, message: string): ProblemWithRange => ({
    code,
    severity: 'warning',
    path: [],
    at: 'value',
    message,
    range: { start: { line: suppression.line, character: suppression.begin }, end: { line: suppression.line, character: suppression.end } },
  });
  return [
    ...kept,
    ...suppressions.flatMap((suppression) => {
      const form = 'Write # bitwright-ignore CODE: reason';
      if (suppression.codes.length === 0)
        return [about(suppression, 'suppression-invalid', `This suppression names no problem code. ${form}.`)];
      const error = refused.get(suppression);
      if (error !== undefined)
        return [
          about(
            suppression,
            'suppression-invalid',
            `${error} is an error here and cannot be suppressed: the run would fail. Mend it, then remove this comment.`,
          ),
        ];
      if (!suppression.hasReason)
        return [about(suppression, 'suppression-invalid', `This suppression gives no reason and is not applied. ${form}.`)];
      const idle = suppression.codes.filter((code) => !(used.get(suppression) ?? []).includes(code));
      if (idle.length === 0) return [];
      const isWhole = idle.length === suppression.codes.length;
      const what = isWhole ? 'this comment' : idle.join(', ');
      const message = `Nothing on ${suppression.alone ? 'the next' : 'this'} line has the problem ${idle.join(' or ')}. Remove ${what}.`;
      const edit = isWhole ? withoutComment(text, suppression) : withoutCodes(text, suppression, idle);
      return [
        {
          ...about(suppression, 'suppression-unused', message),
          fixes: [{ title: `Remove ${what}`, preferred: true, edits: [edit] }],
        },
      ];
    }),
  ];
}
