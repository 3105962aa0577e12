// Actions on chosen layers: the recipe gives them what was asked and all others what they had, the author's text and comments stay, the reasons are written; and what cannot be done says why.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { EditLayersResult, LayerEdit } from '../../../schemas/src/protocol/client-server.js';
import { editLayers } from '../../../server/src/features/edit-layers.js';
import { judgeEditedLayers } from '../../../server/src/features/judge-edited-layers.js';
import { layersInForce } from '../../../server/src/features/layers-in-force.js';
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
      # four bits nearly everywhere
      scheme: W4A16   # four
      targets: [Linear]
      ignore: [lm_head]
`;
const down = 'model.layers.0.mlp.down_proj';
const up = 'model.layers.1.mlp.up_proj';
const gate = 'model.layers.1.mlp.gate_proj';

const edit = (names: readonly string[], to: LayerEdit['to'], reason = 'error 0.5 %, rank 1 of 14'): LayerEdit => ({
  layers: names.map((name) => ({ name, reason })),
  to,
});

/** The answer as the server gives it, with compact entries where those are right. */
async function edited(dir: string, text: string, edits: readonly LayerEdit[]): Promise<EditLayersResult> {
  const before = await checkIn(dir, text);
  let answer: EditLayersResult = { reason: 'none' };
  for (const compact of [true, false]) {
    const found = editLayers(before.resolution, edits, compact);
    if ('reason' in found) return found;
    answer = judgeEditedLayers(before, { ...(await checkIn(dir, found.text)), text: found.text }, found.wanted);
    if ('text' in answer) return answer;
  }
  return answer;
}

async function textOf(dir: string, text: string, ...edits: LayerEdit[]): Promise<string> {
  const answer = await edited(dir, text, edits);
  assert.ok('text' in answer, JSON.stringify(answer));
  return answer.text;
}

async function bitsOf(dir: string, text: string): Promise<Record<string, number | null>> {
  const { resolution } = await checkIn(dir, text);
  return Object.fromEntries(layersInForce(resolution).layers.map(({ name, num_bits }) => [name, num_bits]));
}

test('a preset becomes groups; the reason stands behind each layer, and every comment stays', () =>
  inFolder({ model }, async (dir) => {
    const text = await textOf(dir, block, edit([down], { num_bits: 8 }));
    assert.equal(
      text,
      `# mine
model: model
output: {dir: out}
quant_stage:
  quant_modifiers:
    QuantizationModifier:
      # four bits nearly everywhere
      config_groups:
        int8:
          targets:
            - '${down}'  # error 0.5 %, rank 1 of 14
          weights: {num_bits: 8, symmetric: true, strategy: group, group_size: 128}
        w4a16:
          targets: [Linear]
          weights: {num_bits: 4, symmetric: true, strategy: group, group_size: 128}   # four
      ignore: [lm_head]
`.replace(`'${down}'`, down),
    );
    const bits = await bitsOf(dir, text);
    assert.equal(bits[down], 8);
    assert.equal(bits[up], 4);
    assert.equal(bits['lm_head'], null);

    // Once more: the group that is there takes it, before the others.
    const more = await textOf(dir, text, edit([up, gate], { num_bits: 8 }, 'second'));
    assert.ok(
      more.includes(`targets:\n            - ${up}  # second\n            - ${gate}  # second\n            - ${down}  # error`),
      more,
    );

    // And back: what the class gives needs no entry, and a group without layers goes.
    assert.ok((await textOf(dir, more, edit([up, gate, down], { num_bits: 4 }))).includes('config_groups:\n        w4a16:'));
    const back = await textOf(dir, more, edit([down], { num_bits: 4 }));
    assert.ok(!back.includes(down), back);
    assert.equal((await bitsOf(dir, back))[down], 4);
  }));

