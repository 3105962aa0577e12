// The selection of layers as values: what a click, a key and an action make of it.
import type { LayerSensitivity } from '../../../schemas/src/generated/sensitivity.js';
import type { LayerEdit } from '../../../schemas/src/protocol/client-server.js';
import { candidateOf, type Figure, nameWithin, ranksOf, valueText } from './figures.js';
import type { HeatCell, HeatView } from './view.js';

/** Layers of the rectangle between two cells. */
export function rectangle(view: HeatView, from: { row: number; column: number }, to: { row: number; column: number }): string[] {
  const [top, bottom] = [Math.min(from.row, to.row), Math.max(from.row, to.row)];
  const [left, right] = [Math.min(from.column, to.column), Math.max(from.column, to.column)];
  return view.cells
    .filter(({ row, column }) => row >= top && row <= bottom && column >= left && column <= right)
    .map(({ layer }) => layer.name);
}

/** The cells of rank 1 to n among those shown, of one number of bits. */
export function worstCells(view: HeatView, count: number): HeatCell[] {
  const bits = view.cells[0]?.bits;
  const rank = ({ layer }: HeatCell): number => view.ranks.get(bits ?? 0)?.get(layer.name) ?? Infinity;
  return view.cells
    .filter((cell) => cell.bits === bits && cell.value !== null)
    .sort((a, b) => rank(a) - rank(b))
    .slice(0, count);
}

/** With the layers that servers run as one with them: they take one scheme together. */
export function withSiblings(layers: readonly LayerSensitivity[], names: ReadonlySet<string>): Set<string> {
  const groups = new Set(layers.filter(({ name }) => names.has(name)).map(({ group }) => group));
  return new Set(layers.filter(({ name, group }) => names.has(name) || groups.has(group)).map(({ name }) => name));
}

export type Action = 'raise' | 'lower' | 'keep' | { scheme: string };

export interface ActionParts {
  layers: readonly LayerSensitivity[];
  /** Measured numbers of bits. */
  bits: readonly number[];
  selected: ReadonlySet<string>;
  siblings: boolean;
  inForce: ReadonlyMap<string, number | null>;
  figure: Figure;
  /** Whose figures are named where the bits in force were not measured. */
  shownBits: number;
}

/** The action as edits of the recipe, each layer with its figure as the reason; empty where nothing would change. */
export function editsOf(action: Action, parts: ActionParts): LayerEdit[] {
  const { layers, bits, selected, siblings, inForce } = parts;
  const names = siblings ? withSiblings(layers, selected) : selected;
  const reasonOf = reasons(parts);
  const edits = new Map<string, LayerEdit>();
  for (const layer of layers) {
    if (!names.has(layer.name)) continue;
    const to = targetOf(action, inForce.get(layer.name), bits);
    if (to === null) continue;
    const key = JSON.stringify(to);
    const edit = edits.get(key) ?? { layers: [], to };
    edit.layers.push({ name: layer.name, reason: reasonOf(layer) });
    edits.set(key, edit);
  }
  return [...edits.values()];
}

/** null: the layer has it already. `force` undefined: the recipe was not read yet. */
function targetOf(action: Action, force: number | null | undefined, bits: readonly number[]): LayerEdit['to'] | null {
  if (typeof action === 'object') return { scheme: action.scheme };
  if (action === 'keep') return force === null ? null : { ignore: true };
  if (action === 'raise') return force === 8 ? null : { num_bits: 8 };
  const lower = bits.filter((bit) => bit < (force ?? 16)).at(-1);
  return lower === undefined ? null : { num_bits: lower };
}

/** Such as `Relative output error with 4 bits 0.58 %, rank 1 of 28`; siblings that were not chosen say whose they are. */
function reasons({ layers, figure, inForce, shownBits, selected }: ActionParts): (layer: LayerSensitivity) => string {
  const ranks = new Map<number, Map<string, number>>();
  return (layer) => {
    const force = inForce.get(layer.name);
    const bits = typeof force === 'number' && candidateOf(layer, force) !== undefined ? force : shownBits;
    const known = ranks.get(bits) ?? ranksOf(layers, figure, bits);
    ranks.set(bits, known);
    const value = figure.valueOf(layer, bits);
    const rank = known.get(layer.name);
    const what = `${nameWithin(figure)}${figure.ofBits ? ` with ${bits} bits` : ''}`;
    const measured =
      value === null
        ? `${what} not measured`
        : `${what} ${valueText(figure, value)}${rank === undefined ? '' : `, rank ${rank} of ${known.size}`}`;
    if (selected.has(layer.name)) return measured;
    const chosen = layers.find(({ name, group }) => group === layer.group && selected.has(name));
    return chosen === undefined ? measured : `runs as one with ${chosen.role}; ${measured}`;
  };
}
