// The parts of the sensitivity page, as pure values: figures and ranks, order and scales, the picture, selections and their edits, the budget.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { toMarkup } from '../../client/webviews/plot/element.js';
import { drawMarks, type Palette } from '../../client/webviews/plot/marks.js';
import { budgetOf, drawCurve } from '../../client/webviews/sensitivity/budget.js';
import { figuresOf, ranksOf, shortText, valueText } from '../../client/webviews/sensitivity/figures.js';
import {
  analysisCsv,
  cellText,
  drawCellTooltip,
  drawLayerTable,
  otherSchemes,
  summaryText,
} from '../../client/webviews/sensitivity/layer-text.js';
import { heatMarks, layoutOf, type Shown } from '../../client/webviews/sensitivity/picture.js';
import { editsOf, rectangle, withSiblings, worstCells, type ActionParts } from '../../client/webviews/sensitivity/selection.js';
import { initialState, restored } from '../../client/webviews/sensitivity/state.js';
import { filterError, heatView, type Choice, type HeatView } from '../../client/webviews/sensitivity/view.js';
import { suggestBits, weightCount } from '../../schemas/src/suggest-bits.js';
import { layerName, layerRules, sensitivityAnalysis, withFisher } from '../support/sensitivity-fixture.js';
import { matchesSnapshot } from '../support/snapshot.js';

const analysis = sensitivityAnalysis(2);
const choice: Choice = { ...initialState, figure: 'relative_output_error', bits: 4 };

function viewOf(changes: Partial<Choice> = {}, of = analysis): HeatView {
  const view = heatView(of, { ...choice, ...changes });
  assert.ok(view);
  return view;
}

const palette: Palette = {
  background: '#101010',
  foreground: '#eeeeee',
  quiet: '#aaaaaa',
  line: '#444444',
  focus: '#0078d4',
  accent: '#3794ff',
};

function shown(changes: Partial<Shown> = {}): Shown {
  return { selected: new Set(), highlighted: new Set(), inForce: new Map(), theme: 'dark', palette, ...changes };
}

function pictureOf(view: HeatView, what: Shown, width = 640): string {
  const layout = layoutOf(view, width);
  return toMarkup(
    drawMarks(
      heatMarks(view, layout, { left: 0, top: 0, width: layout.width, height: layout.height }, what),
      layout,
      summaryText(view),
      palette.background,
    ),
  );
}

test('the heatmap of two blocks: bits in force, a selection, a rule at the cursor, dark and light', () => {
  const inForce = new Map(layerRules(analysis, [layerName(0, 'q_proj')]).layers.map(({ name, num_bits }) => [name, num_bits]));
  const what = { inForce, selected: new Set([layerName(1, 'down_proj')]), highlighted: new Set([layerName(0, 'q_proj')]) };
  for (const theme of ['dark', 'light'] as const)
    matchesSnapshot(`webviews/snapshots/sensitivity-${theme}.svg`, pictureOf(viewOf(), shown({ ...what, theme })));
  matchesSnapshot('webviews/snapshots/sensitivity-all-bits.svg', pictureOf(viewOf({ bits: 'all' }), shown(what), 900));
});

test('only the rows and columns of the window are painted, and labels stay at its edges', () => {
  const view = viewOf({ bits: 'all' }, sensitivityAnalysis(126, [2, 3, 4, 6, 8]));
  const layout = layoutOf(view, 900);
  const marks = heatMarks(view, layout, { left: 0, top: 1000, width: 900, height: 500 }, shown());
  const rows = marks.flatMap((mark) => (mark.kind === 'text' && mark.text.startsWith('block') ? [Number(mark.text.slice(6))] : []));
  assert.ok(rows.length <= 22 && rows.includes(45) && !rows.includes(0) && !rows.includes(80), rows.join());
  assert.ok(marks.length < 22 * 35 * 3);
});

