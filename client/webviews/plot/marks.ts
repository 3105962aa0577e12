// A picture as a list of rectangles and texts: painted on a canvas where there are thousands of them, and drawn as SVG for files and tests. One definition of the picture for both.
import { round } from './cells.js';
import { draw, type Drawing } from './element.js';

/** Colours are those of the editor, resolved: a canvas and a file know no variables. */
export interface Palette {
  background: string;
  foreground: string;
  quiet: string;
  line: string;
  focus: string;
  accent: string;
}

export type Mark =
  | {
      kind: 'rect';
      x: number;
      y: number;
      width: number;
      height: number;
      fill?: string;
      stroke?: string;
      strokeWidth?: number;
      dashed?: boolean;
    }
  | { kind: 'text'; x: number; y: number; text: string; fill: string; anchor: 'start' | 'middle' | 'end'; size: number; bold?: boolean };

/** The part of a canvas's context that marks need. */
export type Painter = Pick<
  CanvasRenderingContext2D,
  'fillRect' | 'strokeRect' | 'fillText' | 'setLineDash' | 'fillStyle' | 'strokeStyle' | 'lineWidth' | 'font' | 'textAlign'
>;

export function paintMarks(painter: Painter, marks: readonly Mark[], fontFamily: string): void {
  let font = '';
  for (const mark of marks) {
    if (mark.kind === 'rect') {
      if (mark.fill !== undefined) {
        painter.fillStyle = mark.fill;
        painter.fillRect(mark.x, mark.y, mark.width, mark.height);
      }
      if (mark.stroke !== undefined) {
        painter.strokeStyle = mark.stroke;
        painter.lineWidth = mark.strokeWidth ?? 1;
        painter.setLineDash(mark.dashed === true ? [4, 3] : []);
        painter.strokeRect(mark.x, mark.y, mark.width, mark.height);
      }
      continue;
    }
    const wanted = `${mark.bold === true ? '600 ' : ''}${mark.size}px ${fontFamily}`;
    // Setting a font is the dearest call of all.
    if (wanted !== font) painter.font = font = wanted;
    painter.fillStyle = mark.fill;
    painter.textAlign = mark.anchor === 'middle' ? 'center' : mark.anchor;
    painter.fillText(mark.text, mark.x, mark.y);
  }
}

export function drawMarks(marks: readonly Mark[], size: { width: number; height: number }, title: string, background: string): Drawing {
  return draw(
    'svg',
    {
      xmlns: 'http://www.w3.org/2000/svg',
      width: size.width,
      height: size.height,
      viewBox: `0 0 ${size.width} ${size.height}`,
      role: 'img',
      'aria-label': title,
    },
    draw('rect', { width: size.width, height: size.height, fill: background }),
    ...marks.map(drawMark),
  );
}

function drawMark(mark: Mark): Drawing {
  if (mark.kind === 'text')
    return draw(
      'text',
      {
        x: round(mark.x),
        y: round(mark.y),
        fill: mark.fill,
        'text-anchor': mark.anchor,
        'font-size': mark.size,
        'font-family': 'sans-serif',
        ...(mark.bold === true ? { 'font-weight': 600 } : {}),
      },
      mark.text,
    );
  return draw('rect', {
    x: round(mark.x),
    y: round(mark.y),
    width: round(mark.width),
    height: round(mark.height),
    fill: mark.fill ?? 'none',
    ...(mark.stroke === undefined ? {} : { stroke: mark.stroke, 'stroke-width': mark.strokeWidth ?? 1 }),
    ...(mark.dashed === true ? { 'stroke-dasharray': '4 3' } : {}),
  });
}
