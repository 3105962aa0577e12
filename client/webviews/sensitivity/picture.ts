// The heatmap as marks: cells with their values, the bits in force, and what is selected or named by the rule under the cursor. Only the rows of a window are drawn.
import { fillOf, inkOn, type Theme } from '../plot/color-ramp.js';
import type { Mark, Palette } from '../plot/marks.js';
import { shortText } from './figures.js';
import type { HeatCell, HeatView } from './view.js';

export interface Layout {
  rowLabelWidth: number;
  headHeight: number;
  cellWidth: number;
  rowHeight: number;
  width: number;
  height: number;
}

const narrowest = 26;
const narrowestOfMany = 17;

export function layoutOf(view: HeatView, width: number): Layout {
  const longest = view.rows.reduce((most, row) => Math.max(most, row.length), 0);
  const rowLabelWidth = Math.min(130, 14 + 7 * longest);
  const several = view.columns.some(({ bits }) => bits !== null);
  const cellWidth = Math.max(several ? narrowestOfMany : narrowest, (width - rowLabelWidth - 2) / Math.max(1, view.columns.length));
  const rowHeight = Math.round(Math.min(40, Math.max(24, 300 / Math.max(1, view.rows.length))));
  const headHeight = several ? 42 : 26;
  return {
    rowLabelWidth,
    headHeight,
    cellWidth,
    rowHeight,
    width: rowLabelWidth + cellWidth * view.columns.length + 2,
    height: headHeight + rowHeight * view.rows.length + 2,
  };
}

export interface Shown {
  selected: ReadonlySet<string>;
  highlighted: ReadonlySet<string>;
  /** By layer: bits in force; null: as in the model. Absent: not known. */
  inForce: ReadonlyMap<string, number | null>;
  theme: Theme;
  palette: Palette;
}

/** What the window shows of the whole picture, in its pixels. */
export interface Window {
  left: number;
  top: number;
  width: number;
  height: number;
}

/** The picture whole, as a file has it. */
export function wholeMarks(view: HeatView, shown: Shown, width: number): { layout: Layout; marks: Mark[] } {
  const layout = layoutOf(view, width);
  return { layout, marks: heatMarks(view, layout, { left: 0, top: 0, width: layout.width, height: layout.height }, shown) };
}

/** Marks in the coordinates of the window; labels stay at its edges. */
export function heatMarks(view: HeatView, layout: Layout, window: Window, shown: Shown): Mark[] {
  const { rowLabelWidth, headHeight, cellWidth, rowHeight } = layout;
  const marks: Mark[] = [];
  const n_columns = view.columns.length;
  const firstRow = Math.max(0, Math.floor(window.top / rowHeight));
  const lastRow = Math.min(view.rows.length - 1, Math.floor((window.top + window.height - headHeight) / rowHeight));
  const firstColumn = Math.max(0, Math.floor(window.left / cellWidth));
  const lastColumn = Math.min(n_columns - 1, Math.floor((window.left + window.width - rowLabelWidth) / cellWidth));
  const fits = textFits(view, cellWidth);
  const over: Mark[] = [];
  for (let row = firstRow; row <= lastRow; row += 1)
    for (let column = firstColumn; column <= lastColumn; column += 1) {
      const cell = view.at.get(row * n_columns + column);
      if (cell === undefined) continue;
      const x = rowLabelWidth + column * cellWidth - window.left;
      const y = headHeight + row * rowHeight - window.top;
      cellMarks(cell, view, { x, y, width: cellWidth, height: rowHeight, fits }, shown, marks, over);
    }
  marks.push(...over);
  const { palette } = shown;
  // Labels cover what is scrolled below them.
  marks.push({ kind: 'rect', x: 0, y: 0, width: window.width, height: headHeight, fill: palette.background });
  marks.push({ kind: 'rect', x: 0, y: 0, width: rowLabelWidth, height: window.height, fill: palette.background });
  for (let row = firstRow; row <= lastRow; row += 1) {
    const y = headHeight + (row + 0.5) * rowHeight - window.top + 4;
    if (y > headHeight + 4)
      marks.push({ kind: 'text', x: rowLabelWidth - 8, y, text: view.rows[row] ?? '', fill: palette.quiet, anchor: 'end', size: 11 });
  }
  marks.push({ kind: 'rect', x: 0, y: 0, width: rowLabelWidth, height: headHeight, fill: palette.background });
  headMarks(view, layout, window, shown, marks);
  return marks;
}

