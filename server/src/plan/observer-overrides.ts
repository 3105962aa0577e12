// The observers that a modifier names for all of its groups, in one of two forms.
import type { Problem } from '../../../schemas/src/problem.js';
import { mappingOf } from '../recipe/coerce.js';
import { refusal, removal } from './quantization-args.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface ObserverOverrides {
  weights: string | null;
  input: string | null;
  output: string | null;
}

export function observerOverrides(modifier: RecipeModifier, problems: Problem[]): ObserverOverrides {
  const { body, path } = modifier;
  const dict = mappingOf(body['observer']);
  const single = { weights: body['weight_observer'], input: body['input_observer'], output: body['output_observer'] };
  const said = ['weight_observer', 'input_observer', 'output_observer'].filter((field) => (body[field] ?? null) !== null);
  // Even an empty mapping counts as given.
  if (said.length > 0 && body['observer'] !== undefined && body['observer'] !== null)
    problems.push({
      ...refusal(
        'observer-given-twice',
        [...path, 'observer'],
        `${modifier.name} has both observer and weight_observer, input_observer or output_observer; llm-compressor refuses that. Keep one of the two forms.`,
        'key',
      ),
      related: said.map((field) => ({ path: [...path, field], at: 'key', message: `${field} stands here` })),
      fixes: [
        removal(path, 'observer'),
        {
          title: `Remove ${said.join(', ')}`,
          preferred: false,
          edits: said.map((field) => ({ kind: 'remove', path: [...path, field] })),
        },
      ],
    });
  const name = (place: keyof ObserverOverrides): string | null => {
    const value = single[place] ?? dict[place];
    return typeof value === 'string' ? value : null;
  };
  return { weights: name('weights'), input: name('input'), output: name('output') };
}
