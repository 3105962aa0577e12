// The parser of recipes: what it reads, where its problems stand, and which texts it refuses with which words.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { readModifiers } from '../../../server/src/plan/read-modifiers.js';
import { parseRecipe, parseValue } from '../../../server/src/recipe/parse-recipe.js';
import { dedent } from '../../support/markers.js';

/** `code line:from-to` of every problem. */
const placed = (text: string): string[] => {
  const { document, problems } = parseRecipe(text);
  return document
    .attachRanges(problems)
    .map(({ code, range: { start, end } }) => `${code} ${start.line}:${start.character}-${end.line}:${end.character}`);
};

test('ranges: keys, values, items, and the nearest key for what is missing', () => {
  const text = 'a_stage:\n  q_modifiers:\n    GPTQModifier:\n      ignore: [lm_head, "re:.*x"]\n      targets:\n        - Linear\n';
  const { document } = parseRecipe(text);
  const body = ['a_stage', 'q_modifiers', 'GPTQModifier'];
  const shown = (path: readonly (string | number)[], at: 'key' | 'value'): string => {
    const { begin, end } = document.spanOf(path, at);
    return text.slice(begin, end);
  };
  assert.equal(shown(body, 'key'), 'GPTQModifier');
  assert.equal(shown([...body, 'ignore', 1], 'value'), '"re:.*x"');
  assert.equal(shown([...body, 'targets', 0], 'value'), 'Linear');
  assert.equal(shown([...body, 'scheme'], 'value'), 'GPTQModifier');
  assert.equal(shown([...body, 'ignore', 7], 'value'), 'ignore');
  assert.deepEqual(document.rangeOf([...body, 'ignore', 0], 'value'), {
    start: { line: 3, character: 15 },
    end: { line: 3, character: 22 },
  });
});

test('place and path are inverse at every offset of a key or scalar', () => {
  const text = 'model: m # c\nq_stage:\n  q_modifiers:\n    A: {x: [1, {y: z}], "k": v}\n';
  const { document } = parseRecipe(text);
  for (let offset = 0; offset <= text.length; offset += 1) {
    const place = document.placeAt(offset);
    if (place === null || place.path.length === 0) continue;
    assert.ok(document.has(place.path), `offset ${offset} gives ${place.path.join('.')}`);
    const { begin, end } = document.spanOf(place.path, place.at);
    assert.ok(begin <= offset && offset <= end, `offset ${offset} is outside of ${place.path.join('.')}`);
  }
});

test('positions and offsets are inverse, with CRLF and characters outside the basic plane', () => {
  const text = 'a: "😀é"\r\nb: c\r\n\r\nd: e';
  const { document } = parseRecipe(text);
  for (let offset = 0; offset <= text.length; offset += 1) {
    // Editors have no place between the two characters of a line break.
    const isInBreak = text.slice(offset - 1, offset + 1) === '\r\n';
    assert.equal(document.offsetAt(document.positionAt(offset)), isInBreak ? offset - 1 : offset);
  }
});

test('a carriage return alone ends a line, as for PyYAML and editors', () => {
  const { document } = parseRecipe('model: m\rq_stage:\r  q_modifiers: {}\r\n');
  assert.deepEqual(document.value, { model: 'm', q_stage: { q_modifiers: {} } });
  assert.deepEqual(document.rangeOf(['q_stage'], 'key'), { start: { line: 1, character: 0 }, end: { line: 1, character: 7 } });
  assert.deepEqual(parseValue('a: b\rc: d'), { a: 'b', c: 'd' });
});

test('a range never ends inside of a character outside the basic plane', () => {
  assert.deepEqual(placed('{"a"😀: b}'), ['yaml-syntax 0:4-0:6', 'yaml-syntax 0:4-0:9']);
});

test('modifiers in document order, over stages and groups', () => {
  const { document } = parseRecipe(
    dedent(`
      b_stage:
        y_modifiers: {SmoothQuantModifier: {}, GPTQModifier: {scheme: W4A16}}
        run_type: oneshot
        x_modifiers: {QuantizationModifier: {scheme: W8A8}}
      args: {z_modifiers: {A: {}}}
      a_stage:
        q_modifiers: {GPTQModifier: {}}
    `),
  );
  assert.deepEqual(
    readModifiers(document.value).map(({ path }) => path.join('/')),
    [
      'b_stage/y_modifiers/SmoothQuantModifier',
      'b_stage/y_modifiers/GPTQModifier',
      'b_stage/x_modifiers/QuantizationModifier',
      'a_stage/q_modifiers/GPTQModifier',
    ],
  );
});

