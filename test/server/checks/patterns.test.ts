// Entries of targets and ignore that match nothing, or are not read at all: what is proposed instead.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, checkMarked, inFolder, roundToNearest } from '../../support/recipe-fixture.js';

test('what was meant: the end of names, a slip of a name, or a part of names', () =>
  inFolder({ model: tinyLlama({ blocks: 12 }) }, async (dir) => {
    for (const [entry, meant] of [
      ['lm_hea', 'lm_head'],
      ['lm_heads', 'lm_head'],
      ['re:lm_hea$', 'lm_head'],
      ['head', "'re:.*head$'"],
      ['q_proj', "'re:.*q_proj$'"],
      ['*.q_proj', "'re:.*q_proj$'"],
      ['re:q_proj', "'re:.*q_proj$'"],
      ['down_pro', "'re:.*down_proj$'"],
      ['linear', 'Linear'],
      ['Liner', 'Linear'],
      ['model.layers.0.mlp.dwn_proj', 'model.layers.0.mlp.down_proj'],
      ['mlp', "'re:.*mlp\\.'"],
      ['model.layers.1', "'re:.*model\\.layers\\.1\\.'"],
      ['self_at', "'re:.*self_at'"],
      // Without $ it would spare gate_proj, which is another layer.
      ['re:.*mlp.gate$', null],
      ['vision_tower', null],
      ['x'.repeat(5_000), null],
    ] as const) {
      const { problems } = await checkIn(
        dir,
        `model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [${JSON.stringify(entry)}]}}}`,
      );
      const found = problems.filter(({ code }) => code === 'ignore-matches-nothing');
      assert.equal(found.length, 1, `${entry.slice(0, 40)}: ${problems.map(({ code }) => code).join(', ')}`);
      const edit = found[0]?.fixes?.[0]?.edits[0];
      assert.equal(edit?.kind === 'replace-value' ? edit.text : null, meant, entry.slice(0, 40));
    }
  }));

test('targets beside config_groups are not read, so a slip in them is told', async () => {
  const { problems } = await checkMarked(`${roundToNearest}
          targets: ["re:.*q_prj", lm_head]
    #     ^^^^^^^ warning targets-without-effect: Write them into config_groups, and remove targets here. Besides, re:.*q_prj would match no module of the model.
          config_groups: {g: {targets: ["re:.*_proj"], weights: {num_bits: 8, strategy: channel}}}
  `);
  assert.deepEqual(problems[0]?.fixes?.[0]?.edits, [
    { kind: 'remove', path: ['q_stage', 'q_modifiers', 'QuantizationModifier', 'targets'] },
  ]);
});

test('targets beside a mapping of schemes are not read either', async () => {
  await checkMarked(`${roundToNearest}
          targets: lm_head
    #     ^^^^^^^ warning targets-without-effect: with a mapping as scheme
          scheme: {W8A8: ["re:.*_proj"]}
  `);
});

test('the default beside config_groups, which llm-compressor saves, is no slip', async () => {
  await checkMarked(`${roundToNearest}
          targets: [Linear]
          config_groups: {g: {targets: ["re:.*_proj"], weights: {num_bits: 8, strategy: channel}}}
  `);
});
