// The scalars and anchors of a parsed recipe, in the order of the text; for features that colour, link and rename.
import { isAlias, isMap, isScalar, isSeq, visit } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import type { RecipePath } from '../../../schemas/src/problem.js';
import type { Span } from './span.js';

export interface RecipeScalar {
  path: RecipePath;
  at: 'key' | 'value';
  span: Span;
  value: unknown;
}

export interface RecipeAnchor {
  name: string;
  /** The name behind the `&`. */
  definition: Span;
  /** The names behind each `*`. */
  aliases: Span[];
}

/** Keys and scalar values that the text itself holds; spans count from the begin of the YAML text. */
export function scalarsOf(yaml: Document.Parsed): RecipeScalar[] {
  const scalars: RecipeScalar[] = [];
  const add = (node: Node | null, path: RecipePath, at: 'key' | 'value'): void => {
    if (isScalar(node) && node.range && node.range[0] < node.range[1])
      scalars.push({ path, at, span: { begin: node.range[0], end: node.range[1] }, value: node.value });
  };
  const walk = (node: Node | null, path: RecipePath): void => {
    if (isMap(node))
      for (const { key, value } of node.items as Pair<Node, Node | null>[]) {
        // A merge key is a symbol, and what it brings stands elsewhere.
        if (!isScalar(key) || typeof key.value === 'symbol') continue;
        const own = [...path, String(key.value)];
        add(key, own, 'key');
        walk(value, own);
      }
    else if (isSeq(node)) for (const [index, item] of (node.items as Node[]).entries()) walk(item, [...path, index]);
    else add(node, path, 'value');
  };
  walk(yaml.contents, []);
  return scalars.sort((a, b) => a.span.begin - b.span.begin);
}

export function anchorsOf(yaml: Document.Parsed, text: string): RecipeAnchor[] {
  const anchors: RecipeAnchor[] = [];
  visit(yaml, {
    Node: (_, node) => {
      if (isAlias(node)) {
        const [begin] = node.range ?? [0];
        // A name may be given again; an alias means the last before it.
        anchors.findLast(({ name }) => name === node.source)?.aliases.push({ begin: begin + 1, end: begin + 1 + node.source.length });
      } else if (node.anchor !== undefined && node.range) {
        // Between the anchor and its node stand only spaces, comments and a tag.
        const begin = text.lastIndexOf(`&${node.anchor}`, node.range[0]) + 1;
        anchors.push({ name: node.anchor, definition: { begin, end: begin + node.anchor.length }, aliases: [] });
      }
    },
  });
  return anchors;
}
