// An importance matrix whose tensors are not those of this model: none of its names, or other widths. llama-quantize refuses widths that differ too.
import type { Problem } from '../../../schemas/src/problem.js';
import { importanceName, weighedLayers } from '../plan/resolve-imatrix.js';
import type { Check } from './check.js';

export const imatrixOfAnotherModel: Check = {
  code: 'imatrix-of-another-model',
  run({ imatrices, layers, model }) {
    if (model === null) return [];
    return imatrices.flatMap((resolved): Problem[] => {
      const { imatrix, file, path } = resolved;
      const weighed = weighedLayers(resolved, layers);
      if (imatrix === null || weighed.length === 0) return [];
      const found = weighed.flatMap((layer) => {
        const name = importanceName(layer, model);
        const entry = name === null ? undefined : imatrix.get(name);
        return name === null || entry === undefined ? [] : [{ layer, name, entry }];
      });
      // As llama-quantize: what is said of the embedding may have another width.
      const wrong = found.filter(({ layer, entry }) => entry.columns !== layer.columns && layer.kind !== 'Embedding');
      const [first] = wrong;
      const wanted = weighed.map((layer) => importanceName(layer, model)).find((name) => name?.startsWith('blk.'));
      const why =
        first !== undefined
          ? `${wrong.length} of its tensors have other columns than here, such as ${first.name} with ${first.entry.columns} where ${first.layer.name} has ${first.layer.columns}`
          : found.length === 0
            ? `its ${imatrix.size} tensors, such as ${[...imatrix.keys()][0]}, have none of the names of the ${weighed.length} layers here${wanted ? `, such as ${wanted}` : ''}`
            : null;
      if (why === null) return [];
      const message = `${file} is of another model: ${why}. Make one from this model with llama-imatrix, or use importance: true.`;
      return [{ code: 'imatrix-of-another-model', severity: 'error', path, at: 'value', message }];
    });
  },
};
