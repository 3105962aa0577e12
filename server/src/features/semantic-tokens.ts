// Colours by meaning: what is a stage, a modifier, a preset, a layer of the model, a pattern.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import type { RecipeDocument } from '../recipe/recipe-document.js';
import { wantsTarget } from './completion-targets.js';
import { findPreset } from './preset-text.js';

export const tokenTypes = ['namespace', 'class', 'property', 'enumMember', 'variable', 'type', 'regexp'] as const;
export type TokenType = (typeof tokenTypes)[number];

export interface SemanticToken {
  range: TextRange;
  type: TokenType;
}

/** In the order of the text. Scalars over several lines have none: LSP's tokens stay on their line. */
export function semanticTokens(document: RecipeDocument, model: ModelDescription | null): SemanticToken[] {
  return document.scalars().flatMap(({ path, at, span, value }) => {
    const type = at === 'key' ? keyType(path) : valueType(path, value, model);
    const range = document.rangeOfSpan(span);
    return type === null || range.start.line !== range.end.line ? [] : [{ range, type }];
  });
}

function keyType(path: RecipePath): TokenType | null {
  const key = String(path.at(-1));
  if (path.length === 1 && key.endsWith('_stage')) return 'namespace';
  if (/Modifier$/.test(key) && path.length <= 3) return 'class';
  if (path.at(-2) === 'scheme') return findPreset(key) === null ? null : 'enumMember';
  return 'property';
}

function valueType(path: RecipePath, value: unknown, model: ModelDescription | null): TokenType | null {
  if (typeof value !== 'string') return null;
  if (path.at(-1) === 'scheme') return findPreset(value) === null ? null : 'enumMember';
  if (!wantsTarget(path)) return null;
  if (value.startsWith('re:')) return 'regexp';
  if (model !== null && Object.hasOwn(model.modules, value)) return 'variable';
  return /^[A-Z]\w*$/.test(value) ? 'type' : null;
}
