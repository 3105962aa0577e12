// Where the user has scrolled to, the page itself and the parts of it that scroll: kept over a reload, and over the page being drawn anew.

/** Id of a part, '' for the page → left and top. */
export type Places = Readonly<Record<string, readonly [number, number]>>;

export interface KeptPlaces {
  /** After the page was drawn: goes back to every place as soon as there is room for it. */
  restore(): void;
}

/** Milliseconds after the last movement. */
const delay = 120;
/** Milliseconds in which a page that was drawn finds its sizes: so long it is held where it was. */
const holding = 1500;

const isPlace = (value: unknown): value is [number, number] =>
  Array.isArray(value) && value.length === 2 && value.every((part) => typeof part === 'number');

export function keepPlaces(page: HTMLElement, saved: unknown, save: (places: Places) => void): KeptPlaces {
  const known = typeof saved === 'object' && saved !== null ? Object.entries(saved).filter(([, place]) => isPlace(place)) : [];
  const places = new Map(known as [string, [number, number]][]);
  /** Held there, or not reached yet because the page is still too short. */
  const wanted = new Set<string>();
  let timer = 0;
  let release = 0;
  const part = (id: string): Element | null => (id === '' ? document.scrollingElement : document.getElementById(id));
  const isThere = (id: string): boolean => {
    const [element, [left, top]] = [part(id), places.get(id) ?? [0, 0]];
    return element !== null && Math.abs(element.scrollTop - top) < 2 && Math.abs(element.scrollLeft - left) < 2;
  };
  const reach = (): void => {
    for (const id of wanted) {
      const [element, place] = [part(id), places.get(id)];
      if (element !== null && place !== undefined && !isThere(id)) [element.scrollLeft, element.scrollTop] = place;
    }
  };
  document.addEventListener(
    'scroll',
    ({ target }) => {
      const id = target === document ? '' : target instanceof Element ? target.id : '';
      const element = part(id);
      if (element === null || (id === '' && target !== document)) return;
      // The browser keeps in view what it thinks is read, while what is above grows.
      if (wanted.has(id)) return reach();
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
      clearTimeout(release);
      release = window.setTimeout(() => [...wanted].filter(isThere).forEach((id) => wanted.delete(id)), holding);
    },
  };
}
