// What the canary saw: its divergence behind one block after the other under its limit, in a sentence, a line and a table.
import { canaryDefinition, canarySummary, type Canary } from '../../../schemas/src/canary-text.js';
import { percent, trim } from '../../../schemas/src/number-text.js';
import { draw, type Drawing } from '../plot/element.js';
import { drawBlockLine } from './block-line.js';
import { counted } from './metrics.js';

export function drawCanary(canary: Canary, width: number): Drawing {
  const { figures, max_mean_kld } = canary;
  const isAbove = figures.some(({ mean_kld }) => mean_kld > max_mean_kld);
  const sentence = draw(
    'p',
    { class: isAbove ? 'worse' : '', title: canaryDefinition },
    `Mean KL divergence of the half-quantized model: ${canarySummary(canary)}.`,
  );
  if (figures.length === 0) return draw('div', {}, sentence);
  const heads = ['Block', 'KLD, nats', '±', 'Same top'];
  const rows = figures.map(({ block, mean_kld, kld_stderr, same_top }) =>
    draw(
      'tr',
      {},
      draw('th', { scope: 'row' }, String(block)),
      draw('td', { class: `numeric${mean_kld > max_mean_kld ? ' worse' : ''}` }, trim(mean_kld)),
      draw('td', { class: 'numeric' }, trim(kld_stderr)),
      draw('td', { class: 'numeric' }, percent(same_top)),
    ),
  );
  const line = drawBlockLine({
    points: figures.map(({ block, mean_kld }) => ({ label: String(block), value: mean_kld })),
    limit: max_mean_kld,
    format: trim,
    label: `Mean KL divergence in nats behind ${counted(figures.length, 'block')}, and the limit: ${canarySummary(canary)}`,
    width,
  });
  const table = {
    name: 'Canary',
    of: null,
    heads: ['block', 'mean_kld', 'kld_stderr', 'same_top'],
    rows: () => figures.map(({ block, mean_kld, kld_stderr, same_top }) => [String(block), mean_kld, kld_stderr, same_top]),
  };
  return draw(
    'div',
    {},
    sentence,
    { ...line, table },
    draw(
      'table',
      {},
      draw(
        'caption',
        {},
        `Mean KL divergence behind each block that was measured, its standard error, and the share of the ${figures[0]?.tokens ?? 0} tokens with the same top token`,
      ),
      draw('thead', {}, draw('tr', {}, ...heads.map((head, at) => draw('th', { scope: 'col', class: at > 0 ? 'numeric' : '' }, head)))),
      draw('tbody', {}, ...rows),
    ),
  );
}
