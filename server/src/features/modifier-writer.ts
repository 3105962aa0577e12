// The moves of layers within one modifier as edits of its text: entries of ignore and of targets, groups that come and go, each new entry with its reason.
import type { RecipeEdit, RecipePath } from '../../../schemas/src/problem.js';
import type { SchemeGroup } from '../plan/expand-scheme.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution } from '../plan/resolution.js';
import { textsOf } from '../recipe/coerce.js';
import { isJson, parseValue } from '../recipe/parse-recipe.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { flowText, yamlScalar } from '../recipe/yaml-scalar.js';
import { patternsOf } from './assign-bits.js';
import { addedItems, commentAbove, insertion, isInFlow, type CommentedEntry } from './commented-edits.js';
import { bodyOf, type Move } from './layer-moves.js';

export interface NewGroup {
  title: string;
  body: Readonly<Record<string, unknown>>;
  moves: Move[];
}

/** What becomes of the groups of a modifier. */
export interface GroupChanges {
  groups: readonly SchemeGroup[];
  /** Of each group the targets that stay. */
  kept: readonly (readonly string[])[];
  additions: ReadonlyMap<SchemeGroup, readonly Move[]>;
  added: readonly NewGroup[];
}

/** From here on one entry for each layer would be hard to read. */
const mostNames = 8;

export class ModifierWriter {
  private readonly document;
  private readonly inFlow: boolean;

  constructor(
    private readonly resolution: Resolution,
    private readonly modifier: RecipeModifier,
    private readonly compact: boolean,
  ) {
    this.document = resolution.document;
    this.inFlow = isInFlow(this.document, modifier.path);
  }

  /** Names, or for many of them patterns, each with its reason. */
  private entries(moves: readonly Move[]): CommentedEntry[] {
    const names = moves.map(({ layer, note }) => ({ entry: layer.name, note }));
    if (!this.compact || names.length <= mostNames) return names;
    const patterns = patternsOf(
      names.map(({ entry }) => entry),
      this.resolution.layers,
    );
    return patterns.length > names.length / 2 ? names : patterns.map((entry) => ({ entry, note: sharedNote(moves) }));
  }

  private listed(path: RecipePath, moves: readonly Move[]): RecipeEdit[] {
    return addedItems(this.document, path, this.entries(moves));
  }

  ignore(removed: readonly string[], moves: readonly Move[]): RecipeEdit[] {
    const { document, modifier } = this;
    const path: RecipePath = [...modifier.path, 'ignore'];
    const value = document.valueAt(path);
    const entries = textsOf(value);
    const gone = removed.length === 0 ? [] : entries.flatMap((entry, at) => (removed.includes(entry) ? [at] : []));
    if (gone.length === entries.length && gone.length > 0 && moves.length === 0) return [{ kind: 'remove', path }];
    const removals = gone.map((at): RecipeEdit => ({ kind: 'remove', path: Array.isArray(value) ? [...path, at] : path }));
    if (moves.length === 0) return removals;
    if (entries.length > gone.length) return [...removals, ...this.listed(path, moves)];
    // An insertion is indented with its key, a value stands where it stands.
    if (document.has(path))
      return [{ kind: 'replace-value', path, text: this.targetsText(this.entries(moves), this.indentOf(2)).replace(/^ /, '') }];
    return [
      { kind: 'insert-key', path: modifier.path, key: 'ignore', text: this.targetsText(this.entries(moves), '  ').replace(/^ /, '') },
    ];
  }

  /** config_groups is there: entries and groups come and go. */
  changedGroups({ groups, kept, additions, added }: GroupChanges): RecipeEdit[] {
    const { document, modifier } = this;
    const at: RecipePath = [...modifier.path, 'config_groups'];
    const removals = groups.flatMap((group, index): RecipeEdit[] => {
      const rest = kept[index] ?? [];
      if (rest.length === group.targets.length) return [];
      if (rest.length === 0) return [{ kind: 'remove', path: group.path }];
      return group.targets.flatMap((entry, place): RecipeEdit[] =>
        rest.includes(entry) ? [] : [{ kind: 'remove', path: [...group.targetsPath, place] }],
      );
    });
    const extended = [...additions].flatMap(([group, moves]) => this.listed(group.targetsPath, moves));
    if (added.length === 0) return [...removals, ...extended];
    const taken = new Set(groups.map(({ name }) => name));
    const named = added.map((group) => ({ ...group, key: unique(group.title, taken), targets: this.entries(group.moves) }));
    const last = groups.findLast((_, index) => (kept[index] ?? []).length > 0);
    const isFlow = isInFlow(document, at);
    if (last === undefined) {
      const indent = this.indentOf(2);
      const text = isFlow
        ? `{${named.map((group) => `${group.key}: ${this.flowBody(group.body, group.targets)}`).join(', ')}}`
        : named.map((group) => `${indent}${group.key}:${this.blockBody(group.body, group.targets, `${indent}  `)}`).join('\n');
      return [{ kind: 'replace-value', path: at, text: text.trimStart() }, ...(isFlow ? this.notesAbove(at, named) : [])];
    }
    const end = endOfEntry(document, last.path);
    if (isFlow) {
      const parts = named.map((group) =>
        isJson(document.text)
          ? `, ${JSON.stringify(group.key)}: ${JSON.stringify(parseValue(this.flowBody(group.body, group.targets)))}`
          : `, ${group.key}: ${this.flowBody(group.body, group.targets)}`,
      );
      return [...removals, ...extended, insertion(document, end, parts.join('')), ...this.notesAbove(at, named)];
    }
    const indent = ' '.repeat(document.rangeOf(last.path, 'key').start.character);
    const lines = named.map((group) => `\n${indent}${group.key}:${this.blockBody(group.body, group.targets, `${indent}  `)}`);
    const lineEnd = document.text.indexOf('\n', end);
    return [...removals, ...extended, insertion(document, lineEnd < 0 ? document.text.length : lineEnd, lines.join(''))];
  }

