// A drawing as plain data: elements with attributes and children. Rendered to the DOM in the page and to text in tests; names are always text, never markup.

export interface Drawing {
  tag: string;
  attributes: Readonly<Record<string, string | number>>;
  children: readonly (Drawing | string)[];
  /** What it shows, as numbers; a drawing that has them is a picture of its own, which can be saved. */
  table?: PictureTable;
}

export interface PictureTable {
  /** Among the pictures beside it. */
  name: string;
  /** Of what it is; null: the name says it. */
  of: string | null;
  heads: readonly string[];
  rows(): (readonly (string | number | null)[])[];
}

const tables = new WeakMap<Element, PictureTable>();
export const tableOf = (element: Element): PictureTable | undefined => tables.get(element);

export const draw = (tag: string, attributes: Drawing['attributes'] = {}, ...children: (Drawing | string)[]): Drawing => ({
  tag,
  attributes,
  children,
});

/** A table; from column `numeric` on its heads stand over numbers. */
export const drawTableOf = (caption: string, heads: readonly string[], numeric: number, rows: readonly Drawing[]): Drawing =>
  draw(
    'table',
    {},
    draw('caption', {}, caption),
    draw(
      'thead',
      {},
      draw('tr', {}, ...heads.map((head, at) => draw('th', { scope: 'col', class: at >= numeric ? 'numeric' : '' }, head))),
    ),
    draw('tbody', {}, ...rows),
  );

const svgTags = new Set(['svg', 'g', 'rect', 'line', 'path', 'text', 'title', 'defs', 'linearGradient', 'stop', 'circle']);

export function toDom(document: Document, { tag, attributes, children, table }: Drawing): Element {
  const element = svgTags.has(tag) ? document.createElementNS('http://www.w3.org/2000/svg', tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  for (const child of children) element.append(typeof child === 'string' ? document.createTextNode(child) : toDom(document, child));
  if (table !== undefined) tables.set(element, table);
  return element;
}

const escaped: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
const escape = (text: string): string => text.replace(/[&<>"]/g, (character) => escaped[character] ?? character);

/** Text of the drawing, one element per line, for snapshots and SVG files. */
export function toMarkup(drawing: Drawing, indent = ''): string {
  const attributes = Object.entries(drawing.attributes)
    .map(([name, value]) => ` ${name}="${escape(String(value))}"`)
    .join('');
  if (drawing.children.length === 0) return `${indent}<${drawing.tag}${attributes}/>`;
  if (drawing.children.every((child) => typeof child === 'string'))
    return `${indent}<${drawing.tag}${attributes}>${drawing.children.map((child) => escape(String(child))).join('')}</${drawing.tag}>`;
  const inner = drawing.children.map((child) =>
    typeof child === 'string' ? `${indent}  ${escape(child)}` : toMarkup(child, `${indent}  `),
  );
  return [`${indent}<${drawing.tag}${attributes}>`, ...inner, `${indent}</${drawing.tag}>`].join('\n');
}
