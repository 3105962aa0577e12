// What a recipe makes of each layer of its model and which entry of targets or ignore says so: pictures draw it over their cells, and follow the cursor by it.
import type { LayerInForce, LayerRulesResult, RecipeRule } from '../../../schemas/src/protocol/client-server.js';
import { madeOnce } from '../../../schemas/src/made-once.js';
import { presetDescription, presetNames, presetBody } from '../plan/presets.js';
import { schemeText } from '../plan/scheme-text.js';
import { decidingRules, type LayerRule } from '../plan/layer-rules.js';
import { modulesOf } from '../plan/pattern-matches.js';
import type { Resolution } from '../plan/resolution.js';

export function layersInForce({ layers, model, quantization, document }: Resolution): Omit<LayerRulesResult, 'errors'> {
  const rules: RecipeRule[] = [];
  const indices = new Map<string, number>();
  const modules = model === null ? [] : modulesOf(model);
  const deciding = decidingRules(quantization, modules);
  const byName = new Map(modules.map(({ name, index }) => [name, deciding[index] ?? null]));
  const indexOfRule = (rule: LayerRule): number => {
    const key = JSON.stringify(rule.path);
    const known = indices.get(key);
    if (known !== undefined) return known;
    const { entry, group, modifier } = rule;
    // Default targets are not written; their scheme is.
    const path = document.has(rule.path) ? rule.path : (group ?? modifier).path;
    const list = group === null ? [...modifier.path, 'ignore'] : group.path;
    rules.push({
      entry,
      kind: group === null ? 'ignore' : 'target',
      where: group === null ? `ignore of ${modifier.name}` : `${group.name} of ${modifier.name}`,
      range: document.rangeOf(path, 'value'),
      around: { start: document.rangeOf(list, 'key').start, end: document.rangeOf(list, 'value').end },
    });
    indices.set(key, rules.length - 1);
    return rules.length - 1;
  };
  // Layers share their schemes and rules.
  const indexOf = madeOnce(indexOfRule);
  const textOf = madeOnce(schemeText);
  const inForce = layers.map(({ name, scheme }): LayerInForce => {
    const rule = byName.get(name) ?? null;
    return {
      name,
      scheme: scheme === null ? null : textOf(scheme),
      num_bits: scheme?.weights?.num_bits ?? null,
      rule: rule === null ? null : indexOf(rule),
    };
  });
  return { rules, layers: inForce, presets: assignablePresets };
}

const assignablePresets = presetNames
  .filter((name) => presetBody(name)?.['weights'] !== undefined)
  .map((name) => ({ name, description: presetDescription(name) ?? '' }));
