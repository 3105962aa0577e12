// An action on chosen layers (other bits, another scheme, kept as they are) → the recipe that says so, with the reason as a comment. Within each modifier the
// layers move between groups by the names that are written there; all else of the recipe stays as its author wrote it.
import { isDeepStrictEqual } from 'node:util';
import type { LayerPlan, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { compileTarget, targetRank, type NamedModule } from '../../../schemas/src/model/match-targets.js';
import type { RecipeEdit, RecipePath } from '../../../schemas/src/problem.js';
import type { LayerEdit } from '../../../schemas/src/protocol/client-server.js';
import { expandScheme, presetBody, type SchemeGroup } from '../plan/expand-scheme.js';
import { decidingRule, rulesOfLayer } from '../plan/layer-rules.js';
import { modulesOf } from '../plan/pattern-matches.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { mappingOf, textsOf } from '../recipe/coerce.js';
import { isJson, parseValue } from '../recipe/parse-recipe.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import { patternsOf } from './assign-bits.js';
import { addedItems, commentAbove, insertion, isInFlow, type CommentedEntry } from './commented-edits.js';
import { appliedTo, textReplacements, type TextReplacement } from './recipe-edits.js';

/** `wanted`: the scheme of each edited layer, null where it stays as it is. A reason is a sentence. */
export type EditedLayers = { text: string; wanted: ReadonlyMap<string, SchemeArgs | null> } | { reason: string };

/** A scheme without its storage format, which follows from it. */
export type SchemeArgs = Omit<QuantizationScheme, 'format'>;

export const schemeArgs = ({ weights, input_activations, output_activations }: QuantizationScheme): SchemeArgs => ({
  weights,
  input_activations,
  output_activations,
});

/** A layer with what is to become of it. */
interface Move {
  layer: LayerPlan;
  module: NamedModule;
  resolved: ResolvedModifier;
  note: string;
  /** null: it is ignored. `body` is the group as a recipe writes it, without its targets. */
  to: { scheme: SchemeArgs; body: Readonly<Record<string, unknown>>; title: string } | null;
}

class Refusal extends Error {}

/** From here on one entry for each layer would be hard to read. */
const mostNames = 8;

/** `compact`: many layers are written as patterns; who asks must see whether the patterns give each layer what it should get, and else ask for names. */
export function editLayers(resolution: Resolution, edits: readonly LayerEdit[], compact: boolean): EditedLayers {
  try {
    const moves = edits.flatMap((edit) => movesOf(resolution, edit));
    const modifiers = [...new Set(moves.map(({ resolved }) => resolved))];
    const changes = modifiers.flatMap((resolved) =>
      modifierEdits(
        resolution,
        resolved,
        moves.filter((move) => move.resolved === resolved),
        compact,
      ),
    );
    const replacements = textReplacements(resolution.document, changes);
    if (replacements === null)
      return { reason: 'The modifier stands in an anchor or a merge key, where it cannot be changed alone. Write it out.' };
    const tidy = replacements.map((replacement) => withoutSpaces(resolution, replacement));
    const wanted = new Map(moves.map(({ layer, to }) => [layer.name, to === null ? null : to.scheme]));
    return { text: appliedTo(resolution.document, tidy), wanted };
  } catch (error) {
    if (error instanceof Refusal) return { reason: error.message };
    throw error;
  }
}

function movesOf(resolution: Resolution, { layers, to }: LayerEdit): Move[] {
  const modules = resolution.model === null ? [] : modulesOf(resolution.model);
  const byName = new Map(modules.map((module) => [module.name, module]));
  const plans = new Map(resolution.layers.map((layer) => [layer.name, layer]));
  return layers.map(({ name, reason }) => {
    const [layer, module] = [plans.get(name), byName.get(name)];
    if (layer === undefined || module === undefined)
      throw new Refusal(`The model of this recipe has no layer ${name}. Analyze this recipe again.`);
    const rules = rulesOfLayer(resolution.quantization, module);
    const rule = decidingRule(rules);
    const resolved = resolution.quantization.find(({ modifier }) => modifier === rule?.modifier) ?? onlyModifier(resolution, name);
    const note = reason.replace(/\s+/g, ' ').trim();
    if ('ignore' in to) return { layer, module, resolved, note, to: null };
    if ('scheme' in to) return { layer, module, resolved, note, to: presetTarget(to.scheme, resolved.modifier) };
    const group = rule?.group ?? rules.find(({ outcome }) => outcome === 'left-out')?.group ?? resolved.groups[0];
    return { layer, module, resolved, note, to: bitsTarget(to.num_bits, group ?? null, resolved.modifier, name) };
  });
}

function onlyModifier({ quantization }: Resolution, name: string): ResolvedModifier {
  const [only] = quantization;
  if (only === undefined || quantization.length > 1)
    throw new Refusal(
      only === undefined
        ? 'The recipe has no modifier that quantizes. Add one, such as QuantizationModifier.'
        : `No target names ${name}, and several modifiers could take it. Name it in the targets of one of them.`,
    );
  return only;
}

function presetTarget(preset: string, modifier: RecipeModifier): NonNullable<Move['to']> {
  const body = presetBody(preset);
  const { groups } = expandScheme({
    ...modifier,
    body: { ...modifier.body, config_groups: undefined, scheme: preset, targets: ['Linear'] },
  });
  const scheme = groups[0]?.scheme ?? null;
  if (body === null || scheme === null) throw new Refusal(`${preset} is no preset scheme.`);
  if (scheme.weights === null) throw new Refusal(`${preset} quantizes no weights; to leave layers as they are, ignore them.`);
  return { scheme: schemeArgs(scheme), body, title: preset.toLowerCase() };
}

function bitsTarget(num_bits: number, group: SchemeGroup | null, modifier: RecipeModifier, name: string): NonNullable<Move['to']> {
  const weights = group?.scheme?.weights ?? null;
  if (!group?.scheme || weights === null)
    throw new Refusal(`${name} has no scheme whose bits could be changed. Assign it a scheme instead.`);
  if (weights.type === 'float')
    throw new Refusal(
      `${name} has weights in ${weights.num_bits}-bit floating point, which has no form with ${num_bits} bits and the same scales. Assign it a scheme instead.`,
    );
  if (!Number.isInteger(num_bits) || num_bits < 1 || num_bits > 8)
    throw new Refusal(`Weights are stored in 1 to 8 bits, and ${num_bits} were asked for.`);
  const body = bodyOf(group, modifier);
  return {
    scheme: { ...schemeArgs(group.scheme), weights: { ...weights, num_bits } },
    body: { ...body, weights: { ...mappingOf(body['weights']), num_bits } },
    title: `int${num_bits}`,
  };
}

/** A group as its author, or its preset, wrote it, without its targets. */
function bodyOf(group: SchemeGroup, { body }: RecipeModifier): Readonly<Record<string, unknown>> {
  const written = group.path.at(-2) === 'config_groups' ? mappingOf(mappingOf(body['config_groups'])[group.name]) : presetBody(group.name);
  if (written === null) throw new Refusal(`${group.name} is no preset scheme.`);
  return Object.fromEntries(Object.entries(written).filter(([key]) => key !== 'targets'));
}

/** A text that goes on in the next line leaves no space before its break. */
function withoutSpaces({ document }: Resolution, { range, newText }: TextReplacement): TextReplacement {
  const text = newText.replace(/[ \t]+(?=\n)/g, '');
  if (!text.startsWith('\n')) return { range, newText: text };
  const begin = document.offsetAt(range.start);
  const n_spaces = /[ \t]*$/.exec(document.text.slice(0, begin))?.[0].length ?? 0;
  return { range: { start: document.positionAt(begin - n_spaces), end: range.end }, newText: text };
}

interface NewGroup {
  title: string;
  body: Readonly<Record<string, unknown>>;
  moves: Move[];
}

function modifierEdits(resolution: Resolution, resolved: ResolvedModifier, moves: readonly Move[], compact: boolean): RecipeEdit[] {
  const { modifier, groups } = resolved;
  const names = new Set(moves.map(({ layer }) => layer.name));
  const ignored = textsOf(modifier.body['ignore']);
  const kept = groups.map((group) => group.targets.filter((entry) => !names.has(entry)));
  const unignored = ignored.filter((entry) => moves.some(({ layer, to }) => to !== null && layer.name === entry));
  const additions = new Map<SchemeGroup, Move[]>();
  const added: NewGroup[] = [];
  for (const move of moves) {
    const { layer, module, to } = move;
    if (to === null) continue;
    const blocking = ignored.find((entry) => !unignored.includes(entry) && matches(entry, module));
    if (blocking !== undefined)
      throw new Refusal(
        `${layer.name} is left out by ${blocking} in ignore of ${modifier.name}, which is no name of one layer. Change that entry first.`,
      );
    const fits = (group: SchemeGroup): boolean => group.scheme !== null && isDeepStrictEqual(schemeArgs(group.scheme), to.scheme);
    const falls = bestGroup(groups, kept, module);
    if (falls !== null && fits(falls)) continue;
    const group = groups.find((candidate, at) => fits(candidate) && (kept[at]?.length ?? 0) > 0);
    const known = added.find(({ body }) => isDeepStrictEqual(body, to.body));
    if (group !== undefined) additions.set(group, [...(additions.get(group) ?? []), move]);
    else if (known !== undefined) known.moves.push(move);
    else added.push({ title: to.title, body: to.body, moves: [move] });
  }
  const newlyIgnored = moves.filter(({ to, module }) => to === null && !ignored.some((entry) => matches(entry, module)));
  const write = new Writer(resolution, modifier, compact);
  return [
    ...write.ignore(unignored, newlyIgnored),
    ...(additions.size === 0 && added.length === 0 && groups.every((group, at) => kept[at]?.length === group.targets.length)
      ? []
      : isListed(groups[0], modifier) || groups.length === 0
        ? write.changedGroups(groups, kept, additions, added)
        : write.newGroups(groups, kept, additions, added)),
  ];
}

/** Whether the group stands in config_groups, where another can stand beside it. */
const isListed = (group: SchemeGroup | undefined, { path }: RecipeModifier): boolean => group?.path[path.length] === 'config_groups';

const matches = (entry: string, module: NamedModule): boolean => {
  const compiled = compileTarget(entry);
  return 'matcher' in compiled && compiled.matcher(module);
};

/** The group whose remaining targets claim the module, by the order of plan/assign-layers.ts. */
function bestGroup(groups: readonly SchemeGroup[], kept: readonly (readonly string[])[], module: NamedModule): SchemeGroup | null {
  const claims = groups.flatMap((group, at) =>
    (kept[at] ?? []).filter((entry) => matches(entry, module)).map((entry) => ({ group, entry, rank: targetRank(entry, module) })),
  );
  const best = claims.reduce<(typeof claims)[number] | null>(
    (a, b) => (a === null || b.rank < a.rank || (b.rank === a.rank && b.entry <= a.entry) ? b : a),
    null,
  );
  return best?.group ?? null;
}

/** Turns the moves of one modifier into edits of its text. */
class Writer {
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
  changedGroups(
    groups: readonly SchemeGroup[],
    kept: readonly (readonly string[])[],
    additions: ReadonlyMap<SchemeGroup, readonly Move[]>,
    added: readonly NewGroup[],
  ): RecipeEdit[] {
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
  newGroups(
    groups: readonly SchemeGroup[],
    kept: readonly (readonly string[])[],
    additions: ReadonlyMap<SchemeGroup, readonly Move[]>,
    added: readonly NewGroup[],
  ): RecipeEdit[] {
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

function flowText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(flowText).join(', ')}]`;
  if (typeof value === 'object' && value !== null)
    return `{${Object.entries(value)
      .map(([key, part]) => `${yamlScalar(key)}: ${flowText(part)}`)
      .join(', ')}}`;
  return typeof value === 'string' ? yamlScalar(value) : String(value);
}
