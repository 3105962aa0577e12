// Where a key leads from the focused cell of a heatmap on the page.
import { moveFrom } from './plot/cell-moves.js';

/** Null where no cell has the focus, or the key moves nothing. */
export function cellAfterKey({ target, key }: KeyboardEvent): SVGElement | null {
  const cell = target instanceof Element ? target.closest<SVGElement>('.cell') : null;
  if (cell === null) return null;
  const cells = [...document.querySelectorAll<SVGElement>('.cell')].map((element) => ({
    element,
    row: Number(element.dataset['row']),
    column: Number(element.dataset['column']),
  }));
  const from = cells.find(({ element }) => element === cell);
  return from === undefined ? null : (moveFrom(from, key, cells)?.element ?? null);
}
