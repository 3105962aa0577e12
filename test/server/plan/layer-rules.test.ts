// The rules that name a layer agree with the scheme that it gets, whatever the recipe.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decidingRule, decidingRules, rulesOfLayer } from '../../../server/src/plan/layer-rules.js';
import { modulesOf } from '../../../server/src/plan/pattern-matches.js';
import { seededRandom } from '../../support/random.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

const entries = [
  'Linear',
  'Embedding',
  'Module',
  'lm_head',
  're:.*',
  're:.*_proj$',
  're:.*q_proj',
  're:.*layers.1.*',
  're:model.*up_proj$',
  'model.layers.0.mlp.up_proj',
  'model.layers.1.self_attn.q_proj',
  'model.embed_tokens',
  'no_such_layer',
];

test('300 recipes of groups, ignores and modifiers: the rule that holds is where the scheme comes from', () =>
  inFolder({}, async (dir) => {
    const { below } = seededRandom(7);
    const some = (most: number): string[] => Array.from({ length: below(most + 1) }, () => entries[below(entries.length)] ?? '');
    const outcomes = new Set<string>();
    for (let round = 0; round < 300; round += 1) {
      const groups = (): object =>
        Object.fromEntries(
          Array.from({ length: 1 + below(4) }, (_, index) => [
            `g${index}`,
            { targets: ['re:.*', ...some(3)].slice(below(2)), weights: { num_bits: 1 + below(8), strategy: 'channel' } },
          ]),
        );
      const body = (): object => ({ config_groups: groups(), ignore: some(2) });
      const stage = Object.fromEntries(
        Array.from({ length: 1 + below(3) }, (_, index) => [`m${index}_modifiers`, { QuantizationModifier: body() }]),
      );
      const { resolution } = await checkIn(dir, JSON.stringify({ model: 'model', q_stage: stage }));
      const { model, layers, quantization } = resolution;
      assert.ok(model);
      const modules = modulesOf(model);
      const all = decidingRules(quantization, modules);
      for (const layer of layers) {
        const module = modules.find(({ name }) => name === layer.name);
        assert.ok(module);
        const rules = rulesOfLayer(quantization, module);
        for (const { outcome } of rules) outcomes.add(outcome);
        const holding = rules.filter(({ outcome }) => outcome === 'holds');
        assert.ok(holding.length <= 1);
        assert.equal(holding[0]?.group?.scheme ?? null, layer.scheme, `${layer.name} of ${JSON.stringify(stage)}`);
        const deciding = decidingRule(rules);
        assert.deepEqual(all[module.index], deciding);
        if (layer.scheme !== null) assert.equal(deciding, holding[0]);
        else assert.ok(deciding === null || deciding.outcome === 'leaves-out');
      }
    }
    assert.deepEqual([...outcomes].sort(), ['holds', 'leaves-out', 'left-out', 'outranked', 'taken-over']);
  }));
