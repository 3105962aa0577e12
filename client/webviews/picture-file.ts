// A picture of a page as a file that needs neither the page nor its style sheet: an SVG drawing with resolved colours, and a PNG of it.

export interface PictureFile {
  svg: string;
  width: number;
  height: number;
}

/** What the style sheet gives to the parts of a drawing. */
const styled = [
  'fill',
  'fill-opacity',
  'stroke',
  'stroke-opacity',
  'stroke-width',
  'stroke-dasharray',
  'font-family',
  'font-size',
  'font-weight',
] as const;
/** What a browser shows where nothing is said. */
const unsaid: Readonly<Record<string, string>> = {
  'fill-opacity': '1',
  stroke: 'none',
  'stroke-opacity': '1',
  'stroke-width': '1px',
  'stroke-dasharray': 'none',
  'font-weight': '400',
};
const margin = 12;
const titleHeight = 30;
const namespace = 'http://www.w3.org/2000/svg';

type Attributes = Readonly<Record<string, string | number>>;

function element(tag: string, attributes: Attributes, text = ''): SVGElement {
  const made = document.createElementNS(namespace, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, String(value));
  made.textContent = text;
  return made;
}

/** What says of the colours of a picture what they are follows it. */
function keyBehind(picture: Element): Element[] {
  const next = picture.nextElementSibling ?? picture.parentElement?.nextElementSibling;
  return next?.matches('.key') === true ? [next] : [];
}

/** A drawing, or an element around several with their texts, as it stands on the page. */
export function pictureFile(picture: Element, title: string, colors: { background: string; foreground: string }): PictureFile {
  const parts = [picture, ...keyBehind(picture)];
  const drawings = parts.flatMap((part) => (part instanceof SVGSVGElement ? [part] : [...part.querySelectorAll('svg')]));
  const texts = parts.flatMap(textLines);
  const swatches = parts.flatMap(emptyBoxes);
  const boxes = [...drawings, ...swatches].map((part) => part.getBoundingClientRect()).concat(texts.map(({ box }) => box));
  const left = Math.min(...boxes.map((box) => box.left)) - margin;
  const top = Math.min(...boxes.map((box) => box.top)) - titleHeight;
  const font = { 'font-family': getComputedStyle(document.body).fontFamily, 'font-size': '13px', 'font-weight': 600 };
  const width = Math.ceil(Math.max(2 * margin + widthOf(title, font), Math.max(...boxes.map((box) => box.right)) - left + margin));
  const height = Math.ceil(Math.max(...boxes.map((box) => box.bottom)) - top + margin);
  const at = (box: DOMRect): Attributes => ({
    x: tenths(box.left - left),
    y: tenths(box.top - top),
    width: tenths(box.width),
    height: tenths(box.height),
  });
  const whole = element('svg', { width, height, viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': title });
  whole.append(
    element('rect', { width, height, fill: colors.background }),
    element('text', { x: margin, y: 20, fill: colors.foreground, ...font }, title),
    ...drawings.map((drawing) => {
      const copy = drawing.cloneNode(true) as SVGSVGElement;
      inline(drawing, copy);
      for (const [name, value] of Object.entries(at(drawing.getBoundingClientRect()))) copy.setAttribute(name, String(value));
      return copy;
    }),
    ...swatches.map((swatch) => {
      const { backgroundColor, borderTopColor, borderTopWidth } = getComputedStyle(swatch);
      const border = parseFloat(borderTopWidth) > 0 ? { stroke: borderTopColor, 'stroke-width': borderTopWidth } : {};
      return element('rect', { ...at(swatch.getBoundingClientRect()), fill: backgroundColor, ...border });
    }),
    ...texts.map(({ text, box, style }) =>
      element(
        'text',
        {
          x: tenths(box.left - left),
          y: tenths(box.top - top + 0.78 * box.height),
          fill: style.color,
          'font-family': style.fontFamily,
          'font-size': style.fontSize,
        },
        text,
      ),
    ),
  );
  return { svg: `${new XMLSerializer().serializeToString(whole)}\n`, width, height };
}

function widthOf(text: string, font: Attributes): number {
  const context = document.createElement('canvas').getContext('2d');
  if (context === null) return 0;
  context.font = `${font['font-weight']} ${font['font-size']} ${font['font-family']}`;
  return context.measureText(text).width;
}

const tenths = (value: number): number => Math.round(value * 10) / 10;

function inline(from: Element, to: Element): void {
  const style = getComputedStyle(from);
  for (const name of styled) {
    const value = style.getPropertyValue(name);
    if (name.startsWith('font') && from.tagName !== 'text') continue;
    if (from.tagName !== 'svg' && from.tagName !== 'g' && value !== unsaid[name]) to.setAttribute(name, value);
  }
  for (const { name } of [...to.attributes]) if (/^(class|tabindex|style|data-.*)$/.test(name)) to.removeAttribute(name);
  [...from.children].forEach((child, i) => inline(child, to.children[i]!));
}

interface TextLine {
  text: string;
  box: DOMRect;
  style: CSSStyleDeclaration;
}

/** Texts outside of drawings, line by line as they are broken. */
function textLines(picture: Element): TextLine[] {
  const found: TextLine[] = [];
  const walker = document.createTreeWalker(picture, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node !== null; node = walker.nextNode()) {
    const { parentElement, textContent } = node;
    const text = textContent ?? '';
    if (parentElement === null || text.trim() === '' || parentElement.closest('svg') !== null) continue;
    const range = document.createRange();
    const boxOf = (first: number, end: number): DOMRect => {
      range.setStart(node, first);
      range.setEnd(node, end);
      return range.getBoundingClientRect();
    };
    const style = getComputedStyle(parentElement);
    const oneLine = boxOf(0, 1).height * 1.5;
    for (let first = 0; first < text.length;) {
      let end = text.length;
      if (boxOf(first, end).height > oneLine) {
        end = first + 1;
        while (end < text.length && boxOf(first, end + 1).height <= oneLine) end += 1;
      }
      found.push({ text: text.slice(first, end).trim(), box: boxOf(first, end), style });
      first = end;
    }
  }
  return found;
}

/** The colours of a key. */
const emptyBoxes = (picture: Element): Element[] =>
  [...picture.querySelectorAll('span')].filter((span) => span.childNodes.length === 0 && span.getBoundingClientRect().width > 0);

/** As base64. */
export async function pngOf({ svg, width, height }: PictureFile): Promise<string> {
  const image = new Image();
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(svg)}`;
  await image.decode();
  const canvas = document.createElement('canvas');
  // Browsers paint no canvas beyond this side.
  const density = Math.min(2, 16_000 / Math.max(width, height));
  canvas.width = Math.round(width * density);
  canvas.height = Math.round(height * density);
  const context = canvas.getContext('2d', { alpha: false });
  if (context === null) throw new Error('This browser paints no canvas.');
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL('image/png').replace(/^data:image\/png;base64,/, '');
}
