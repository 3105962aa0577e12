// A model that no GGUF file can hold so that llama.cpp computes it alike: architecture, tensors or tokenizer.
import type { Problem } from '../../../schemas/src/problem.js';
import type { Check } from './check.js';

export const ggufNotExpressible: Check = {
  code: 'gguf-not-expressible',
  run({ gguf, document, modifiers, model }) {
    if (gguf === null || model === null) return [];
    const path = document.has(['output', 'format'])
      ? ['output', 'format']
      : (modifiers.find(({ name }) => name === 'GGUFModifier')?.path ?? ['output']);
    const place = { code: 'gguf-not-expressible', severity: 'error', path, at: 'key' } as const;
    const problems: Problem[] = [];
    if (gguf.obstacles.length > 0)
      problems.push({
        ...place,
        message: `${model.dir} cannot become a GGUF file that llama.cpp computes as this model: ${gguf.obstacles.join('; ')}. Take a modifier that writes compressed-tensors, or llama.cpp's own conversion, if it knows the model.`,
      });
    else if (gguf.unknownPattern !== null)
      problems.push({
        ...place,
        message: `llama.cpp has no name for the way in which tokenizer.json splits text (${gguf.unknownPattern}), so it would make other tokens of some texts. If that is good enough, say which of its own comes nearest in output.tokenizer_pre, such as gpt-2, or smollm where digits stand alone.`,
        ...(document.has(['output'])
          ? {
              fixes: [
                {
                  title: 'Add tokenizer_pre: gpt-2',
                  preferred: false,
                  edits: [{ kind: 'insert-key', path: ['output'], key: 'tokenizer_pre', text: 'gpt-2' }],
                },
              ],
            }
          : {}),
      });
    return problems;
  },
};
