// Rows that begin with the model's BOS token twice. A run puts one before a row that has none, and leaves a row that begins with one alone, so that only the row itself can double it.
import type { DatasetRow } from '../../../schemas/src/dataset/dataset-row.js';
import type { TokenizerFacts } from '../../../schemas/src/model/tokenizer-facts.js';
import type { Check } from './check.js';
import { datasetsOf, placeIn } from './dataset-use.js';

export const doubleBos: Check = {
  code: 'double-bos',
  run: (resolution) => {
    const { tokenizer } = resolution;
    if (tokenizer === null) return [];
    return datasetsOf(resolution).flatMap((dataset) => {
      const rows = dataset.head?.reading.rows ?? [];
      const doubled = rows.filter((row) => beginsTwice(row, tokenizer));
      const [first] = doubled;
      if (first === undefined) return [];
      const twice =
        'text' in first
          ? `${tokenizer.bos.text ?? ''}${tokenizer.bos.text ?? ''}`
          : `[${tokenizer.bos.id ?? ''}, ${tokenizer.bos.id ?? ''}]`;
      return [
        {
          code: 'double-bos',
          severity: 'warning' as const,
          path: dataset.path,
          at: 'value' as const,
          message: `${placeIn(dataset, first.line)}: the row begins with the BOS token of the model twice (${twice}), as ${doubled.length === 1 ? '1 of the' : `${doubled.length} of the`} first ${rows.length} rows ${doubled.length === 1 ? 'does' : 'do'}. Probably a chat template wrote BOS and the tokenizer added it again. The model was not trained on that; write the rows with one BOS or none: a run adds it only where a row does not begin with it.`,
        },
      ];
    });
  },
};

function beginsTwice(row: DatasetRow, { bos: { text, id } }: TokenizerFacts): boolean {
  if ('text' in row) return text !== null && row.text.startsWith(text + text);
  return id !== null && row.input_ids[0] === id && row.input_ids[1] === id;
}