  private notesAbove(path: RecipePath, groups: readonly { targets: readonly CommentedEntry[] }[]): RecipeEdit[] {
    const noted = groups.flatMap(({ targets }) => targets).filter(({ note }) => note !== '');
    return commentAbove(
      this.document,
      path,
      noted.map(({ entry, note }) => `${entry}: ${note}`),
    );
  }

  /** A preset, or presets with their targets, become config_groups; the groups that were there come last, so that a comment behind them stays with them. */
  newGroups({ groups, kept, additions, added }: GroupChanges): RecipeEdit[] {
    const { document, modifier } = this;
    const key: RecipePath = [...modifier.path, 'scheme'];
    const taken = new Set<string>();
    const before = groups.flatMap((group, at) => {
      const targets = (kept[at] ?? []).map((entry) => ({ entry, note: '' }));
      const more = this.entries(additions.get(group) ?? []);
      return targets.length + more.length === 0
        ? []
        : [{ title: group.name.toLowerCase(), body: bodyOf(group, modifier), targets: [...more, ...targets] }];
    });
    const all = [...added.map((group) => ({ ...group, targets: this.entries(group.moves) })), ...before];
    const indent = this.indentOf(2);
    const text = this.inFlow
      ? `{${all.map((group) => `${unique(group.title, taken)}: ${this.flowBody(group.body, group.targets)}`).join(', ')}}`
      : all.map((group) => `\n${indent}${unique(group.title, taken)}:${this.blockBody(group.body, group.targets, `${indent}  `)}`).join('');
    return [
      { kind: 'replace-key', path: key, text: 'config_groups' },
      { kind: 'replace-value', path: key, text },
      ...(document.has([...modifier.path, 'targets']) ? [{ kind: 'remove' as const, path: [...modifier.path, 'targets'] }] : []),
      ...(this.inFlow ? this.notesAbove(key, all) : []),
    ];
  }

  /** Of the fields of the modifier, with more steps of two spaces. */
  private indentOf(more: number): string {
    const { document, modifier } = this;
    const first = Object.keys(modifier.body)[0];
    return ' '.repeat((first === undefined ? 0 : document.rangeOf([...modifier.path, first], 'key').start.character) + more);
  }

  private flowBody(body: Readonly<Record<string, unknown>>, targets: readonly CommentedEntry[]): string {
    const parts = Object.entries(body).map(([key, value]) => `${key}: ${flowText(value)}`);
    return `{targets: [${targets.map(({ entry }) => yamlScalar(entry)).join(', ')}], ${parts.join(', ')}}`;
  }

  /** Behind the colon of the group's name. */
  private blockBody(body: Readonly<Record<string, unknown>>, targets: readonly CommentedEntry[], indent: string): string {
    const parts = Object.entries(body).map(([key, value]) => `\n${indent}${key}: ${flowText(value)}`);
    return `\n${indent}targets:${this.targetsText(targets, `${indent}  `)}${parts.join('')}`;
  }

  /** A list behind a colon: on one line where no entry has a reason, or where it must be. */
  private targetsText(entries: readonly CommentedEntry[], indent: string): string {
    if (this.inFlow || entries.every(({ note }) => note === '')) return ` [${entries.map(({ entry }) => yamlScalar(entry)).join(', ')}]`;
    return entries.map(({ entry, note }) => `\n${indent}- ${yamlScalar(entry)}${note === '' ? '' : `  # ${note}`}`).join('');
  }
}

/** What is said of all layers of a pattern. */
const sharedNote = (moves: readonly Move[]): string => {
  const notes = [...new Set(moves.map(({ note }) => note))];
  return notes.length <= 1 ? (notes[0] ?? '') : `${moves.length} layers; ${notes[0]}, and others`;
};

function endOfEntry(document: RecipeDocument, path: RecipePath): number {
  const { begin, end } = document.spanOf(path, 'value');
  return begin + document.text.slice(begin, end).replace(/[ \t\r\n]+$/, '').length;
}

function unique(title: string, taken: Set<string>): string {
  let name = title;
  for (let count = 2; taken.has(name); count += 1) name = `${title}_${count}`;
  taken.add(name);
  return name;
}