test('figures come from the analysis, best first; what was not measured is not offered', () => {
  const figures = figuresOf(analysis);
  assert.deepEqual(
    figures.map(({ key }) => key),
    ['relative_output_error', 'weight_mse', 'weight_sqnr_db', 'weight_cosine', 'kurtosis'],
  );
  const [error, , sqnr] = figures;
  assert.ok(error && sqnr);
  // The same layers are the worst, whichever way the figure grows.
  const worst = (ranks: Map<string, number>): string | undefined => [...ranks].find(([, rank]) => rank === 1)?.[0];
  assert.equal(worst(ranksOf(analysis.layers, error, 4)), layerName(1, 'down_proj'));
  assert.equal(worst(ranksOf(analysis.layers, sqnr, 4)), layerName(1, 'down_proj'));
  assert.equal(valueText(error, 0.005812), '0.581 %');
  assert.equal(shortText(error, 0.005812), '0.58');
  // Equal values share a rank, and the next one counts them.
  const equal = figures[4];
  assert.ok(equal);
  assert.deepEqual([...ranksOf(analysis.layers, equal, 4).values()], [1, 1, 3, 3, 5, 5, 7, 7, 9, 9, 11, 11, 13, 13]);
});

test('what gradients predict comes before the errors of layers, in words, table and CSV; a layer without a gradient has none', () => {
  const measured = withFisher(analysis);
  const figures = figuresOf(measured);
  assert.deepEqual([figures[0]?.key, figures.find(({ ofBits }) => !ofBits)?.key], ['fisher_loss', 'fisher_trace']);
  const view = viewOf({ figure: 'fisher_loss' }, measured);
  const without = view.cells.find(({ layer }) => layer === measured.layers.at(-1));
  assert.ok(without);
  assert.deepEqual([without.value, without.share], [null, null]);
  assert.equal(cellText(without, view), 'Predicted loss change (Fisher) with 4 bits: not measured');
  assert.equal(summaryText(view), `14 layers. Worst by predicted loss change (Fisher) with 4 bits: ${layerName(0, 'down_proj')}, 0.0273.`);
  const [reason] = editsOf('raise', parts({ layers: measured.layers, figure: view.figure, siblings: false }))[0]?.layers ?? [];
  assert.equal(reason?.reason, 'predicted loss change (Fisher) with 4 bits 0.0117, rank 5 of 13');
  assert.match(toMarkup(drawLayerTable(measured, view, layerRules(measured), new Set())), /<caption>Predicted loss change \(Fisher\)/);
  const [heads = '', ...rows] = analysisCsv(measured, layerRules(measured)).trimEnd().split('\n');
  const value = (row: number, key: string) => rows[row]?.split(',')[heads.split(',').indexOf(key)];
  assert.deepEqual([value(0, 'fisher_loss'), value(0, 'fisher_trace'), value(0, 'weight_variance')], ['0.0625', '100', '0.01']);
  assert.deepEqual([value(rows.length - 1, 'fisher_loss'), value(rows.length - 1, 'fisher_trace')], ['', '']);
});

test('the trace of the Hessian is shown with its standard error, also where it is negative', () => {
  const [first, ...others] = analysis.layers;
  assert.ok(first);
  const metric = { key: 'hessian_trace', name: 'Trace of the Hessian', definition: '', unit: '', source: '' };
  const probed = { ...first, hessian_trace: { value: -0.5, standard_error: 0.25, probes: 8 } };
  const once = others.map((layer) => ({ ...layer, hessian_trace: { value: -2, standard_error: null, probes: 1 } }));
  const measured = { ...analysis, metrics: [...analysis.metrics, metric], layers: [probed, ...once] };
  const view = viewOf({ figure: 'hessian_trace' }, measured);
  assert.match(summaryText(view), /^14 layers\. Worst by trace of the Hessian: .*q_proj, -0\.5 ± 0\.25\.$/);
  const table = toMarkup(drawLayerTable(measured, view, null, new Set()));
  assert.match(table, />-0\.5 ± 0\.25</);
  assert.match(table, />-2 ± \?</);
  const [heads = '', row = '', next = ''] = analysisCsv(measured, null).trimEnd().split('\n');
  assert.deepEqual(
    [heads, row, next].map((line) => line.split(',').at(-1)),
    ['hessian_trace_standard_error', '0.25', '0.25'],
  );
});

