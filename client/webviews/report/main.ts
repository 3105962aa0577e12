// The report page: a pure function of the report and its arrays. Holds what the user has chosen, and redraws.
import './report.css';
import './block-line.css';
import type { LayerMetrics, RunReport } from '../../../schemas/src/generated/report.js';
import { readNameFilter } from '../../../schemas/src/name-filter.js';
import { readToWebview, type FromWebview, type ToWebview } from '../../../schemas/src/protocol/client-webview.js';
import { cellAfterKey } from '../cell-keys.js';
import { openChannel } from '../channel.js';
import { wireExports } from '../export-menu.js';
import { mostRows, type PlacedCells } from '../layer-places.js';
import { keepPlaces, type Places } from '../kept-places.js';
import { restoredFields } from '../kept-state.js';
import { drawLegend } from '../plot/cells.js';
import { fill, page, toDoms } from '../page-parts.js';
import { explainCells } from '../page-tooltip.js';
import { draw } from '../plot/element.js';
import { drawKey } from '../plot/key.js';
import { themeNow } from '../theme.js';
import { drawCanary } from './canary-plot.js';
import { depthKey, depthPanel, redrawDepth } from './depth-panel.js';
import { layerErrorText } from './depth-plot.js';
import { drawHeatmap, heatCells, scaleOf, worstOf } from './error-heatmap.js';
import { drawDetails, drawTooltip } from './layer-details.js';
import { drawTable, layerTable, orderOr } from './layer-table.js';
import type { TableOrder } from './layer-table.js';
import { drawAllLayers, drawInputs, drawWeightPictures, type Level, type ReadArray } from './layer-pictures.js';
import { metrics, metricsOf } from './metrics.js';
import type { Metric } from './metrics.js';
import { drawPage } from './page.js';
import { drawRotations } from './rotation-table.js';
import { drawTransforms } from './transform-table.js';
import { drawWeights, readArray } from './weight-histogram.js';
import type { LayerArrays } from './weight-histogram.js';

interface Choice {
  metric: Metric['key'];
  layer: string | null;
  order: TableOrder;
  logCounts: boolean;
  level: Level;
  /** Of the table. */
  filter: string;
  places: Places;
  /** What the host opens again after a reload of the window. */
  saved: string | null;
}

let report: RunReport | null = null;
let arrays: Extract<ToWebview, { kind: 'show-report' }>['arrays'] = { base64: {} };
let choice: Choice = {
  metric: 'relative_output_error',
  layer: null,
  order: { key: 'relative_output_error', descending: true },
  logCounts: true,
  level: 'tensor',
  filter: '',
  places: {},
  saved: null,
};
let heat: PlacedCells<LayerMetrics> | null = null;
/** Of the table. */
let shownRows = mostRows;
const files = new Map<string, Promise<ArrayBuffer>>();

const channel = openChannel<ToWebview, FromWebview>(readToWebview, receive);
choice = restoredFields(choice, channel.loadState());
const places = keepPlaces(page, choice.places, (kept) => keep({ places: kept }));
wireExports(page, channel.send);
window.addEventListener('resize', redrawPictures);
new MutationObserver(redrawPictures).observe(document.body, { attributes: true, attributeFilter: ['class'] });
channel.send({ kind: 'ready' });

function receive(message: ToWebview): void {
  if (message.kind === 'reveal-layer') return select(message.layer, true);
  if (message.kind !== 'show-report') return;
  if (report?.run_id !== message.report.run_id) {
    files.clear();
    shownRows = mostRows;
  }
  report = message.report;
  arrays = message.arrays;
  keep({ saved: message.saved });
  render(message.report);
  places.restore();
}

const chosenMetric = (layers: readonly LayerMetrics[]): Metric | undefined => {
  const possible = metricsOf(layers);
  return possible.find(({ key }) => key === choice.metric) ?? possible[0];
};

function chosenLayer(layers: readonly LayerMetrics[]): LayerMetrics | undefined {
  const metric = chosenMetric(layers);
  return layers.find(({ name }) => name === choice.layer) ?? (metric && worstOf(layers, metric)) ?? layers[0];
}

function render(shown: RunReport): void {
  page.replaceChildren(...toDoms(drawPage(shown)));
  if (shown.depth) fill('depth', depthPanel(shown.depth));
  if (shown.rotations?.length) fill('rotations', drawRotations(shown.rotations));
  if (shown.transforms?.length) fill('transforms', drawTransforms(shown.transforms));
  redrawCanary(shown);
  if (shown.layers.length === 0) return;
  const metricSelect = document.getElementById('metric') as HTMLSelectElement;
  metricSelect.value = chosenMetric(shown.layers)?.key ?? '';
  metricSelect.addEventListener('change', () => change({ metric: metricSelect.value as Metric['key'] }));
  const levelSelect = document.getElementById('level') as HTMLSelectElement;
  levelSelect.value = choice.level;
  levelSelect.addEventListener('change', () => change({ level: levelSelect.value as Level }));
  const logBox = document.getElementById('log-counts') as HTMLInputElement;
  logBox.checked = choice.logCounts;
  logBox.addEventListener('change', () => {
    change({ logCounts: logBox.checked });
    void redrawAllWeights();
  });
  document.getElementById('all-weights')?.addEventListener('toggle', () => void redrawAllWeights());
  const filterBox = document.getElementById('filter');
  if (filterBox instanceof HTMLInputElement) {
    filterBox.value = choice.filter;
    filterBox.addEventListener('input', () => {
      keep({ filter: filterBox.value });
      filterBox.setAttribute('aria-invalid', String('error' in readNameFilter(choice.filter)));
      shownRows = mostRows;
      redrawTable();
    });
  }
  redrawPictures();
  redrawTable();
}

