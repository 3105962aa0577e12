// Recipe text → document and problems. YAML 1.1 as PyYAML reads it, JSON (which YAML contains) and Markdown front matter. Never throws.
import { LineCounter, parseDocument } from 'yaml';
import type { Document } from 'yaml';
import type { Problem, ProblemFix, TextRange } from '../../../schemas/src/problem.js';
import { pyYamlTags } from './pyyaml-tags.js';
import { RecipeDocument } from './recipe-document.js';
import { schemaProblems } from './schema-problems.js';
import type { Span } from './span.js';
import { prepareTree, textProblems, treeProblems } from './yaml-problems.js';
import type { SpannedProblem } from './yaml-problems.js';

export interface ParsedRecipe {
  document: RecipeDocument;
  problems: Problem[];
}

/** Of equal keys the last stays. With logLevel silent the library would not report a second document. */
const yamlOptions = {
  version: '1.1',
  schema: 'yaml-1.1',
  resolveKnownTags: false,
  customTags: pyYamlTags,
  uniqueKeys: false,
  strict: false,
  prettyErrors: false,
  logLevel: 'error',
} as const;

/** Larger texts are no recipes; YAML aliases could expand them without end. */
const longestRecipe = 4_000_000;

/**
 * `problems` holds what the text alone shows: syntax, duplicate keys, and values that the schema refuses. `file` is the name of the file, whose
 * ending tells how llm-compressor reads it; null for text without one.
 */
export function parseRecipe(original: string, file: string | null = null): ParsedRecipe {
  const text = withLineBreaks(original);
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
  const part = readPart(text, file);
  if ('error' in part) return { document: plain({}, null, 0), problems: [problem('yaml-syntax', part.error)] };
  const { yamlText, base } = part;
  const nothing = (message: string): ParsedRecipe => ({ document: plain({}, null, base), problems: [problem('yaml-syntax', message)] });
  let yaml: Document.Parsed;
  let value: unknown;
  let endless: SpannedProblem[];
  try {
    yaml = parseDocument(yamlText, yamlOptions);
    endless = prepareTree(yaml);
    value = endless.length > 0 ? {} : yaml.toJS({ maxAliasCount: 100 });
  } catch (error) {
    // The library throws for alias bombs, for merges of what is no mapping, and when a text is nested too deep for it.
    return nothing(`The recipe cannot be read as YAML: ${error instanceof Error ? error.message : String(error)}.`);
  }
  const isMapping = typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date);
  const document = plain(isMapping ? (value as Record<string, unknown>) : {}, endless.length > 0 ? null : yaml, base);
  const rangeOf = (span: Span): TextRange => document.rangeOfSpan({ begin: base + span.begin, end: base + span.end });
  const placed = ({ span, mend, related, ...rest }: SpannedProblem): Problem => ({
    ...rest,
    ...(span === undefined ? {} : { range: rangeOf(span) }),
    ...(mend === undefined ? {} : { fixes: [fixOf(mend)] }),
    ...(related === undefined ? {} : { related: related.map(({ span: of, ...place }) => ({ ...place, range: rangeOf(of) })) }),
  });
  const fixOf = ({ title, edits }: NonNullable<SpannedProblem['mend']>): ProblemFix => ({
    title,
    preferred: true,
    edits: edits.map(({ span, text }) => ({ kind: 'replace-range', range: rangeOf(span), text })),
  });
  // llm-compressor asks a JSON reader first, which allows tabs.
  const ofText = isJson(yamlText) ? [] : textProblems(yamlText);
  // What the library says of a text with tabs follows from them.
  const errors = ofText.some(({ mend }) => mend !== undefined) ? [] : yaml.errors;
  const problems: Problem[] = errors.map((error) => ({
    ...problem(
      'yaml-syntax',
      error.code === 'MULTIPLE_DOCS' ? severalDocuments : `${sentence(error.message)} The recipe cannot be read past this place.`,
    ),
    range: document.rangeOfSpan({ begin: base + error.pos[0], end: base + Math.max(error.pos[0] + 1, error.pos[1]) }),
  }));
  problems.push(...[...ofText, ...endless].map(placed));
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
  problems.push(...treeProblems(yaml).map(placed), ...schemaProblems(document));
  return { document, problems };
}

/** Plain value of a text, for features that probe half-written recipes; null where nothing can be made of it. */
export function parseValue(text: string): unknown {
  try {
    const yaml = parseDocument(frontMatter(withLineBreaks(text)).yamlText, yamlOptions);
    return prepareTree(yaml).length > 0 ? null : yaml.toJS({ maxAliasCount: 100 });
  } catch {
    return null; // half-written text is normal here; the caller shows nothing
  }
}

/** A carriage return alone ends a line for PyYAML and for editors, not for the library; offsets stay as they are. */
export const withLineBreaks = (text: string): string => (text.includes('\r') ? text.replace(/\r(?!\n)/g, '\n') : text);

const problem = (code: string, message: string): Problem => ({ code, severity: 'error', path: [], at: 'value', message });

const severalDocuments =
  'A second document begins here, behind a line of --- or more text after the first; llm-compressor reads one and fails. Remove the line, or what follows it.';

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** The text that llm-compressor reads as YAML or JSON. */
function readPart(text: string, file: string | null): { yamlText: string; base: number } | { error: string } {
  const ending = file === null ? '' : (/\.[^./\\]*$/.exec(file)?.[0].toLowerCase() ?? '');
  if (ending === '.md') {
    // Its own expression: the first two lines of dashes or pluses, wherever the text between them ends.
    const match = /^\s*(?:---|\+\+\+)([\s\S]*?)(?:---|\+\+\+)/m.exec(text);
    if (match?.[1] === undefined)
      return {
        error: 'The file is called .md, and llm-compressor wants its recipe between two lines of --- there. Add them, or call it .yaml.',
      };
    return { yamlText: match[1], base: text.indexOf(match[1], match.index) };
  }
  if (ending === '.json' && !isJson(text))
    return {
      error: `The file is called .json and is no JSON (${whyNoJson(text)}), so llm-compressor cannot read it. Mend it, or call it .yaml.`,
    };
  return file === null ? frontMatter(text) : withoutMark(text);
}

/** A text that a reader of JSON takes; other than in YAML, names and texts are in quotes there. */
export const isJson = (text: string): boolean => whyNoJson(text) === null;

function whyNoJson(text: string): string | null {
  if (!/^\s*[{[]/.test(text)) return 'it does not begin with a brace';
  try {
    JSON.parse(text);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** A text that opens with `---` and has text behind the next `---` is Markdown: only its front matter counts. */
function frontMatter(text: string): { yamlText: string; base: number } {
  const match = /^\uFEFF?---[ \t]*\r?\n([\s\S]*?\r?\n)---[ \t]*\r?\n(?=\s*[#A-Za-z])/.exec(text);
  if (match !== null && match[1] !== undefined && !/^\s*[\w.-]+:/.test(text.slice(match[0].length))) {
    const base = text.indexOf('\n') + 1;
    return { yamlText: match[1], base };
  }
  return withoutMark(text);
}

/** A byte order mark is kept in the count of characters. */
const withoutMark = (text: string): { yamlText: string; base: number } =>
  text.startsWith('\uFEFF') ? { yamlText: text.slice(1), base: 1 } : { yamlText: text, base: 0 };