test('stronger is worse, by one scale for all, for each row or for each column', () => {
  const shareOf = (view: HeatView, name: string): number => view.cells.find(({ layer }) => layer.name === name)?.share ?? NaN;
  for (const figure of ['relative_output_error', 'weight_sqnr_db', 'weight_cosine']) {
    const view = viewOf({ figure });
    assert.deepEqual([shareOf(view, layerName(1, 'down_proj')), shareOf(view, layerName(0, 'q_proj'))], [1, 0], figure);
    const byRow = viewOf({ figure, over: 'row' });
    assert.deepEqual([shareOf(byRow, layerName(0, 'down_proj')), shareOf(byRow, layerName(0, 'q_proj')), byRow.scale], [1, 0, null]);
    const byColumn = viewOf({ figure, over: 'column' });
    assert.deepEqual([shareOf(byColumn, layerName(1, 'q_proj')), shareOf(byColumn, layerName(0, 'q_proj'))], [1, 0]);
  }
  const linear = shareOf(viewOf({ scale: 'linear' }), layerName(0, 'down_proj'));
  assert.ok(Math.abs(linear - 6 / 13) < 1e-9, String(linear));
});

test('order, filter by a part of a name and by a regular expression', () => {
  assert.deepEqual(viewOf().rows, ['block 0', 'block 1']);
  assert.deepEqual(viewOf({ order: 'worst' }).rows, ['block 1', 'block 0']);
  assert.deepEqual(viewOf({ order: 'mean', figure: 'weight_sqnr_db' }).rows, ['block 1', 'block 0']);
  assert.equal(viewOf({ filter: 'MLP' }).layers.length, 6);
  const some = viewOf({ filter: '1\\..*(q|k)_proj$', regularExpression: true });
  assert.deepEqual(
    some.layers.map(({ name }) => name),
    [layerName(1, 'q_proj'), layerName(1, 'k_proj')],
  );
  // Ranks are those of all layers.
  assert.equal(some.ranks.get(4)?.get(layerName(1, 'q_proj')), 12);
  assert.match(filterError({ filter: '(', regularExpression: true }) ?? '', /no regular expression/);
  assert.equal(viewOf({ filter: '(', regularExpression: true }).layers.length, 14);
  assert.equal(viewOf({ filter: 'nothing' }).cells.length, 0);
});

test('selections: rectangles, the worst, siblings', () => {
  const view = viewOf();
  assert.deepEqual(rectangle(view, { row: 1, column: 1 }, { row: 0, column: 0 }).length, 4);
  assert.deepEqual(
    worstCells(view, 2).map(({ layer }) => layer.name),
    [layerName(1, 'down_proj'), layerName(1, 'up_proj')],
  );
  assert.deepEqual(
    [...withSiblings(analysis.layers, new Set([layerName(1, 'up_proj')]))],
    [layerName(1, 'gate_proj'), layerName(1, 'up_proj')],
  );
});

function parts(changes: Partial<ActionParts> = {}): ActionParts {
  const inForce = new Map(layerRules(analysis, [layerName(0, 'o_proj')]).layers.map(({ name, num_bits }) => [name, num_bits]));
  return {
    layers: analysis.layers,
    bits: [2, 3, 4, 8],
    selected: new Set([layerName(1, 'up_proj')]),
    siblings: true,
    inForce,
    figure: viewOf().figure,
    shownBits: 4,
    ...changes,
  };
}

