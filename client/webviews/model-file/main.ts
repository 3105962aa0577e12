// The page of a model file: a pure function of its header. Holds what the user has filtered, sorted and chosen; of the table only the rows on screen are drawn.
import './model-file.css';
import { readNameFilter } from '../../../schemas/src/name-filter.js';
import type { TensorChannel } from '../../../schemas/src/protocol/client-worker.js';
import {
  LAYERS_MIME,
  readToModelFilePage,
  type FileTensor,
  type FromModelFilePage,
  type ModelFileFacts,
  type ToModelFilePage,
} from '../../../schemas/src/protocol/model-file-page.js';
import { openChannel } from '../channel.js';
import { wireExports } from '../export-menu.js';
import { keepPlaces, type Places } from '../kept-places.js';
import { restoredFields } from '../kept-state.js';
import { draw, toDom, type Drawing } from '../plot/element.js';
import { drawFacts, drawUnreadable } from './file-facts.js';
import { drawTensor, placeText, shapeText, sizeText, type ChannelLook, type Looked } from './tensor-details.js';
import { rowAfterKey, rowsOf, visibleRows, type ColumnKey, type TensorOrder } from './tensor-rows.js';

interface Choice {
  filter: string;
  order: TensorOrder;
  /** Names of tensors. */
  chosen: string[];
  active: string | null;
  places: Places;
}

const columns: readonly { key: ColumnKey; title: string; numeric: boolean; textOf(tensor: FileTensor): string }[] = [
  { key: 'name', title: 'Tensor', numeric: false, textOf: ({ name }) => name },
  { key: 'dtype', title: 'Type', numeric: false, textOf: ({ dtype }) => dtype },
  { key: 'shape', title: 'Shape', numeric: true, textOf: ({ shape }) => shapeText(shape) },
  { key: 'bytes', title: 'Size', numeric: true, textOf: sizeText },
  { key: 'offset', title: 'Place', numeric: true, textOf: placeText },
];

const page = document.getElementById('page') ?? document.body;
// The rows on screen change with every scroll; what is worth telling has its own live regions.
page.setAttribute('aria-live', 'off');

let file: ModelFileFacts | null = null;
let whyNoStatistics: string | null = null;
let recipe: string | null = null;
let choice: Choice = { filter: '', order: { key: null, descending: false }, chosen: [], active: null, places: {} };
const looked = new Map<string, Looked>();
const channels = new Map<string, ChannelLook>();
/** Indices of tensors in the order shown, the chosen among all, and the row of the keyboard. */
let rows: number[] = [];
const chosen = new Set<number>();
let active = 0;
/** Where a range of chosen rows began. */
let anchor = 0;

function receive(message: ToModelFilePage): void {
  switch (message.kind) {
    case 'show-file':
      ({ file, whyNoStatistics, recipe } = message);
      return showFile(message.name, message.file);
    case 'show-unreadable':
      return page.replaceChildren(...toDoms(drawUnreadable(message.name, message.message)));
    case 'show-recipe':
      recipe = message.recipe;
      return showActions();
    case 'show-statistics':
      hear(message);
      return showTensor();
  }
}
const channel = openChannel<ToModelFilePage, FromModelFilePage>(readToModelFilePage, receive);
choice = restoredFields(choice, channel.loadState());
const places = keepPlaces(page, choice.places, (kept) => {
  choice = { ...choice, places: kept };
  keep();
});
wireExports(page, channel.send);
channel.send({ kind: 'ready' });

const toDoms = (drawings: readonly Drawing[]): Element[] => drawings.map((drawing) => toDom(document, drawing));
const byId = <T extends HTMLElement>(id: string): T => document.getElementById(id) as T;
const tensorAt = (row: number): FileTensor | undefined => file?.tensors[rows[row] ?? -1];

