// The table of recipes with their expected verdict: *.txt beside this file's source, and what the real llm-compressor said of each (test/golden).
//
// A case is `== name`, then header lines, then the recipe text up to the next case:
//   expect: ok | warning CODE… | error CODE…   the worst severity ours must give; the codes are the warnings, all of them, or some of the errors
//   differs: reason                            why ours says other than the real package did
//   with: llama | narrow | tied                  the model (models.ts); llama where nothing is said
//   as: recipe.md                              given to the real package as a file of that name, not as text
//   text: crlf bom bare empty                  how the text is made: line ends, byte order mark, not wrapped, nothing
// A text that begins with the name of a modifier is put under quant_stage: quant_modifiers:, unless it is bare.
// test/parity/recipe-verdicts.py reads the same files in the same way.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { repositoryRoot } from '../../support/shared.js';

export interface VerdictCase {
  name: string;
  severity: 'ok' | 'warning' | 'error';
  codes: readonly string[];
  differs: string | null;
  model: string;
  /** The name of the file that holds it; null for text. */
  file: string | null;
  recipe: string;
}

/** What the real package did; a gate that was not reached is absent, one that was passed is null. */
export interface RealVerdict {
  sha256: string;
  parse: string | null;
  n_modifiers?: number;
  init?: string | null;
  run?: string | null;
  needs_data?: boolean;
  /** Scheme → short names of the layers that have it after init. */
  layers?: Readonly<Record<string, string>>;
  oracle_cannot?: string;
}

const folder = path.join(repositoryRoot, 'test', 'server', 'verdicts');

export function readTable(): { file: string; cases: VerdictCase[] }[] {
  return readdirSync(folder)
    .filter((name) => name.endsWith('.txt'))
    .sort()
    .map((name) => ({ file: name.slice(0, -'.txt'.length), cases: readCases(readFileSync(path.join(folder, name), 'utf8')) }));
}

export function realVerdicts(): Map<string, RealVerdict> {
  const golden = path.join(repositoryRoot, 'test', 'golden', 'recipe-verdicts.json');
  return new Map(Object.entries(JSON.parse(readFileSync(golden, 'utf8')) as Record<string, RealVerdict>));
}

function readCases(text: string): VerdictCase[] {
  return text
    .split(/^== /m)
    .slice(1)
    .map((part) => {
      const [name = '', ...lines] = part.split('\n');
      const header = new Map<string, string>();
      for (let field; (field = /^(expect|differs|with|as|text): (.*)$/.exec(lines[0] ?? '')) !== null; lines.shift())
        header.set(field[1] ?? '', (field[2] ?? '').trim());
      const [severity = '', ...codes] = header.get('expect')?.split(' ') ?? [];
      if (severity !== 'ok' && severity !== 'warning' && severity !== 'error')
        throw new Error(`The case ${name} expects ${JSON.stringify(severity)}; that is ok, warning or error.`);
      return {
        name: name.trim(),
        severity,
        codes,
        differs: header.get('differs') ?? null,
        model: header.get('with') ?? 'llama',
        file: header.get('as') ?? null,
        recipe: recipeText(lines.join('\n').replace(/\n+$/, ''), header.get('text')?.split(' ') ?? []),
      };
    });
}

function recipeText(body: string, how: readonly string[]): string {
  if (how.includes('empty')) return '';
  let text = body;
  if (/^[A-Z][A-Za-z]*Modifier:/.test(text) && !how.includes('bare'))
    text = `quant_stage:\n  quant_modifiers:\n${text.replace(/^/gm, '    ')}`;
  text += '\n';
  if (how.includes('crlf')) text = text.replaceAll('\n', '\r\n');
  return how.includes('bom') ? `\uFEFF${text}` : text;
}
