// What PyYAML, and so llm-compressor, refuses in a text that the yaml library reads: tabs, control characters, unknown tags, keys that are no text.
import { CST, Lexer, isAlias, isCollection, isMap, isPair, isScalar, visit } from 'yaml';
import type { Document, Node, Pair, YAMLMap } from 'yaml';
import type { Problem, RecipePath, RelatedPlace } from '../../../schemas/src/problem.js';
import { knownToPyYaml, pythonTagPrefix } from './pyyaml-tags.js';
import type { Span } from './span.js';

export interface SpannedProblem extends Omit<Problem, 'related'> {
  /** In the YAML text; where `path` says enough there is none. */
  span?: Span;
  /** Texts that would mend it. */
  mend?: { title: string; edits: readonly { span: Span; text: string }[] };
  related?: readonly (RelatedPlace & { span: Span })[];
}

/** Deeper texts are no recipes; PyYAML itself gives up at a few hundred levels. */
const deepest = 100;

const syntax = (message: string, span?: Span): SpannedProblem => ({
  code: 'yaml-syntax',
  severity: 'error',
  path: [],
  at: 'value',
  message,
  ...(span === undefined ? {} : { span }),
});

/** On the text alone. */
export function textProblems(text: string): SpannedProblem[] {
  // PyYAML's set of printable characters.
  const unprintable = /[^\t\n\r -~\u0085\u00A0-\uD7FF\uE000-\uFFFD\u{10000}-\u{10FFFF}]/u.exec(text);
  if (unprintable !== null) {
    const code = (unprintable[0].codePointAt(0) ?? 0).toString(16).padStart(4, '0').toUpperCase();
    const span = { begin: unprintable.index, end: unprintable.index + unprintable[0].length };
    return [syntax(`The text holds the character U+${code}, which YAML does not allow; PyYAML refuses the whole text. Remove it.`, span)];
  }
  const separator = /[\u0085\u2028\u2029]/.exec(text);
  if (separator !== null) {
    const code = separator[0].charCodeAt(0).toString(16).padStart(4, '0').toUpperCase();
    const span = { begin: separator.index, end: separator.index + 1 };
    return [syntax(`The character U+${code} stands here, mostly unseen; PyYAML takes it for the end of the line. Remove it.`, span)];
  }
  const tabs = text.includes('\t') ? tabsBetweenTokens(text) : [];
  const [first] = tabs;
  if (first === undefined) return [];
  const message = `${tabs.length === 1 ? 'A tab stands' : `Tabs stand at ${tabs.length} places, first`} before or between words here; YAML takes spaces alone, and PyYAML refuses the recipe. Use spaces.`;
  const edits = tabs.map((span) => ({ span, text: '  '.repeat(span.end - span.begin) }));
  return [{ ...syntax(message, first), mend: { title: 'Replace tabs by spaces', edits } }];
}

/** Runs of them. */
function tabsBetweenTokens(text: string): Span[] {
  const tabs: Span[] = [];
  let offset = 0;
  for (const lexeme of new Lexer().lex(text)) {
    // These three stand for no text: begin of a document, end of flow by an error, a scalar follows.
    if (lexeme === CST.DOCUMENT || lexeme === CST.FLOW_END || lexeme === CST.SCALAR) continue;
    if (CST.tokenType(lexeme) === 'space')
      for (const { index, 0: run } of lexeme.matchAll(/\t+/g)) tabs.push({ begin: offset + index, end: offset + index + run.length });
    offset += lexeme.length;
  }
  return tabs;
}

/**
 * On the tree, before plain values are made of it: what would make them endless or too deep. Also puts merge keys where
 * PyYAML applies them: before the keys of the mapping itself, of several the last first.
 */
export function prepareTree(yaml: Document.Parsed): SpannedProblem[] {
  const problems: SpannedProblem[] = [];
  visit(yaml, {
    Node: (_, node, ancestors) => {
      if (ancestors.length > deepest && ancestors.filter(isCollection).length > deepest) {
        problems.push(
          syntax(`The recipe is nested more than ${deepest} levels deep, which no recipe is. Is this the right file?`, spanOf(node)),
        );
        return visit.BREAK;
      }
      if (isAlias(node)) {
        const named = node.resolve(yaml);
        if (named === undefined)
          problems.push(
            syntax(
              `*${node.source} names nothing: no &${node.source} stands above it. Put quotes around a text with a star.`,
              spanOf(node),
            ),
          );
        else if (ancestors.includes(named))
          problems.push(
            syntax(`*${node.source} stands inside of what it names, so the recipe would have no end. Remove it.`, spanOf(node)),
          );
      }
      if (isMap(node)) mergesFirst(node as YAMLMap<Node, Node | null>);
      return undefined;
    },
  });
  return problems;
}

function mergesFirst(map: YAMLMap<Node, Node | null>): void {
  const merges = map.items.filter(isMerge);
  if (merges.length > 0) map.items = [...merges.reverse(), ...map.items.filter((pair) => !isMerge(pair))];
}

const isMerge = (pair: Pair<Node, Node | null>): boolean => isScalar(pair.key) && typeof pair.key.value === 'symbol';

