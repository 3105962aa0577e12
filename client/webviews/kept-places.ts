// Where the user has scrolled to, the page itself and the parts of it that scroll: kept over a reload, and over the page being drawn anew.

/** Id of a part, '' for the page → left and top. */
export type Places = Readonly<Record<string, readonly [number, number]>>;

export interface KeptPlaces {
  /** After the page was drawn: goes back to every place as soon as there is room for it. */
  restore(): void;
}

/** Milliseconds after the last movement. */
const delay = 120;

const isPlace = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'number');

export function keepPlaces(page: HTMLElement, saved: unknown, save: (places: Places) => void): KeptPlaces {
  const known = typeof saved === 'object' && saved !== null ? Object.entries(saved).filter(([, place]) => isPlace(place)) : [];
  const places = new Map(known as [string, [number, number]][]);
  /** Not reached yet: the page is still too short. */
  const wanted = new Set<string>();
  let timer = 0;
  const part = (id: string): Element | null => (id === '' ? document.scrollingElement : document.getElementById(id));
  const reach = (): void => {
    for (const id of wanted) {
      const [element, place] = [part(id), places.get(id)];
      if (element === null || place === undefined) continue;
      [element.scrollLeft, element.scrollTop] = place;
      if (Math.abs(element.scrollTop - place[1]) < 2 && Math.abs(element.scrollLeft - place[0]) < 2) wanted.delete(id);
    }
  };
  document.addEventListener(
    'scroll',
    ({ target }) => {
      const id = target === document ? '' : target instanceof Element ? target.id : '';
      const element = part(id);
      if (element === null || (id === '' && target !== document) || wanted.has(id)) return;
      places.set(id, [element.scrollLeft, element.scrollTop]);
      clearTimeout(timer);
      timer = window.setTimeout(() => save(Object.fromEntries(places)), delay);
    },
    { capture: true, passive: true },
  );
  // Who moves by hand is not pulled back.
  for (const event of ['wheel', 'pointerdown', 'keydown']) window.addEventListener(event, () => wanted.clear(), { passive: true });
  const observer = new ResizeObserver(reach);
  observer.observe(page);
  return {
    restore() {
      for (const id of places.keys()) wanted.add(id);
      reach();
    },
  };
}
