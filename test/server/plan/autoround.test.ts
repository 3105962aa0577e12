// AutoRoundModifier does not run yet, and its schemes and targets resolve as those of the other modifiers: hints, hover and checks speak of them.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { inlayHintKinds, inlayHints } from '../../../server/src/features/inlay-hints.js';
import { hover } from '../../support/recipe-features.js';
import { checkIn, checkMarked, inFolder, marked } from '../../support/recipe-fixture.js';

const recipe = (body: string): string =>
  `model: model\ncalibration: {dataset: rows.jsonl}\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n    AutoRoundModifier: ${body}\n`;

test('its layers have their scheme', () =>
  inFolder({}, async (dir) => {
    const { resolution, problems, document, plan } = await checkIn(dir, recipe('{scheme: W8A8, targets: ["re:.*mlp"]}'));
    assert.deepEqual(
      problems.map(({ code }) => code),
      ['modifier-not-runnable-yet'],
    );
    assert.equal(plan, null);
    const quantized = resolution.layers.filter(({ scheme }) => scheme !== null);
    assert.equal(quantized.length, 6);
    assert.deepEqual([...new Set(quantized.map(({ quantizer }) => quantizer?.modifier))], ['AutoRoundModifier']);
    const hints = inlayHints(resolution, document.rangeOfSpan({ begin: 0, end: document.text.length }), new Set(inlayHintKinds));
    assert.deepEqual(hints.map(({ label }) => label).slice(0, 2), ['6 layers', '8.40 bits per weight']);
  }));

test('hover of a layer says what it becomes', async () => {
  const text = recipe('{config_groups: {g: {targets: [model.layers.1.mlp.up_$0proj], weights: {num_bits: 4, strategy: channel}}}}');
  assert.match((await hover(text.replace('model: model', 'model: .'))) ?? '', /Becomes int4 channel, by AutoRoundModifier \(/);
});

test(
  'targets, schemes and groups are checked',
  marked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        AutoRoundModifier:
    #   ^^^^^^^^^^^^^^^^^ error modifier-not-runnable-yet
          ignore: [lm_hed]
    #              ^^^^^^ warning ignore-matches-nothing: Did you mean lm_head
          config_groups:
            g:
              targets: [Linear]
              weights: {num_bits: 4, group_size: 48}
    #                                            ^^ error group-size-indivisible
  `),
);

test('without a scheme it fails, and SmoothQuant behind it comes too late', async () => {
  await checkMarked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        AutoRoundModifier: {ignore: [lm_head]}
    #   ^^^^^^^^^^^^^^^^^ error modifier-not-runnable-yet
    #   ^^^^^^^^^^^^^^^^^ error scheme-missing: llm-compressor fails
  `);
  await checkMarked(`
    model: model
    calibration: {dataset: rows.jsonl}
    output: {dir: out}
    q_stage:
      q_modifiers:
        AutoRoundModifier: {scheme: W8A8, ignore: [lm_head]}
    #   ^^^^^^^^^^^^^^^^^ error modifier-not-runnable-yet
        SmoothQuantModifier: {}
    #   ^^^^^^^^^^^^^^^^^^^ error transform-after-quantizer: stands behind AutoRoundModifier
  `);
});

test('AutoRound learns ranges itself: nothing is said of observers of the last batch', () =>
  inFolder({}, async (dir) => {
    const group =
      '{targets: [Linear], weights: {num_bits: 8, strategy: channel}, input_activations: {num_bits: 8, strategy: tensor, dynamic: false}}';
    const codes = async (modifier: string): Promise<string[]> =>
      (await checkIn(dir, recipe(`{ignore: [lm_head], config_groups: {g: ${group}}}`).replace('AutoRoundModifier', modifier))).problems.map(
        ({ code }) => code,
      );
    assert.ok((await codes('QuantizationModifier')).includes('static-activations-last-batch'));
    assert.deepEqual(await codes('AutoRoundModifier'), ['modifier-not-runnable-yet']);
  }));

test('AWQ before it knows which of its layers are quantized', () =>
  inFolder({}, async (dir) => {
    const text = `q_stage:\n  q_modifiers:\n    AWQModifier: {mappings: [{smooth_layer: 're:.*up_proj$', balance_layers: ['re:.*down_proj$']}]}\n`;
    const awq = async (targets: string): Promise<string[]> => {
      const modifier = `    AutoRoundModifier: {scheme: W8A8, targets: ['${targets}']}\n`;
      const { problems } = await checkIn(dir, `model: model\n${text}${modifier}`);
      return problems.filter(({ code }) => code === 'awq-cannot-scale').map(({ severity }) => severity);
    };
    assert.deepEqual(await awq('re:.*mlp'), []);
    assert.deepEqual(await awq('re:.*self_attn'), ['warning']);
  }));
