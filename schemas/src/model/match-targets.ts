// Does a target or ignore entry match a module? compressed-tensors' rules: `re:` patterns as Python's re.match on the full name, else the full name, else the class.
import { createContext, Script } from 'node:vm';
import { translatePattern } from './python-pattern.js';

export type ModuleClass = 'Linear' | 'Embedding' | 'Other';

export interface NamedModule {
  name: string;
  class: ModuleClass;
}

export type Matcher = (module: NamedModule) => boolean;
/**
 * `names`: all that it can match, where it lists them (`model\\.layers\\.(0|1)\\.mlp\\.down_proj$`). `end`: letters that every name it matches ends in,
 * where that is plain to see. Who has many names asks only those.
 */
export type MatcherResult = { matcher: Matcher; names: readonly string[] | null; end: string | null } | { error: string };

/** Longer entries name nothing; the engine refuses very long patterns only while it matches. */
const longestEntry = 10_000;

/** Recipes ask the same entry for every module, and again at every key press. */
const compiled = new Map<string, MatcherResult>();
const KEPT_ENTRIES = 5000;

/**
 * One entry of targets or ignore → a function on modules; an invalid regular expression is answered, not thrown. A pattern that takes
 * too long on a name answers false there, and is an error from then on.
 */
export function compileTarget(entry: string): MatcherResult {
  const known = compiled.get(entry);
  if (known !== undefined) return known;
  const result = compile(entry);
  if (compiled.size >= KEPT_ENTRIES) compiled.clear();
  compiled.set(entry, result);
  return result;
}

function compile(entry: string): MatcherResult {
  if (entry.length > longestEntry) return { error: `it has ${entry.length} characters, more than the ${longestEntry} that are read` };
  if (!entry.startsWith('re:'))
    return {
      matcher: (module) => module.name === entry || matchesClass(entry, module.class),
      names: isClassName(entry) ? null : [entry],
      end: null,
    };
  const translated = translatePattern(entry.slice(3));
  if ('error' in translated) return translated;
  try {
    const names = listedNames(translated.source, translated.flags);
    if (names !== null) {
      const listed = new Set(names);
      return { matcher: (module) => listed.has(module.name), names, end: null };
    }
    // re.match: anchored at the start, open at the end; `.` matches anything but a newline in both languages.
    const expression = new RegExp(`^(?:${translated.source})`, translated.flags);
    expression.test('');
    const end = requiredEnd(translated.source, translated.flags);
    if (!translated.isRisky) return { matcher: (module) => expression.test(module.name), names, end };
    return { matcher: (module) => testWatched(expression, module.name, entry), names, end };
  } catch (error) {
    return { error: error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : String(error) };
  }
}

/** More are not a list that someone wrote. */
const mostNames = 500;

/** What a pattern of letters, `\\.` and groups of such alternatives lists, closed by `$`; null for any other. */
function listedNames(source: string, flags: string): string[] | null {
  if (flags !== '' || !/^(?:[\w-]|\\\.|\((?:\?:)?(?:[\w-]|\\\.|\|)*\))+\$$/.test(source)) return null;
  let names = [''];
  for (const [part] of source.slice(0, -1).matchAll(/\([^)]*\)|[^()]+/g)) {
    const choices = (part.startsWith('(') ? part.replace(/^\((?:\?:)?|\)$/g, '').split('|') : [part]).map((text) =>
      text.replaceAll('\\.', '.'),
    );
    if (names.length * choices.length > mostNames) return null;
    names = names.flatMap((name) => choices.map((choice) => name + choice));
  }
  return names;
}

/** Of `.*\\.q_proj$`: q_proj. Only letters, digits and _ before the `$`, behind a dot, a repeat, a group or a set; null where there are alternatives to all of it. */
function requiredEnd(source: string, flags: string): string | null {
  if (flags !== '') return null;
  const end = /(?:^|[*)\]]|(?<!\\)\\\.)(\w+)\$$/.exec(source)?.[1];
  return end === undefined || hasAlternatives(source) ? null : end;
}

/** A `|` outside of groups and sets. */
function hasAlternatives(source: string): boolean {
  let depth = 0;
  let inSet = false;
  for (let at = 0; at < source.length; at += 1) {
    const char = source[at];
    if (char === '\\') at += 1;
    else if (inSet) inSet = char !== ']';
    else if (char === '[') inSet = true;
    else if (char === '(') depth += 1;
    else if (char === ')') depth -= 1;
    else if (char === '|' && depth === 0) return true;
  }
  return false;
}

let n_tooSlow = 0;

/** How many entries were found too slow so far: where it has grown, answers before were given without knowing. */
export const tooSlowEntries = (): number => n_tooSlow;

const watch = new Script('expression.test(name)');
const watched = createContext({ expression: /(?:)/, name: '' });
const LONGEST_MILLISECONDS = 100;

function testWatched(expression: RegExp, name: string, entry: string): boolean {
  const tooSlow = compiled.get(entry);
  if (tooSlow !== undefined && 'error' in tooSlow) return false;
  Object.assign(watched, { expression, name });
  const { user: before } = process.cpuUsage();
  do {
    try {
      return watch.runInContext(watched, { timeout: LONGEST_MILLISECONDS }) === true;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    }
    // Node's limit is of the clock, which goes on while a machine sleeps or works for others: another try, unless half of the time was work.
  } while (process.cpuUsage().user - before < (1000 * LONGEST_MILLISECONDS) / 2);
  n_tooSlow += 1;
  compiled.set(entry, {
    error: `it takes more than ${LONGEST_MILLISECONDS} ms to see that it does not fit ${name}, because it repeats what is repeated already`,
  });
  return false;
}

/** An entry that names a class, of which there can be many modules; any other entry without re: names one at most. */
const isClassName = (entry: string): boolean => entry === 'Linear' || entry === 'Embedding' || entry === 'Module';

/** Class names of torch that a module of ours answers to; parents count. */
function matchesClass(entry: string, moduleClass: ModuleClass): boolean {
  if (moduleClass === 'Linear') return entry === 'Linear' || entry === 'Module';
  if (moduleClass === 'Embedding') return entry === 'Embedding' || entry === 'Module';
  return false;
}

/** exact name 0, pattern 1, class 2: compressed-tensors asks groups in this order. */
export function targetRank(entry: string, module: NamedModule): 0 | 1 | 2 {
  if (entry.startsWith('re:')) return 1;
  return entry === module.name ? 0 : 2;
}
