// The export of a panel's pictures: a list that opens in place, with every picture as PNG, SVG and CSV.
import type { SaveFile } from '../../schemas/src/protocol/message-shape.js';
import { csvText } from './csv.js';
import { pictureFile, pngOf } from './picture-file.js';
import { draw, tableOf, toDom, type Drawing, type PictureTable } from './plot/element.js';
import { paletteNow } from './theme.js';

/** `of`: the title of the panel that it stands in. */
export const drawExport = (of: string): Drawing =>
  draw(
    'details',
    { class: 'export' },
    draw('summary', { 'aria-label': `Export: ${of}`, title: 'Save what this panel shows' }, 'Export'),
    draw('ul', { 'aria-label': `Export of ${of}` }),
  );

interface Picture {
  element: Element;
  table: PictureTable;
}

/** In the order of the page. */
const picturesBeside = (menu: Element): Picture[] =>
  [...(menu.parentElement?.closest('section, .panel')?.querySelectorAll('*') ?? [])].flatMap((element) => {
    const table = tableOf(element);
    return table === undefined ? [] : [{ element, table }];
  });

/** Numbers without a drawing are saved as numbers. */
const formats = ({ element }: Picture): string[] => (element.matches('svg, :has(svg)') ? ['PNG', 'SVG', 'CSV'] : ['CSV']);

function fill(menu: Element): void {
  const rows = picturesBeside(menu).map((picture) =>
    draw(
      'li',
      {},
      draw('span', {}, picture.table.name),
      ...formats(picture).map((format) =>
        draw(
          'button',
          {
            type: 'button',
            class: 'action',
            'data-format': format,
            'data-picture': picture.table.name,
            'aria-label': `${format}: ${picture.table.name}`,
          },
          format,
        ),
      ),
    ),
  );
  const shown = rows.length > 0 ? rows : [draw('li', {}, 'There is nothing drawn here yet.')];
  menu.querySelector('ul')?.replaceChildren(...shown.map((row) => toDom(document, row)));
}

/** Listens on the page for all menus that are drawn into it. */
export function wireExports(page: HTMLElement, send: (message: SaveFile | { kind: 'page-error'; message: string }) => void): void {
  page.addEventListener(
    'toggle',
    ({ target }) => {
      if (target instanceof HTMLDetailsElement && target.matches('.export') && target.open) fill(target);
    },
    { capture: true },
  );
  page.addEventListener('keydown', (event) => {
    const menu = event.target instanceof Element ? event.target.closest<HTMLDetailsElement>('.export[open]') : null;
    if (event.key !== 'Escape' || menu === null) return;
    menu.open = false;
    menu.querySelector('summary')?.focus();
  });
  page.addEventListener('click', ({ target }) => {
    const button = target instanceof Element ? target.closest<HTMLElement>('[data-format]') : null;
    const menu = button?.closest('.export') ?? null;
    if (button === null || menu === null) return;
    const { format, picture: name } = button.dataset;
    const picture = picturesBeside(menu).find(({ table }) => table.name === name);
    // Another layer may have other pictures.
    if (picture === undefined) return fill(menu);
    save(picture, format ?? '').then(send, (error: unknown) => send({ kind: 'page-error', message: `${name}: ${String(error)}` }));
  });
}

async function save({ element, table }: Picture, format: string): Promise<SaveFile> {
  const title = table.of === null ? table.name : `${table.name} of ${table.of}`;
  const name = `${title.replace(/[^\p{L}\p{N}._-]+/gu, '-').replace(/^[-.]+|[-.]+$/g, '')}.${format.toLowerCase()}`;
  if (format === 'CSV') return { kind: 'save-file', name, content: csvText(table.heads, table.rows()), encoding: 'utf8' };
  const file = pictureFile(element, title, paletteNow());
  return format === 'SVG'
    ? { kind: 'save-file', name, content: file.svg, encoding: 'utf8' }
    : { kind: 'save-file', name, content: await pngOf(file), encoding: 'base64' };
}
