// AWQModifier with no quantization modifier behind it: it only scales, and llm-compressor refuses the recipe.
import { coerceTo, mappingOf } from '../recipe/coerce.js';
import { schemeModifiers } from '../plan/read-modifiers.js';
import type { Check } from './check.js';

const quantizers = schemeModifiers;
/** What AWQModifier had until 0.10. */
const moved = ['scheme', 'targets', 'ignore', 'config_groups'];

export const awqWithoutQuantizer: Check = {
  code: 'awq-without-quantizer',
  run: ({ modifiers, document }) =>
    modifiers.flatMap(({ name, path, body }, index) => {
      if (name !== 'AWQModifier' || modifiers.slice(index + 1).some((later) => quantizers.includes(later.name))) return [];
      const [stage = '', group = ''] = path;
      const siblings = mappingOf(mappingOf(document.value[stage])[group]);
      const said = moved.filter((field) => body[field] !== undefined);
      // Keys are written at the end of their mapping, which is behind AWQModifier.
      const canInsert = coerceTo('object', body) !== undefined && !('QuantizationModifier' in siblings);
      const fields =
        said.length === 0 ? '{scheme: W4A16_ASYM, ignore: [lm_head]}' : flow(Object.fromEntries(said.map((field) => [field, body[field]])));
      return [
        {
          code: 'awq-without-quantizer',
          severity: 'error',
          path,
          at: 'key',
          message: `AWQModifier scales weights and quantizes nothing; since llm-compressor 0.11 its quantization part is a modifier of its own, and without one behind it the recipe is refused. Add QuantizationModifier behind it${said.length === 0 ? '' : `, with ${said.join(', ')}`}.`,
          related: modifiers
            .slice(0, index)
            .filter((earlier) => quantizers.includes(earlier.name))
            .map((earlier) => ({ path: earlier.path, at: 'key' as const, message: `${earlier.name} stands in front of it` })),
          ...(canInsert
            ? {
                fixes: [
                  {
                    title: said.length === 0 ? 'Add QuantizationModifier' : `Move ${said.join(', ')} into a QuantizationModifier`,
                    preferred: true,
                    edits: [
                      ...(said.length === Object.keys(body).length && said.length > 0
                        ? [{ kind: 'replace-value' as const, path, text: '{}' }]
                        : said.map((field) => ({ kind: 'remove' as const, path: [...path, field] }))),
                      { kind: 'insert-key' as const, path: [stage, group], key: 'QuantizationModifier', text: fields },
                    ],
                  },
                ],
              }
            : {}),
        },
      ];
    }),
};

/** In one line; what JSON writes is YAML. */
const flow = (value: unknown): string => JSON.stringify(value);
