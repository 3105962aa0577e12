// Fields that llm-compressor takes and does not use: what they ask for does not happen, and nothing says so.
import type { QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { maskStructure } from '../plan/pruning/resolve-pruning.js';
import { imatrixOf, ownImportance } from '../plan/quantizers/gguf.js';
import { observerFields, saidArgs } from '../plan/said-observers.js';
import type { ObserverPlace } from '../plan/said-observers.js';
import { booleanOf, integerOf, mappingOf, textOf, textsOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

export const fieldWithoutEffect: Check = {
  code: 'field-without-effect',
  run: (resolution) => [
    ...resolution.modifiers.flatMap((modifier) => [
      ...sequentialUpdate(modifier),
      ...idleProfile(modifier),
      ...idleImportance(modifier),
      ...importanceOfNothing(modifier, resolution),
    ]),
    ...resolution.quantization.flatMap((resolved) => [...idleObservers(resolved), ...idleArgs(resolved)]),
    ...resolution.modifiers.flatMap((modifier) => partlyIgnored(modifier, resolution)),
  ],
};

const problem = (path: RecipePath, message: string): Problem => ({
  code: 'field-without-effect',
  severity: 'warning',
  path,
  at: 'key',
  message,
  fixes: [{ title: `Remove ${String(path.at(-1))}`, preferred: true, edits: [{ kind: 'remove', path }] }],
});

function sequentialUpdate({ name, path, body }: RecipeModifier): Problem[] {
  if (!/^(SparseGPT|WandaPruning)Modifier$/.test(name) || body['sequential_update'] === undefined) return [];
  return [
    problem([...path, 'sequential_update'], `sequential_update of ${name} is deprecated and always true, whatever it says. Remove it.`),
  ];
}

function idleImportance({ name, path, body }: RecipeModifier): Problem[] {
  if (name !== 'GGUFModifier' || imatrixOf(body) === null || !booleanOf(body['importance'], false)) return [];
  return [
    problem(
      [...path, 'importance'],
      'importance does nothing beside imatrix, whose file says what each column weighs. Remove one of the two.',
    ),
  ];
}

/** Q8_0 rounds by the largest value of a block alone, as in llama.cpp, and F32 not at all. */
function importanceOfNothing({ name, path, body }: RecipeModifier, { layers }: Resolution): Problem[] {
  const field = imatrixOf(body) !== null ? 'imatrix' : ownImportance(body) ? 'importance' : null;
  if (name !== 'GGUFModifier' || field === null) return [];
  const at = path.join('/');
  const types = layers
    .filter(({ quantizer }) => quantizer?.recipe_path.join('/') === at)
    .map(({ scheme }) => scheme?.weights?.gguf_type ?? 'Q8_0');
  if (types.length === 0 || types.some((type) => type !== 'Q8_0')) return [];
  return [
    problem(
      [...path, field],
      `${field} does nothing: all ${types.length} layers get Q8_0, which llama.cpp rounds alike whatever their columns weigh. Remove it, or choose a type of fewer bits.`,
    ),
  ];
}

/** n of every m is one share for all blocks, which OWL cannot spread. */
function idleProfile({ name, path, body }: RecipeModifier): Problem[] {
  if (!/^(SparseGPT|WandaPruning)Modifier$/.test(name) || textOf(body['sparsity_profile'], '').toLowerCase() !== 'owl') return [];
  if (maskStructure(body['mask_structure']) === null) return [];
  const message = `sparsity_profile owl does nothing beside mask_structure ${textOf(body['mask_structure'], '')}, which is the same share in every block. Remove it with owl_m and owl_lmbda, or write mask_structure: '0:0'.`;
  const edits = ['sparsity_profile', 'owl_m', 'owl_lmbda']
    .filter((field) => body[field] !== undefined)
    .map((field) => ({ kind: 'remove' as const, path: [...path, field] }));
  return [{ ...problem([...path, 'sparsity_profile'], message), fixes: [{ title: 'Remove OWL', preferred: true, edits }] }];
}

const places: readonly { place: ObserverPlace; what: string }[] = [
  { place: 'weights', what: 'weights' },
  { place: 'input_activations', what: 'inputs' },
  { place: 'output_activations', what: 'outputs' },
];

/** An observer on the modifier that no scheme of it uses. */
function idleObservers({ modifier: { path, body }, groups }: ResolvedModifier): Problem[] {
  if (groups.length === 0 || groups.some(({ scheme }) => scheme === null)) return [];
  return places.flatMap(({ place, what }) => {
    const { field, key } = observerFields[place];
    const inMapping = textOf(mappingOf(body['observer'])[key], '') !== '';
    if (textOf(body[field], '') === '' && !inMapping) return [];
    const args = groups.flatMap(({ scheme }) => scheme?.[place] ?? []);
    if (args.some(({ dynamic }) => dynamic !== true)) return [];
    const why = args.length === 0 ? `no scheme here quantizes ${what}` : `the ${what} are quantized at run time, where nothing is observed`;
    return [problem(inMapping ? [...path, 'observer', key] : [...path, field], `This observer does nothing: ${why}. Remove it.`)];
  });
}

function idleArgs({ modifier, groups }: ResolvedModifier): Problem[] {
  return groups.flatMap((group) =>
    places.flatMap(({ place }) => {
      const args = group.scheme?.[place] ?? null;
      const said = saidArgs(modifier, group, place);
      return args === null || said === null ? [] : idleIn(args, said.args, said.path);
    }),
  );
}

function idleIn({ dynamic, strategy }: QuantizationArgs, said: Readonly<Record<string, unknown>>, path: RecipePath): Problem[] {
  const problems: Problem[] = [];
  const observer = textOf(said['observer'], '');
  // The name that recipes gave before 0.10 is passed over on purpose.
  if (dynamic === true && observer !== '' && observer !== 'memoryless')
    problems.push(
      problem(
        [...path, 'observer'],
        `observer ${observer} does nothing: with dynamic: true scales are computed at run time. Remove it, or set dynamic: false.`,
      ),
    );
  if (integerOf(said['group_size'], 0) === -1 && strategy === 'tensor')
    problems.push(
      problem(
        [...path, 'group_size'],
        'group_size -1 means one scale per channel, and strategy: tensor overrules it: there is one scale for all. Remove one of the two.',
      ),
    );
  return problems;
}

/** SmoothQuant leaves a mapping out only when all of its layers are ignored. */
function partlyIgnored(modifier: RecipeModifier, { transforms }: Resolution): Problem[] {
  const { name, path, body } = modifier;
  const resolved = transforms.find((transform) => transform.modifier === modifier);
  if (textsOf(body['ignore']).length === 0 || resolved === undefined || resolved.n_ignored > 0 || resolved.mappings.length === 0) return [];
  return [
    problem(
      [...path, 'ignore'],
      `ignore of ${name} leaves no mapping out: it does so only where it names the smooth layer and all balance layers of a mapping. Name them all, or give mappings without it.`,
    ),
  ];
}
