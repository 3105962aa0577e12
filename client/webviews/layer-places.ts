// Where each layer stands in the heatmap: a row for its block, a column for its role. No two in one place, so that none hides another.
import { roleOrder } from '../../schemas/src/role-order.js';

/** What a report and an analysis say alike of a layer. */
export interface PlacedLayer {
  name: string;
  block: number | null;
  role: string;
}

export interface LayerPlaces {
  rows: string[];
  columns: string[];
  /** Of each layer, in the order given. */
  places: { row: number; column: number }[];
}

/** A cell of a heatmap, and the layers that it stands for. */
export interface LayerCell<L> {
  row: number;
  column: number;
  /** The worst of them. */
  layer: L;
  n: number;
}

/** More cells than this nobody tells apart, and a browser takes seconds for them. */
const mostCells = 5000;
/** More rows of a table than this are not drawn at once. */
export const mostRows = 1000;

export interface PlacedCells<L> extends Pick<LayerPlaces, 'rows' | 'columns'> {
  cells: LayerCell<L>[];
  /** The cell of each layer, in the order given. */
  cellOf: LayerCell<L>[];
}

/** A cell for each layer; of models with more the experts of a block share one, which stands for the worst of them. */
export function placeCells<L extends PlacedLayer>(layers: readonly L[], badnessOf: (layer: L) => number): PlacedCells<L> {
  const { rows, columns, places } = placeLayers(layers, layers.length > mostCells);
  const cells = new Map<number, LayerCell<L>>();
  const cellOf = layers.map((layer, at) => {
    const place = places[at] ?? { row: 0, column: 0 };
    const key = place.row * columns.length + place.column;
    const cell = cells.get(key) ?? { ...place, layer, n: 0 };
    cell.n += 1;
    if (badnessOf(layer) > badnessOf(cell.layer)) cell.layer = layer;
    cells.set(key, cell);
    return cell;
  });
  return { rows, columns, cells: [...cells.values()], cellOf };
}

/** For the label of a cell. */
export const cellName = ({ layer, n }: LayerCell<PlacedLayer>): string =>
  n === 1 ? layer.name : `${layer.name}, the worst of ${n} layers`;

/** `together`: layers whose names differ in a number alone, such as those of experts, have one column. */
export function placeLayers(layers: readonly PlacedLayer[], together = false): LayerPlaces {
  const parts = layers.map(partsOf);
  const stacks = unique(parts.flatMap(({ stack }) => (stack === null ? [] : [stack])));
  const rowOf = ({ stack, block }: LayerParts): string => (stack === null ? 'other' : `${stackName(stack, stacks)} ${block}`);
  const shared = sharedRoles(parts.map((part) => [rowOf(part), part.role]));
  const columnOf = ({ role, rest }: LayerParts): string => (!shared.has(role) ? role : together ? rest.replace(/\.\d+(?=\.)/g, '') : rest);
  const stackAt = ({ stack }: LayerParts): number => (stack === null ? stacks.length : stacks.indexOf(stack));
  // Other roles follow by name.
  const roleAt = ({ role }: LayerParts): number => (roleOrder.includes(role) ? roleOrder.indexOf(role) : roleOrder.length);
  const rows = firstOfEach(parts, rowOf)
    .sort((a, b) => stackAt(a) - stackAt(b) || a.block - b.block)
    .map(rowOf);
  const byName = new Intl.Collator('en', { numeric: true });
  const columns = firstOfEach(parts, columnOf)
    .sort((a, b) => roleAt(a) - roleAt(b) || byName.compare(columnOf(a), columnOf(b)))
    .map(columnOf);
  const [rowAt, columnAt] = [placesOf(rows), placesOf(columns)];
  return {
    rows,
    columns,
    places: parts.map((part) => ({ row: rowAt.get(rowOf(part)) ?? 0, column: columnAt.get(columnOf(part)) ?? 0 })),
  };
}

/** model.encoder.layers.3.self_attn.q_proj: block 3 of the stack model.encoder.layers, and the rest behind it. */
interface LayerParts {
  /** null: in no block. */
  stack: string | null;
  block: number;
  rest: string;
  role: string;
}

function partsOf({ name, block, role }: PlacedLayer): LayerParts {
  if (block === null) return { stack: null, block: 0, rest: name, role };
  const at = name.indexOf(`.${block}.`);
  return at < 0
    ? { stack: '', block, rest: name, role }
    : { stack: name.slice(0, at), block, rest: name.slice(at + `.${block}.`.length), role };
}

/** `block`, or of several stacks the first part of the name that tells one from the others. */
function stackName(stack: string, stacks: readonly string[]): string {
  if (stacks.length === 1) return 'block';
  const parts = stack.split('.');
  return parts.find((part, i) => stacks.every((other) => other === stack || other.split('.')[i] !== part)) ?? stack;
}

/** Roles that some row has more than one layer of, as the experts of a block, or self-attention beside cross-attention. */
function sharedRoles(pairs: readonly (readonly [string, string])[]): Set<string> {
  const seen = new Set<string>();
  const shared = new Set<string>();
  for (const [row, role] of pairs) {
    const pair = `${row}\n${role}`;
    if (seen.has(pair)) shared.add(role);
    seen.add(pair);
  }
  return shared;
}

/** There are a hundred times fewer rows and columns than layers: these are sorted. */
const firstOfEach = <T>(items: readonly T[], keyOf: (item: T) => string): T[] => [
  ...new Map([...items].reverse().map((item) => [keyOf(item), item])).values(),
];

const unique = <T>(values: readonly T[]): T[] => [...new Set(values)];

const placesOf = (names: readonly string[]): Map<string, number> => new Map(names.map((name, i) => [name, i]));