function showFile(name: string, shown: ModelFileFacts): void {
  const heads = columns.map(({ key, title, numeric }) =>
    draw(
      'div',
      { role: 'columnheader', class: `cell ${key}${numeric ? ' numeric' : ''}`, 'data-head': key },
      draw('button', { type: 'button', 'data-sort': key }, title),
    ),
  );
  page.replaceChildren(
    ...toDoms([
      draw('header', {}, ...drawFacts(name, shown)),
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
    ]),
  );
  const filter = byId<HTMLInputElement>('filter');
  filter.value = choice.filter;
  filter.addEventListener('input', () => change({ filter: filter.value }));
  byId('grid').addEventListener('scroll', () => showRows(), { passive: true });
  const names = new Map(shown.tensors.map((tensor, index) => [tensor.name, index]));
  chosen.clear();
  for (const tensor of choice.chosen) if (names.has(tensor)) chosen.add(names.get(tensor)!);
  arrange();
  const kept = choice.active === null ? -1 : rows.indexOf(names.get(choice.active) ?? -1);
  active = anchor = Math.max(0, kept);
  showAll();
  places.restore();
}

function change(part: Partial<Choice>): void {
  choice = { ...choice, ...part };
  keep();
  const before = rows[active];
  arrange();
  active = anchor = Math.max(0, rows.indexOf(before ?? -1));
  byId('grid').scrollTop = 0;
  showAll();
}

function keep(): void {
  const names = [...chosen].slice(0, 1000).flatMap((index) => file?.tensors[index]?.name ?? []);
  channel.saveState({ ...choice, chosen: names, active: tensorAt(active)?.name ?? null });
}

function arrange(): void {
  if (file === null) return;
  const filter = readNameFilter(choice.filter);
  rows = rowsOf(file.tensors, filter, choice.order);
  const total = file.tensors.length.toLocaleString('en-US');
  const text = rows.length === file.tensors.length ? `${total} tensors` : `${rows.length.toLocaleString('en-US')} of ${total} tensors`;
  byId('count').textContent = 'error' in filter ? filter.error : text;
  byId('filter').setAttribute('aria-invalid', String('error' in filter));
  byId('grid').setAttribute('aria-rowcount', String(rows.length + 1));
  for (const head of document.querySelectorAll<HTMLElement>('[data-head]')) {
    const isSorted = head.dataset['head'] === choice.order.key;
    head.setAttribute('aria-sort', isSorted ? (choice.order.descending ? 'descending' : 'ascending') : 'none');
  }
}

function showAll(): void {
  showRows();
  showTensor();
  showActions();
}

/** As the style sheet has it: two lines in a narrow panel. */
const rowHeight = (): number => (window.matchMedia('(max-width: 620px)').matches ? 44 : 24);

function showRows(): void {
  if (file === null) return;
  const grid = byId('grid');
  const height = rowHeight();
  const { first, last } = visibleRows(rows.length, height, grid.scrollTop, grid.clientHeight);
  const body = byId('rows');
  const hadFocus = document.activeElement?.classList.contains('row') === true && body.contains(document.activeElement);
  // Set by script, as the policy of the page takes no styles in its text.
  body.style.height = `${rows.length * height}px`;
  const drawn = [...Array(Math.max(0, last - first)).keys()].map((i) => first + i);
  // The row of the keyboard keeps the focus while it is scrolled out of view.
  if (rows.length > 0 && (active < first || active >= last)) drawn.push(active);
  body.replaceChildren(...drawn.map((row) => rowElement(row, height)));
  if (hadFocus) rowOf(active)?.focus({ preventScroll: true });
}

const rowOf = (row: number): HTMLElement | null => document.querySelector<HTMLElement>(`#rows [data-row="${row}"]`);

function rowElement(row: number, height: number): Element {
  const tensor = tensorAt(row)!;
  const element = toDom(
    document,
    draw(
      'div',
      {
        role: 'row',
        class: chosen.has(rows[row]!) ? 'row chosen' : 'row',
        'aria-rowindex': row + 2,
        'aria-selected': String(chosen.has(rows[row]!)),
        'data-row': row,
        tabindex: row === active ? 0 : -1,
        draggable: 'true',
      },
      ...columns.map(({ key, numeric, textOf }) =>
        draw(
          'div',
          { role: key === 'name' ? 'rowheader' : 'gridcell', class: `cell ${key}${numeric ? ' numeric' : ''}`, title: textOf(tensor) },
          textOf(tensor),
        ),
      ),
    ),
  ) as HTMLElement;
  element.style.transform = `translateY(${row * height}px)`;
  return element;
}

