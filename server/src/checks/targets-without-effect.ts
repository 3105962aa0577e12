// targets beside config_groups or a mapping of schemes: llm-compressor does not read it then, so a slip in it would never show.
import type { Problem } from '../../../schemas/src/problem.js';
import { matchesOf, modulesOf } from '../plan/pattern-matches.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { textsOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const targetsWithoutEffect: Check = {
  code: 'targets-without-effect',
  run: (resolution) => resolution.quantization.flatMap((resolved) => problemsOf(resolved, resolution)),
};

function problemsOf({ modifier: { name, body, path } }: ResolvedModifier, { model }: Resolution): Problem[] {
  const winner = isGiven(body['config_groups'])
    ? 'config_groups'
    : isGiven(body['scheme']) && typeof body['scheme'] !== 'string'
      ? 'scheme'
      : null;
  const targets = textsOf(body['targets']);
  // llm-compressor itself writes the default beside config_groups into the recipes it saves.
  if (winner === null || targets.length === 0 || (targets.length === 1 && targets[0] === 'Linear')) return [];
  const idle = model === null ? [] : targets.filter((entry) => matchesOf(entry, modulesOf(model)).length === 0);
  const also = idle.length === 0 ? '' : ` Besides, ${idle.join(', ')} would match no module of the model.`;
  const at = [...path, 'targets'];
  return [
    {
      code: 'targets-without-effect',
      severity: 'warning',
      path: at,
      at: 'key',
      message: `targets of ${name} has no effect: with ${winner === 'scheme' ? 'a mapping as scheme' : 'config_groups'} llm-compressor takes the targets that are given there. Write them into ${winner}, and remove targets here.${also}`,
      related: [{ path: [...path, winner], at: 'key', message: `${winner} stands here` }],
      fixes: [{ title: 'Remove targets', preferred: true, edits: [{ kind: 'remove', path: at }] }],
    },
  ];
}

const isGiven = (value: unknown): boolean => value !== undefined && value !== null;
