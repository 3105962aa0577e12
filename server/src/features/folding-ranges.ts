// Folding: every mapping and list that spans lines.
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { documentSymbols, type RecipeSymbol } from './document-symbols.js';

export interface FoldingLines {
  startLine: number;
  endLine: number;
}

export function foldingRanges(document: RecipeDocument): FoldingLines[] {
  return documentSymbols(document).flatMap(linesOf);
}

function linesOf(symbol: RecipeSymbol): FoldingLines[] {
  const startLine = symbol.range.start.line;
  // A block's range ends at the start of the line after it.
  const endLine = symbol.range.end.character === 0 ? symbol.range.end.line - 1 : symbol.range.end.line;
  return [...(endLine > startLine ? [{ startLine, endLine }] : []), ...symbol.children.flatMap(linesOf)];
}
