// Fewer tokens than a layer has columns that is solved with the Hessian of its inputs: its Hessian cannot have full rank, whatever the rows say.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import { isSolved, quantizerFacts } from '../../../schemas/src/modifiers.js';
import type { ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';
import type { Check } from './check.js';

export const calibrationTooSmall: Check = {
  code: 'calibration-too-small',
  run(resolution) {
    const { calibration, model, layers, document } = resolution;
    const context = model?.architecture?.max_position_embeddings;
    if (calibration === null || context === undefined) return [];
    const { reading, file } = calibration.head ?? {};
    const available = file?.isWhole === true && reading?.fault === null ? file.rows.length : Infinity;
    const asked = calibration.plan.num_calibration_samples ?? Infinity;
    const rows = Math.min(asked, available);
    // Of none the range of the field speaks, or the file.
    if (rows < 1) return [];
    const length = Math.min(calibration.plan.max_seq_length ?? Infinity, context);
    const tokens = rows * length;
    const short = layers.filter((layer) => isSolved(layer) && layer.kind === 'Linear' && layer.columns > tokens);
    const widest = short.reduce<LayerPlan | null>((best, layer) => (layer.columns > (best?.columns ?? 0) ? layer : best), null);
    if (widest === null) return [];
    const needed = Math.ceil(widest.columns / length);
    const path = placeOf(resolution, asked <= available);
    return [
      {
        code: 'calibration-too-small',
        severity: 'warning',
        path,
        at: path.length === 1 ? 'key' : 'value',
        message: `${rows} ${rows === 1 ? 'row' : 'rows'} of at most ${length} tokens are at most ${tokens} tokens, and ${widest.name} has ${widest.columns} columns${short.length === 1 ? '' : ` (it is the widest of ${short.length} layers with more columns than tokens)`}: the Hessian that ${methodOf(widest)} solves has at most rank ${tokens}, so that directions which no row shows are left to dampening_frac, and the weights fit these rows alone. Use ${needed} rows or more.`,
        fixes: asked < Infinity && available >= needed && document.has(calibration.path) ? [useRows(needed, document)] : [],
      },
    ];
  },
};

const methodOf = ({ quantizer }: LayerPlan): string => (quantizer === null ? 'nobody' : quantizerFacts[quantizer.name].title);

/** Where the number stands that is too small. */
function placeOf({ document, calibration }: Resolution, isAsked: boolean): RecipePath {
  const places: RecipePath[] = [
    ...(isAsked ? [['calibration', 'num_calibration_samples']] : [['calibration', 'dataset']]),
    ['calibration', 'max_seq_length'],
    calibration?.path ?? ['calibration'],
  ];
  return places.find((path) => document.has(path)) ?? ['calibration'];
}

function useRows(n_rows: number, document: Resolution['document']): ProblemFix {
  const path = ['calibration', 'num_calibration_samples'];
  return {
    title: `Set num_calibration_samples: ${n_rows}`,
    preferred: false,
    edits: [
      document.has(path)
        ? { kind: 'replace-value', path, text: String(n_rows) }
        : { kind: 'insert-key', path: ['calibration'], key: 'num_calibration_samples', text: String(n_rows) },
    ],
  };
}
