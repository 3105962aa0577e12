// A piece of the recipe's text.

/** Offsets [begin, end) in the text. */
export interface Span {
  begin: number;
  end: number;
}

/** Where the line of an offset begins. */
export const lineStartOf = (text: string, offset: number): number => (offset === 0 ? 0 : text.lastIndexOf('\n', offset - 1) + 1);