test('JSON and Markdown front matter are recipes too', () => {
  assert.deepEqual(parseRecipe('{"q_stage": {"q_modifiers": {"GPTQModifier": {"scheme": "W4A16"}}}}').problems, []);
  const markdown = '---\nq_stage:\n  q_modifiers:\n    GPTQModifier: {sheme: W4A16}\n---\n# Model card\n\nText: with a colon\n';
  assert.deepEqual(placed(markdown), ['unknown-field 3:19-3:24']);
});

test('problems stand at their words', () => {
  const rows: readonly [text: string, expected: string[]][] = [
    ['a:\tb', ['yaml-syntax 0:2-0:3']],
    ['a: b\u2028', ['yaml-syntax 0:4-0:5']],
    ['a: !foo b', ['yaml-syntax 0:8-0:9']],
    ['a: 1\na: 2', ['duplicate-key 1:0-1:1']],
    ['a: {on: 1}', ['key-not-text 0:4-0:6']],
    ['1: 2', ['key-not-text 0:0-0:1']],
    ['{[a]: b}', ['yaml-syntax 0:1-0:4']],
    ['a: &x [1, *x]', ['yaml-syntax 0:10-0:12']],
    ['a: *x', ['yaml-syntax 0:3-0:5']],
    ['a: [', ['yaml-syntax 0:4-0:4']],
    ['', ['recipe-not-a-mapping 0:0-0:0']],
    ['2020-01-01', ['recipe-not-a-mapping 0:0-0:10']],
    ['\n\n- a', ['recipe-not-a-mapping 2:0-2:3']],
    ['q_stage: {q_modifiers: {GPTQModifier: }}', ['modifier-without-body 0:24-0:36']],
  ];
  for (const [text, expected] of rows) assert.deepEqual(placed(text), expected, JSON.stringify(text));
});

test('what has no end, or no bottom, is refused', () => {
  const alias = parseRecipe('a: &x {b: *x}');
  assert.match(alias.problems[0]?.message ?? '', /\*x stands inside of what it names/);
  assert.equal(parseValue('a: &x {b: *x}'), null);
  for (const depth of [102, 5000]) {
    const deep = parseRecipe(`a: ${'['.repeat(depth)}${']'.repeat(depth)}`);
    assert.equal(deep.problems[0]?.code, 'yaml-syntax', `depth ${depth}`);
    assert.deepEqual(deep.document.value, {});
  }
  const bomb = Array.from(
    { length: 9 },
    (_, i) =>
      `a${i}: &a${i} [${Array(9)
        .fill(i === 0 ? 'x' : `*a${i - 1}`)
        .join(', ')}]`,
  ).join('\n');
  assert.match(parseRecipe(bomb).problems[0]?.message ?? '', /alias/);
  const long = parseRecipe(`a: ${'x'.repeat(4_000_000)}`);
  assert.equal(long.problems[0]?.code, 'recipe-too-long');
});

test('a recipe that llm-compressor has saved: Python tags are read, and told', () => {
  const enumeration = '!!python/object/apply:compressed_tensors.quantization.quant_args.QuantizationType [\n              int]';
  const { document, problems } = parseRecipe(
    `q_stage:
  q_modifiers:
    SmoothQuantModifier:
      mappings:
      - !!python/tuple
        - ['re:.*q_proj']
        - re:.*input_layernorm
    GPTQModifier:
      config_groups:
        g:
          targets: [Linear]
          weights:
            num_bits: 4
            type: ${enumeration}
            group_size: 32
            strategy: group
`,
  );
  assert.deepEqual(
    problems.map(({ code, severity }) => `${severity} ${code}`),
    ['warning python-tag', 'warning python-tag'],
  );
  const modifiers = ['q_stage', 'q_modifiers'];
  assert.deepEqual(document.valueAt([...modifiers, 'SmoothQuantModifier', 'mappings']), [[['re:.*q_proj'], 're:.*input_layernorm']]);
  assert.equal(document.valueAt([...modifiers, 'GPTQModifier', 'config_groups', 'g', 'weights', 'type']), 'int');
});

test('keys with the names of JavaScript objects are keys like others', () => {
  const names = ['__proto__', 'constructor', 'toString', 'hasOwnProperty'];
  const { document } = parseRecipe(names.map((name) => `${name}: 1`).join('\n'));
  assert.deepEqual(Object.keys(document.value), names);
});
