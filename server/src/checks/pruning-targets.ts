// Targets and ignore of the pruning modifiers against the model. They may name decoder layers, and what stands in those is pruned.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import type { Problem } from '../../../schemas/src/problem.js';
import { containersMatching } from '../plan/container-modules.js';
import { namesMatching } from '../plan/pruning/resolve-pruning.js';
import type { ResolvedPruning } from '../plan/pruning/resolve-pruning.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution } from '../plan/resolution.js';
import { textsOf } from '../recipe/coerce.js';
import { severityOfSilence } from './severity-of-silence.js';

/** Those whose targets may hold layers. The other two take layers themselves. */
const pruners = ['SparseGPTModifier', 'WandaPruningModifier'];

/** For the checks target-matches-nothing, ignore-matches-nothing and wrong-length. */
export function pruningProblems(resolution: Resolution): Problem[] {
  const { model, modifiers } = resolution;
  if (model === null) return [];
  return [
    ...modifiers.filter(({ name }) => pruners.includes(name)).flatMap((modifier) => problemsOf(modifier, model, resolution)),
    ...resolution.pruning
      .filter(({ modifier }) => !pruners.includes(modifier.name))
      .flatMap((resolved) => withoutLayers(resolved, resolution)),
  ];
}

function withoutLayers({ modifier: { name, body, path }, plan }: ResolvedPruning, resolution: Resolution): Problem[] {
  const targets = textsOf(body['targets']);
  if (plan.layers.length > 0 || targets.length === 0) return [];
  const isParameter = targets.some((entry) => entry.replace(/\$$/, '').endsWith('weight'));
  const hint = isParameter ? ' Targets name layers, not their parameters: leave out .weight.' : '';
  return [
    {
      code: 'target-matches-nothing',
      severity: severityOfSilence(resolution),
      path: [...path, 'targets'],
      at: 'value',
      message: `${targets.join(', ')} matches no linear layer and no embedding of the model, so ${name} prunes nothing.${hint} Name layers by class (Linear), by full name or by a re: pattern.`,
    },
  ];
}

function problemsOf({ name, body, path }: RecipeModifier, model: ModelDescription, resolution: Resolution): Problem[] {
  const targets = textsOf(body['targets'] ?? ['Linear']);
  const found = targets.map((entry) => namesMatching(entry, model));
  const problems = found.flatMap((names, index): Problem[] =>
    names.length > 0
      ? []
      : [
          {
            code: 'target-matches-nothing',
            severity: severityOfSilence(resolution),
            path: Array.isArray(body['targets']) ? [...path, 'targets', index] : [...path, 'targets'],
            at: 'value',
            message: `${targets[index] ?? ''} matches no module of the model, so ${name} prunes nothing for it. Name its layers by class (${className(model)}), by full name or by a re: pattern.`,
          },
        ],
  );
  const n_layers = new Set(found.flat()).size;
  const { sparsity } = body;
  if (Array.isArray(sparsity) && n_layers > 0 && sparsity.length !== n_layers)
    problems.push({
      code: 'wrong-length',
      severity: 'error',
      path: [...path, 'sparsity'],
      at: 'value',
      message: `sparsity has ${sparsity.length} values and the targets match ${n_layers} modules; llm-compressor wants one for each. Give ${n_layers} values, or one number for all.`,
    });
  return [...problems, ...idleIgnores({ name, body, path }, found.flat())];
}

/** A target that is pruned itself has a dot behind its name where ignore is compared, so that its bare name never fits. */
function idleIgnores({ name, body, path }: RecipeModifier, targeted: readonly string[]): Problem[] {
  return textsOf(body['ignore']).flatMap((entry, index): Problem[] => {
    if (!targeted.includes(entry)) return [];
    const at = [...path, 'ignore', index];
    return [
      {
        code: 'ignore-matches-nothing',
        severity: 'warning',
        path: at,
        at: 'value',
        message: `${entry} spares nothing here: ${name} compares ignore with "${entry}." when the layer is a target itself. Write re:.*${entry}.`,
        fixes: [
          { title: `Change to re:.*${entry}`, preferred: true, edits: [{ kind: 'replace-value', path: at, text: `'re:.*${entry}'` }] },
        ],
      },
    ];
  });
}

const className = (model: ModelDescription): string =>
  containersMatching('re:.*', model).find(({ kind }) => kind === 'layer')?.className ?? 'Linear';
