// Random edits of a recipe, as a person, a formatter or a cat on the keyboard makes them: data that fast-check draws, shrinks and prints.
import fc from 'fast-check';
import { recipeSchemaFiles } from '../../schemas/src/recipe-schema-files.js';
import { startTexts } from './start-texts.js';

/** Places are shares of the text (0 to 9999), so that an edit means something in any text. */
export type RandomEdit =
  | { kind: 'insert'; at: number; text: string }
  | { kind: 'replace'; at: number; length: number; text: string }
  | { kind: 'repeat'; at: number; length: number }
  | { kind: 'move'; at: number; length: number; to: number }
  | { kind: 'word'; at: number; text: string }
  | { kind: 'lines'; at: number; n_lines: number; what: 'remove' | 'repeat' | 'deeper' | 'less deep' | 'comment out' }
  | { kind: 'move lines'; at: number; n_lines: number; to: number }
  | { kind: 'new line'; at: number; text: string; deeper: boolean }
  | { kind: 'cut'; at: number; part: 'head' | 'tail' }
  | { kind: 'undo'; steps: number }
  | { kind: 'line ends'; end: '\n' | '\r\n' };

/** What takes the place of [begin, end); those of one edit follow each other, each counting in the text that the one before it left. */
export interface Splice {
  begin: number;
  end: number;
  newText: string;
}

/** Repeated repetition would end in texts that only take time. */
const longestText = 4000;

const parts = [
  ...[': ', ':', '- ', ' ', '\n', '\n  ', '\n    ', '{', '}', '[', ']', ',', ', ', "'", '"', '#', ' # ', '&a ', '*a', '<<: ', '<<: *rows'],
  ...[
    '!!str ',
    '!!python/tuple ',
    '|',
    '>',
    '? ',
    '%',
    '---\n',
    '...\n',
    '\t',
    '\r\n',
    '\r',
    '\0',
    '\u2028',
    '\uFEFF',
    '😀',
    'é',
    '\\',
    '@',
  ],
  ...['`', '~', '=', '<<', '{}', '[]', '""', 'null', 'true', 'on', 'NaN', '.', '.nan', '.inf', '-1', '0', '128', '1e-3', '1e400', '1:30'],
  ...['2020-01-01', '0x_', '9'.repeat(25), 'x'.repeat(300), '__proto__', 'constructor', 'toString', '$0', '${1:a}', 'cursor7f3a'],
  ...['re:', 're:(', 're:.*', 're:(.*)*x', 're:[', 're:\\', 're:(?i)Q', 're:.*q_proj', 'Linear', 'lm_head', 'model.layers.0.mlp.up_proj'],
  ...['q_stage', '_stage', 'q_modifiers', '# bitwright-ignore target-matches-nothing: known', '# bitwright-ignore'],
];

/** Keys and values that the schema knows. */
function vocabulary(): { keys: string[]; values: string[] } {
  const [keys, values] = [new Set<string>(), new Set<string>()];
  const walk = (schema: unknown): void => {
    if (typeof schema !== 'object' || schema === null) return;
    for (const [name, part] of Object.entries(schema)) {
      if (name === 'properties') Object.keys(part as object).forEach((key) => keys.add(key));
      if (name === 'enum') (part as unknown[]).forEach((value) => values.add(String(value)));
      walk(part);
    }
  };
  walk(recipeSchemaFiles.files);
  return { keys: [...keys], values: [...values] };
}

/** Bodies of modifiers that the start texts hold, from the line with the name on. */
const modifiers = (): string[] => [
  ...new Set(
    startTexts().flatMap(({ text }) =>
      [...text.matchAll(/^ *(\w+Modifier:.*(?:\n {6,}\S.*)*)/gm)].map(([, body = '']) => body.slice(0, 400)),
    ),
  ),
];

export function randomEdits(mostEdits: number): fc.Arbitrary<RandomEdit[]> {
  const { keys, values } = vocabulary();
  const place = fc.nat(9999);
  const n_lines = fc.integer({ min: 1, max: 4 });
  const length = fc.oneof(fc.integer({ min: 0, max: 3 }), fc.integer({ min: 4, max: 60 }));
  const part = fc.constantFrom(...parts);
  const name = fc.oneof(fc.constantFrom(...keys), fc.constantFrom(...values));
  const value = fc.oneof(part, fc.constantFrom(...values), fc.constantFrom('[Linear]', '[]', '{}', '', '4', '"a"', '*a', '&a b', '0.5'));
  const line = fc.oneof(
    fc.tuple(fc.constantFrom(...keys), value).map(([key, said]) => `${key}: ${said}`),
    value.map((said) => `- ${said}`),
    fc.constantFrom(...modifiers()),
  );
  const edit = fc.oneof(
    { weight: 3, arbitrary: fc.record({ kind: fc.constant('insert' as const), at: place, text: fc.oneof(part, name) }) },
    {
      weight: 2,
      arbitrary: fc.record({ kind: fc.constant('replace' as const), at: place, length, text: fc.oneof(fc.constant(''), part) }),
    },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('repeat' as const), at: place, length }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('move' as const), at: place, length, to: place }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('word' as const), at: place, text: fc.oneof(name, part) }) },
    {
      weight: 4,
      arbitrary: fc.record({
        kind: fc.constant('lines' as const),
        at: place,
        n_lines,
        what: fc.constantFrom('remove' as const, 'repeat' as const, 'deeper' as const, 'less deep' as const, 'comment out' as const),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('move lines' as const), at: place, n_lines, to: place }) },
    { weight: 6, arbitrary: fc.record({ kind: fc.constant('new line' as const), at: place, text: line, deeper: fc.boolean() }) },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('cut' as const), at: place, part: fc.constantFrom('head' as const, 'tail' as const) }),
    },
    { weight: 9, arbitrary: fc.record({ kind: fc.constant('undo' as const), steps: fc.integer({ min: 1, max: 4 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('line ends' as const), end: fc.constantFrom('\n' as const, '\r\n' as const) }) },
  );
  return fc.array(edit, { minLength: 1, maxLength: mostEdits, size: 'max' });
}

