// A problem of one layer, at the modifier that quantizes it.
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { RunProblem } from '../../../schemas/src/generated/report.js';

export const layerProblem = (layer: LayerPlan, code: string, severity: RunProblem['severity'], message: string): RunProblem => ({
  code,
  severity,
  message,
  layer: layer.name,
  recipe_path: layer.quantizer?.recipe_path ?? null,
});
