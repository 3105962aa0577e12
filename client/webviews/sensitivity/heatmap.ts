// The heatmap in the page: a canvas as large as its window, painted again when it is scrolled, with one element over the active cell for focus and screen readers.
import { paintMarks, type Palette } from '../plot/marks.js';
import { heatMarks, layoutOf, wholeMarks, type Layout, type Shown } from './picture.js';
import type { HeatCell, HeatView } from './view.js';

export interface Heatmap {
  show(view: HeatView, shown: Shown): void;
  /** Paints soon, once for all calls until then. */
  repaint(shown: Shown): void;
  cellAt(event: MouseEvent): HeatCell | null;
  /** Moves the focus ring; answers the cell's box in the page. */
  activate(cell: HeatCell | null, label: string, selected: boolean, scroll: boolean): DOMRect | null;
  boxOf(cell: HeatCell): DOMRect;
  /** Milliseconds of the last painting. */
  readonly cost: number;
}

export function createHeatmap(parts: {
  scroll: HTMLElement;
  canvas: HTMLCanvasElement;
  extent: HTMLElement;
  active: HTMLElement;
}): Heatmap {
  const { scroll, canvas, extent, active } = parts;
  const context = canvas.getContext('2d', { alpha: false });
  if (context === null) throw new Error('This browser paints no canvas.');
  let view: HeatView | null = null;
  let layout: Layout | null = null;
  let shown: Shown | null = null;
  let asked = 0;
  let cost = 0;
  const fontFamily = getComputedStyle(document.body).fontFamily || 'sans-serif';

  const paint = (): void => {
    asked = 0;
    if (view === null || layout === null || shown === null) return;
    const began = performance.now();
    const [width, height] = [scroll.clientWidth, scroll.clientHeight];
    const density = window.devicePixelRatio || 1;
    const [pixels, lines] = [Math.round(width * density), Math.round(height * density)];
    if (canvas.width !== pixels || canvas.height !== lines) {
      canvas.width = pixels;
      canvas.height = lines;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    context.setTransform(density, 0, 0, density, 0, 0);
    context.fillStyle = shown.palette.background;
    context.fillRect(0, 0, width, height);
    paintMarks(context, heatMarks(view, layout, { left: scroll.scrollLeft, top: scroll.scrollTop, width, height }, shown), fontFamily);
    cost = performance.now() - began;
  };
  const soon = (): void => {
    if (asked === 0) asked = requestAnimationFrame(paint);
  };
  scroll.addEventListener('scroll', soon, { passive: true });

  const place = (cell: HeatCell): { left: number; top: number; width: number; height: number } => {
    const { rowLabelWidth = 0, headHeight = 0, cellWidth = 0, rowHeight = 0 } = layout ?? {};
    return { left: rowLabelWidth + cell.column * cellWidth, top: headHeight + cell.row * rowHeight, width: cellWidth, height: rowHeight };
  };
  const boxOf = (cell: HeatCell): DOMRect => {
    const { left, top } = scroll.getBoundingClientRect();
    const box = place(cell);
    return new DOMRect(left + box.left - scroll.scrollLeft, top + box.top - scroll.scrollTop, box.width, box.height);
  };
  return {
    get cost() {
      return cost;
    },
    show(next, nowShown) {
      view = next;
      shown = nowShown;
      // Wide enough for its scroll bar too, so that it does not bring another.
      layout = layoutOf(next, Math.max(240, scroll.clientWidth));
      extent.style.width = `${layout.width}px`;
      extent.style.height = `${layout.height}px`;
      scroll.style.height = `${Math.min(layout.height, Math.round(window.innerHeight * 0.62))}px`;
      // The height may have brought a scroll bar, which takes width.
      layout = layoutOf(next, Math.max(240, scroll.clientWidth));
      extent.style.width = `${layout.width}px`;
      paint();
    },
    repaint(nowShown) {
      shown = nowShown;
      soon();
    },
    cellAt(event) {
      if (view === null || layout === null) return null;
      const { left, top } = scroll.getBoundingClientRect();
      const [x, y] = [event.clientX - left, event.clientY - top];
      if (x < layout.rowLabelWidth || y < layout.headHeight || x >= scroll.clientWidth || y >= scroll.clientHeight) return null;
      const column = Math.floor((x + scroll.scrollLeft - layout.rowLabelWidth) / layout.cellWidth);
      const row = Math.floor((y + scroll.scrollTop - layout.headHeight) / layout.rowHeight);
      return column >= view.columns.length ? null : (view.at.get(row * view.columns.length + column) ?? null);
    },
    activate(cell, label, selected, doScroll) {
      active.hidden = cell === null;
      if (cell === null || layout === null) return null;
      const box = place(cell);
      Object.assign(active.style, { left: `${box.left}px`, top: `${box.top}px`, width: `${box.width}px`, height: `${box.height}px` });
      active.setAttribute('aria-label', label);
      active.setAttribute('aria-selected', String(selected));
      active.setAttribute('aria-colindex', String(cell.column + 1));
      active.parentElement?.setAttribute('aria-rowindex', String(cell.row + 1));
      if (doScroll) {
        const { rowLabelWidth, headHeight } = layout;
        const clamp = (value: number, least: number, most: number): number => Math.max(least, Math.min(most, value));
        scroll.scrollTo(
          clamp(scroll.scrollLeft, box.left + box.width - scroll.clientWidth, box.left - rowLabelWidth),
          clamp(scroll.scrollTop, box.top + box.height - scroll.clientHeight, box.top - headHeight),
        );
      }
      return boxOf(cell);
    },
    boxOf,
  };
}

/** The whole picture as a PNG, as base64. */
export function wholePicture(view: HeatView, shown: Shown, width: number, fontFamily: string): string {
  const { layout, marks } = wholeMarks(view, shown, width);
  const canvas = document.createElement('canvas');
  // Browsers paint no canvas beyond this side.
  const density = Math.min(2, 16_000 / Math.max(layout.width, layout.height));
  canvas.width = Math.round(layout.width * density);
  canvas.height = Math.round(layout.height * density);
  const context = canvas.getContext('2d', { alpha: false });
  if (context === null) throw new Error('This browser paints no canvas.');
  context.scale(density, density);
  context.fillStyle = shown.palette.background;
  context.fillRect(0, 0, layout.width, layout.height);
  paintMarks(context, marks, fontFamily);
  return canvas.toDataURL('image/png').replace(/^data:image\/png;base64,/, '');
}

export type { Palette };
