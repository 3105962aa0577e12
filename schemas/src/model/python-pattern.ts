// A regular expression of Python's re → the same in JavaScript's syntax; what one has and the other has not is said, not guessed.

export interface TranslatedPattern {
  source: string;
  flags: string;
  /** Repeats inside of repeats, or many of them: on a name that does not fit, such a pattern can take forever. */
  isRisky: boolean;
}

/** Letters that may follow a backslash in Python; others are an error there, and stand for themselves in JavaScript. */
const escapes = /^[AZabBdDsSwWfnrtvxu]$/;

/** More unbounded repeats than this one behind another are watched. */
const calmRepeats = 3;

export function translatePattern(pattern: string): TranslatedPattern | { error: string } {
  try {
    return new Translation(pattern).run();
  } catch (error) {
    if (error instanceof Untranslatable) return { error: error.message };
    throw error;
  }
}

class Untranslatable extends Error {}

class Translation {
  private at = 0;
  private out = '';
  private flags = '';
  private n_groups = 0;
  private n_repeats = 0;
  private isRisky = false;
  /** Open groups: whether an unbounded repeat stands in each. */
  private readonly open: boolean[] = [false];
  /** Whether the item just read holds an unbounded repeat. */
  private itemRepeats = false;

  constructor(private readonly pattern: string) {}

  run(): TranslatedPattern {
    this.globalFlags();
    while (this.at < this.pattern.length) this.item();
    return { source: this.out, flags: this.flags, isRisky: this.isRisky || this.n_repeats > calmRepeats };
  }

  /** `(?i)` and the like hold for the whole pattern and stand at its start only. */
  private globalFlags(): void {
    const match = /^\(\?([aimsux]+)\)/.exec(this.pattern);
    if (match === null) return;
    if (match[1]?.includes('x')) throw new Untranslatable('the flag x (verbose) is not supported here');
    this.flags = ['i', 'm', 's'].filter((flag) => match[1]?.includes(flag)).join('');
    this.at = match[0].length;
  }

  private item(): void {
    const char = this.pattern[this.at];
    switch (char) {
      case '\\':
        return this.escape(false);
      case '[':
        return this.set();
      case '(':
        return this.group();
      case ')':
        this.itemRepeats = this.open.length > 1 ? (this.open.pop() ?? false) : false;
        this.take(1);
        return;
      case '*':
      case '+':
      case '?':
        return this.repeat(char, char !== '?');
      case '{': {
        const bounds = /^\{(\d*)(,?)(\d*)\}/.exec(this.pattern.slice(this.at));
        if (bounds === null || (bounds[1] === '' && bounds[3] === '')) {
          this.put('\\{', 1);
          this.itemRepeats = false;
          return;
        }
        const [text = '', least = '', comma = '', most = ''] = bounds;
        this.at += text.length - 1;
        return this.repeat(`{${least === '' ? '0' : least}${comma}${most}}`, comma !== '' && most === '');
      }
      default:
        this.itemRepeats = false;
        this.take(1);
    }
  }

  private repeat(text: string, isUnbounded: boolean): void {
    this.put(text, 1);
    const next = this.pattern[this.at];
    if (next === '+') throw new Untranslatable(`the possessive repeat ${text}+ is not supported here`);
    if (next === '?') this.take(1);
    if (!isUnbounded) return;
    this.n_repeats += 1;
    if (this.itemRepeats) this.isRisky = true;
    this.open[this.open.length - 1] = true;
  }

  private escape(inSet: boolean): void {
    const next = this.pattern[this.at + 1];
    if (next === undefined) throw new Untranslatable('it ends in a backslash');
    this.itemRepeats = false;
    if (/[1-9]/.test(next) && !inSet) {
      const digits = /^\d{1,2}/.exec(this.pattern.slice(this.at + 1))?.[0] ?? next;
      if (Number(digits) > this.n_groups) throw new Untranslatable(`\\${digits} refers to a group that is not there`);
    } else if (next === 'N') throw new Untranslatable('\\N{name} is not supported here');
    else if (/[A-Za-z]/.test(next) && (!escapes.test(next) || (inSet && /[ABZ]/.test(next))))
      throw new Untranslatable(`\\${next} has no meaning in Python's patterns`);
    if (next === 'A') this.put('^', 2);
    else if (next === 'Z') this.put('$', 2);
    else if (next === 'a') this.put('\\x07', 2);
    else this.take(2);
  }

  /** A bracket that comes first in a set stands for itself in Python. */
  private set(): void {
    this.take(1);
    if (this.pattern[this.at] === '^') this.take(1);
    if (this.pattern[this.at] === ']') this.put('\\]', 1);
    while (this.pattern[this.at] !== ']') {
      if (this.at >= this.pattern.length) throw new Untranslatable('a set [ is not closed');
      if (this.pattern[this.at] === '\\') this.escape(true);
      else this.take(1);
    }
    this.take(1);
    this.itemRepeats = false;
  }

  private group(): void {
    const rest = this.pattern.slice(this.at);
    const named = /^\(\?P<([A-Za-z_]\w*)>/.exec(rest);
    const back = /^\(\?P=([A-Za-z_]\w*)\)/.exec(rest);
    const comment = /^\(\?#[^)]*\)/.exec(rest);
    const plain = /^\((?:\?(?::|=|!|<=|<!))?(?!\?)/.exec(rest);
    if (comment !== null) this.at += comment[0].length;
    else if (back !== null) this.put(`\\k<${back[1] ?? ''}>`, back[0].length);
    else if (named !== null) this.opened(`(?<${named[1] ?? ''}>`, named[0].length, true);
    else if (plain !== null) this.opened(plain[0], plain[0].length, plain[0] === '(');
    else if (/^\(\?[aimsux]+\)/.test(rest)) throw new Untranslatable('flags such as (?i) must stand at the start of the pattern');
    else throw new Untranslatable(`${JSON.stringify(rest.slice(0, 4))} is not supported here`);
  }

  private opened(text: string, length: number, isCaptured: boolean): void {
    this.put(text, length);
    this.open.push(false);
    if (isCaptured) this.n_groups += 1;
  }

  private take(length: number): void {
    this.put(this.pattern.slice(this.at, this.at + length), length);
  }

  private put(text: string, length: number): void {
    this.out += text;
    this.at += length;
  }
}
