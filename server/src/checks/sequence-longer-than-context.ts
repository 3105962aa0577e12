// Rows longer than the model's context: positions behind it were never trained.
import type { Check } from './check.js';

export const sequenceLongerThanContext: Check = {
  code: 'sequence-longer-than-context',
  run({ model, calibration, evaluations }) {
    const context = model?.architecture?.max_position_embeddings;
    if (context === undefined) return [];
    return [calibration, ...evaluations].flatMap((dataset) => {
      const length = dataset?.plan.max_seq_length ?? null;
      if (dataset === null || length === null || length <= context) return [];
      const path = [...dataset.path.slice(0, -1), 'max_seq_length'];
      return [
        {
          code: 'sequence-longer-than-context',
          severity: 'warning' as const,
          path,
          at: 'value' as const,
          message: `max_seq_length ${length} is longer than the model's context of ${context} tokens (max_position_embeddings). Longer rows measure positions that the model never learned.`,
          fixes: [{ title: `Use ${context}`, preferred: true, edits: [{ kind: 'replace-value' as const, path, text: String(context) }] }],
        },
      ];
    });
  },
};
