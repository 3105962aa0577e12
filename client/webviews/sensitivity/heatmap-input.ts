// What the pointer and the keys do in the heatmap: move, choose, extend, ask for the rule.
import { moveFrom, type Place } from '../plot/cell-moves.js';
import { rectangle } from './selection.js';
import type { HeatCell, HeatView } from './view.js';

export interface HeatmapInput {
  view(): HeatView | null;
  cellAt(event: MouseEvent): HeatCell | null;
  /** The cell of the keyboard. */
  active(): HeatCell | null;
  activate(place: Place): void;
  /** Shows the cell of the keyboard, where it is scrolled to. */
  showActive(): void;
  /** Pointed at; null: at none. */
  point(cell: HeatCell | null): void;
  selected(): readonly string[];
  select(names: readonly string[]): void;
  toggle(name: string): void;
  reveal(name: string): void;
}

export function wireHeatmap(scroll: HTMLElement, on: HeatmapInput): void {
  /** Where a selection that is extended began. */
  let anchor: Place | null = null;
  scroll.addEventListener('mousemove', (event) => on.point(on.cellAt(event)));
  for (const event of ['mouseleave', 'blur', 'scroll']) scroll.addEventListener(event, () => on.point(null), { passive: true });
  scroll.addEventListener('click', (event) => {
    const [cell, view] = [on.cellAt(event), on.view()];
    if (cell === null || view === null) return;
    const { row, column } = cell;
    const adds = event.ctrlKey || event.metaKey;
    on.activate({ row, column });
    if (event.shiftKey && anchor !== null) return on.select([...(adds ? on.selected() : []), ...rectangle(view, anchor, cell)]);
    anchor = { row, column };
    if (adds) on.toggle(cell.layer.name);
    else on.select([cell.layer.name]);
  });
  scroll.addEventListener('dblclick', (event) => {
    const cell = on.cellAt(event);
    if (cell !== null) on.reveal(cell.layer.name);
  });
  scroll.addEventListener('keydown', (event) => {
    const [cell, view] = [on.active(), on.view()];
    if (cell === null || view === null) return;
    const { row, column } = cell;
    const next = moveFrom(cell, event.key, view.cells);
    if (next !== null) {
      on.activate({ row: next.row, column: next.column });
      if (event.shiftKey) {
        anchor ??= { row, column };
        on.select(rectangle(view, anchor, next));
      } else anchor = null;
      on.showActive();
    } else if (event.key === ' ') {
      anchor = { row, column };
      on.toggle(cell.layer.name);
    } else if (event.key === 'Enter') on.reveal(cell.layer.name);
    else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) on.select(view.layers.map(({ name }) => name));
    else if (event.key === 'Escape') on.select([]);
    else return;
    event.preventDefault();
  });
}
