// Sizes of VPTQModifier that contradict each other, that no layer can have, or whose codebooks are larger than what they stand for.
import type { LayerPlan, Vectors } from '../../../schemas/src/generated/plan.js';
import type { Problem, ProblemFix } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { booleanOf } from '../recipe/coerce.js';
import type { Check } from './check.js';
import { firstOf } from './first-of.js';

/** The order of the columns is stored in unsigned numbers of 16 bits. */
const mostOrdered = 65536;

export const vectorsDoNotFit: Check = {
  code: 'vectors-do-not-fit',
  run({ quantization, layers }) {
    const layersOf = layersByScheme(layers);
    return quantization.flatMap(({ modifier, groups }) =>
      groups.flatMap(({ scheme }) => {
        const vectors = scheme?.weights?.vectors;
        if (scheme === null || vectors === undefined) return [];
        const members = (layersOf.get(scheme) ?? []).filter(({ kind }) => kind === 'Linear');
        const own = contradictions(modifier, vectors);
        if (own.length > 0) return own;
        const unfit = misfits(modifier, vectors, members);
        return unfit.length > 0 ? unfit : oversized(modifier, vectors, members);
      }),
    );
  },
};

const problem = (
  { path, body }: RecipeModifier,
  field: string,
  severity: Problem['severity'],
  message: string,
  fixes: ProblemFix[] = [],
): Problem =>
  field in body
    ? { code: 'vectors-do-not-fit', severity, path: [...path, field], at: 'value', message, fixes }
    : { code: 'vectors-do-not-fit', severity, path, at: 'key', message, fixes };

function contradictions(modifier: RecipeModifier, { num_centroids, num_res_centroids, outlier_size }: Vectors): Problem[] {
  const { body, path } = modifier;
  const problems: Problem[] = [];
  if (num_res_centroids > num_centroids)
    problems.push(
      problem(
        modifier,
        'num_res_centroids',
        'error',
        `num_res_centroids ${num_res_centroids} is above num_centroids ${num_centroids}: the vptq package reads as many bits of the second index as the first one has, and would take other centroids. Set it to ${num_centroids} or less.`,
      ),
    );
  if (outlier_size > 0 && !booleanOf(body['enable_perm'], true))
    problems.push(
      problem(
        modifier,
        'enable_perm',
        'error',
        `outlier_size ${outlier_size} sets the columns with the largest inputs apart, and enable_perm: false leaves all columns where they are, so that the first ${outlier_size} would be taken. Leave enable_perm at true, or set outlier_size: 0.`,
        [{ title: 'Remove enable_perm', preferred: true, edits: [{ kind: 'remove', path: [...path, 'enable_perm'] }] }],
      ),
    );
  return problems;
}

const listed = (layers: readonly LayerPlan[]): string =>
  firstOf(
    layers.map(({ name }) => name),
    3,
  );
const sizes = (numbers: readonly number[]): string => [...new Set(numbers)].sort((a, b) => a - b).join(', ');

function misfits(modifier: RecipeModifier, { group_num, outlier_size, enable_perm }: Vectors, members: readonly LayerPlan[]): Problem[] {
  const narrow = members.filter(({ columns }) => columns <= outlier_size);
  if (narrow.length > 0)
    return [
      problem(
        modifier,
        'outlier_size',
        'error',
        `${listed(narrow)}: ${sizes(narrow.map(({ columns }) => columns))} columns leave none beside outlier_size ${outlier_size}. Set a lower one.`,
      ),
    ];
  const uneven = members.filter(({ columns }) => (columns - outlier_size) % group_num !== 0);
  if (uneven.length > 0)
    return [
      problem(
        modifier,
        'group_num',
        'error',
        `group_num ${group_num} does not divide the columns${outlier_size > 0 ? ` beside ${outlier_size} outliers` : ''} of ${uneven.length} of ${members.length} layers (${sizes(uneven.map(({ columns }) => columns - outlier_size))}): ${listed(uneven)}. The groups of a layer are of one size in the file. Choose a divisor, or group_num: 1.`,
      ),
    ];
  const wide = enable_perm ? members.filter(({ columns }) => columns > mostOrdered) : [];
  if (wide.length === 0) return [];
  return [
    problem(
      modifier,
      outlier_size > 0 ? 'outlier_size' : 'group_num',
      'error',
      `${listed(wide)}: the order of ${sizes(wide.map(({ columns }) => columns))} columns does not fit into the 16 bits that the vptq package has for it. Set group_num: 1 and outlier_size: 0, which need no order.`,
    ),
  ];
}

function oversized(modifier: RecipeModifier, vectors: Vectors, members: readonly LayerPlan[]): Problem[] {
  const { vector_len, num_centroids, group_num, outlier_size } = vectors;
  const vectorsOf = ({ rows, columns }: LayerPlan): number => (Math.ceil(rows / vector_len) * (columns - outlier_size)) / group_num;
  const small = members.filter((layer) => vectorsOf(layer) <= num_centroids);
  const [least] = [...small].sort((a, b) => vectorsOf(a) - vectorsOf(b));
  if (least === undefined) return [];
  return [
    problem(
      modifier,
      'num_centroids',
      'warning',
      `num_centroids ${num_centroids} is not below the number of vectors that share a codebook in ${small.length} of ${members.length} layers (${vectorsOf(least)} in ${least.name}, ${least.rows} × ${least.columns} in vectors of ${vector_len}): the codebook alone takes as much room as the weights. Choose fewer centroids, shorter vectors or fewer groups, or add such layers to ignore.`,
    ),
  ];
}