function textFits(view: HeatView, cellWidth: number): boolean {
  // Text in some cells only would look like a mistake.
  return view.cells.every(({ value }) => value === null || shortText(view.figure, value).length * 6.4 < cellWidth - 5);
}

interface CellBox {
  x: number;
  y: number;
  width: number;
  height: number;
  fits: boolean;
}

function cellMarks(cell: HeatCell, view: HeatView, box: CellBox, shown: Shown, marks: Mark[], over: Mark[]): void {
  const { theme, palette, selected, highlighted, inForce } = shown;
  const { layer, value, share, bits } = cell;
  const inner = inset(box, 1);
  const ink = share === null ? palette.foreground : inkOn(share, theme);
  if (share === null) marks.push({ kind: 'rect', ...inner, stroke: palette.line, dashed: true });
  else marks.push({ kind: 'rect', ...inner, fill: fillOf(share, theme) });
  const ofBits = view.columns[cell.column]?.bits ?? null;
  const force = inForce.get(layer.name);
  const differs = force !== undefined && force !== bits;
  if (box.fits)
    marks.push({
      kind: 'text',
      x: box.x + box.width / 2 - (ofBits === null && differs ? 5 : 0),
      y: box.y + box.height / 2 + 4,
      text: value === null ? '–' : shortText(view.figure, value),
      fill: ink,
      anchor: 'middle',
      size: 11,
    });
  if (ofBits === null && view.figure.ofBits && differs)
    marks.push({
      kind: 'text',
      x: box.x + box.width - 6,
      y: box.y + box.height - 6,
      text: `${force ?? 16}b`,
      fill: ink,
      anchor: 'end',
      size: 9,
      bold: true,
    });
  if (ofBits !== null && force === ofBits)
    marks.push({ kind: 'rect', x: box.x + 3, y: box.y + box.height - 5, width: box.width - 6, height: 2, fill: ink });
  if (highlighted.has(layer.name)) over.push({ kind: 'rect', ...inset(box, 2), stroke: ink, strokeWidth: 1.5, dashed: true });
  if (selected.has(layer.name))
    over.push(
      { kind: 'rect', ...inset(box, 1.5), stroke: palette.background, strokeWidth: 5 },
      { kind: 'rect', ...inset(box, 1), stroke: palette.focus, strokeWidth: 3 },
    );
}

const inset = ({ x, y, width, height }: CellBox, by: number): Omit<CellBox, 'fits'> => ({
  x: x + by,
  y: y + by,
  width: width - 2 * by,
  height: height - 2 * by,
});

function headMarks(
  view: HeatView,
  { rowLabelWidth, headHeight, cellWidth }: Layout,
  window: Window,
  { palette }: Shown,
  marks: Mark[],
): void {
  let labelledTo = rowLabelWidth;
  const several = view.columns.some(({ bits }) => bits !== null);
  for (let first = 0; first < view.columns.length;) {
    const { label } = view.columns[first] ?? { label: '' };
    let next = first + 1;
    while (next < view.columns.length && view.columns[next]?.label === label && several) next += 1;
    const x = rowLabelWidth + ((first + next) / 2) * cellWidth - window.left;
    const room = (next - first) * cellWidth;
    const text = label.length * 6 > room ? label.replace(/_proj$/, '') : label;
    // A label that would touch the one before is left to the cells' own.
    if (x - 3 * text.length >= labelledTo - 2 && x >= rowLabelWidth) {
      marks.push({ kind: 'text', x, y: several ? 16 : headHeight - 8, text, fill: palette.quiet, anchor: 'middle', size: 11 });
      labelledTo = x + 3 * text.length;
    }
    if (several)
      for (let column = first; column < next; column += 1) {
        const at = rowLabelWidth + (column + 0.5) * cellWidth - window.left;
        if (at >= rowLabelWidth)
          marks.push({
            kind: 'text',
            x: at,
            y: headHeight - 7,
            text: String(view.columns[column]?.bits ?? ''),
            fill: palette.quiet,
            anchor: 'middle',
            size: 10,
          });
      }
    first = next;
  }
}