/** A text of no meaning that looks like YAML. */
export const noise = (): fc.Arbitrary<string> =>
  fc
    .tuple(fc.array(fc.constantFrom(...parts), { maxLength: 30, size: 'max' }), fc.constantFrom('', ' ', '\n'))
    .map(([all, between]) => all.join(between));

/** `history` holds the texts before, the last one last. */
export function splicesOf(edit: RandomEdit, text: string, history: readonly string[]): Splice[] {
  const offset = (share: number): number => Math.floor((share / 10_000) * (text.length + 1));
  const whole = (newText: string): Splice[] => [{ begin: 0, end: text.length, newText }];
  switch (edit.kind) {
    case 'insert':
      return [{ begin: offset(edit.at), end: offset(edit.at), newText: edit.text }];
    case 'replace':
      return [{ ...span(text, offset(edit.at), edit.length), newText: edit.text }];
    case 'repeat': {
      const { begin, end } = span(text, offset(edit.at), edit.length);
      return text.length > longestText ? [{ begin, end, newText: '' }] : [{ begin: end, end, newText: text.slice(begin, end) }];
    }
    case 'move': {
      const { begin, end } = span(text, offset(edit.at), edit.length);
      return moved(text, begin, end, offset(edit.to));
    }
    case 'word': {
      const words = [...text.matchAll(/[\w.$*:/-]+/g)];
      const word = words[Math.floor((edit.at / 10_000) * words.length)];
      return word === undefined ? [] : [{ begin: word.index, end: word.index + word[0].length, newText: edit.text }];
    }
    case 'lines': {
      const { begin, end } = linesAt(text, offset(edit.at), edit.n_lines);
      const old = text.slice(begin, end);
      if (edit.what === 'repeat' && text.length <= longestText) return [{ begin: end, end, newText: old }];
      const newText = {
        remove: '',
        repeat: '',
        deeper: old.replace(/^/gm, '  '),
        'less deep': old.replace(/^ {1,2}/gm, ''),
        'comment out': old.replace(/^/gm, '# '),
      };
      return [{ begin, end, newText: newText[edit.what] }];
    }
    case 'move lines': {
      const { begin, end } = linesAt(text, offset(edit.at), edit.n_lines);
      return moved(text, begin, end, linesAt(text, offset(edit.to), 1).begin);
    }
    case 'new line': {
      const { begin, end } = linesAt(text, offset(edit.at), 1);
      const indent = (/^ */.exec(text.slice(begin, end))?.[0] ?? '') + (edit.deeper ? '  ' : '');
      return [{ begin: end, end, newText: `${indent}${edit.text}${text.includes('\r\n') ? '\r\n' : '\n'}` }];
    }
    case 'cut':
      return edit.part === 'tail'
        ? [{ begin: offset(edit.at), end: text.length, newText: '' }]
        : [{ begin: 0, end: offset(edit.at), newText: '' }];
    case 'undo': {
      const former = history.at(-edit.steps) ?? history[0];
      return former === undefined ? [] : [difference(text, former)];
    }
    case 'line ends':
      return whole(text.replaceAll(/\r?\n/g, edit.end));
  }
}

const span = (text: string, begin: number, length: number): { begin: number; end: number } => ({
  begin,
  end: Math.min(text.length, begin + length),
});

/** Whole lines from the one at the offset on, the line break of the last included. */
function linesAt(text: string, offset: number, n_lines: number): { begin: number; end: number } {
  const begin = text.lastIndexOf('\n', offset - 1) + 1;
  let end = begin;
  for (let line = 0; line < n_lines && end < text.length; line += 1) {
    const next = text.indexOf('\n', end);
    end = next < 0 ? text.length : next + 1;
  }
  return { begin, end };
}

function moved(text: string, begin: number, end: number, to: number): Splice[] {
  const without = to <= begin ? to : Math.max(begin, to - (end - begin));
  return [
    { begin, end, newText: '' },
    { begin: without, end: without, newText: text.slice(begin, end) },
  ];
}

/** The one piece that differs, as editors send an undo. */
function difference(from: string, to: string): Splice {
  const shorter = Math.min(from.length, to.length);
  let begin = 0;
  while (begin < shorter && from[begin] === to[begin]) begin += 1;
  let tail = 0;
  while (tail < shorter - begin && from.at(-1 - tail) === to.at(-1 - tail)) tail += 1;
  return { begin, end: from.length - tail, newText: to.slice(begin, to.length - tail) };
}