test('ignore takes and gives back layers', () =>
  inFolder({ model }, async (dir) => {
    const text = await textOf(dir, block, edit([down], { ignore: true }));
    assert.ok(text.includes(`      # ${down}: error 0.5 %, rank 1 of 14\n      ignore: [lm_head, ${down}]\n`), text);
    const back = await textOf(dir, text, edit([down], { num_bits: 4 }));
    assert.ok(back.includes('ignore: [lm_head]\n') && back.includes('scheme: W4A16'), back);
    assert.equal((await bitsOf(dir, back))[down], 4);
    const list = block.replace('ignore: [lm_head]', 'ignore:\n        - lm_head  # ends');
    assert.ok(
      (await textOf(dir, list, edit([down], { ignore: true }))).includes(
        `- ${down}  # error 0.5 %, rank 1 of 14\n        - lm_head  # ends\n`,
      ),
    );
    const none = block.replace('      ignore: [lm_head]\n', '');
    const added = await textOf(dir, none, edit([down], { ignore: true }));
    assert.ok(added.endsWith(`      ignore:\n        - ${down}  # error 0.5 %, rank 1 of 14\n`), added);
    const without = await textOf(dir, added, edit([down], { num_bits: 4 }));
    assert.equal(without, none);
  }));

test('a preset by its name, and inputs stay as they are where bits change', () =>
  inFolder({ model }, async (dir) => {
    const assigned = await textOf(dir, block, edit([down], { scheme: 'W8A16' }));
    assert.match(assigned, /w8a16:\n {10}targets:\n.*\n {10}weights: \{num_bits: 8, .*strategy: group, group_size: 128\}/);
    const inputs = await textOf(dir, block.replace('W4A16', 'W4A8'), edit([down], { num_bits: 8 }));
    const { resolution } = await checkIn(dir, inputs);
    const [changed, other] = [down, up].map((name) => resolution.layers.find((layer) => layer.name === name)?.scheme);
    assert.equal(changed?.weights?.num_bits, 8);
    assert.deepEqual(changed?.input_activations, other?.input_activations);
    assert.ok(changed?.input_activations);
  }));

test('many layers are one pattern where that is right', () =>
  inFolder({ model: tinyLlama({ hidden: 128, intermediate: 256, keyValues: 128, blocks: 10 }) }, async (dir) => {
    const names = Array.from({ length: 10 }, (_, block) => `model.layers.${block}.mlp.down_proj`);
    const text = await textOf(dir, block, edit(names, { num_bits: 8 }));
    assert.equal(text.match(/down_proj/g)?.length, 1, text);
    const bits = await bitsOf(dir, text);
    assert.ok(names.every((name) => bits[name] === 8) && bits['model.layers.3.mlp.up_proj'] === 4);
    const some = await textOf(dir, text, edit([names[3] ?? ''], { num_bits: 4 }));
    assert.equal((await bitsOf(dir, some))[names[3] ?? ''], 4, some);
  }));

for (const [name, text] of [
  [
    'groups in one line',
    block.replace(
      'scheme: W4A16   # four\n      targets: [Linear]',
      'config_groups: {all: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 32}}}',
    ),
  ],
  [
    'groups in a block',
    block.replace(
      'scheme: W4A16   # four\n      targets: [Linear]',
      'config_groups:\n        all: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 32}}  # all',
    ),
  ],
  [
    'presets with targets',
    block.replace('scheme: W4A16   # four\n      targets: [Linear]', "scheme: {W4A16: ['re:.*mlp.*'], W8A16: ['re:.*attn.*']}"),
  ],
  [
    'one line',
    'model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {QuantizationModifier: {targets: [Linear], scheme: W4A16, ignore: [lm_head]}}}\n',
  ],
  [
    'JSON',
    JSON.stringify(
      {
        model: 'model',
        output: { dir: 'out' },
        q_stage: { q_modifiers: { QuantizationModifier: { scheme: 'W4A16', targets: ['Linear'], ignore: ['lm_head'] } } },
      },
      null,
      2,
    ),
  ],
] as const)
  test(`every action gives what it says: ${name}`, () =>
    inFolder({ model }, async (dir) => {
      const before = await bitsOf(dir, text);
      for (const [to, bits] of [
        [{ num_bits: 8 }, 8],
        [{ num_bits: 3 }, 3],
        [{ ignore: true }, null],
        [{ scheme: 'W8A16' }, 8],
      ] as const) {
        const changed = await textOf(dir, text, edit([down, up, gate], to));
        assert.deepEqual(await bitsOf(dir, changed), { ...before, [down]: bits, [up]: bits, [gate]: bits }, changed);
        // Two actions at once, then all of it back.
        const mixed = await textOf(dir, changed, edit([down], { num_bits: 2 }), edit([up, gate], { num_bits: 4 }));
        assert.deepEqual(await bitsOf(dir, mixed), { ...before, [down]: 2, [up]: 4, [gate]: 4 }, mixed);
        if (text.startsWith('{')) JSON.parse(mixed);
        assert.ok(!/[ \t]\n/.test(changed), JSON.stringify(changed));
      }
    }));

