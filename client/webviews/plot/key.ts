// The key of a picture: what each of its colours and lines stands for, each with its name on one line.
import { draw, type Drawing } from './element.js';

export interface KeyEntry {
  /** Class of the swatch. */
  swatch: string;
  text: string;
  help?: string;
}

export const drawKey = (...entries: readonly KeyEntry[]): Drawing =>
  draw(
    'p',
    { class: 'key' },
    ...entries.map(({ swatch, text, help }) =>
      draw('span', { class: 'key-entry', ...(help === undefined ? {} : { title: help }) }, draw('span', { class: swatch }), text),
    ),
  );
