// Links: the model, the data sets and the output folder that a recipe names, where they are on this machine.
import path from 'node:path';
import type { RecipePath, TextRange } from '../../../schemas/src/problem.js';
import type { Resolution } from '../plan/resolution.js';

export interface FileLink {
  range: TextRange;
  /** Absolute path of what the link opens. */
  file: string;
  tooltip: string;
}

export function documentLinks({ document, model, calibration, evaluations, tasks, imatrices }: Resolution): FileLink[] {
  const link = (at: RecipePath, file: string, tooltip: string): FileLink[] =>
    document.has(at) ? [{ range: document.rangeOf(at, 'value'), file, tooltip }] : [];
  return [
    ...(model === null ? [] : link(['model'], path.join(model.dir, 'config.json'), 'Open config.json of the model')),
    ...[calibration, ...evaluations, ...tasks.files].flatMap((dataset) =>
      dataset?.exists === true ? link(dataset.path, dataset.plan.dataset, 'Open the data set') : [],
    ),
    ...imatrices.flatMap(({ path: at, file, imatrix }) =>
      file === null || imatrix === null ? [] : link(at, file, 'Open the importance matrix'),
    ),
  ];
}