function showTensor(): void {
  const section = document.getElementById('tensor');
  if (section === null) return;
  const tensor = chosen.has(rows[active] ?? -1) ? tensorAt(active) : undefined;
  const hadFocus = section.contains(document.activeElement);
  const focused = hadFocus ? document.activeElement?.id : '';
  const width = Math.max(220, Math.min(560, section.clientWidth - 24));
  section.replaceChildren(
    ...(tensor === undefined
      ? toDoms([draw('p', { class: 'quiet' }, 'Choose a tensor to see what the file says of it.')])
      : toDoms(drawTensor(tensor, looked.get(tensor.name) ?? null, whyNoStatistics, width, channels.get(tensor.name) ?? null))),
  );
  const again = focused ? document.getElementById(focused) : null;
  if (hadFocus) (again ?? section).focus({ preventScroll: true });
}

function hear({ tensor, channel: of, answer }: Extract<ToModelFilePage, { kind: 'show-statistics' }>): void {
  if (of === null) return void looked.set(tensor, answer);
  // Another channel may have been chosen since.
  const known = channels.get(tensor)?.channel;
  if (known?.axis === of.axis && known.index === of.index) channels.set(tensor, { channel: of, looked: answer });
}

/** As the form says; what was drawn of another channel goes. */
function chooseChannel(asked: boolean): void {
  const tensor = tensorAt(active);
  if (tensor === undefined) return;
  const axis = byId<HTMLSelectElement>('channel-axis').value as TensorChannel['axis'];
  const most = (tensor.shape[axis === 'row' ? 0 : 1] ?? 1) - 1;
  const index = Math.max(0, Math.min(most, Math.floor(Number(byId<HTMLInputElement>('channel-index').value)) || 0));
  const of = { axis, index };
  channels.set(tensor.name, { channel: of, looked: asked ? 'asked' : null });
  if (asked) channel.send({ kind: 'inspect', tensor: tensor.name, channel: of });
  showTensor();
}

function showActions(): void {
  const actions = document.getElementById('actions');
  if (actions === null) return;
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.dataset['action'] : undefined;
  const reason = recipe === null ? 'Open a recipe first: layers are added to the recipe that was last in front.' : `In ${recipe}`;
  const isOff = recipe === null || chosen.size === 0;
  const button = (action: string, text: string): Drawing =>
    draw(
      'button',
      { type: 'button', class: 'action', 'data-action': action, title: reason, ...(isOff ? { 'aria-disabled': 'true' } : {}) },
      text,
    );
  actions.replaceChildren(
    ...toDoms([
      draw('span', { class: 'quiet', role: 'status' }, chosen.size === 0 ? '' : `${chosen.size.toLocaleString('en-US')} chosen`),
      button('targets', 'Add to Targets'),
      button('ignore', 'Add to Ignore'),
    ]),
  );
  if (focused !== undefined) actions.querySelector<HTMLElement>(`[data-action="${focused}"]`)?.focus();
}

/** Rows between the anchor and a row, or that row alone, or that row changed. */
function choose(row: number, how: 'alone' | 'range' | 'toggle'): void {
  const index = rows[row];
  if (index === undefined) return;
  if (how === 'toggle') {
    if (!chosen.delete(index)) chosen.add(index);
    anchor = row;
  } else {
    chosen.clear();
    if (how === 'alone') anchor = row;
    for (let i = Math.min(anchor, row); i <= Math.max(anchor, row); i += 1) chosen.add(rows[i]!);
  }
  moveTo(row);
}

