// The tooltip of a page: beside what it explains, until the pointer or the focus leaves it or Escape is pressed.
import { page } from './page-parts.js';
import { draw, toDom, type Drawing } from './plot/element.js';
import { placeTooltip, type Box } from './plot/tooltip.js';

interface Tooltip {
  show(what: Drawing, anchor: Box): void;
  hide(): void;
}

export function createTooltip(): Tooltip {
  const element = toDom(document, draw('div', { id: 'tooltip', role: 'tooltip', hidden: '' })) as HTMLElement;
  document.body.append(element);
  const hide = (): void => void (element.hidden = true);
  document.addEventListener('keydown', ({ key }) => {
    if (key === 'Escape') hide();
  });
  return {
    show(what, anchor) {
      element.replaceChildren(toDom(document, what));
      element.hidden = false;
      placeTooltip(element, anchor, { width: window.innerWidth, height: window.innerHeight });
    },
    hide,
  };
}

/** For the cells of heatmaps of elements; `drawingOf`: what is told of a key. */
export function explainCells(drawingOf: (key: string) => Drawing | null): void {
  const tooltip = createTooltip();
  const show = ({ target }: Event): void => {
    const cell = target instanceof Element ? target.closest<SVGElement>('.cell') : null;
    const what = cell && drawingOf(cell.dataset['key'] ?? '');
    if (cell === null || what === null) tooltip.hide();
    else tooltip.show(what, cell.getBoundingClientRect());
  };
  for (const event of ['mouseover', 'focusin']) page.addEventListener(event, show);
  for (const event of ['mouseleave', 'focusout']) page.addEventListener(event, tooltip.hide);
}