/** What the table has, in any order. */
function listed({ layers }: RunReport): readonly LayerMetrics[] {
  const filter = readNameFilter(layers.length > mostRows ? choice.filter : '');
  return 'error' in filter ? layers : layers.filter(({ name }) => filter.fits(name));
}

async function redrawAllWeights(): Promise<void> {
  const details = document.getElementById('all-weights');
  if (report === null || !(details instanceof HTMLDetailsElement) || !details.open) return;
  try {
    fill('minis', await drawAllLayers(listed(report).slice(0, shownRows), choice.logCounts, read));
  } catch (error) {
    fill(
      'minis',
      draw('p', { class: 'empty' }, `The histograms cannot be read: ${error instanceof Error ? error.message : String(error)}`),
    );
  }
}

function keep(part: Partial<Choice>): void {
  choice = { ...choice, ...part };
  channel.saveState(choice);
}

function change(part: Partial<Choice>): void {
  keep(part);
  redrawPictures();
  redrawTable();
}

function select(layer: string, focus: boolean): void {
  change({ layer });
  if (focus) cellOf(layer)?.focus();
}

function cellOf(layer: string): SVGElement | null {
  const at = report?.layers.findIndex(({ name }) => name === layer) ?? -1;
  return document.querySelector<SVGElement>(`.cell[data-key="${CSS.escape(heat?.cellOf[at]?.layer.name ?? layer)}"]`);
}

function redrawCanary({ canary }: RunReport): void {
  if (canary) fill('canary', drawCanary(canary, Math.max(260, document.getElementById('canary')?.clientWidth ?? 0)));
}

function redrawPictures(): void {
  if (report !== null) redrawCanary(report);
  if (report === null || report.layers.length === 0) return;
  const { layers } = report;
  const metric = chosenMetric(layers);
  const layer = chosenLayer(layers);
  const heatmap = document.getElementById('heatmap');
  if (metric === undefined || layer === undefined || heatmap === null) return;
  const hadFocus = document.activeElement?.classList.contains('cell') === true;
  const width = Math.max(260, heatmap.clientWidth);
  heat = heatCells(layers, metric);
  const unit = heat.cells.length < layers.length ? `${metric.unit}, of the worst layer in each cell` : metric.unit;
  const legend = drawLegend(scaleOf(layers, metric), themeNow(), metric.format, Math.min(width, 420));
  const legendLine = draw('div', { class: 'legend-line' }, legend, draw('span', { class: 'unit' }, unit));
  const picture = draw('div', {}, drawHeatmap(layers, metric, themeNow(), width, heat), legendLine);
  fill('heatmap', { ...picture, table: layerTable(`${metric.name} of each layer`, layers) });
  const cell = cellOf(layer.name);
  cell?.classList.add('selected');
  cell?.setAttribute('aria-selected', 'true');
  cell?.setAttribute('tabindex', '0');
  if (hadFocus) cell?.focus();
  // A layer that the recipe leaves as it is stands in the picture of the depth alone.
  const passed = report.depth?.layers.find(({ name }) => name === choice.layer && !layers.some((other) => other.name === name));
  if (report.depth) redrawDepth(report.depth, passed?.name ?? layer.name);
  if (passed) {
    fill('layer', draw('h3', {}, passed.name), draw('p', {}, `Not quantized. ${layerErrorText(passed)}.`));
    fill('weights', draw('h3', {}, passed.name), draw('p', { class: 'empty' }, 'The recipe leaves the weights of this layer as they are.'));
    return;
  }
  void redrawWeights(layer, metric, layers);
}

