// The parts of a page by their ids.
import { toDom, type Drawing } from './plot/element.js';

export const page = document.getElementById('page') ?? document.body;

/** One that the page has. */
export const byId = <E extends HTMLElement = HTMLElement>(id: string): E => document.getElementById(id) as E;

export const toDoms = (drawings: readonly Drawing[]): Element[] => drawings.map((drawing) => toDom(document, drawing));