/** On a tree that could be read. */
export function treeProblems(yaml: Document.Parsed): SpannedProblem[] {
  const problems: SpannedProblem[] = [];
  const version = yaml.warnings.map(({ message }) => /^Unsupported YAML version (?!1\.)(\S+)/.exec(message)?.[1]).find(Boolean);
  if (version !== undefined)
    problems.push(syntax(`The recipe says %YAML ${version}; PyYAML reads 1.1 and refuses other main versions. Remove that line.`));
  visit(yaml, {
    Node: (_, node) => {
      const tag = isAlias(node) ? undefined : node.tag;
      if (tag !== undefined) problems.push(...tagProblems(tag, node));
    },
    Map: (_, map) => {
      problems.push(...keyProblems(map as YAMLMap<Node, Node | null>));
    },
  });
  if (yaml.contents !== null) problems.push(...duplicateKeys(yaml.contents, []));
  return problems;
}

function tagProblems(tag: string, node: Node): SpannedProblem[] {
  const span = spanOf(node);
  if (tag.startsWith(pythonTagPrefix))
    return [
      {
        code: 'python-tag',
        severity: 'warning',
        path: [],
        at: 'value',
        message: `!!${tag.slice('tag:yaml.org,2002:'.length)} is a Python tag that llm-compressor writes into the recipes it saves, and refuses when it reads them. Bitwright takes what is tagged as plain values; remove the tag to use the recipe with llm-compressor again.`,
        ...(span === undefined ? {} : { span }),
      },
    ];
  if (/^tag:yaml\.org,2002:(?:map|seq|str|null|bool|int|float|merge)$/.test(tag) || tag === '!' || knownToPyYaml(tag)) return [];
  return [syntax(`The tag ${tag} is unknown; PyYAML's safe loader refuses it. Remove it.`, span)];
}

/** Python refuses lists and mappings as keys; llm-compressor fails on keys that are no text. */
function keyProblems(map: YAMLMap<Node, Node | null>): SpannedProblem[] {
  return map.items.flatMap(({ key }): SpannedProblem[] => {
    if (!isScalar(key)) {
      if (key === null || isAlias(key)) return [];
      const what = isMap(key) ? 'mapping' : 'list';
      return [
        syntax(`A ${what} stands as a key here; PyYAML refuses that. Put quotes around a text with brackets or braces.`, spanOf(key)),
      ];
    }
    const { value } = key;
    if (typeof value === 'string' || typeof value === 'symbol') return [];
    const source = key.source ?? '';
    const kind = value === null ? 'null' : value instanceof Date ? 'a date' : `the ${typeof value} ${String(value)}`;
    const span = spanOf(key);
    return [
      {
        code: 'key-not-text',
        severity: 'error',
        path: [],
        at: 'key',
        message: `The key ${source === '' ? 'here' : source} reads as ${kind} in YAML 1.1; llm-compressor takes texts only. Put quotes around it.`,
        ...(span === undefined
          ? {}
          : { span, ...(source === '' ? {} : { mend: { title: `Put quotes around ${source}`, edits: [{ span, text: `'${source}'` }] } }) }),
      },
    ];
  });
}

/** PyYAML keeps the last of equal keys without a word. */
function duplicateKeys(root: Node, rootPath: RecipePath): SpannedProblem[] {
  const problems: SpannedProblem[] = [];
  const walk = (node: Node | null, path: RecipePath): void => {
    if (isMap(node)) {
      const seen = new Map<string, Span[]>();
      for (const pair of node.items as Pair<Node, Node | null>[]) {
        if (!isPair(pair) || !isScalar(pair.key)) continue;
        const key = String(pair.key.value);
        seen.set(key, [...(seen.get(key) ?? []), spanOf(pair.key) ?? { begin: 0, end: 0 }]);
        walk(pair.value, [...path, key]);
      }
      for (const [key, places] of seen)
        if (places.length > 1)
          problems.push({
            code: 'duplicate-key',
            severity: 'warning',
            path: [...path, key],
            at: 'key',
            message:
              key === mergeKey
                ? twoMerges
                : `${key} stands ${places.length} times in this mapping; YAML keeps only the last, the others silently disappear. Remove them, or put a second modifier of one name into another *_modifiers group.`,
            // Merges were put where PyYAML applies them; the text has them the other way round.
            ...(key === mergeKey
              ? {}
              : {
                  related: places
                    .slice(0, -1)
                    .map((span) => ({ path: [...path, key], at: 'key' as const, message: `${key} here is lost`, span })),
                }),
          });
    } else if (node !== null && 'items' in node) (node.items as Node[]).forEach((item, index) => walk(item, [...path, index]));
  };
  walk(root, rootPath);
  return problems;
}

const mergeKey = String(Symbol('<<'));
const twoMerges =
  'Several << stand in this mapping; PyYAML lets the last one win, other readers the first. Write one: <<: [*a, *b], where the first wins.';

function spanOf(node: unknown): Span | undefined {
  const range = (node as Partial<Node> | null)?.range;
  return range ? { begin: range[0], end: Math.max(range[0] + 1, range[1]) } : undefined;
}
