// Rows of text, or questions, for a model folder without tokenizer.json: a run cannot make tokens of them.
import type { Problem, ProblemSeverity, RecipePath } from '../../../schemas/src/problem.js';
import type { Check } from './check.js';
import { datasetsOf } from './dataset-use.js';

export const modelWithoutTokenizer: Check = {
  code: 'model-without-tokenizer',
  run(resolution) {
    const { model, gguf, tasks } = resolution;
    // Of a GGUF file, which cannot be without, gguf-not-expressible speaks; to a model that cannot be run no tokens help.
    if (model === null || model.architecture === null || gguf !== null || model.side_files.includes('tokenizer.json')) return [];
    const other = model.side_files.filter((name) => /^(tokenizer\.model|vocab\.(json|txt)|merges\.txt)$/.test(name));
    const problem = (path: RecipePath, severity: ProblemSeverity, file: string, what: string, instead: string): Problem => ({
      code: 'model-without-tokenizer',
      severity,
      path,
      at: 'value',
      message: `${file} holds ${what}, and ${model.dir} has no tokenizer.json that makes tokens of ${what === 'text' ? 'it' : 'them'}${other.length > 0 ? ` (${other.join(', ')} ${other.length === 1 ? 'is' : 'are'} not read)` : ''}. A run stops there. Put tokenizer.json beside the weights (transformers writes it: AutoTokenizer.from_pretrained(…).save_pretrained(…))${instead}.`,
    });
    const asTokens = ', or write the rows as tokens, in input_ids';
    return [
      ...datasetsOf(resolution).flatMap(({ path, severity, plan, head }) =>
        head?.reading.rows.some((row) => 'text' in row) ? [problem(path, severity, plan.dataset, 'text', asTokens)] : [],
      ),
      ...tasks.files.flatMap(({ path, plan, exists }) => (exists ? [problem(path, 'error', plan.dataset, 'questions', '')] : [])),
    ];
  },
};
