// Where the gates of a recipe stand in its text: the lines of the Test Explorer. What they mean the language server says, and the run.
import { gateFacts, type GateKey } from '../../schemas/src/quality-gates.js';

export interface GateLine {
  key: GateKey;
  /** As written. */
  limit: string;
  line: number;
  begin: number;
  end: number;
}

/** Of the mapping `gates` at the top of the recipe, as a block or in braces. */
export function gateLines(text: string): GateLine[] {
  const lines = text.split(/\r?\n/);
  const first = lines.findIndex((line) => /^gates\s*:/.test(line));
  if (first < 0) return [];
  const length = lines.slice(first + 1).findIndex((line) => /^[^\s#]/.test(line));
  const last = length < 0 ? lines.length : first + 1 + length;
  const keys = gateFacts.map(({ key }) => key).join('|');
  return lines.slice(first, last).flatMap((source, at) => {
    const line = source.replace(/(^|\s)#.*$/, '');
    return [...line.matchAll(new RegExp(`(?<=^\\s*|[{,:]\\s*)(${keys})\\s*:\\s*([^,}]+?)\\s*(?=[,}]|$)`, 'g'))].map((match) => ({
      key: match[1] as GateKey,
      limit: match[2] ?? '',
      line: first + at,
      begin: match.index,
      end: match.index + match[0].trimEnd().length,
    }));
  });
}
