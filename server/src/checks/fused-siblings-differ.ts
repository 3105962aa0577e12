// q/k/v, gate/up or the experts of one block with different schemes: vLLM fuses them and refuses the checkpoint when it loads it.
import type { LayerPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Problem, RelatedPlace } from '../../../schemas/src/problem.js';
import { schemeText } from '../plan/scheme-text.js';
import { decidingRule, rulesOfLayer } from '../plan/layer-rules.js';
import { modulesOf } from '../plan/pattern-matches.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';

const fusedRoles: readonly (readonly string[])[] = [
  ['q_proj', 'k_proj', 'v_proj'],
  ['gate_proj', 'up_proj'],
];

/** All projections of all experts of a block: vLLM asks for one scheme (compressed_tensors_moe.py), and fills one tensor with them. */
const expertName = /^(.*\.experts\.)\d+\.[^.]+$/;

export const fusedSiblingsDiffer: Check = {
  code: 'fused-siblings-differ',
  run(resolution) {
    const { layers, quantization, model, gguf } = resolution;
    // llama.cpp fuses nothing, and its mixes give v more bits.
    if (model === null || gguf !== null) return [];
    const found = new Map<string, { members: LayerPlan[]; blocks: number }>();
    for (const indices of siblings(model, layers)) {
      const schemeOf = (index: number | undefined): LayerPlan['scheme'] => layers[index ?? -1]?.scheme ?? null;
      if (indices.every((index) => schemeOf(index) === schemeOf(indices[0]))) continue;
      const members = indices.flatMap((index) => layers[index] ?? []);
      if (new Set(members.map(({ scheme }) => JSON.stringify(scheme))).size < 2) continue;
      // Of hundreds of experts one of each kind speaks.
      const kinds = new Map(members.toReversed().map((layer) => [`${layer.role}: ${effect(layer)}`, layer]));
      const key = [...kinds.keys()].reverse().join('; ');
      const known = found.get(key);
      if (known === undefined) found.set(key, { members: [...kinds.values()].reverse(), blocks: 1 });
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
        message: `${isExpert(first) ? 'The experts' : members.map((layer) => layer.role).join(', ')} get different schemes in ${blocks} ${blocks === 1 ? 'block' : 'blocks'} (${text}). vLLM fuses these layers and refuses to load such a checkpoint. Give them one scheme, or ignore them together.`,
        notes: first === undefined ? [] : [`first found at ${first.name}`],
        related: rulesOf(members, resolution),
      };
    });
  },
};

const isExpert = (layer: Pick<LayerPlan, 'name'> | undefined): boolean => layer !== undefined && expertName.test(layer.name);

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

const siblingsOfModel = new WeakMap<ModelDescription, readonly (readonly number[])[]>();

/** Places among the layers, whose order the model alone decides. */
function siblings(model: ModelDescription, layers: readonly LayerPlan[]): readonly (readonly number[])[] {
  const known = siblingsOfModel.get(model);
  if (known !== undefined) return known;
  const found = [...fusedRoles, null].flatMap((roles) => {
    const byParent = new Map<string, number[]>();
    for (const [index, { name, role }] of layers.entries()) {
      const experts = name.includes('.experts.') ? expertName.exec(name)?.[1] : undefined;
      const parent = roles === null ? experts : experts === undefined && roles.includes(role) ? name.slice(0, -role.length) : undefined;
      if (parent === undefined) continue;
      const others = byParent.get(parent);
      if (others === undefined) byParent.set(parent, [index]);
      else others.push(index);
    }
    if (roles === null) return [...byParent.values()];
    const orderOf = (index: number): number => roles.indexOf(layers[index]?.role ?? '');
    return [...byParent.values()].filter((members) => members.length > 1).map((members) => members.sort((a, b) => orderOf(a) - orderOf(b)));
  });
  siblingsOfModel.set(model, found);
  return found;
}