function moveTo(row: number): void {
  active = row;
  const grid = byId('grid');
  const height = rowHeight();
  const head = grid.querySelector('.head')?.clientHeight ?? 0;
  if (row * height < grid.scrollTop) grid.scrollTop = row * height;
  else if ((row + 1) * height > grid.scrollTop + grid.clientHeight - head) grid.scrollTop = (row + 1) * height - grid.clientHeight + head;
  keep();
  showAll();
  rowOf(row)?.focus({ preventScroll: true });
}

function inspect(): void {
  const tensor = tensorAt(active);
  if (tensor === undefined || whyNoStatistics !== null || looked.get(tensor.name) === 'asked') return;
  looked.set(tensor.name, 'asked');
  channel.send({ kind: 'inspect', tensor: tensor.name, channel: null });
  showTensor();
}

/** Names of the chosen tensors, in the order of the file. */
const chosenNames = (): string[] => [...chosen].sort((a, b) => a - b).flatMap((index) => file?.tensors[index]?.name ?? []);

function act(action: string | undefined): void {
  if (action === 'inspect') return inspect();
  if (action === 'channel') return chooseChannel(true);
  if ((action === 'targets' || action === 'ignore') && recipe !== null && chosen.size > 0)
    channel.send({ kind: 'add-to-recipe', tensors: chosenNames(), to: action });
}

page.addEventListener('click', (event) => {
  const target = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-action], [data-sort], [data-row]') : null;
  if (target === null) return;
  const { action, sort, row } = target.dataset;
  if (action !== undefined) act(action);
  else if (sort !== undefined) {
    const { key, descending } = choice.order;
    // First ascending, then descending, then as in the file.
    const next =
      key !== sort
        ? { key: sort as ColumnKey, descending: false }
        : descending
          ? { key: null, descending: false }
          : { key, descending: true };
    change({ order: next });
  } else if (row !== undefined) choose(Number(row), event.shiftKey ? 'range' : event.ctrlKey || event.metaKey ? 'toggle' : 'alone');
});
page.addEventListener('dblclick', (event) => {
  if (event.target instanceof Element && event.target.closest('[data-row]')) inspect();
});

page.addEventListener('keydown', (event) => {
  if (!(event.target instanceof Element) || event.target.closest('[data-row]') === null) return;
  const visible = Math.max(1, Math.floor(byId('grid').clientHeight / rowHeight()) - 2);
  const next = rowAfterKey(event.key, active, rows.length, visible);
  if (next !== null && (event.ctrlKey || event.metaKey)) moveTo(next);
  else if (next !== null) choose(next, event.shiftKey ? 'range' : 'alone');
  else if (event.key === ' ') choose(active, event.ctrlKey || event.metaKey ? 'toggle' : 'alone');
  else if (event.key === 'Enter') {
    if (!chosen.has(rows[active] ?? -1)) choose(active, 'alone');
    inspect();
  } else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
    for (const index of rows) chosen.add(index);
    moveTo(active);
  } else return;
  event.preventDefault();
});
page.addEventListener('change', ({ target }) => {
  if (target instanceof Element && target.id === 'channel-axis') chooseChannel(false);
});
page.addEventListener('keydown', ({ target, key }) => {
  if (target instanceof Element && target.id === 'channel-index' && key === 'Enter') chooseChannel(true);
});
// The first key after the filter leads into the table.
page.addEventListener('keydown', (event) => {
  if (event.target instanceof Element && event.target.id === 'filter' && event.key === 'ArrowDown' && rows.length > 0) {
    event.preventDefault();
    choose(active, 'alone');
  }
});

page.addEventListener('dragstart', (event) => {
  const row = event.target instanceof Element ? event.target.closest<HTMLElement>('[data-row]')?.dataset['row'] : undefined;
  if (row === undefined || event.dataTransfer === null) return;
  if (!chosen.has(rows[Number(row)] ?? -1)) choose(Number(row), 'alone');
  event.dataTransfer.setData(LAYERS_MIME, JSON.stringify(chosenNames()));
  event.dataTransfer.setData('text/plain', chosenNames().join('\n'));
  event.dataTransfer.effectAllowed = 'copy';
});

window.addEventListener('resize', () => {
  if (file !== null) showAll();
});
