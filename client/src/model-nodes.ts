// A model as a tree: blocks → modules → tensors, by the names of the tensors, with what a recipe makes of each layer. Pure.
import { bytesText } from '../../schemas/src/bytes-text.js';
import { readNameFilter } from '../../schemas/src/name-filter.js';
import type { LayerInForce, RecipeRule } from '../../schemas/src/protocol/client-server.js';

export interface ModelNode {
  /** Full name of the module or tensor; empty for the model. */
  name: string;
  /** Its last part, or several where each holds only the next. */
  label: string;
  children: ModelNode[];
  /** A tensor, or a module with one tensor alone. */
  tensor: { dtype: string; shape: readonly number[]; file: string } | null;
  n_tensors: number;
  bytes: number;
  /** Names of the layers in it that a recipe can name. */
  layers: string[];
}

/** What is needed of a model; of the modules only their names. */
export interface NamedTensors {
  tensors: readonly { name: string; dtype: string; shape: readonly number[]; bytes: number; file: string }[];
  modules: Readonly<Record<string, unknown>>;
}

interface Building {
  name: string;
  children: Map<string, Building>;
  tensor: NamedTensors['tensors'][number] | null;
}

/** The tree of a model with a filter, kept while neither changes: a recipe that is typed changes what is said of the layers, and not the layers. */
export function keptModelNodes(): (model: NamedTensors, filterText: string) => ModelNode {
  const kept = new WeakMap<NamedTensors, { filterText: string; root: ModelNode }>();
  return (model, filterText) => {
    const known = kept.get(model);
    if (known?.filterText === filterText) return known.root;
    const filter = filterText === '' ? null : readNameFilter(filterText);
    const root = modelNodes(model, filter === null || 'error' in filter ? undefined : filter.fits);
    kept.set(model, { filterText, root });
    return root;
  };
}

export function modelNodes(model: NamedTensors, fits: (name: string) => boolean = () => true): ModelNode {
  const root: Building = { name: '', children: new Map(), tensor: null };
  const placeOf = (name: string): Building => {
    let at = root;
    for (const part of name.split('.')) {
      const next = at.children.get(part) ?? { name: at === root ? part : `${at.name}.${part}`, children: new Map(), tensor: null };
      at.children.set(part, next);
      at = next;
    }
    return at;
  };
  for (const tensor of model.tensors) if (fits(tensor.name)) placeOf(tensor.name).tensor = tensor;
  // A head that is tied to the embedding has no tensor of its own, and a recipe names it all the same.
  const owners = new Set(model.tensors.map(({ name }) => name.slice(0, Math.max(0, name.lastIndexOf('.')))));
  for (const name of Object.keys(model.modules)) if (fits(name) && !owners.has(name)) placeOf(name);
  return finished(root, '', new Set(Object.keys(model.modules)));
}

function finished(building: Building, label: string, modules: ReadonlySet<string>): ModelNode {
  const { name, tensor } = building;
  const own = modules.has(name) ? [name] : [];
  const parts = [...building.children].sort(([a], [b]) => inOrder(a, b));
  const [only] = parts;
  // A module with its weight alone is shown as one; one that holds another alone, in one line with it.
  if (tensor === null && parts.length === 1 && only !== undefined && name !== '') {
    const [part, child] = only;
    const node = finished(child, '', modules);
    if (child.tensor !== null && child.children.size === 0) return { ...node, name, label, layers: own };
    return { ...node, label: `${label}.${node.label === '' ? part : `${part}${node.label}`}`, layers: [...own, ...node.layers] };
  }
  const children = parts.map(([part, child]) => finished(child, part, modules));
  const self = tensor === null ? 0 : 1;
  return {
    name,
    label,
    children,
    tensor: tensor === null ? null : { dtype: tensor.dtype, shape: tensor.shape, file: tensor.file },
    n_tensors: children.reduce((sum, child) => sum + child.n_tensors, self),
    bytes: children.reduce((sum, child) => sum + child.bytes, tensor?.bytes ?? 0),
    layers: [...own, ...children.flatMap((child) => child.layers)],
  };
}

/** Blocks by their numbers, all else by its letters. */
const inOrder = (a: string, b: string): number => {
  const difference = Number(a) - Number(b);
  return Number.isNaN(difference) || difference === 0 ? (a < b ? -1 : a > b ? 1 : 0) : difference;
};

/** What a recipe says of the layers by name, and by which rule. */
export interface LayersInForce {
  layers: ReadonlyMap<string, LayerInForce>;
  rules: readonly RecipeRule[];
}

/** Such as `int4 g128 sym`, `ignored`, `kept`; null: there is no recipe, or it says nothing of this layer. */
export function outcomeOf(name: string, inForce: LayersInForce | null): string | null {
  const layer = inForce?.layers.get(name);
  if (layer === undefined || inForce === null) return null;
  if (layer.scheme !== null) return layer.scheme;
  return layer.rule !== null && inForce.rules[layer.rule]?.kind === 'ignore' ? 'ignored' : 'kept';
}

/** What the recipe makes of the layers, which a narrow view must not cut off; then of a tensor its type and shape, and the bytes. */
export function describeNode(node: ModelNode, inForce: LayersInForce | null): string {
  const size = bytesText(node.bytes);
  const what =
    node.n_tensors === 0
      ? 'shares its weight'
      : node.tensor === null
        ? size
        : `${node.tensor.dtype} ${shapeText(node.tensor.shape)}, ${size}`;
  const counts = new Map<string, number>();
  for (const layer of node.layers) {
    const outcome = outcomeOf(layer, inForce);
    if (outcome !== null) counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
  }
  const outcomes = [...counts].sort((a, b) => b[1] - a[1]);
  const [only] = outcomes;
  if (only === undefined) return what;
  const text = outcomes.length === 1 ? only[0] : outcomes.map(([outcome, n]) => `${n} ${outcome}`).join(', ');
  return `${text} · ${what}`;
}

const shapeText = (shape: readonly number[]): string => (shape.length === 0 ? 'scalar' : shape.join(' × '));

/** Layers that tensors belong to: model.layers.0.mlp.up_proj of its weight, its bias or its packed weight. */
export function layersOfTensors(tensors: readonly string[], layers: ReadonlySet<string>): string[] {
  const found = tensors.flatMap((tensor) => {
    for (let name = tensor; name !== ''; name = name.slice(0, Math.max(0, name.lastIndexOf('.')))) if (layers.has(name)) return [name];
    return [];
  });
  return [...new Set(found)];
}