test('the reasons of what is written in one line stand above it', () =>
  inFolder({ model }, async (dir) => {
    const text = await textOf(
      dir,
      block.replace(
        'scheme: W4A16   # four\n      targets: [Linear]',
        'config_groups: {all: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 32}}}',
      ),
      edit([down], { num_bits: 8 }),
    );
    assert.ok(text.includes(`      # ${down}: error 0.5 %, rank 1 of 14\n      config_groups: {all:`), text);
  }));

test('warnings of the new recipe are told: siblings that part', () =>
  inFolder({ model }, async (dir) => {
    const answer = await edited(dir, block, [edit([up], { num_bits: 8 })]);
    assert.ok('warnings' in answer && answer.warnings.some((text) => text.includes('gate_proj')), JSON.stringify(answer));
    const both = await edited(dir, block, [edit([up, gate], { num_bits: 8 })]);
    assert.ok('warnings' in both && both.warnings.length === 0, JSON.stringify(both));
  }));

test('what cannot be written is told', () =>
  inFolder({ model }, async (dir) => {
    const reason = async (text: string, ...edits: LayerEdit[]): Promise<string> => {
      const answer = await edited(dir, text, edits);
      return 'reason' in answer ? answer.reason : answer.text;
    };
    assert.match(await reason(block, edit(['model.layers.9.x'], { num_bits: 8 })), /has no layer model\.layers\.9\.x\. Analyze/);
    assert.match(await reason(block, edit([down], { num_bits: 9 })), /1 to 8 bits, and 9/);
    assert.match(await reason(block, edit([down], { scheme: 'W9' })), /W9 is no preset/);
    assert.match(await reason(block.replace('W4A16', 'NVFP4A16'), edit([down], { num_bits: 8 })), /floating point.*Assign it a scheme/);
    const pattern = block.replace('[lm_head]', "[lm_head, 're:.*down_proj']");
    assert.match(await reason(pattern, edit([down], { num_bits: 8 })), /left out by re:\.\*down_proj in ignore/);
  }));

test('names and reasons are data', () =>
  inFolder({ model }, async (dir) => {
    const text = await textOf(dir, block, edit([down], { num_bits: 8 }, 'first\n      scheme: W2A16'));
    assert.ok(text.includes('# first scheme: W2A16\n'), text);
  }));

test('which rule holds for a layer, and where it stands', () =>
  inFolder({ model }, async (dir) => {
    const { resolution } = await checkIn(dir, await textOf(dir, block, edit([down], { num_bits: 8 })));
    const { rules, layers, presets } = layersInForce(resolution);
    const of = (name: string): (typeof rules)[number] | undefined => rules[layers.find((layer) => layer.name === name)?.rule ?? -1];
    assert.equal(of(down)?.entry, down);
    assert.equal(of(down)?.range.start.line, 10);
    assert.equal(of(up)?.entry, 'Linear');
    assert.deepEqual([of('lm_head')?.kind, of('lm_head')?.where], ['ignore', 'ignore of QuantizationModifier']);
    assert.deepEqual([of(up)?.around.start.line, of(up)?.around.end.line], [12, 15]);
    assert.equal(layers.find(({ name }) => name === 'model.embed_tokens')?.rule, null);
    assert.ok(presets.some(({ name }) => name === 'W8A16') && !presets.some(({ name }) => name === 'UNQUANTIZED'));
  }));
