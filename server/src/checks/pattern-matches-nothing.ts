// What target-matches-nothing and ignore-matches-nothing share: the entry, why it matches nothing, and the real name that was probably meant.
import type { Problem, ProblemFix, ProblemSeverity } from '../../../schemas/src/problem.js';
import type { NamedModule } from '../../../schemas/src/model/match-targets.js';
import { containersMatching } from '../plan/container-modules.js';
import { matchesOf, modulesOf, rolesOf } from '../plan/pattern-matches.js';
import type { PatternMatch, Resolution } from '../plan/resolution.js';
import { weightsBeyondNamed } from '../plan/weights-beyond-matrices.js';
import { nearestName } from '../recipe/did-you-mean.js';
import { yamlScalar } from '../recipe/yaml-scalar.js';
import { firstOf } from './first-of.js';

export function patternMatchesNothing(
  { quantization, model, document }: Resolution,
  kind: 'target' | 'ignore',
  severity: ProblemSeverity,
): Problem[] {
  if (model === null) return [];
  const modules = modulesOf(model);
  return quantization.flatMap(({ patterns }) =>
    patterns
      .filter((pattern) => pattern.kind === kind && pattern.error === null && pattern.matches?.length === 0)
      // GGUFModifier takes embeddings too where nobody says targets: a model without any is none the worse.
      .filter(({ entry, modifier }) => entry !== 'Embedding' || document.has([...modifier.path, 'targets']))
      // Attention is no matrix, and its inputs can be quantized.
      .filter(({ entry }) => kind === 'ignore' || !containersMatching(entry, model).some((container) => container.kind === 'attention'))
      .map((pattern) => {
        const noMatrix = whyNoMatrix(pattern, model);
        const meant = noMatrix === null ? probablyMeant(pattern.entry, modules) : null;
        const fixes: ProblemFix[] =
          meant === null
            ? []
            : [
                {
                  title: `Change to ${meant.text}`,
                  preferred: true,
                  edits: [{ kind: 'replace-value', path: pattern.path, text: yamlScalar(meant.text) }],
                },
              ];
        const effect = kind === 'target' ? 'it quantizes nothing' : 'it spares nothing';
        return {
          code: `${kind}-matches-nothing`,
          severity,
          path: pattern.path,
          at: 'value' as const,
          message: `${pattern.entry} matches none of the ${modules.length} modules of the model, so ${effect}.${noMatrix ?? whyContainer(pattern, model) ?? why(pattern)}${meant === null ? '' : ` Did you mean ${meant.text} (${meant.count} ${meant.count === 1 ? 'module' : 'modules'})?`}`,
          fixes,
        };
      }),
  );
}

/** An entry that names what holds layers. */
function whyContainer({ entry }: PatternMatch, model: NonNullable<Resolution['model']>): string | null {
  const names = containersMatching(entry, model).map(({ name }) => name);
  return names.length === 0
    ? null
    : ` It names ${firstOf(names, 1)}, and only the linear layers and embeddings in there count: each is compared by its own name and class.`;
}

/** An entry that names convolutions, experts in one tensor, or Conv1D. */
function whyNoMatrix({ entry }: PatternMatch, model: NonNullable<Resolution['model']>): string | null {
  const found = weightsBeyondNamed(entry, model);
  const [first] = found;
  if (first === undefined) return null;
  const names = found.map(({ name }) => name);
  const what =
    first.n_dims === 2
      ? 'is kept transposed (Conv1D of transformers), and only linear layers and embeddings are quantized here'
      : `has ${first.n_dims} dimensions, and only matrices are quantized here: linear layers and embeddings`;
  return ` It names ${firstOf(names, 1)}, whose weight ${what}. Remove the entry.`;
}

function why({ entry }: PatternMatch): string {
  if (entry.startsWith('re:')) return ' A pattern is compared from the start of the full name.';
  if (entry.includes('*')) return ' An entry without re: is no pattern; * stands for itself.';
  if (!entry.includes('.')) return ' An entry without re: is a class name or a full name; the end of a name alone matches nothing.';
  return ' An entry without re: is a class name or a full name.';
}

/** The end of names, a slip of a name, or a part of names, in this order: `lm_hea` is rather lm_head than a part of it. */
function probablyMeant(entry: string, modules: readonly NamedModule[]): { text: string; count: number } | null {
  const isPattern = entry.startsWith('re:');
  const body = entry
    .replace(/^re:/, '')
    .replace(/^\^/, '')
    .replace(/^\.?\*\.?/, '')
    .replace(/\$$/, '');
  if (body === '') return null;
  // Who ends a pattern with $ wants whole names: without it mlp.gate would spare gate_proj too.
  if (isPattern && entry.endsWith('$')) return firstMatching([`re:.*${body}$`], modules) ?? nearestOf(body, modules);
  const escaped = isPattern ? body : body.replace(/[.+?^${}()|[\]\\]/g, '\\$&').replace(/\*/g, '.*');
  return (
    firstMatching([`re:.*${escaped}$`], modules) ??
    nearestOf(body, modules) ??
    // A number at the end is a whole number: layers.1 is not layers.10.
    firstMatching(isPattern ? [`re:.*${escaped}`] : [`re:.*${escaped}\\.`, `re:.*${escaped}`], modules)
  );
}

function firstMatching(texts: readonly string[], modules: readonly NamedModule[]): { text: string; count: number } | null {
  for (const text of texts) {
    const count = matchesOf(text, modules).length;
    if (count > 0) return { text, count };
  }
  return null;
}

/** Comparing with more names than this would be felt while typing. */
const comparedModules = 2000;

/** A class or a full name as it stands; the last part of a name as a pattern on the ends of names. */
function nearestOf(body: string, modules: readonly NamedModule[]): { text: string; count: number } | null {
  const classes = [...new Set(modules.map((module) => module.class))].filter((name) => name !== 'Other');
  const names = modules.slice(0, comparedModules).map((module) => module.name);
  const near = nearestName(body, [...classes, ...names, ...rolesOf(modules)]);
  if (near === null) return null;
  const exact = modules.filter((module) => module.name === near || module.class === near).length;
  return exact > 0 ? { text: near, count: exact } : firstMatching([`re:.*${near}$`], modules);
}
