// A piece of the recipe's text.

/** Offsets [begin, end) in the text. */
export interface Span {
  begin: number;
  end: number;
}
