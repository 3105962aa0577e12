// Targets and ignore entries that fit the model: classes, patterns by role, layer names, each with the number of layers it matches.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import { literal, type CompletionEntry, type CompletionKind } from './completion-entry.js';
import type { RecipeCursor } from './recipe-cursor.js';

const targetKeys = new Set(['targets', 'ignore', 'mappings']);

/** Whether layers are named here: an entry of targets, ignore or mappings. */
export function wantsTarget(path: RecipePath): boolean {
  const key = path.filter((step) => typeof step === 'string').at(-1);
  return key !== undefined && targetKeys.has(key);
}

export function completeTargets(cursor: RecipeCursor, model: ModelDescription | null): CompletionEntry[] {
  if (model === null)
    return [
      entry('Linear', 'class', 'every linear layer', cursor),
      entry('lm_head', 'layer', 'the output head', cursor),
      entry('re:.*', 'pattern', 'a regular expression on the full name, anchored at its start', cursor),
    ];
  const modules = modulesOf(model);
  const counted = (text: string, kind: CompletionKind): CompletionEntry[] => {
    const matched = matchesOf(text, modules).length;
    return matched === 0 ? [] : [entry(text, kind, `${matched} of ${modules.length} layers`, cursor)];
  };
  const tensors = new Map(model.tensors.map((tensor) => [tensor.name, tensor]));
  const shapeOf = (module: string): string => {
    const weight = tensors.get(`${module}.weight`);
    return weight === undefined ? 'shares its weight with another layer' : `${weight.shape.join(' × ')} ${weight.dtype}`;
  };
  const linear = modules.filter((module) => module.class === 'Linear').map((module) => module.name);
  const roles = unique(linear.filter((name) => /\.\d+\./.test(name)).map((name) => name.slice(name.lastIndexOf('.') + 1)));
  const parents = unique(linear.flatMap((name) => /\.\d+\.(\w+)\./.exec(name)?.[1] ?? []));
  return [
    ...['Linear', 'Embedding'].flatMap((name) => counted(name, 'class')),
    ...parents.flatMap((parent) => counted(`re:.*${parent}.*`, 'pattern')),
    ...roles.flatMap((role) => counted(`re:.*${role}$`, 'pattern')),
    ...blockPatterns(linear).flatMap((pattern) => counted(pattern, 'pattern')),
    ...modules.filter((module) => module.class !== 'Other').map(({ name }) => entry(name, 'layer', shapeOf(name), cursor)),
  ];
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
function entry(text: string, kind: CompletionKind, detail: string, { inFlow, quoted }: RecipeCursor): CompletionEntry {
  const needsQuotes = inFlow && !quoted && /[[\]{},]/.test(text);
  return { label: text, kind, detail, snippet: literal(needsQuotes ? `'${text}'` : text) };
}

const unique = <Item>(items: readonly Item[]): Item[] => [...new Set(items)];
