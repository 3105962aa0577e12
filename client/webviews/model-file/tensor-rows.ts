// The rows of the table of tensors: filtered, sorted, and the few of them that are on screen. Pure, and quick for a hundred thousand.
import type { FileTensor } from '../../../schemas/src/protocol/model-file-page.js';
import type { NameFilter } from '../../../schemas/src/name-filter.js';

export type ColumnKey = 'name' | 'dtype' | 'shape' | 'bytes' | 'offset';

export interface TensorOrder {
  /** null: as in the file. */
  key: ColumnKey | null;
  descending: boolean;
}

export const n_elements = ({ shape }: FileTensor): number => shape.reduce((product, extent) => product * extent, 1);

/** Numbers within a name in their order: layers.2 before layers.10. */
const naturalKey = (name: string): string => name.replace(/\d+/g, (digits) => digits.padStart(9, '0'));

const valueOf: Record<ColumnKey, (tensor: FileTensor) => number | string> = {
  name: ({ name }) => naturalKey(name),
  dtype: ({ dtype }) => dtype,
  shape: n_elements,
  bytes: ({ bytes }) => bytes ?? -1,
  offset: ({ file, offset }) => (file === null ? (offset ?? -1) : Number.MAX_SAFE_INTEGER),
};

/** Indices of the tensors to show, in their order. An expression that is none filters nothing out. */
export function rowsOf(tensors: readonly FileTensor[], filter: NameFilter, { key, descending }: TensorOrder): number[] {
  const rows = [...tensors.keys()].filter((index) => 'error' in filter || filter.fits(`${tensors[index]!.name} ${tensors[index]!.dtype}`));
  if (key === null) return rows;
  const values = tensors.map(valueOf[key]);
  const sign = descending ? -1 : 1;
  // Equal ones stay as in the file.
  return rows.sort((a, b) => (values[a]! < values[b]! ? -sign : values[a]! > values[b]! ? sign : a - b));
}

/** Rows beyond the edges of the view, so that scrolling finds them drawn. */
const overscan = 12;

/** Which rows are drawn: [first, last). */
export function visibleRows(n_rows: number, rowHeight: number, scrollTop: number, viewHeight: number): { first: number; last: number } {
  const first = Math.max(0, Math.min(n_rows, Math.floor(scrollTop / rowHeight)) - overscan);
  return { first, last: Math.min(n_rows, Math.ceil((scrollTop + viewHeight) / rowHeight) + overscan) };
}

/** Where a key leads from a row; null: the key means nothing here. */
export function rowAfterKey(key: string, row: number, n_rows: number, page: number): number | null {
  const target: Record<string, number> = {
    ArrowDown: row + 1,
    ArrowUp: row - 1,
    PageDown: row + page,
    PageUp: row - page,
    Home: 0,
    End: n_rows - 1,
  };
  const next = target[key];
  return next === undefined || n_rows === 0 ? null : Math.max(0, Math.min(n_rows - 1, next));
}
