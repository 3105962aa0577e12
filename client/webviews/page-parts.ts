// The parts of a page by their ids.
import { toDom, type Drawing } from './plot/element.js';

export const page = document.getElementById('page') ?? document.body;

/** One that the page has. */
export const element = <E extends HTMLElement = HTMLElement>(id: string): E => document.getElementById(id) as E;

export const toDoms = (drawings: readonly Drawing[]): Element[] => drawings.map((drawing) => toDom(document, drawing));

/** The new insides of a part, where the page has it. */
export const fill = (id: string, ...drawings: Drawing[]): void => document.getElementById(id)?.replaceChildren(...toDoms(drawings));
