// The static parts of the sensitivity page: head, controls, the bar of actions and the places that pictures are drawn into.
import type { SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { possibleLosses, type LossMetric } from '../../../schemas/src/suggest-bits.js';
import { draw, type Drawing } from '../plot/element.js';
import { figuresOf } from './figures.js';

const select = (id: string, label: string, options: readonly (readonly [string, string])[]): Drawing =>
  draw('label', {}, label, draw('select', { id }, ...options.map(([value, text]) => draw('option', { value }, text))));

const button = (id: string, text: string, title: string): Drawing => draw('button', { type: 'button', id, title, class: 'action' }, text);

const section = (id: string, title: string, ...parts: Drawing[]): Drawing =>
  draw('section', { class: 'panel', 'aria-labelledby': `${id}-title` }, draw('h2', { id: `${id}-title` }, title), ...parts);

const fileName = (path: string): string => path.split(/[\\/]/).at(-1) ?? path;

const lossNames: Record<LossMetric, string> = {
  mean_kld: 'KL divergence',
  fisher_loss: 'predicted loss (Fisher)',
  hessian_loss: 'predicted loss (Hessian)',
  relative_output_error: 'relative output error',
  weight_squared_error: 'squared error of the weights',
};

export function drawPage(analysis: SensitivityAnalysis, recipeName: string): Drawing[] {
  return [
    header(analysis, recipeName),
    draw('p', { id: 'note', class: 'note', hidden: '' }),
    section(
      'heat',
      'Which layer hurts when it alone is quantized',
      pictureControls(analysis),
      draw('p', { id: 'filter-error', class: 'error', role: 'alert', hidden: '' }),
      draw('p', { id: 'summary', class: 'quiet' }),
      heatmapPlace(),
      draw(
        'p',
        { id: 'keys', class: 'quiet small' },
        'Arrow keys move, Space chooses, Shift extends, Ctrl+A chooses all, Enter shows the rule in the recipe, Escape clears.',
      ),
      draw(
        'div',
        { class: 'legend-line' },
        draw('div', { id: 'legend' }),
        draw('span', { id: 'unit', class: 'unit' }),
        draw('span', { id: 'marks', class: 'unit' }),
      ),
      draw('p', { id: 'definition', class: 'quiet small' }),
      choosing(),
      recipeActions(analysis),
    ),
    budgetSection(analysis),
    draw(
      'details',
      { class: 'panel', id: 'table-part' },
      draw('summary', {}, 'Layers as a table'),
      draw('div', { id: 'table', tabindex: 0, role: 'region', 'aria-label': 'Layers as a table' }),
    ),
    exportButtons(),
    ...missingFigures(analysis),
    draw('div', { id: 'status', class: 'outside', role: 'status', 'aria-live': 'polite' }),
  ];
}

function header({ model, calibration, end_to_end }: SensitivityAnalysis, recipeName: string): Drawing {
  const facts = [
    `${fileName(model.dir)} · ${model.architecture_name ?? 'unknown architecture'} · ${model.dtype}`,
    calibration === null ? 'no calibration' : `calibrated on ${fileName(calibration)}`,
    ...(end_to_end === null ? [] : [`end to end on ${fileName(end_to_end.dataset)}, perplexity ${end_to_end.perplexity.toFixed(4)}`]),
  ];
  return draw('header', {}, draw('h1', {}, `Sensitivity: ${recipeName}`, draw('span', { class: 'model' }, facts.join(' · '))));
}

const pictureControls = (analysis: SensitivityAnalysis): Drawing =>
  draw(
    'div',
    { class: 'controls' },
    select(
      'figure',
      'Figure',
      figuresOf(analysis).map(({ key, name }) => [key, name] as const),
    ),
    select('bits', 'Bits', [...analysis.bits.map((bit) => [String(bit), `${bit} bits`] as const), ['all', 'all'] as const]),
    select('scale', 'Colour', [
      ['log', 'logarithmic'],
      ['linear', 'linear'],
    ]),
    select('over', 'Scale over', [
      ['all', 'all layers'],
      ['row', 'each row'],
      ['column', 'each column'],
    ]),
    select('order', 'Order', [
      ['depth', 'by depth'],
      ['worst', 'worst first'],
      ['mean', 'worst mean first'],
    ]),
    draw('label', {}, 'Filter', draw('input', { type: 'search', id: 'filter', placeholder: 'part of a name', spellcheck: 'false' })),
    draw('label', {}, draw('input', { type: 'checkbox', id: 'regular-expression' }), 'regular expression'),
  );

const heatmapPlace = (): Drawing =>
  draw(
    'div',
    { id: 'heatmap', class: 'heatmap' },
    draw(
      'div',
      { id: 'scroll', class: 'scroll', tabindex: 0, role: 'grid', 'aria-multiselectable': 'true', 'aria-describedby': 'keys' },
      draw('canvas', { id: 'canvas', 'aria-hidden': 'true' }),
      draw(
        'div',
        { id: 'extent', class: 'extent', role: 'row' },
        draw('div', { id: 'active-cell', class: 'active-cell', role: 'gridcell' }),
      ),
    ),
  );

const choosing = (): Drawing =>
  draw(
    'div',
    { class: 'controls' },
    draw('label', {}, 'Worst', draw('input', { type: 'number', id: 'worst-count', min: 1, max: 999, value: 3 })),
    button('choose-worst', 'Choose', 'Choose the worst of the layers shown'),
    button('choose-all', 'Choose all shown', 'Choose every layer that the filter leaves'),
    button('clear', 'Choose none', 'Clear the selection'),
  );

const recipeActions = ({ bits }: SensitivityAnalysis): Drawing =>
  draw(
    'div',
    { class: 'actions', role: 'toolbar', 'aria-label': 'Change the recipe' },
    draw('span', { id: 'chosen', class: 'chosen-count' }),
    draw('label', {}, draw('input', { type: 'checkbox', id: 'siblings' }), 'with layers that servers run as one'),
    button('raise', 'Raise to 8 bits', 'Give the chosen layers 8 bits in the recipe'),
    button('lower', 'Lower', `Give each chosen layer the next smaller number of bits (${bits.join(', ')})`),
    button('keep', 'Keep in 16 bits', 'Add the chosen layers to ignore'),
    button('assign', 'Assign scheme …', 'Choose a preset scheme for the chosen layers'),
  );

const budgetSection = (analysis: SensitivityAnalysis): Drawing =>
  section(
    'budget',
    'Bits under a budget',
    draw(
      'div',
      { class: 'controls' },
      draw('label', { class: 'slider' }, 'Bits per weight', draw('input', { type: 'range', id: 'budget', step: 0.01 })),
      draw('output', { id: 'budget-value', for: 'budget' }),
      select(
        'loss',
        'Loss',
        possibleLosses(analysis).map((metric) => [metric, lossNames[metric]] as const),
      ),
      draw('label', {}, draw('input', { type: 'checkbox', id: 'preview' }), 'show in the heatmap'),
      button('apply', 'Apply to recipe …', 'Write these bits into the recipe'),
    ),
    draw('div', { id: 'curve' }),
    draw('p', { id: 'budget-text' }),
    draw(
      'p',
      { class: 'quiet small' },
      'Line: the least loss for every size. Circles: every layer alike. Diamond: the recipe now. The prediction adds up what each layer loses alone; a run with evaluate tells the truth.',
    ),
  );

const exportButtons = (): Drawing =>
  draw(
    'div',
    { class: 'controls' },
    button('export-png', 'Export PNG', 'Save the heatmap as a picture'),
    button('export-svg', 'Export SVG', 'Save the heatmap as a drawing'),
    button('export-csv', 'Export CSV', 'Save every figure of every layer'),
  );

const missingFigures = ({ not_measured }: SensitivityAnalysis): Drawing[] =>
  not_measured.length === 0
    ? []
    : [
        draw(
          'details',
          { class: 'panel' },
          draw('summary', {}, 'What is not measured'),
          draw('ul', {}, ...not_measured.map((text) => draw('li', {}, text))),
        ),
      ];
