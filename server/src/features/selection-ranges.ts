// Expanding a selection: the word, its value or key, the pair, the mapping around it, the document.
import type { RecipePath } from '../../../schemas/src/problem.js';
import type { TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import type { Span } from '../recipe/span.js';

/** From the innermost range outwards, each inside of the next. */
export function selectionRanges(document: RecipeDocument, offset: number): TextRange[] {
  const place = document.placeAt(offset);
  const spans: Span[] = [];
  const add = (span: Span): void => {
    const inner = spans.at(-1);
    const trimmed = { begin: span.begin, end: span.begin + document.text.slice(span.begin, span.end).trimEnd().length };
    if (inner === undefined) spans.push(trimmed);
    else {
      const wider = { begin: Math.min(inner.begin, trimmed.begin), end: Math.max(inner.end, trimmed.end) };
      if (wider.begin < inner.begin || wider.end > inner.end) spans.push(wider);
    }
  };
  if (place !== null && place.path.length > 0) {
    add(document.spanOf(place.path, place.at));
    for (let path: RecipePath = place.path; path.length > 0; path = path.slice(0, -1)) {
      if (typeof path.at(-1) === 'string') {
        const key = document.spanOf(path, 'key');
        add({ begin: key.begin, end: Math.max(key.end, document.spanOf(path, 'value').end) });
      } else add(document.spanOf(path, 'value'));
      if (path.length > 1) add(document.spanOf(path.slice(0, -1), 'value'));
    }
  }
  add({ begin: 0, end: document.text.length });
  return spans.map((span) => document.rangeOfSpan(span));
}
