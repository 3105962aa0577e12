// A pattern that means layer 1 and matches layers 10 to 19 too: re.match is open at the end, and a number goes on in the next digit.
import { compileTarget, type NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { Problem } from '../../../schemas/src/problem.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import type { PatternMatch } from '../plan/resolution.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import type { Check } from './check.js';

export const patternMatchesMore: Check = {
  code: 'pattern-matches-more',
  run: ({ quantization, model }) => {
    if (model === null) return [];
    const modules = modulesOf(model);
    return quantization.flatMap(({ patterns }) => patterns.flatMap((pattern) => problemOf(pattern, modules) ?? []));
  },
};

function problemOf({ entry, matches, kind, path }: PatternMatch, modules: readonly NamedModule[]): Problem | null {
  const surplus = matches === null ? null : surplusOf(entry, matches, modules);
  if (surplus === null) return null;
  const { numbers, n_meant, more, anchored } = surplus;
  return {
    code: 'pattern-matches-more',
    severity: 'warning',
    path,
    at: 'value',
    message: `${entry} also matches ${more.length} ${more.length === 1 ? 'module' : 'modules'} beside the ${n_meant} with ${numbersText(numbers)}: ${firstNames(more)}. A number in a pattern goes on in the next digit, as the end of a pattern is open, so that these are ${kind === 'ignore' ? 'spared' : 'targets'} too.${anchored === null ? '' : ` Write ${anchored}.`}`,
    fixes:
      anchored === null
        ? []
        : [{ title: `Change to ${anchored}`, preferred: true, edits: [{ kind: 'replace-value', path, text: yamlScalar(anchored) }] }],
  };
}

interface Surplus {
  /** As the pattern has them. */
  numbers: readonly string[];
  /** Modules that it matches with its numbers ended. */
  n_meant: number;
  more: readonly NamedModule[];
  /** The pattern that matches those alone. */
  anchored: string | null;
}

/** A key press changes one entry of many. */
const surplusOfModules = new WeakMap<readonly NamedModule[], Map<string, Surplus | null>>();
/** Entries that were typed on the way to others are dropped now and then. */
const mostEntries = 5000;

function surplusOf(entry: string, matches: readonly NamedModule[], modules: readonly NamedModule[]): Surplus | null {
  if (matches.length < 2 || !entry.startsWith('re:')) return null;
  let kept = surplusOfModules.get(modules);
  if (kept === undefined || kept.size > mostEntries) surplusOfModules.set(modules, (kept = new Map()));
  let surplus = kept.get(entry);
  if (surplus === undefined) kept.set(entry, (surplus = findSurplus(entry, matches, modules)));
  return surplus;
}

/** A number that is a part of a name: behind `layers.` or `layers\.`, also as one of `layers.(1|2)`. */
const wholeNumber = /(?<=[A-Za-z_]\\?\.(?:\((?:\?:)?(?:\d+\|)*)?)\d+(?!\d)/g;
const restOfGroup = /^(?:\|\d+)*\)/;
/** Behind a number that goes on in the name; a letter or an escaped point ends it. */
const openEnd = /^(?:$|\.(?:$|[.*+?]))/;
/** Who writes of digits knows that they go on. */
const speaksOfDigits = /\\[dDwWsSbB]|\[[^\]]*\d|\{/;

const openNumbers = (entry: string): RegExpMatchArray[] =>
  [...entry.matchAll(wholeNumber)].filter(({ index, 0: text }) => {
    const behind = entry.slice(index + text.length).replace(restOfGroup, '');
    return openEnd.test(behind) && !speaksOfDigits.test(behind);
  });

function findSurplus(entry: string, matches: readonly NamedModule[], modules: readonly NamedModule[]): Surplus | null {
  const numbers = openNumbers(entry);
  if (numbers.length === 0) return null;
  const strict = atEach(entry, numbers, () => '(?!\\d)');
  const compiled = compileTarget(strict);
  if ('error' in compiled) return null;
  const meant = matches.filter(compiled.matcher);
  if (meant.length === 0 || meant.length === matches.length) return null;
  const wanted = new Set(meant);
  const candidates = [
    // `.` and `.*` behind a number begin with the point that ends it.
    atEach(entry, numbers, (behind) => (behind.startsWith('.') ? '\\' : '')),
    `${entry}\\.`,
    atEach(entry, numbers, (behind) => (/^\.[*+]/.test(behind) ? '\\.' : behind.startsWith('.') ? '\\' : '')),
    // Behind the numbers of a group.
    entry.replace(/(?<=\d\))(?=\.[*+])/g, '\\.'),
    strict,
  ];
  return {
    numbers: numbers.map(([text]) => text),
    n_meant: meant.length,
    more: matches.filter((module) => !wanted.has(module)),
    anchored: candidates.find((candidate) => isSame(matchesOf(candidate, modules), meant)) ?? null,
  };
}

/** The entry with a text put in behind each number. */
function atEach(entry: string, numbers: readonly RegExpMatchArray[], text: (behind: string) => string): string {
  let out = '';
  let begin = 0;
  for (const { index = 0, 0: number } of numbers) {
    const end = index + number.length;
    out += entry.slice(begin, end) + text(entry.slice(end));
    begin = end;
  }
  return out + entry.slice(begin);
}

const isSame = (a: readonly NamedModule[], b: readonly NamedModule[]): boolean =>
  a.length === b.length && a.every((module, index) => module === b[index]);

const numbersText = (numbers: readonly string[]): string =>
  numbers.length === 1 ? `the number ${numbers[0] ?? ''}` : `the numbers ${numbers.join(', ')}`;

function firstNames(modules: readonly NamedModule[]): string {
  const names = modules.slice(0, 2).map(({ name }) => name);
  return modules.length > 2 ? `${names.join(', ')} and ${modules.length - 2} more` : names.join(' and ');
}
