// What people carry over from Python scripts and other tools, or indent wrongly: the message says where it belongs.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkIn, inFolder, marked } from '../../support/recipe-fixture.js';

test(
  'arguments of oneshot at the top are sent to where a recipe has them',
  marked(`
    model: model
    dataset: open_platypus
#   ^^^^^^^ warning unknown-key: dataset is read by nobody at the top. Put it under calibration, as dataset.
    max_seq_length: 2048
#   ^^^^^^^^^^^^^^ warning unknown-key: max_seq_length is read by nobody at the top. Put it under calibration, as max_seq_length.
    output_dir: out
#   ^^^^^^^^^^ warning unknown-key: output_dir is read by nobody at the top. Put it under output, as dir.
    output: {dir: out}
    q_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}}}
  `),
);

test('fields that stand beside their modifier are told to be indented; a name that is no field of it is not', () =>
  inFolder({}, async (dir) => {
    const { problems } = await checkIn(
      dir,
      'model: model\noutput: {dir: out}\nq_stage:\n  q_modifiers:\n    GPTQModifier:\n    scheme: W8A16\n    SmothQuantModifier: {}\n',
    );
    const messages = problems.filter(({ code }) => code === 'unknown-modifier').map(({ message }) => message);
    assert.equal(messages.length, 2);
    assert.match(messages[0] ?? '', /^scheme is no modifier .*: it stands beside GPTQModifier, of which it is a field\. Indent it deeper/);
    assert.match(messages[1] ?? '', /^SmothQuantModifier .*; did you mean SmoothQuantModifier\?$/);
  }));

test('a GPTQModifier whose layers another modifier takes over is told which', () =>
  inFolder({}, async (dir) => {
    const both = 'GPTQModifier: {scheme: W8A16, ignore: [lm_head]}, QuantizationModifier: {scheme: W8A8, ignore: [lm_head]}';
    const { problems } = await checkIn(dir, awq(`{${both}}`));
    assert.deepEqual(
      problems.filter(({ severity }) => severity === 'error').map(({ message }) => message),
      [
        'GPTQModifier has no layer left to solve: QuantizationModifier behind it takes over all that it names. Remove one of the two, or give each its own targets.',
      ],
    );
  }));

test('the scheme of another quantizer under GGUFModifier becomes its type', () =>
  inFolder({}, async (dir) => {
    const text = 'model: model\noutput: {dir: out}\nq_stage: {q_modifiers: {GGUFModifier: {scheme: Q8_0}}}\n';
    const problem = (await checkIn(dir, text)).problems.find(({ code }) => code === 'unknown-field');
    assert.match(problem?.message ?? '', /^scheme is not a field of GGUFModifier: it is called type here/);
    assert.deepEqual(
      problem?.fixes?.map(({ title, preferred }) => [title, preferred]),
      [
        ['Rename to type', true],
        ['Remove scheme', false],
      ],
    );
  }));

test('a row without the column that the other rows have: no other column is proposed', () =>
  inFolder({ files: { 'a.jsonl': '{"text": "a"}\n{"txt": "b"}\n{"text": "c"}\n' } }, async (dir) => {
    const recipe = 'q_stage: {q_modifiers: {GPTQModifier: {scheme: W8A8, ignore: [lm_head]}}}';
    const { problems } = await checkIn(dir, `model: model\ncalibration: {dataset: a.jsonl}\noutput: {dir: out}\n${recipe}\n`);
    const problem = problems.find(({ code }) => code === 'dataset-column-missing');
    assert.match(
      problem?.message ?? '',
      /line 2: .* it has txt\. A run stops there\. Other rows have text: repair the line, or remove it\.$/,
    );
    assert.deepEqual(problem?.fixes, []);
  }));

const awq = (modifiers: string): string =>
  `model: model\ncalibration: {dataset: rows.jsonl}\noutput: {dir: out}\nq_stage: {q_modifiers: ${modifiers}}\n`;

test('AWQModifier of an old recipe, alone: that a quantizer is missing is said once, and no mapping is blamed', () =>
  inFolder({}, async (dir) => {
    const { problems } = await checkIn(dir, awq('{AWQModifier: {scheme: W4A16, targets: [Linear], ignore: [lm_head]}}'));
    const codes = problems.map(({ code }) => code);
    assert.ok(codes.includes('awq-without-quantizer'));
    assert.ok(!codes.includes('awq-cannot-scale'), codes.join());
  }));

test('a default mapping of AWQ whose layers are left out on purpose is information; a mapping that is written there is a warning', () =>
  inFolder({}, async (dir) => {
    const quantizer = `QuantizationModifier: {ignore: [lm_head, 're:.*down_proj$'], config_groups: {g: {targets: [Linear], weights: {num_bits: 4, strategy: channel}}}}`;
    const severities = async (fields: string): Promise<(string | undefined)[]> =>
      (await checkIn(dir, awq(`{AWQModifier: ${fields}, ${quantizer}}`))).problems
        .filter(({ code }) => code === 'awq-cannot-scale')
        .map(({ severity }) => severity);
    assert.deepEqual(await severities('{}'), ['information']);
    assert.deepEqual(await severities(`{mappings: [{smooth_layer: 're:.*up_proj$', balance_layers: ['re:.*down_proj$']}]}`), ['warning']);
  }));
