// q/k/v or gate/up of one block with different schemes: vLLM fuses them and refuses the checkpoint when it loads it.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { Problem, RelatedPlace } from '../../../schemas/src/problem.js';
import { schemeText } from '../plan/expand-scheme.js';
import { decidingRule, rulesOfLayer } from '../plan/layer-rules.js';
import { modulesOf } from '../plan/pattern-matches.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';

const fusedRoles: readonly (readonly string[])[] = [
  ['q_proj', 'k_proj', 'v_proj'],
  ['gate_proj', 'up_proj'],
];

export const fusedSiblingsDiffer: Check = {
  code: 'fused-siblings-differ',
  run(resolution) {
    const { layers, quantization } = resolution;
    // Of each scheme once: a group's scheme is one object, and a model may have ten thousand layers.
    const texts = new Map([...new Set(layers.map(({ scheme }) => scheme))].map((scheme) => [scheme, JSON.stringify(scheme)]));
    const found = new Map<string, { members: LayerPlan[]; blocks: number }>();
    for (const roles of fusedRoles)
      for (const members of siblings(layers, roles)) {
        const schemes = new Set(members.map(({ scheme }) => texts.get(scheme)));
        if (schemes.size < 2) continue;
        const key = members.map((layer) => `${layer.role}: ${effect(layer)}`).join('; ');
        const known = found.get(key);
        if (known === undefined) found.set(key, { members, blocks: 1 });
        else known.blocks += 1;
      }
    const [last] = quantization.slice(-1);
    return [...found].map(([text, { members, blocks }]): Problem => {
      const [first] = members;
      return {
        code: 'fused-siblings-differ',
        severity: 'warning',
        path: last?.modifier.path ?? [],
        at: 'key',
        message: `${members.map((layer) => layer.role).join(', ')} get different schemes in ${blocks} ${blocks === 1 ? 'block' : 'blocks'} (${text}). vLLM fuses these layers and refuses to load such a checkpoint. Give them one scheme, or ignore them together.`,
        notes: first === undefined ? [] : [`first found at ${first.name}`],
        related: rulesOf(members, resolution),
      };
    });
  },
};

const effect = ({ scheme }: LayerPlan): string => (scheme === null ? 'unquantized' : schemeText(scheme));

/** Where the recipe says what each of them gets; a place that says it of several stands once. */
function rulesOf(members: readonly LayerPlan[], { model, quantization, document }: Resolution): RelatedPlace[] {
  const modules = model === null ? [] : modulesOf(model);
  const places = new Map<string, { place: RelatedPlace; roles: string[] }>();
  for (const layer of members) {
    const module = modules.find(({ name }) => name === layer.name);
    const rule = module === undefined ? null : decidingRule(rulesOfLayer(quantization, module));
    if (rule === null) continue;
    const key = JSON.stringify(rule.path);
    const known = places.get(key);
    // Default targets are not written; their scheme is.
    const isSaid = document.has(rule.path);
    const path = isSaid ? rule.path : (rule.group ?? rule.modifier).path;
    const place: RelatedPlace = { path, at: isSaid ? 'value' : 'key', message: effect(layer) };
    if (known === undefined) places.set(key, { place, roles: [layer.role] });
    else known.roles.push(layer.role);
  }
  return [...places.values()].map(({ place, roles }) => ({ ...place, message: `${roles.join(', ')}: ${place.message}` }));
}

function siblings(layers: readonly LayerPlan[], roles: readonly string[]): LayerPlan[][] {
  const byParent = new Map<string, LayerPlan[]>();
  for (const layer of layers)
    if (roles.includes(layer.role)) {
      const parent = layer.name.slice(0, -layer.role.length);
      const known = byParent.get(parent);
      if (known === undefined) byParent.set(parent, [layer]);
      else known.push(layer);
    }
  const inOrder = (a: LayerPlan, b: LayerPlan): number => roles.indexOf(a.role) - roles.indexOf(b.role);
  return [...byParent.values()].filter((members) => members.length > 1).map((members) => members.sort(inOrder));
}
