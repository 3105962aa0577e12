// Bits written into a recipe: the layers get them, all else stays, in block and in flow style and in JSON; and what cannot be written says why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assignBits } from '../../../server/src/features/assign-bits.js';
import { tinyLlama } from '../../support/model-fixture.js';
import { checkIn, inFolder } from '../../support/recipe-fixture.js';

/** Columns that groups of 128 divide. */
const model = tinyLlama({ hidden: 128, intermediate: 256, keyValues: 128 });

const block = `# mine
model: model
output: {dir: out}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      scheme: W4A16   # four
      targets: [Linear]
      ignore: [lm_head]
`;

/** The recipe with 2 bits for what `wants` says and 4 for all other layers, resolved again. */
function assigned(
  text: string,
  wants: (name: string) => boolean,
): Promise<{ text: string; bits: Record<string, number>; wanted: Record<string, number>; codes: string[] }> {
  return inFolder({ model }, async (dir) => {
    const { resolution } = await checkIn(dir, text);
    const wanted = Object.fromEntries(
      resolution.layers.filter(({ scheme }) => scheme?.weights).map(({ name }) => [name, wants(name) ? 2 : 4]),
    );
    const answer = assignBits(resolution, wanted);
    assert.ok('text' in answer, JSON.stringify(answer));
    const { plan, problems } = await checkIn(dir, answer.text);
    assert.ok(plan, problems.map(({ message }) => message).join('\n'));
    const bits = Object.fromEntries(plan.layers.flatMap(({ name, scheme }) => (scheme?.weights ? [[name, scheme.weights.num_bits]] : [])));
    return { text: answer.text, bits, wanted, codes: problems.map(({ code }) => code) };
  });
}

for (const [name, text] of [
  ['a preset in block style', block],
  [
    'groups',
    block.replace(
      'scheme: W4A16   # four\n      targets: [Linear]',
      'config_groups:\n        all: {targets: [Linear], weights: {num_bits: 8, strategy: group, group_size: 32}}',
    ),
  ],
  [
    'flow style',
    'model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {targets: [Linear], scheme: W4A16, ignore: [lm_head]}}}\n',
  ],
  [
    'JSON',
    JSON.stringify(
      {
        model: 'model',
        output: { dir: 'out' },
        q_stage: { q_modifiers: { QuantizationModifier: { scheme: 'W4A16', ignore: ['lm_head'] } } },
      },
      null,
      2,
    ),
  ],
] as const)
  test(`each layer gets its bits: ${name}`, async () => {
    for (const wants of [
      (layer: string) => /layers\.0\.mlp\.(gate|up)/.test(layer),
      (layer: string) => layer.endsWith('o_proj'),
      () => true,
      () => false,
    ]) {
      const { bits, wanted, text: changed } = await assigned(text, wants);
      assert.deepEqual(bits, wanted, changed);
    }
  });

test('all else stays as its author wrote it', async () => {
  const { text } = await assigned(block, (name) => name.endsWith('down_proj'));
  assert.ok(
    text.startsWith('# mine\nmodel: model\noutput: {dir: out}\n') && text.includes('ignore: [lm_head]') && !text.includes('scheme: W4A16'),
    text,
  );
});

test('what cannot be written is told', () =>
  inFolder({ model }, async (dir) => {
    const reason = async (text: string, bits: Record<string, number>): Promise<string> => {
      const answer = assignBits((await checkIn(dir, text)).resolution, bits);
      return 'reason' in answer ? answer.reason : answer.text;
    };
    const name = 'model.layers.0.self_attn.q_proj';
    assert.match(await reason(block, { 'model.layers.9.x': 2 }), /has no layer model\.layers\.9\.x\. Analyze/);
    assert.match(await reason(block, { [name]: 2 }), /is quantized and was not analyzed/);
    const w8a8 = block.replace('W4A16', 'W8A8');
    const { resolution } = await checkIn(dir, w8a8);
    const all = Object.fromEntries(resolution.layers.filter(({ scheme }) => scheme).map((layer) => [layer.name, 4]));
    assert.match(await reason(w8a8, all), /has quantized inputs.*weight-only/);
  }));