test('actions are edits with reasons; what a layer has already is left out', () => {
  assert.deepEqual(editsOf('raise', parts()), [
    {
      layers: [
        { name: layerName(1, 'gate_proj'), reason: 'runs as one with up_proj; relative output error with 4 bits 0.391 %, rank 3 of 14' },
        { name: layerName(1, 'up_proj'), reason: 'relative output error with 4 bits 0.469 %, rank 2 of 14' },
      ],
      to: { num_bits: 8 },
    },
  ]);
  const both = new Set([layerName(0, 'o_proj'), layerName(1, 'o_proj')]);
  assert.deepEqual(
    editsOf('raise', parts({ selected: both })).map(({ layers }) => layers.map(({ name }) => name)),
    [[layerName(1, 'o_proj')]],
  );
  assert.deepEqual(
    editsOf('lower', parts({ selected: both })).map(({ layers, to }) => [layers[0]?.name, to]),
    [
      [layerName(0, 'o_proj'), { num_bits: 4 }],
      [layerName(1, 'o_proj'), { num_bits: 3 }],
    ],
  );
  assert.deepEqual(
    editsOf('keep', parts({ selected: both })).map(({ to, layers }) => [to, layers.length]),
    [[{ ignore: true }, 2]],
  );
  assert.deepEqual(editsOf('keep', parts({ inForce: new Map(analysis.layers.map(({ name }) => [name, null])) })), []);
  assert.equal(editsOf('raise', parts({ siblings: false }))[0]?.layers.length, 1);
});

test('the budget is that of suggest, at every position', () => {
  const budget = budgetOf(analysis, 'relative_output_error');
  for (const bits of [2.3, 3.1, 4.25, 5.5, 8.5]) {
    const chosen = budget.at(bits);
    const suggestion = suggestBits(analysis, (bits * weightCount(analysis.layers)) / 8, 'relative_output_error');
    assert.equal(chosen.loss, suggestion.loss);
    assert.deepEqual(
      Object.fromEntries(chosen.bits),
      Object.fromEntries(suggestion.groups.flatMap(({ layers, num_bits }) => layers.map((name) => [name, num_bits]))),
    );
  }
  assert.equal(budget.at(0).bitsPerWeight, budget.least);
  const four = new Map(analysis.layers.map(({ name }) => [name, 4]));
  assert.deepEqual(budget.of(four), { bitsPerWeight: budget.uniform[2]?.bitsPerWeight, loss: budget.uniform[2]?.loss });
  // Siblings that differ have no figure as a group.
  assert.equal(budget.of(new Map([...four, [layerName(0, 'q_proj'), 8]])), null);
  matchesSnapshot(
    'webviews/snapshots/budget.svg',
    toMarkup(drawCurve(budget, budget.at(4.25), budget.of(four), { width: 640, height: 230 })),
  );
});

test('tooltip, table and CSV: names are text, and no cell is a formula', () => {
  const named = sensitivityAnalysis(1);
  const [first] = named.layers;
  assert.ok(first);
  first.name = '=<img src=x onerror=alert(1)>';
  const view = viewOf({}, named);
  const cell = view.cells.find(({ layer }) => layer === first);
  assert.ok(cell);
  const rules = layerRules(named);
  for (const markup of [drawCellTooltip(cell, view, rules), drawLayerTable(named, view, rules, new Set())].map((drawing) =>
    toMarkup(drawing),
  ))
    assert.ok(markup.includes('&lt;img src=x onerror=alert(1)&gt;') && !markup.includes('<img'));
  assert.match(cellText(cell, view), /number 7 of 7 from the worst/);
  const csv = analysisCsv(named, rules).split('\n');
  assert.equal(csv.length, 1 + 7 * 4 + 1);
  assert.ok(csv[1]?.startsWith('"\'=<img'), csv[1]);
});

test('another kind of scheme than was analyzed is told, other bits are not', () => {
  assert.equal(otherSchemes(analysis, layerRules(analysis, [layerName(0, 'q_proj')])), null);
  const rules = layerRules(analysis);
  for (const layer of rules.layers) layer.scheme = 'int4 channel';
  assert.match(otherSchemes(analysis, rules) ?? '', /14 layers.*int4 channel.*analyzed.*Analyze the recipe again/);
});

test('a saved state of another version is taken over as far as it fits', () => {
  assert.deepEqual(restored(null), initialState);
  const state = restored({ bits: 'all', selected: ['a', 1], filter: 3, over: 'row', unknown: true, budget: 4.5 });
  assert.deepEqual([state.bits, state.selected, state.filter, state.over, state.budget], ['all', [], '', 'row', 4.5]);
  assert.ok(!('unknown' in state));
});
