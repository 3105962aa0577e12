// A matrix of coloured cells with row and column labels: a grid that arrow keys walk through, one tab stop.
import { fillOf, inkOn } from './color-ramp.js';
import type { Theme } from './color-ramp.js';
import { draw } from './element.js';
import type { Drawing } from './element.js';
import type { Scale } from './scale.js';

export interface Cell {
  row: number;
  column: number;
  /** null: there is a thing, but no value for it. */
  value: number | null;
  /** Written into the cell where it is wide enough. */
  text: string;
  /** Read by screen readers. */
  label: string;
  key: string;
}

export interface CellMatrix {
  title: string;
  rows: readonly string[];
  columns: readonly string[];
  cells: readonly Cell[];
  scale: Scale;
  theme: Theme;
  /** Of the whole drawing, in pixels. */
  width: number;
}

/** Few rows are drawn tall, so that a small model fills its panel too. */
const rowHeightOf = (n_rows: number): number => Math.round(Math.min(44, Math.max(24, 320 / Math.max(1, n_rows))));
const lowestHead = 28;
const longestColumnLabel = 9;
/** In characters; of a longer one its end is shown. */
const longestUpright = 24;

export function drawCells({ title, rows, columns: names, cells, scale, theme, width }: CellMatrix): Drawing {
  const longestRow = Math.max(0, ...rows.map((row) => row.length));
  const rowLabelWidth = Math.min(120, 14 + 7 * longestRow);
  const cellWidth = Math.max(14, (width - rowLabelWidth) / Math.max(1, names.length));
  const rowHeight = rowHeightOf(rows.length);
  const short = cellWidth < 7 * Math.max(...names.map((name) => Math.min(longestColumnLabel, name.length)));
  const columns = short ? names.map((name) => name.replace(/_proj$/, '')) : names;
  // Labels that would touch each other stand upright, all of them.
  const upright = columns.some((text, i) => i > 0 && 3 * (text.length + columns[i - 1]!.length) > cellWidth);
  const headHeight = upright ? 12 + 6 * Math.min(longestUpright, Math.max(...columns.map((text) => text.length))) : lowestHead;
  const height = headHeight + rows.length * rowHeight;
  // Text in some cells only would look like a mistake.
  const fits = cells.every((cell) => cell.text.length * 6.6 < cellWidth - 6);
  const heads = columns.map((text, i) =>
    draw(
      'text',
      { class: 'axis-label', ...placeOfHead(rowLabelWidth + (i + 0.5) * cellWidth, headHeight, upright), 'aria-hidden': 'true' },
      upright && text.length > longestUpright ? `…${text.slice(1 - longestUpright)}` : text,
    ),
  );
  const byRow = rows.map((row, r) => {
    const own = cells.filter((cell) => cell.row === r);
    const label = draw(
      'text',
      { class: 'axis-label', x: rowLabelWidth - 8, y: headHeight + (r + 0.5) * rowHeight + 4, 'text-anchor': 'end', role: 'rowheader' },
      row,
    );
    return draw(
      'g',
      { role: 'row' },
      label,
      ...own.map((cell) =>
        drawCell(
          cell,
          { x: rowLabelWidth + cell.column * cellWidth, y: headHeight + r * rowHeight, width: cellWidth, height: rowHeight, fits },
          scale,
          theme,
        ),
      ),
    );
  });
  return draw(
    'svg',
    {
      class: 'cells',
      width: round(rowLabelWidth + cellWidth * columns.length),
      height,
      viewBox: `0 0 ${round(rowLabelWidth + cellWidth * columns.length)} ${height}`,
      role: 'grid',
      'aria-label': title,
    },
    ...heads,
    ...byRow,
  );
}

/** Below the label the column begins: in its middle, or up from it. */
function placeOfHead(x: number, headHeight: number, upright: boolean) {
  if (!upright) return { x: round(x), y: headHeight - 9, 'text-anchor': 'middle' };
  const [at, y] = [round(x + 4), headHeight - 6];
  return { x: at, y, transform: `rotate(-90 ${at} ${y})` };
}

interface CellBox {
  x: number;
  y: number;
  width: number;
  height: number;
  /** Whether the text is written into it. */
  fits: boolean;
}

function drawCell(cell: Cell, { x, y, width, height, fits }: CellBox, scale: Scale, theme: Theme): Drawing {
  const share = cell.value === null ? 0 : scale.share(cell.value);
  const box = { x: round(x + 1), y: y + 1, width: round(width - 2), height: height - 2, rx: 2 };
  const shape =
    cell.value === null
      ? draw('rect', { ...box, class: 'cell-empty' })
      : draw('rect', { ...box, class: 'cell-fill', fill: fillOf(share, theme) });
  const text = draw(
    'text',
    {
      class: 'cell-text',
      x: round(x + width / 2),
      y: y + height / 2 + 4,
      'text-anchor': 'middle',
      ...(cell.value === null ? {} : { fill: inkOn(share, theme) }),
      'aria-hidden': 'true',
    },
    cell.text,
  );
  return draw(
    'g',
    {
      role: 'gridcell',
      class: 'cell',
      tabindex: -1,
      'aria-label': cell.label,
      'data-key': cell.key,
      'data-row': cell.row,
      'data-column': cell.column,
    },
    shape,
    ...(fits ? [text] : []),
  );
}

/** Legend: the ramp with ticks below it. */
export function drawLegend(scale: Scale, theme: Theme, format: (value: number) => string, width: number): Drawing {
  const n_steps = 32;
  const margin = 24;
  const step = (width - 2 * margin) / n_steps;
  const ramp = Array.from({ length: n_steps }, (_, i) =>
    draw('rect', { x: round(margin + i * step), y: 0, width: round(step + 0.5), height: 10, fill: fillOf((i + 0.5) / n_steps, theme) }),
  );
  const ticks = spaced(scale.ticks(5), scale, width - 2 * margin).map((tick) =>
    draw(
      'text',
      { class: 'axis-label', x: round(margin + scale.share(tick) * (width - 2 * margin)), y: 24, 'text-anchor': 'middle' },
      format(tick),
    ),
  );
  return draw(
    'svg',
    {
      class: 'legend',
      width,
      height: 28,
      viewBox: `0 0 ${width} 28`,
      role: 'img',
      'aria-label': `Colour scale from ${format(scale.min)} to ${format(scale.max)}`,
    },
    ...ramp,
    ...ticks,
  );
}

/** Drops ticks that would touch the one before. */
function spaced(ticks: readonly number[], scale: Scale, width: number): number[] {
  const kept: number[] = [];
  for (const tick of ticks) {
    const last = kept.at(-1);
    if (last === undefined || (scale.share(tick) - scale.share(last)) * width >= 48) kept.push(tick);
  }
  return kept;
}

export const round = (value: number): number => Math.round(value * 10) / 10;
