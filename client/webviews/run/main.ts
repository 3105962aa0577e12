// The page of a run in progress: a pure function of what the run has told so far. Its frame stands; the parts are drawn anew, and the focus stays.
import { cellAfterKey } from '../cell-keys.js';
import '../report/block-line.css';
import './run.css';
import { outlineOf, type LiveRun } from '../../../schemas/src/live-run.js';
import { readToWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { openChannel } from '../channel.js';
import { fill, page, toDoms } from '../page-parts.js';
import { draw, type Drawing } from '../plot/element.js';
import { drawCanary } from '../report/canary-plot.js';
import { themeNow } from '../theme.js';
import { drawLiveCells, drawLiveProblems, drawLiveTable, drawMemory, drawProgress, drawStages, liveMetric } from './live-run.js';

let run: LiveRun | null = null;
let at: string | null = null;
let spoken = '';

const channel = openChannel<ToWebview, FromWebview>(readToWebview, receive);
window.addEventListener('resize', redraw);
new MutationObserver(redraw).observe(document.body, { attributes: true, attributeFilter: ['class'] });
channel.send({ kind: 'ready' });

function receive(message: ToWebview): void {
  if (message.kind !== 'show-run') return;
  const isFirst = run === null;
  const isOther = message.run.output !== run?.output || message.run.layers.length !== run.layers.length;
  run = message.run;
  // What the host reads the run by after a reload of the window.
  if (isOther) channel.saveState({ saved: outlineOf(run) });
  if (isFirst) makeFrame();
  redraw();
}

function makeFrame(): void {
  const section = (id: string, title: string, ...more: Drawing[]): Drawing =>
    draw(
      'section',
      { class: 'panel', 'aria-labelledby': `${id}-title` },
      draw('h2', { id: `${id}-title` }, title),
      draw('div', { id, ...(id === 'stages' || id === 'canary' ? { tabindex: 0, role: 'group', 'aria-label': title } : {}) }),
      ...more,
    );
  page.replaceChildren(
    ...toDoms([
      draw(
        'header',
        {},
        draw('h1', { id: 'title' }),
        draw('div', { id: 'progress' }),
        draw(
          'div',
          { class: 'actions' },
          draw('button', { id: 'cancel', type: 'button' }, 'Cancel run'),
          draw('button', { id: 'continue', type: 'button', hidden: '' }, 'Continue run'),
          draw('button', { id: 'report', type: 'button', hidden: '' }, 'Open report'),
        ),
        draw('p', { id: 'spoken', class: 'spoken', role: 'status' }),
      ),
      section('heatmap', 'Layers as they finish', draw('p', { id: 'unit', class: 'unit' })),
      draw('div', { class: 'pair' }, section('stages', 'Stages'), section('memory', 'Memory')),
      ...(run?.canary ? [section('canary', 'Canary')] : []),
      section('problems', 'Problems'),
      draw(
        'details',
        { class: 'panel' },
        draw('summary', {}, 'Layers as a table'),
        draw('div', { id: 'table', tabindex: 0, role: 'region', 'aria-label': 'Layers as a table' }),
      ),
    ]),
  );
  document.getElementById('cancel')?.addEventListener('click', () => channel.send({ kind: 'cancel-run' }));
  document.getElementById('continue')?.addEventListener('click', () => channel.send({ kind: 'continue-run' }));
  document.getElementById('report')?.addEventListener('click', () => channel.send({ kind: 'open-report' }));
}

function redraw(): void {
  if (run === null) return;
  const metric = liveMetric(run);
  const heatmap = document.getElementById('heatmap');
  if (metric === undefined || heatmap === null) return;
  const title = document.getElementById('title');
  if (title !== null) title.textContent = `${run.outcome === 'running' ? 'Quantizing' : 'Run of'} ${run.recipe}`;
  fill('progress', drawProgress(run));
  fill('stages', drawStages(run));
  fill('memory', drawMemory(run));
  if (run.canary) fill('canary', drawCanary(run.canary, Math.max(260, document.getElementById('canary')?.clientWidth ?? 0)));
  fill('problems', drawLiveProblems(run));
  fill('table', drawLiveTable(run, metric));
  const hadFocus = document.activeElement?.classList.contains('cell') === true;
  fill('heatmap', drawLiveCells(run, metric, themeNow(), Math.max(260, heatmap.clientWidth)));
  const cell = (at === null ? null : cellOf(at)) ?? document.querySelector<SVGElement>('.cell');
  cell?.setAttribute('tabindex', '0');
  if (hadFocus) cell?.focus();
  const unit = document.getElementById('unit');
  if (unit !== null) unit.textContent = `${metric.name}, ${metric.unit}. An empty cell is not finished.`;
  toggle('cancel', run.outcome === 'running');
  toggle('continue', run.outcome === 'interrupted' || run.outcome === 'cancelled');
  toggle('report', run.outcome === 'completed');
  speak(run);
}

/** Every tenth is read aloud, and the end; more would drown what else is read. */
function speak({ outcome, fraction, problems, canary }: LiveRun): void {
  const tenths = Math.floor(fraction * 10) * 10;
  // Of a canary that is near its limit, every tenth of the limit.
  const share = canary === null ? 0 : Math.floor((10 * (canary.figures.at(-1)?.mean_kld ?? 0)) / canary.max_mean_kld) * 10;
  const near = share < 50 ? '' : `, canary at ${share} percent of its limit`;
  const text =
    outcome === 'running' || outcome === 'elsewhere'
      ? `${tenths} percent${near}${problems.length === 0 ? '' : `, ${problems.length} problems`}`
      : `The run is ${outcome}`;
  const place = document.getElementById('spoken');
  if (place !== null && text !== spoken) place.textContent = spoken = text;
}

function toggle(id: string, isShown: boolean): void {
  const button = document.getElementById(id);
  if (button === null) return;
  const hadFocus = document.activeElement === button;
  button.hidden = !isShown;
  if (hadFocus && !isShown) document.querySelector<HTMLElement>('.actions button:not([hidden])')?.focus();
}

const cellOf = (key: string): SVGElement | null => document.querySelector<SVGElement>(`.cell[data-key="${CSS.escape(key)}"]`);

page.addEventListener('keydown', (event) => {
  const next = cellAfterKey(event);
  if (next === null) return;
  for (const cell of document.querySelectorAll('.cell')) cell.setAttribute('tabindex', cell === next ? '0' : '-1');
  at = next.dataset['key'] ?? null;
  next.focus();
  event.preventDefault();
});
