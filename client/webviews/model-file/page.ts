// The static parts of the page of a model file, and the columns of its table.
import type { FileTensor, ModelFileFacts } from '../../../schemas/src/protocol/model-file-page.js';
import { draw, type Drawing } from '../plot/element.js';
import { drawFacts } from './file-facts.js';
import { placeText, shapeText, sizeText } from './tensor-details.js';
import type { ColumnKey } from './tensor-rows.js';

const columns: readonly { key: ColumnKey; title: string; numeric: boolean; textOf(tensor: FileTensor): string }[] = [
  { key: 'name', title: 'Tensor', numeric: false, textOf: ({ name }) => name },
  { key: 'dtype', title: 'Type', numeric: false, textOf: ({ dtype }) => dtype },
  { key: 'shape', title: 'Shape', numeric: true, textOf: ({ shape }) => shapeText(shape) },
  { key: 'bytes', title: 'Size', numeric: true, textOf: sizeText },
  { key: 'offset', title: 'Place', numeric: true, textOf: placeText },
];
const cellClass = (key: ColumnKey, numeric: boolean): string => `cell ${key}${numeric ? ' numeric' : ''}`;

export function drawPage(name: string, facts: ModelFileFacts): Drawing[] {
  const heads = columns.map(({ key, title, numeric }) =>
    draw(
      'div',
      { role: 'columnheader', class: cellClass(key, numeric), 'data-head': key },
      draw('button', { type: 'button', 'data-sort': key }, title),
    ),
  );
  return [
    draw('header', {}, ...drawFacts(name, facts)),
    draw(
      'div',
      { class: 'tools' },
      draw('input', {
        id: 'filter',
        type: 'search',
        placeholder: 'Filter, or /expression/',
        'aria-label': 'Filter tensors',
        spellcheck: 'false',
      }),
      draw('span', { id: 'count', class: 'quiet', role: 'status' }),
      draw('span', { id: 'actions', class: 'actions' }),
    ),
    draw(
      'div',
      { class: 'content' },
      draw(
        'div',
        { id: 'grid', role: 'grid', 'aria-label': 'Tensors', 'aria-multiselectable': 'true', 'aria-colcount': columns.length },
        draw('div', { role: 'rowgroup', class: 'head' }, draw('div', { role: 'row', class: 'row', 'aria-rowindex': 1 }, ...heads)),
        draw('div', { id: 'rows', role: 'rowgroup' }),
      ),
      draw('section', { id: 'tensor', tabindex: 0, 'aria-label': 'Chosen tensor' }),
    ),
  ];
}

export const drawRow = (tensor: FileTensor, row: number, { isChosen, isActive }: { isChosen: boolean; isActive: boolean }): Drawing =>
  draw(
    'div',
    {
      role: 'row',
      class: isChosen ? 'row chosen' : 'row',
      'aria-rowindex': row + 2,
      'aria-selected': String(isChosen),
      'data-row': row,
      tabindex: isActive ? 0 : -1,
      draggable: 'true',
    },
    ...columns.map(({ key, numeric, textOf }) =>
      draw(
        'div',
        { role: key === 'name' ? 'rowheader' : 'gridcell', class: cellClass(key, numeric), title: textOf(tensor) },
        textOf(tensor),
      ),
    ),
  );
