// A rotation of a model whose head is its embedding: the two get a matrix each, and the file grows.
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { dtypeBytes } from '../../../schemas/src/model/safetensors-header.js';
import { partsHead } from '../plan/resolve-rotations.js';
import type { Check } from './check.js';

export const rotationUntiesHead: Check = {
  code: 'rotation-unties-head',
  run: ({ rotations, model }) => {
    const facts = model?.architecture;
    if (!model || !facts?.tie_word_embeddings) return [];
    const bytes = facts.vocab_size * facts.hidden_size * dtypeBytes[model.dtype];
    return rotations
      .filter(({ plan }) => plan !== null && partsHead(plan))
      .map(({ modifier }) => ({
        code: 'rotation-unties-head',
        severity: 'information',
        path: modifier.path,
        at: 'key',
        message: `${modifier.name} folds ${facts.norm} into ${facts.lm_head}, which shares its ${facts.vocab_size} × ${facts.hidden_size} matrix with ${facts.embed_tokens}: each gets its own, and the file grows by ${bytesText(bytes)}. Nothing to do, unless that is too much: then leave R1 out.`,
      }));
  },
};
