// The panel of the error through depth: its sentence, both pictures and their table, and the keys that walk through the layers.
import './depth.css';
import { divergenceText, errorParts } from '../../../schemas/src/first-divergence.js';
import type { ErrorDepth } from '../../../schemas/src/generated/report.js';
import { draw, toDom } from '../plot/element.js';
import type { Drawing } from '../plot/element.js';
import { drawDepthBars, drawDepthKey, drawDepthLine, drawDepthTable } from './depth-plot.js';
import { counted } from './metrics.js';

/** The frame, drawn once; `redrawDepth` fills it. */
export const depthPanel = (depth: ErrorDepth): Drawing =>
  draw(
    'div',
    { class: 'depth' },
    draw('p', { class: 'depth-finding' }, divergenceText(depth)),
    draw('h3', {}, 'Hidden states behind each block'),
    draw('div', { id: 'depth-line' }),
    draw('h3', {}, 'Outputs of each layer'),
    draw('div', { id: 'depth-bars' }),
    drawDepthKey(),
    draw(
      'p',
      { class: 'definition' },
      `Squared errors as shares of the squares of the model before, on ${counted(depth.rows, 'row')} with ${counted(depth.tokens, 'token')} (the first of each row left out). `,
      errorParts.map(({ name, definition }) => `${name}: ${definition}`).join(' '),
    ),
    draw(
      'details',
      {},
      draw('summary', {}, 'Errors as a table'),
      draw('div', { id: 'depth-table', tabindex: 0, role: 'region', 'aria-label': 'Errors as a table' }),
    ),
  );

export function redrawDepth(depth: ErrorDepth, selected: string | null): void {
  const fill = (id: string, drawing: (width: number) => Drawing): void => {
    const place = document.getElementById(id);
    if (place === null) return;
    const focused = document.activeElement instanceof Element && place.contains(document.activeElement) ? document.activeElement : null;
    const again = focused?.closest<HTMLElement | SVGElement>('[data-key], [data-layer]')?.dataset;
    place.replaceChildren(toDom(document, drawing(Math.max(260, place.clientWidth))));
    const name = again?.['key'] ?? again?.['layer'];
    if (name !== undefined)
      place.querySelector<HTMLElement>(`[data-key="${CSS.escape(name)}"], [data-layer="${CSS.escape(name)}"]`)?.focus();
  };
  fill('depth-line', (width) => drawDepthLine(depth, width));
  fill('depth-bars', (width) => drawDepthBars(depth, selected, width));
  fill('depth-table', () => drawDepthTable(depth, selected));
}

/** Arrow keys, Home and End move the focus, Enter and space choose. Answers whether the key was one of them. */
export function depthKey(event: KeyboardEvent, choose: (layer: string) => void): boolean {
  const bar = event.target instanceof Element ? event.target.closest<SVGElement>('.depth-bar') : null;
  if (bar === null) return false;
  const bars = [...(bar.parentElement?.querySelectorAll<SVGElement>('.depth-bar') ?? [])];
  const at = bars.indexOf(bar);
  const next = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: bars.length - 1 }[event.key];
  if (event.key === 'Enter' || event.key === ' ') choose(bar.dataset['key'] ?? '');
  else if (next === undefined) return false;
  else {
    const wanted = bars[Math.min(bars.length - 1, Math.max(0, next))];
    for (const other of bars) other.setAttribute('tabindex', other === wanted ? '0' : '-1');
    wanted?.focus();
    wanted?.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }
  event.preventDefault();
  return true;
}
