// Whose field it is: the package and release that it belongs to, what older releases did with it, and the paper behind it.
import { modifierFacts } from '../../../schemas/src/modifiers.js';
import type { RecipePath } from '../../../schemas/src/problem.js';
import { recipeSchemaFiles } from '../../../schemas/src/recipe-schema-files.js';
import { firstSaid, schemasAt, type SchemaFiles } from './schema-lookup.js';

/** Modifier and field → how it came to be as it is. */
const history: Readonly<Record<string, string>> = {
  'GPTQModifier.actorder': 'A field of the modifier since 0.6; static by default since 0.8.',
  'SparseGPTModifier.sequential_update': 'Deprecated: always true, whatever it says.',
  'WandaPruningModifier.sequential_update': 'Deprecated: always true, whatever it says.',
};

/** Markdown; null for what no schema describes. */
export function fieldOrigin(path: RecipePath): string | null {
  const [top, group, modifier, field] = path;
  if (!String(top).endsWith('_stage')) return 'A key of Bitwright; llm-compressor passes over it.';
  if (modifier === undefined || group === undefined) return 'llm-compressor 0.13';
  const isOurs = modifierFacts.some(({ name, origin }) => name === modifier && origin === 'bitwright');
  const source = isOurs ? 'Bitwright alone; unknown to llm-compressor' : 'llm-compressor 0.13';
  const isArgs = path.slice(4).some((step) => typeof step === 'string') && (field === 'config_groups' || field === 'kv_cache_scheme');
  const owner = isArgs ? 'compressed-tensors 0.18' : field === undefined ? source : `${modifier}, ${source}`;
  const past = history[`${modifier}.${String(field)}`];
  // The modifier's own text names its paper already.
  const papers = field === undefined || isArgs ? [] : papersOf(path.slice(0, 3));
  return [[owner, ...papers].join(' · '), ...(past === undefined ? [] : [past])].join('. ');
}

function papersOf(path: RecipePath): string[] {
  const description = firstSaid(schemasAt(recipeSchemaFiles as SchemaFiles, path), 'description') ?? '';
  return [...description.matchAll(arxiv)].map(([said]) => withPaperLinks(said));
}

const arxiv = /arXiv (\d{4}\.\d{4,5})/g;

/** Only a link: nothing is fetched until someone follows it. */
export const withPaperLinks = (text: string): string => text.replace(arxiv, '[arXiv $1](https://arxiv.org/abs/$1)');
