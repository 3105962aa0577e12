// Recipe text → document and problems. YAML 1.1 as PyYAML reads it, JSON (which YAML contains) and Markdown front matter. Never throws.
import { LineCounter, isMap, isPair, isScalar, isSeq, parseDocument } from 'yaml';
import type { Document, Node, Pair } from 'yaml';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import { RecipeDocument } from './recipe-document.js';
import { schemaProblems } from './schema-problems.js';

export interface ParsedRecipe {
  document: RecipeDocument;
  problems: Problem[];
}

/** PyYAML's safe loader knows YAML 1.1: `on` is true, `2:4` is 124, `<<` merges, of equal keys the last stays. */
const yamlOptions = { version: '1.1', merge: true, uniqueKeys: false, strict: false, prettyErrors: false, logLevel: 'silent' } as const;

/** Python tags that llm-compressor leaves in the recipes it saves; read as the list or text they hold. */
const pythonTags = [
  { tag: 'tag:yaml.org,2002:python/tuple', collection: 'seq' as const, default: false },
  {
    tag: 'tag:yaml.org,2002:python/object/apply:compressed_tensors.quantization.quant_args.QuantizationType',
    collection: 'seq' as const,
    default: false,
  },
];

/** Larger texts are no recipes; YAML aliases could expand them without end. */
const longestRecipe = 4_000_000;

/** `problems` holds what the text alone shows: syntax, duplicate keys, and values that the schema refuses. */
export function parseRecipe(text: string): ParsedRecipe {
  const lines = new LineCounter();
  for (let at = 0; at >= 0 && at <= text.length;) {
    lines.addNewLine(at);
    const next = text.indexOf('\n', at);
    at = next < 0 ? -1 : next + 1;
  }
  const plain = (value: Record<string, unknown>, yaml: Document.Parsed | null, base: number): RecipeDocument =>
    new RecipeDocument(text, value, yaml, lines, base);
  if (text.length > longestRecipe) {
    const message = `The recipe has ${text.length} characters; more than ${longestRecipe} are not read. Is this the right file?`;
    return { document: plain({}, null, 0), problems: [problem('recipe-too-long', message)] };
  }
  const { yamlText, base } = frontMatter(text);
  let yaml: Document.Parsed;
  let value: unknown;
  try {
    yaml = parseDocument(yamlText, { ...yamlOptions, customTags: (tags) => [...tags, ...pythonTags] });
    value = yaml.toJS({ maxAliasCount: 100 });
  } catch (error) {
    // The library throws for alias bombs and for keys that cannot be plain.
    const message = `The recipe cannot be read as YAML: ${error instanceof Error ? error.message : String(error)}.`;
    return { document: plain({}, null, base), problems: [problem('yaml-syntax', message)] };
  }
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value);
  const document = plain(isMapping ? (value as Record<string, unknown>) : {}, yaml, base);
  const problems: Problem[] = yaml.errors.map((error) => ({
    ...problem('yaml-syntax', `${sentence(error.message)} The recipe cannot be read past this place.`),
    range: document.rangeOfSpan({ begin: base + error.pos[0], end: base + Math.max(error.pos[0] + 1, error.pos[1]) }),
  }));
  if (problems.length > 0) return { document, problems };
  if (!isMapping) {
    const kind = value === null || value === undefined ? 'empty' : Array.isArray(value) ? 'a list' : 'a single value';
    return {
      document,
      problems: [
        problem(
          'recipe-not-a-mapping',
          `The recipe is ${kind}, llm-compressor wants a mapping: stages (\`quant_stage:\`) with modifiers (\`quant_modifiers:\`) under them.`,
        ),
      ],
    };
  }
  if (yaml.contents !== null) problems.push(...duplicateKeys(yaml.contents, []));
  problems.push(...schemaProblems(document.value));
  return { document, problems };
}

/** Plain value of a text, for features that probe half-written recipes; null where nothing can be made of it. */
export function parseValue(text: string): unknown {
  try {
    return parseDocument(frontMatter(text).yamlText, yamlOptions).toJS({ maxAliasCount: 100 });
  } catch {
    return null; // half-written text is normal here; the caller shows nothing
  }
}

const problem = (code: string, message: string): Problem => ({ code, severity: 'error', path: [], at: 'value', message });

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** A text that opens with `---` and has text behind the next `---` is Markdown: only its front matter counts. */
function frontMatter(text: string): { yamlText: string; base: number } {
  const match = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?\r?\n)---[ \t]*\r?\n(?=\s*[#A-Za-z])/.exec(text);
  if (match !== null && match[1] !== undefined && !/^\s*[\w.-]+:/.test(text.slice(match[0].length))) {
    const base = text.indexOf('\n') + 1;
    return { yamlText: match[1], base };
  }
  // A byte order mark is kept in the count of characters.
  return text.startsWith('\uFEFF') ? { yamlText: text.slice(1), base: 1 } : { yamlText: text, base: 0 };
}

/** PyYAML keeps the last of equal keys without a word. */
function duplicateKeys(node: Node, path: RecipePath): Problem[] {
  if (isSeq(node)) return (node.items as Node[]).flatMap((item, index) => duplicateKeys(item, [...path, index]));
  if (!isMap(node)) return [];
  const seen = new Map<string, number>();
  const problems: Problem[] = [];
  for (const pair of node.items as Pair<Node, Node | null>[]) {
    if (!isPair(pair) || !isScalar(pair.key)) continue;
    const key = String(pair.key.value);
    seen.set(key, (seen.get(key) ?? 0) + 1);
    if (pair.value !== null) problems.push(...duplicateKeys(pair.value, [...path, key]));
  }
  for (const [key, times] of seen)
    if (times > 1 && key !== '<<')
      problems.push({
        code: 'duplicate-key',
        severity: 'warning',
        path: [...path, key],
        at: 'key',
        message: `${key} stands ${times} times in this mapping; YAML keeps only the last, the others silently disappear. Remove them, or put a second modifier of one name into another *_modifiers group.`,
      });
  return problems;
}
