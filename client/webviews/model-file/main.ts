// The page of a model file: a pure function of its header, and of the statistics that were asked for. Holds what the user has filtered, sorted and chosen.
import './model-file.css';
import type { TensorChannel } from '../../../schemas/src/protocol/client-worker.js';
import {
  readToModelFilePage,
  type FromModelFilePage,
  type ModelFileFacts,
  type ToModelFilePage,
} from '../../../schemas/src/protocol/model-file-page.js';
import { openChannel } from '../channel.js';
import { wireExports } from '../export-menu.js';
import { keepPlaces, type Places } from '../kept-places.js';
import { restoredFields } from '../kept-state.js';
import { element, page, toDoms } from '../page-parts.js';
import { draw, type Drawing } from '../plot/element.js';
import { drawUnreadable } from './file-facts.js';
import { drawPage } from './page.js';
import { drawTensor, type ChannelLook, type Looked } from './tensor-details.js';
import type { ColumnKey } from './tensor-rows.js';
import { TensorTable, type RowOrder } from './tensor-table.js';

interface Choice extends RowOrder {
  /** Names of tensors. */
  chosen: string[];
  active: string | null;
  places: Places;
}

// The rows on screen change with every scroll; what is worth telling has its own live regions.
page.setAttribute('aria-live', 'off');

let file: ModelFileFacts | null = null;
let whyNoStatistics: string | null = null;
let recipe: string | null = null;
let choice: Choice = { filter: '', order: { key: null, descending: false }, chosen: [], active: null, places: {} };
const looked = new Map<string, Looked>();
const channels = new Map<string, ChannelLook>();
const table = new TensorTable({ onChoice, inspect });

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

function showFile(name: string, shown: ModelFileFacts): void {
  page.replaceChildren(...toDoms(drawPage(name, shown)));
  const filter = element<HTMLInputElement>('filter');
  filter.value = choice.filter;
  filter.addEventListener('input', () => change({ filter: filter.value }));
  table.show(shown.tensors, choice, choice.chosen, choice.active);
  showTensor();
  showActions();
  places.restore();
}

function change(part: Partial<RowOrder>): void {
  choice = { ...choice, ...part };
  keep();
  table.arrange(choice);
  showTensor();
  showActions();
}

function keep(): void {
  channel.saveState({ ...choice, chosen: table.chosenNames(1000), active: table.activeTensor?.name ?? null });
}

function onChoice(): void {
  keep();
  showTensor();
  showActions();
}

function showTensor(): void {
  const section = document.getElementById('tensor');
  if (section === null) return;
  const tensor = table.isActiveChosen ? table.activeTensor : undefined;
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
  const tensor = table.activeTensor;
  if (tensor === undefined) return;
  const axis = element<HTMLSelectElement>('channel-axis').value as TensorChannel['axis'];
  const most = (tensor.shape[axis === 'row' ? 0 : 1] ?? 1) - 1;
  const index = Math.max(0, Math.min(most, Math.floor(Number(element<HTMLInputElement>('channel-index').value)) || 0));
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
  const isOff = recipe === null || table.nChosen === 0;
  const button = (action: string, text: string): Drawing =>
    draw(
      'button',
      { type: 'button', class: 'action', 'data-action': action, title: reason, ...(isOff ? { 'aria-disabled': 'true' } : {}) },
      text,
    );
  actions.replaceChildren(
    ...toDoms([
      draw('span', { class: 'quiet', role: 'status' }, table.nChosen === 0 ? '' : `${table.nChosen.toLocaleString('en-US')} chosen`),
      button('targets', 'Add to Targets'),
      button('ignore', 'Add to Ignore'),
    ]),
  );
  if (focused !== undefined) actions.querySelector<HTMLElement>(`[data-action="${focused}"]`)?.focus();
}

function inspect(): void {
  const tensor = table.activeTensor;
  if (tensor === undefined || whyNoStatistics !== null || looked.get(tensor.name) === 'asked') return;
  looked.set(tensor.name, 'asked');
  channel.send({ kind: 'inspect', tensor: tensor.name, channel: null });
  showTensor();
}

function act(action: string | undefined): void {
  if (action === 'inspect') return inspect();
  if (action === 'channel') return chooseChannel(true);
  if ((action === 'targets' || action === 'ignore') && recipe !== null && table.nChosen > 0)
    channel.send({ kind: 'add-to-recipe', tensors: table.chosenNames(), to: action });
}

page.addEventListener('click', ({ target }) => {
  const part = target instanceof Element ? target.closest<HTMLElement>('[data-action], [data-sort]') : null;
  const { action, sort } = part?.dataset ?? {};
  if (action !== undefined) act(action);
  else if (sort !== undefined) change({ order: orderAfter(sort as ColumnKey) });
});
page.addEventListener('change', ({ target }) => {
  if (target instanceof Element && target.id === 'channel-axis') chooseChannel(false);
});
page.addEventListener('keydown', ({ target, key }) => {
  if (target instanceof Element && target.id === 'channel-index' && key === 'Enter') chooseChannel(true);
});

/** First ascending, then descending, then as in the file. */
function orderAfter(sort: ColumnKey): RowOrder['order'] {
  const { key, descending } = choice.order;
  if (key !== sort) return { key: sort, descending: false };
  return descending ? { key: null, descending: false } : { key, descending: true };
}

window.addEventListener('resize', () => {
  if (file === null) return;
  table.draw();
  showTensor();
  showActions();
});
