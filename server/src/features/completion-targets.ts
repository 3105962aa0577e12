// Targets and ignore entries that fit the model: classes, patterns by role, layer names, each with the number of layers it matches.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { madeOnce } from '../../../schemas/src/made-once.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import { literal, type CompletionEntry, type CompletionKind } from './completion-entry.js';
import type { RecipeCursor } from './recipe-cursor.js';

const targetKeys = new Set(['targets', 'ignore', 'mappings']);

/** Whether layers are named here: an entry of targets, ignore or mappings. */
export function wantsTarget(path: RecipePath): boolean {
  const key = path.filter((step) => typeof step === 'string').at(-1);
  return key !== undefined && targetKeys.has(key);
}

/** Of a model with ten thousand layers an editor gets the first of those that what is typed can mean, and asks again with the next letter. */
const mostLayers = 200;

export interface TargetEntries {
  entries: CompletionEntry[];
  /** Layers are left out. */
  isIncomplete: boolean;
}

export function completeTargets(cursor: RecipeCursor, model: ModelDescription | null): TargetEntries {
  const { choices, layers } = model === null ? withoutModel : choicesOf(model);
  // As editors filter: letter by letter, with gaps. What they would show of the classes and patterns they decide themselves.
  const isMeant = subsequenceTest(cursor.before);
  const meant: Choice[] = [];
  for (const layer of layers)
    if (isMeant(layer.label)) {
      if (meant.length === mostLayers) break;
      meant.push(layer);
    }
  return {
    entries: [...choices, ...meant].map((choice) => entry(choice, cursor)),
    isIncomplete: meant.length === mostLayers,
  };
}

type Choice = Pick<CompletionEntry, 'label' | 'kind' | 'detail'>;

const withoutModel: { choices: readonly Choice[]; layers: readonly Choice[] } = {
  choices: [
    { label: 'Linear', kind: 'class', detail: 'every linear layer' },
    { label: 'lm_head', kind: 'layer', detail: 'the output head' },
    { label: 're:.*', kind: 'pattern', detail: 'a regular expression on the full name, anchored at its start' },
  ],
  layers: [],
};

/** Made once for a model: it does not depend on what is typed. */
const choicesOf = madeOnce((model: ModelDescription): typeof withoutModel => {
  const modules = modulesOf(model);
  const counted = (label: string, kind: CompletionKind): Choice[] => {
    const matched = matchesOf(label, modules).length;
    return matched === 0 ? [] : [{ label, kind, detail: `${matched} of ${modules.length} layers` }];
  };
  const tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const shapeOf = (module: string): string => {
    const weight = tensors.get(`${module}.weight`);
    return weight === undefined ? 'shares its weight with another layer' : `${weight.shape.join(' × ')} ${weight.dtype}`;
  };
  const linear = modules.filter((module) => module.class === 'Linear').map((module) => module.name);
  const roles = unique(linear.filter((name) => /\.\d+\./.test(name)).map((name) => name.slice(name.lastIndexOf('.') + 1)));
  const parents = unique(linear.flatMap((name) => /\.\d+\.(\w+)\./.exec(name)?.[1] ?? []));
  const found = {
    choices: [
      ...['Linear', 'Embedding'].flatMap((name) => counted(name, 'class')),
      ...parents.flatMap((parent) => counted(`re:.*${parent}.*`, 'pattern')),
      ...roles.flatMap((role) => counted(`re:.*${role}$`, 'pattern')),
      ...blockPatterns(linear).flatMap((pattern) => counted(pattern, 'pattern')),
    ],
    layers: modules
      .filter((module) => module.class !== 'Other')
      .map(({ name }): Choice => ({ label: name, kind: 'layer', detail: shapeOf(name) })),
  };
  return found;
});

/** Whether a text has all letters that were typed, in their order. */
function subsequenceTest(typed: string): (text: string) => boolean {
  const letters = typed.toLowerCase();
  return (text) => {
    let at = 0;
    for (let i = 0; i < text.length && at < letters.length; i += 1) if (text[i]?.toLowerCase() === letters[at]) at += 1;
    return at === letters.length;
  };
}

/** The first and the last block, which are the ones that people spare. `[.]` instead of `\.`: it survives double quotes. */
function blockPatterns(names: readonly string[]): string[] {
  const prefix = names.map((name) => /^(.*?)\.\d+\./.exec(name)?.[1]).find((found) => found !== undefined);
  if (prefix === undefined) return [];
  const blocks = names.flatMap((name) =>
    name.startsWith(`${prefix}.`) ? Number(/^\d+/.exec(name.slice(prefix.length + 1))?.[0] ?? NaN) : [],
  );
  const last = Math.max(...blocks.filter((block) => !Number.isNaN(block)));
  return unique([0, last]).map((block) => `re:${prefix}.${block}[.]`);
}

/** In a flow list `[` opens a list, so such a pattern is quoted there. */
function entry(choice: Choice, { inFlow, quoted }: RecipeCursor): CompletionEntry {
  const needsQuotes = inFlow && !quoted && /[[\]{},]/.test(choice.label);
  return { ...choice, snippet: literal(needsQuotes ? `'${choice.label}'` : choice.label) };
}

const unique = <Item>(items: readonly Item[]): Item[] => [...new Set(items)];
