// More rows for the canary than its text gives: it measures on fewer than the recipe says.
import { canaryOf } from '../plan/resolve-canary.js';
import type { Check } from './check.js';
import { placeIn } from './dataset-use.js';

export const canaryTooFewRows: Check = {
  code: 'canary-too-few-rows',
  run(resolution) {
    const path = ['canary', 'num_samples'];
    const canary = canaryOf(resolution);
    if (canary === null || canary.text === null || !resolution.document.has(path)) return [];
    const { num_samples, text } = canary;
    const { file, reading } = text.head ?? {};
    const available = file?.isWhole === true && reading?.fault === null ? file.rows.length : Infinity;
    const used = text.plan.num_calibration_samples ?? Infinity;
    const n_rows = Math.min(available, used);
    if (num_samples <= n_rows || n_rows === 0) return [];
    const where = text.path.slice(0, -1).join('.');
    const why = available <= used ? `${placeIn(text, null)} has ${available}` : `${where} uses ${used} of its text`;
    return [
      {
        code: 'canary-too-few-rows',
        severity: 'warning',
        path,
        at: 'value',
        message: `num_samples asks for ${num_samples} rows and ${why}, so that the canary measures on ${n_rows}. Write ${n_rows}, or give ${where} more rows.`,
        fixes: [{ title: `Set num_samples: ${n_rows}`, preferred: true, edits: [{ kind: 'replace-value', path, text: String(n_rows) }] }],
      },
    ];
  },
};