async function redrawWeights(layer: LayerMetrics, metric: Metric, layers: readonly LayerMetrics[]): Promise<void> {
  const through = report?.depth?.layers.find(({ name }) => name === layer.name);
  fill(
    'layer',
    draw('h3', {}, layer.name),
    drawDetails(layer, layers, metric),
    ...(through ? [draw('p', { class: 'definition' }, `In the written model, ${layerErrorText(through)}.`)] : []),
    ...('baseUri' in arrays ? [draw('button', { type: 'button', class: 'plain', 'data-recipe': layer.name }, 'Show in the recipe')] : []),
  );
  const width = Math.max(260, document.getElementById('weights')?.clientWidth ?? 0);
  try {
    const arrays = await arraysOf(layer);
    // Another layer was chosen while the file was read.
    if (report === null || chosenLayer(report.layers)?.name !== layer.name) return;
    const picture =
      arrays === null
        ? draw('p', { class: 'empty' }, 'This report holds no histogram of the layer.')
        : drawWeights(layer, arrays, choice.logCounts, width);
    const key = drawKey(
      { swatch: 'key-bar', text: 'weights before' },
      { swatch: 'key-mark', text: 'values of the grid with the layer’s median scale' },
      ...(arrays?.after ? [{ swatch: 'key-outline', text: 'weights after' }] : []),
    );
    const more = layer.picture ? await drawWeightPictures(layer, layer.picture, choice.level, choice.logCounts, width, read) : [];
    const inputs = through?.inputs ? await drawInputs(through, through.inputs, layer.columns, choice.logCounts, width, read) : [];
    if (chosenLayer(report.layers)?.name !== layer.name) return;
    fill('weights', draw('h3', {}, layer.name), picture, ...(arrays === null ? [] : [key]), ...more, ...inputs);
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    channel.send({ kind: 'page-error', message: `${layer.name}: ${text}` });
    fill('weights', draw('h3', {}, layer.name), draw('p', { class: 'empty' }, `The histogram cannot be read: ${text}`));
  }
}

async function arraysOf(layer: LayerMetrics): Promise<LayerArrays | null> {
  if (layer.histogram === null) return null;
  const counts = readArray(layer.histogram, await fileOf(layer.histogram.file));
  const { picture, grid } = layer;
  // Counts of a sample would not stand on one axis with those of all.
  const after =
    picture?.rows === layer.rows ? { counts: await read(picture.after), min: picture.after.min ?? 0, max: picture.after.max ?? 1 } : null;
  return { counts, grid: grid === null ? [] : await read(grid), after };
}

const read: ReadArray = async (array) => readArray(array, await fileOf(array.file));

function fileOf(name: string): Promise<ArrayBuffer> {
  const known = files.get(name);
  if (known !== undefined) return known;
  const bytes = 'base64' in arrays ? embedded(arrays.base64[name], name) : fetched(arrays.baseUri, name);
  files.set(name, bytes);
  return bytes;
}

async function fetched(baseUri: string, name: string): Promise<ArrayBuffer> {
  const response = await fetch(`${baseUri}/${name.split('/').map(encodeURIComponent).join('/')}`);
  if (!response.ok) throw new Error(`${name} is not in the report folder (${response.status})`);
  return response.arrayBuffer();
}

async function embedded(base64: string | undefined, name: string): Promise<ArrayBuffer> {
  if (base64 === undefined) throw new Error(`${name} is not in this file`);
  return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
}

function redrawTable(): void {
  if (report === null || report.layers.length === 0) return;
  const focused = document.activeElement instanceof HTMLElement ? { ...document.activeElement.dataset } : {};
  const order = orderOr(choice.order, report.layers, chosenMetric(report.layers));
  const layers = listed(report);
  const table = drawTable(layers, order, chosenLayer(report.layers)?.name ?? null, shownRows);
  const more = draw('button', { type: 'button', class: 'plain', 'data-more': '' }, `Show ${mostRows} more`);
  fill('table', table, ...(layers.length > shownRows ? [more] : []));
  const again =
    focused['sort'] !== undefined
      ? `[data-sort="${CSS.escape(focused['sort'])}"]`
      : focused['layer'] !== undefined
        ? `[data-layer="${CSS.escape(focused['layer'])}"]`
        : null;
  if (again !== null) document.querySelector<HTMLElement>(again)?.focus();
}

page.addEventListener('click', (event) => {
  const target =
    event.target instanceof Element
      ? event.target.closest<HTMLElement | SVGElement>('[data-key], [data-sort], [data-layer], [data-recipe], [data-more]')
      : null;
  if (target === null) return;
  const { key, sort, layer, recipe, more } = target.dataset;
  if (recipe !== undefined) channel.send({ kind: 'open-recipe', layer: recipe });
  else if (more !== undefined) {
    shownRows += mostRows;
    redrawTable();
  } else if (sort !== undefined) {
    const isText = sort === 'name' || sort === 'scheme';
    const shown = report && orderOr(choice.order, report.layers, chosenMetric(report.layers));
    change({ order: { key: sort, descending: shown?.key === sort ? !shown.descending : !isText } });
  } else if (layer !== undefined || key !== undefined) select(layer ?? key ?? '', target.classList.contains('cell'));
});

page.addEventListener('keydown', (event) => {
  if (depthKey(event, (layer) => select(layer, false))) return;
  const cell = event.target instanceof Element ? event.target.closest<SVGElement>('.cell') : null;
  if (cell === null) return;
  if (event.key === 'Enter' || event.key === ' ') select(cell.dataset['key'] ?? '', true);
  else {
    const next = cellAfterKey(event);
    if (next === null) return;
    next.focus();
  }
  event.preventDefault();
});

explainCells((key) => {
  const layer = report?.layers.find(({ name }) => name === key);
  const metric = report && (chosenMetric(report.layers) ?? metrics[0]);
  return report && layer && metric
    ? drawTooltip(layer, report.layers, metric, heat?.cells.find((cell) => cell.layer === layer)?.n ?? 1)
    : null;
});
