// Bits for every layer → the recipe that says so: the modifier's scheme becomes config_groups, one for each kind of weights, with as few patterns as
// tell its layers from all others. All else of the recipe stays as its author wrote it.
import type { LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { withoutLevels } from '../../../schemas/src/levels.js';
import type { RecipeEdit, RecipePath } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import { appliedTo, textReplacements } from './recipe-edits.js';

/** The new text, or why there is none, as a sentence. */
export type AssignedBits = { text: string } | { reason: string };

export function assignBits(resolution: Resolution, bits: Readonly<Record<string, number>>): AssignedBits {
  const { document, layers } = resolution;
  const named = layers.filter(({ name }) => bits[name] !== undefined);
  const unknown = Object.keys(bits).find((name) => !layers.some((layer) => layer.name === name));
  if (unknown !== undefined) return { reason: `The model has no layer ${unknown}. Analyze this recipe again.` };
  const paths = new Map(named.map(({ quantizer }) => [JSON.stringify(quantizer?.recipe_path ?? null), quantizer?.recipe_path ?? null]));
  const [path] = [...paths.values()];
  if (paths.size !== 1 || !path)
    return { reason: 'The layers belong to more than one modifier, and bits are moved within one. Give the layers to one modifier.' };
  const modifier: RecipePath = [...path];
  const own = layers.filter(({ quantizer }) => JSON.stringify(quantizer?.recipe_path ?? null) === JSON.stringify(path));
  const left = own.find(({ name, scheme }) => scheme?.weights && bits[name] === undefined);
  if (left !== undefined) return { reason: `${left.name} is quantized and was not analyzed. Analyze this recipe again.` };
  const withInputs = named.find(({ scheme }) => scheme?.input_activations);
  if (withInputs !== undefined)
    return {
      reason: `${withInputs.name} has quantized inputs, and mixed bits are written for weights alone. Use a weight-only scheme such as W4A16.`,
    };
  const groups = groupsText(named, layers, bits, indentOf(document.text, document.rangeOf(modifier, 'key').start.line));
  const key = ['config_groups', 'scheme'].find((name) => document.has([...modifier, name]));
  const edits: RecipeEdit[] = [
    ...(key === undefined
      ? [{ kind: 'insert-key' as const, path: modifier, key: 'config_groups', text: groups }]
      : [{ kind: 'replace-value' as const, path: [...modifier, key], text: groups }]),
    ...(key === 'scheme' ? [{ kind: 'replace-key' as const, path: [...modifier, key], text: 'config_groups' }] : []),
    ...(document.has([...modifier, 'targets']) ? [{ kind: 'remove' as const, path: [...modifier, 'targets'] }] : []),
  ];
  const replacements = textReplacements(document, edits);
  if (replacements === null)
    return { reason: 'The modifier stands in an anchor or a merge key, where it cannot be changed alone. Write it out.' };
  return { text: appliedTo(document, replacements) };
}

const indentOf = (text: string, line: number): string => /^\s*/.exec(text.split('\n')[line] ?? '')?.[0] ?? '';

function groupsText(
  named: readonly LayerPlan[],
  all: readonly LayerPlan[],
  bits: Readonly<Record<string, number>>,
  indent: string,
): string {
  const groups = new Map<string, { args: string; num_bits: number; names: string[] }>();
  for (const { name, scheme } of named) {
    const num_bits = bits[name] ?? 0;
    const args = scheme?.weights ? argsText(withoutLevels({ ...scheme.weights, num_bits })) : '';
    const group = groups.get(args) ?? { args, num_bits, names: [] };
    group.names.push(name);
    groups.set(args, group);
  }
  const used = new Set<string>();
  const lines = [...groups.values()]
    .sort((a, b) => a.num_bits - b.num_bits)
    .map(({ args, num_bits, names }) => {
      let title = `int${num_bits}`;
      for (let count = 2; used.has(title); count += 1) title = `int${num_bits}_${count}`;
      used.add(title);
      return `${indent}    ${title}: {targets: [${patternsOf(names, all).map(yamlScalar).join(', ')}], weights: ${args}}`;
    });
  return `{\n${lines.join(',\n')}\n${indent}  }`;
}

/** What differs from the default of compressed-tensors is written. */
function argsText(args: QuantizationArgs): string {
  const { num_bits, type, symmetric, strategy, group_size, block_structure, actorder, observer, observer_kwargs } = args;
  const fields = [
    `num_bits: ${num_bits}`,
    `type: ${type}`,
    `symmetric: ${symmetric}`,
    `strategy: ${strategy}`,
    ...(group_size === null ? [] : [`group_size: ${group_size}`]),
    ...(block_structure === null ? [] : [`block_structure: [${block_structure.join(', ')}]`]),
    ...(actorder === null ? [] : [`actorder: ${actorder}`]),
    ...(observer === null || observer === undefined ? [] : [`observer: ${observer}`]),
    ...(Object.keys(observer_kwargs).length === 0 ? [] : [`observer_kwargs: ${JSON.stringify(observer_kwargs)}`]),
  ];
  return `{${fields.join(', ')}}`;
}

const escaped = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&');

/** One pattern for the modules of one parent that have the same blocks. */
export function patternsOf(names: readonly string[], all: readonly LayerPlan[]): string[] {
  const blocksOf = new Map<string, { prefix: string; parent: string; leaf: string; blocks: string[] }>();
  const plain: string[] = [];
  for (const name of names) {
    const found = /^(.*?\.)(\d+)\.(.*\.)?([^.]+)$/.exec(name);
    if (found === null) {
      plain.push(name);
      continue;
    }
    const [, prefix = '', block = '', parent = '', leaf = ''] = found;
    const key = `${prefix} ${parent} ${leaf}`;
    const known = blocksOf.get(key) ?? { prefix, parent, leaf, blocks: [] };
    known.blocks.push(block);
    blocksOf.set(key, known);
  }
  const merged = new Map<string, { prefix: string; parent: string; blocks: string; leaves: string[] }>();
  for (const { prefix, parent, leaf, blocks } of blocksOf.values()) {
    const key = `${prefix} ${parent} ${blocks.join('|')}`;
    const known = merged.get(key) ?? { prefix, parent, blocks: blocks.join('|'), leaves: [] };
    known.leaves.push(leaf);
    merged.set(key, known);
  }
  const oneOf = (choices: string): string => (choices.includes('|') ? `(${choices})` : choices);
  const isWhole = ({ prefix, parent, blocks, leaves }: { prefix: string; parent: string; blocks: string; leaves: string[] }): boolean =>
    all.filter(({ name }) => name.startsWith(prefix) && leaves.some((leaf) => name.endsWith(`.${parent}${leaf}`))).length ===
    blocks.split('|').length * leaves.length;
  return [
    ...plain,
    ...[...merged.values()].map((one) => {
      const leaves = oneOf(one.leaves.map(escaped).join('|'));
      return `re:${escaped(one.prefix)}${isWhole(one) ? '\\d+' : oneOf(one.blocks)}\\.${escaped(one.parent)}${leaves}$`;
    }),
  ];
}
