// The page that compares two runs: draws both reports and follows the pointer and the keys.
import { cellAfterKey } from '../cell-keys.js';
import './comparison.css';
import { readToWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { openChannel } from '../channel.js';
import { drawExport, wireExports } from '../export-menu.js';
import { keepPlaces, type Places } from '../kept-places.js';
import { restoredFields } from '../kept-state.js';
import { fill, page, toDoms } from '../page-parts.js';
import { explainCells } from '../page-tooltip.js';
import { draw, type Drawing } from '../plot/element.js';
import { metrics } from '../report/metrics.js';
import { themeNow } from '../theme.js';
import { drawAllRuns } from './all-runs.js';
import {
  drawDifferencePicture,
  drawFigures,
  drawPairTable,
  drawPairTooltip,
  drawRecipeLines,
  layerPairs,
  type LayerPair,
} from './comparison.js';

let shown: Extract<ToWebview, { kind: 'show-comparison' }> | null = null;
let pairs: LayerPair[] = [];
/** The first that both have. */
let metric = metrics[0];

interface Kept {
  /** Whose cell the keyboard is on. */
  layer: string;
  /** Whether the table is open. */
  table: boolean;
  places: Places;
  /** What the host opens again after a reload of the window. */
  saved: string[];
}

const channel = openChannel<ToWebview, FromWebview>(readToWebview, receive);
let kept = restoredFields<Kept>({ layer: '', table: false, places: {}, saved: [] }, channel.loadState());
const places = keepPlaces(page, kept.places, (now) => keep({ places: now }));
wireExports(page, channel.send);
new ResizeObserver(redraw).observe(page);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ['class'] });
channel.send({ kind: 'ready' });

const section = (id: string, title: string, ...parts: Drawing[]): Drawing =>
  draw(
    'section',
    { class: 'panel', 'aria-labelledby': `${id}-title` },
    draw('h2', { id: `${id}-title` }, title),
    draw('div', { id, tabindex: 0, role: 'group', 'aria-label': title }, ...parts),
  );

function receive(message: ToWebview): void {
  if (message.kind !== 'show-comparison') return;
  shown = message;
  keep({ saved: message.saved });
  const { a, b, recipe, all } = message;
  const measured = metrics.find((candidate) => [a, b].every(({ layers }) => layers.some((layer) => candidate.valueOf(layer) !== null)));
  metric = measured ?? metrics[0];
  if (metric === undefined) return;
  pairs = layerPairs({ a, b }, metric);
  page.replaceChildren(
    ...toDoms([
      draw('header', {}, draw('h1', {}, all.length > 2 ? `${all.length} runs compared` : 'Two runs compared')),
      ...(all.length > 2 ? [section('all', `${all.length} runs`, drawAllRuns(all))] : []),
      section('figures', all.length > 2 ? 'The first run (A) and the last (B)' : 'What came out', drawFigures({ a, b })),
      section('recipe', 'What the recipes say', drawRecipeLines(recipe)),
      draw(
        'section',
        { class: 'panel', 'aria-labelledby': 'differences-title' },
        draw(
          'div',
          { class: 'panel-head' },
          draw('h2', { id: 'differences-title' }, `${metric.name} of each layer, B over A`),
          drawExport(`${metric.name} of each layer, B over A`),
        ),
        draw('div', { id: 'differences' }),
        draw('p', { class: 'unit' }, '÷ is less than in A, × more, = the same; 16b: B leaves the layer as it is.'),
      ),
      draw(
        'details',
        { class: 'panel', id: 'table-part' },
        draw('summary', {}, 'Layers as a table'),
        draw('div', { id: 'table', tabindex: 0, role: 'region', 'aria-label': 'Layers as a table' }, drawPairTable(pairs, metric)),
      ),
    ]),
  );
  const table = document.getElementById('table-part') as HTMLDetailsElement;
  table.open = kept.table;
  table.addEventListener('toggle', () => keep({ table: table.open }));
  redraw();
  places.restore();
}

function keep(part: Partial<Kept>): void {
  kept = { ...kept, ...part };
  channel.saveState(kept);
}

function redraw(): void {
  const place = document.getElementById('differences');
  if (shown === null || place === null || metric === undefined) return;
  const width = Math.max(260, place.clientWidth);
  fill('differences', drawDifferencePicture(pairs, metric, themeNow(), width));
  const cell = place.querySelector(`.cell[data-key="${CSS.escape(kept.layer)}"]`) ?? place.querySelector('.cell');
  cell?.setAttribute('tabindex', '0');
}

explainCells((key) => {
  const pair = pairs.find(({ name }) => name === key);
  return pair && metric ? drawPairTooltip(pair, metric) : null;
});
page.addEventListener('focusin', (event) => {
  const focused = event.target instanceof Element ? event.target.closest<SVGElement>('.cell') : null;
  if (focused === null) return;
  for (const cell of document.querySelectorAll('.cell')) cell.setAttribute('tabindex', cell === focused ? '0' : '-1');
  keep({ layer: focused.dataset['key'] ?? '' });
});
page.addEventListener('keydown', (event) => {
  const next = cellAfterKey(event);
  if (next === null) return;
  next.focus();
  event.preventDefault();
});
