// What the report says of layers that are not in the GGUF type that the recipe asks for: one entry for each type that stands in.
import type { QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import { groupBy } from '../../../schemas/src/group-by.js';

export function standInProblems({ layers }: Pick<QuantizationPlan, 'layers'>): RunProblem[] {
  const kinds = groupBy(layers, ({ scheme, dtype }) => {
    const { weights, format } = scheme ?? {};
    return weights?.gguf_asked !== undefined
      ? `in ${weights.gguf_type} in place of ${weights.gguf_asked}, whose blocks of 256 weights do not divide`
      : format === 'gguf' && weights === null
        ? `in ${dtype} as before, as no block of GGUF divides`
        : null;
  });
  return [...kinds].map(([what, of]) => ({
    code: 'gguf-type-falls-back',
    severity: 'information',
    message: `${of.length} ${of.length === 1 ? 'layer is' : 'layers are'} ${what} their columns: ${of
      .slice(0, 3)
      .map(({ name, columns }) => `${name} (${columns})`)
      .join(', ')}${of.length > 3 ? ', …' : ''}.`,
    layer: null,
    recipe_path: of.find(({ quantizer }) => quantizer !== null)?.quantizer?.recipe_path ?? null,
  }));
}
