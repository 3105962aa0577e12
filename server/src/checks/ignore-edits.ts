// Edits that add entries to the ignore of a modifier, however it is written: what the fixes of several checks share.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { ProblemFix, RecipeEdit } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { textsOf } from '../recipe/coerce.js';
import { flowText, yamlScalar } from '../recipe/yaml-scalar.js';

/** Ends of names that these layers have and no other of the members: the last part where that tells them apart, else more parts. */
function endsOf(layers: readonly LayerPlan[], members: readonly LayerPlan[]): string[] {
  const taken = new Set(layers);
  const others = members.filter((layer) => !taken.has(layer));
  const isOwn = new Map<string, boolean>();
  const tells = (end: string): boolean => {
    const known = isOwn.get(end) ?? !others.some(({ name }) => name.endsWith(end));
    isOwn.set(end, known);
    return known;
  };
  const endOf = ({ name, role }: LayerPlan): string => {
    let end = role;
    while (end !== name && !tells(end)) end = name.slice(name.lastIndexOf('.', name.length - end.length - 2) + 1);
    return end;
  };
  return [...new Set(layers.map(endOf))];
}

/** Takes these layers away, and none that fits. */
export function ignoreFixOf(modifier: RecipeModifier, layers: readonly LayerPlan[], members: readonly LayerPlan[]): ProblemFix {
  const ends = endsOf(layers, members);
  const entries = ends.map((end) => `re:.*${end.replaceAll('.', '\\.')}$`);
  return { title: `Ignore ${ends.join(', ')}`, preferred: false, edits: ignoreEdits(modifier, entries) };
}

export function ignoreEdits({ path, body }: RecipeModifier, entries: readonly string[]): RecipeEdit[] {
  if (Array.isArray(body['ignore']))
    return entries.map((entry) => ({ kind: 'append-item', path: [...path, 'ignore'], text: yamlScalar(entry) }));
  const text = flowText([...textsOf(body['ignore']), ...entries]);
  return [
    body['ignore'] === undefined
      ? { kind: 'insert-key', path, key: 'ignore', text }
      : { kind: 'replace-value', path: [...path, 'ignore'], text },
  ];
}
