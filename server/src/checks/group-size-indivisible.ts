// A group_size that does not divide the columns of a layer: llm-compressor stops when it starts, or later in a kernel.
import { isEncoded } from '../../../schemas/src/encoded-weights.js';
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { Problem, ProblemFix, RecipeEdit, RecipePath } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import { presetBody } from '../plan/presets.js';
import type { ResolvedModifier } from '../plan/resolution.js';
import { mappingOf } from '../recipe/coerce.js';
import { flowText } from '../recipe/yaml-scalar.js';
import type { Check } from './check.js';
import { firstOf } from './first-of.js';
import { ignoreFixOf } from './ignore-edits.js';

/** Of smaller groups the scales are half a bit per weight and more, and vLLM has no kernel. */
const usualSizes = [256, 128, 64, 32];

export const groupSizeIndivisible: Check = {
  code: 'group-size-indivisible',
  run({ quantization, layers }) {
    const layersOf = layersByScheme(layers);
    return quantization.flatMap((resolved) => problemsOf(resolved, layersOf));
  },
};

function problemsOf(resolved: ResolvedModifier, layersOf: ReturnType<typeof layersByScheme>): Problem[] {
  const inWeights = weightProblems(resolved, layersOf);
  return inWeights.length > 0 ? inWeights : inputProblems(resolved, layersOf);
}

/** Inputs in groups, as FP8_BLOCK has them: nothing stops while quantizing, and no reader can run the checkpoint. */
function inputProblems({ modifier, groups }: ResolvedModifier, layersOf: ReturnType<typeof layersByScheme>): Problem[] {
  return groups.flatMap(({ scheme, path }) => {
    const size = scheme?.input_activations?.group_size ?? null;
    if (scheme === null || size === null) return [];
    const members = layersOf.get(scheme) ?? [];
    const bad = members.filter((layer) => layer.columns % size !== 0);
    if (bad.length === 0) return [];
    const columns = [...new Set(bad.map((layer) => layer.columns))].sort((a, b) => a - b);
    const at = path.includes('config_groups') ? [...path, 'input_activations', 'group_size'] : path;
    return [
      {
        code: 'group-size-indivisible',
        severity: 'error' as const,
        path: at,
        at: 'value' as const,
        message: `${bad.length} of ${members.length} targeted layers have inputs that group_size ${size} does not divide (${columns.join(', ')}): ${listed(bad)}. Readers cut the inputs into groups of ${size} and fail on the rest. Add the layers to ignore, or choose a scheme with inputs per token, such as FP8_DYNAMIC.`,
        fixes: ignoreFix(modifier, bad, members),
      },
    ];
  });
}

function ignoreFix(modifier: ResolvedModifier['modifier'], bad: readonly LayerPlan[], members: readonly LayerPlan[]): ProblemFix[] {
  if (bad.length === members.length) return [];
  return [ignoreFixOf(modifier, bad, members)];
}

function weightProblems({ modifier, groups }: ResolvedModifier, layersOf: ReturnType<typeof layersByScheme>): Problem[] {
  return groups.flatMap(({ scheme, path, name, targets }) => {
    const size = scheme?.weights?.group_size ?? null;
    if (scheme === null || size === null || (scheme.weights !== null && isEncoded(scheme.weights))) return [];
    // NVFP4 and MX are their group sizes.
    const isFixed = scheme.weights?.type === 'float' && scheme.weights.scale_dtype !== null;
    const members = layersOf.get(scheme) ?? [];
    const bad = members.filter((layer) => layer.columns % size !== 0);
    if (bad.length === 0) return [];
    const inGroups = path.includes('config_groups');
    const at = inGroups ? [...path, 'weights', 'group_size'] : path;
    const fitting = usualSizes.find((candidate) => members.every((layer) => layer.columns % candidate === 0));
    const columns = [...new Set(bad.map((layer) => layer.columns))].sort((a, b) => a - b);
    const fixes: ProblemFix[] = [];
    if (inGroups && !isFixed)
      fixes.push(
        fitting === undefined
          ? { title: 'Use strategy channel, with one scale for each row', preferred: false, edits: channelEdits(modifier, name, at) }
          : {
              title: `Use group_size ${fitting}, which divides all ${members.length} layers`,
              preferred: true,
              edits: [{ kind: 'replace-value', path: at, text: String(fitting) }],
            },
      );
    else if (!isFixed && path.length === modifier.path.length + 1) fixes.push(writtenOut(modifier, name, targets, fitting));
    fixes.push(...ignoreFix(modifier, bad, members));
    const fits = fitting === undefined ? 'strategy: channel, one scale for each row' : `a group_size that divides them, such as ${fitting}`;
    const choice = isFixed
      ? `choose another scheme, because this one has groups of ${size} by definition`
      : inGroups
        ? `choose ${fits}`
        : `write config_groups in place of the scheme, with ${fits}`;
    return [
      {
        code: 'group-size-indivisible',
        severity: 'error' as const,
        path: at,
        at: 'value' as const,
        message: `${bad.length} of ${members.length} targeted layers have columns that group_size ${size} does not divide (${columns.join(', ')}): ${listed(bad)}. Either ${choice}, or add them to ignore.`,
        fixes,
      },
    ];
  });
}

/** The preset as a group of its own, with another size; without one with a scale for each row. */
function writtenOut({ path, body }: ResolvedModifier['modifier'], preset: string, targets: readonly string[], size?: number): ProblemFix {
  const { weights, ...others } = presetBody(preset) ?? {};
  const { group_size: _, ...bits } = mappingOf(weights);
  const groups = size === undefined ? { strategy: 'channel' } : { group_size: size };
  const at = [...path, 'scheme'];
  return {
    title: `Write config_groups with ${size === undefined ? 'strategy channel, one scale for each row' : `group_size ${size}, which divides all layers`}`,
    preferred: false,
    edits: [
      { kind: 'replace-key', path: at, text: 'config_groups' },
      {
        kind: 'replace-value',
        path: at,
        text: flowText({ [preset.toLowerCase()]: { targets, weights: { ...bits, ...groups }, ...others } }),
      },
      ...(body['targets'] === undefined ? [] : [{ kind: 'remove' as const, path: [...path, 'targets'] }]),
    ],
  };
}

/** Without a strategy of its own the size alone made the groups. */
function channelEdits({ body }: ResolvedModifier['modifier'], group: string, at: RecipePath): RecipeEdit[] {
  const weights = at.slice(0, -1);
  const { strategy } = mappingOf(mappingOf(mappingOf(body['config_groups'])[group])['weights']);
  return strategy === undefined
    ? [
        { kind: 'replace-key', path: at, text: 'strategy' },
        { kind: 'replace-value', path: at, text: 'channel' },
      ]
    : [
        { kind: 'replace-value', path: [...weights, 'strategy'], text: 'channel' },
        { kind: 'remove', path: at },
      ];
}

const listed = (layers: readonly LayerPlan[]): string =>
  firstOf(
    layers.map(({ name }) => name),
    4,
  );
