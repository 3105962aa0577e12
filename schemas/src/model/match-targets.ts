// Does a target or ignore entry match a module? compressed-tensors' rules: `re:` patterns as Python's re.match on the full name, else the full name, else the class.

export type ModuleClass = 'Linear' | 'Embedding' | 'Other';

export interface NamedModule {
  name: string;
  class: ModuleClass;
}

export type Matcher = (module: NamedModule) => boolean;
export type MatcherResult = { matcher: Matcher } | { error: string };

/** Python syntax that JavaScript spells differently or lacks. */
function translatePattern(pattern: string): string | { error: string } {
  const unsupported = /\(\?\(|\(\?#|\\A.+\\A|\(\?P>|[*+?}]\+/.exec(pattern);
  if (unsupported !== null) return { error: `${JSON.stringify(unsupported[0])} is not supported here` };
  return pattern
    .replace(/\(\?P<(\w+)>/g, '(?<$1>')
    .replace(/\(\?P=(\w+)\)/g, '\\k<$1>')
    .replace(/\\A/g, '^')
    .replace(/\\Z/g, '$');
}

/** One entry of targets or ignore → a function on modules; an invalid regular expression is answered, not thrown. */
export function compileTarget(entry: string): MatcherResult {
  if (!entry.startsWith('re:')) return { matcher: (module) => module.name === entry || matchesClass(entry, module.class) };
  const translated = translatePattern(entry.slice(3));
  if (typeof translated !== 'string') return translated;
  try {
    // re.match: anchored at the start, open at the end; `.` matches anything but a newline in both languages.
    const expression = new RegExp(`^(?:${translated})`);
    return { matcher: (module) => expression.test(module.name) };
  } catch (error) {
    return { error: error instanceof Error ? error.message.replace(/^Invalid regular expression: /, '') : String(error) };
  }
}

/** Class names of torch that a module of ours answers to; parents count. */
function matchesClass(entry: string, moduleClass: ModuleClass): boolean {
  if (moduleClass === 'Linear') return entry === 'Linear' || entry === 'LinearBase' || entry === 'Module';
  if (moduleClass === 'Embedding') return entry === 'Embedding' || entry === 'Module';
  return false;
}

/** exact name 0, pattern 1, class 2: compressed-tensors asks groups in this order. */
export function targetRank(entry: string, module: NamedModule): 0 | 1 | 2 {
  if (entry.startsWith('re:')) return 1;
  return entry === module.name ? 0 : 2;
}
