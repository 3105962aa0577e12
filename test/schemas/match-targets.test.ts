// Entries against modules. The table of patterns is what Python 3.11's re.match says of five names, as compressed-tensors uses it.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { compileTarget, targetRank, type ModuleClass } from '../../schemas/src/model/match-targets.js';
import { cpuMilliseconds } from '../support/cpu-time.js';

const names = [
  'lm_head',
  'model.layers.0.self_attn.q_proj',
  'model.layers.1.mlp.gate_proj',
  'model.layers.10.mlp.up_proj',
  'model.embed_tokens',
];

/** A digit per name; null: Python refuses the pattern. */
const patterns: readonly [pattern: string, matches: string | null][] = [
  ['.*q_proj', '01000'],
  ['.*q_proj$', '01000'],
  ['q_proj', '00000'],
  ['model\\.layers\\.1', '00110'],
  ['(?i).*Q_PROJ', '01000'],
  ['.*(?i)Q', null],
  ['\\Amodel', '01111'],
  ['.*proj\\Z', '01110'],
  ['.*[qk]_proj', '01000'],
  ['.*[^]q]', '11111'],
  ['[]m]odel', '01111'],
  ['.*\\d+', '01110'],
  ['.*layers\\.(?P<n>\\d)\\.(?P=n)', '00000'],
  ['(?P<a>m)odel', '01111'],
  ['(?<a>m)odel', null],
  ['(m)odel\\1', '00000'],
  ['(m)odel\\2', null],
  ['.*\\y', null],
  ['.*\\q', null],
  ['.{,5}\\.', '01111'],
  ['.{3}', '11111'],
  ['a{', '00000'],
  ['a{x}', '00000'],
  ['{', '00000'],
  ['x{2,1}', null],
  ['**', null],
  ['.**', null],
  ['.*?q', '01000'],
  ['(?:model|lm)_head|lm_head', '10000'],
  ['(?!lm_head).*', '01111'],
  ['.*(?<=q)_proj', '01000'],
  ['(?#note)lm_head', '10000'],
  ['(?s).*', '11111'],
  ['[z-a]', null],
  ['[', null],
  ['(', null],
  [')', null],
  ['*', null],
  ['+a', null],
  ['lm\\_head', '10000'],
  ['lm\\-head', '00000'],
  ['.*\\.q_proj', '01000'],
  ['.*\\\\', '00000'],
  ['\\x6cm_head', '10000'],
  ['\\u006cm_head', '10000'],
  ['^lm_head$', '10000'],
  ['lm_head$x', '00000'],
  ['.*$', '11111'],
  ['', '11111'],
  ['|', '11111'],
  ['(a|)', '11111'],
  ['[\\d]', '00000'],
  ['[\\A]', null],
  ['\\Zlm', '00000'],
  ['(?:a)*', '11111'],
  ['(a{2}){3}', '00000'],
  ['a{2}{3}', null],
  ['.*\\blm', '10000'],
  ['\\bm.*', '01111'],
  ['\\B', '00000'],
  ['(?a)lm_head', '10000'],
  ['(?L)lm', null],
  ['(?u)lm_head', '10000'],
  ['(?im)LM_HEAD', '10000'],
  ['.*[.]q_proj', '01000'],
  ['.*mlp.*(gate|up)_proj', '00110'],
  ['model.layers.(0|1).*', '01110'],
  ['.*\\a', '00000'],
  ['.*\\k', null],
  ['.*\\p{L}', null],
  ['.*\\0', '00000'],
  ['[a\\]m]odel.*', '01111'],
  ['.*]', '00000'],
  ['.*}', '00000'],
  ['(?P<a>m)(?P<a>o)', null],
  ['(?P<1>m)', null],
  ['.*\\.[0-9]+\\.(self_attn|mlp)\\.[a-z_]+$', '01110'],
  ['model\\.layers\\.(?:[02468])\\.', '01000'],
  ['\\\\', '00000'],
  ['lm_head\\', null],
  ['a**', null],
  ['a*?+', null],
  ['a??', '11111'],
  ['a{1}?', '00000'],
  ['^*', null],
  ['$*', null],
  ['(^)*', '11111'],
  ['(?=m)*m', '01111'],
];

const verdict = (entry: string): string | null => {
  const compiled = compileTarget(entry);
  if ('error' in compiled) return null;
  return names.map((name) => (compiled.matcher({ name, class: 'Linear' }) ? '1' : '0')).join('');
};

test('patterns match as in Python', () => {
  for (const [pattern, expected] of patterns) assert.equal(verdict(`re:${pattern}`), expected, pattern);
});

test('what JavaScript cannot say is refused with a sentence, never guessed', () => {
  for (const pattern of ['.*+x', '(?>a)', '(?x) lm _head', '(?i:LM)_head', '\\N{DIGIT ONE}', 'a{1}+']) {
    const compiled = compileTarget(`re:${pattern}`);
    assert.match('error' in compiled ? compiled.error : 'accepted', /is not supported here$/, pattern);
  }
});

test('names and classes', () => {
  const matches = (entry: string, name: string, moduleClass: ModuleClass): boolean => {
    const compiled = compileTarget(entry);
    return 'matcher' in compiled && compiled.matcher({ name, class: moduleClass });
  };
  assert.ok(matches('Linear', 'a.b', 'Linear'));
  // A class of vLLM, which Linear stands for; the name itself matches no module of torch.
  assert.ok(!matches('LinearBase', 'a.b', 'Linear'));
  assert.ok(matches('Module', 'a.b', 'Embedding'));
  assert.ok(matches('a.b', 'a.b', 'Other'));
  assert.ok(!matches('linear', 'a.b', 'Linear'));
  assert.ok(!matches('b', 'a.b', 'Linear'));
  assert.ok(!matches('*.b', 'a.b', 'Linear'));
  assert.ok(!matches('Linear', 'a.b', 'Embedding'));
  assert.ok(!matches('Module', 'a.b', 'Other'));
  assert.deepEqual(
    ['a.b', 're:a', 'Linear'].map((entry) => targetRank(entry, { name: 'a.b', class: 'Linear' })),
    [0, 1, 2],
  );
});

test('a pattern that would take forever ends after a tenth of a second, and is an error from then on', () => {
  const name = 'model.layers.0.self_attn.q_proj_aaaaaaaaaaaaaaaaaaaaaa';
  const began = cpuMilliseconds();
  for (const entry of ['re:(.*)*x', 're:(a|[a-z_.0-9])+!(?:.*)*', 're:(?:(?:.+)+)+x']) {
    const first = compileTarget(entry);
    assert.ok('matcher' in first, entry);
    const answer = first.matcher({ name, class: 'Linear' });
    for (let i = 0; i < 1000; i += 1) first.matcher({ name: `${name}${i}`, class: 'Linear' });
    const now = compileTarget(entry);
    if ('error' in now) assert.match(now.error, /takes more than 100 ms/);
    assert.equal(answer, false);
  }
  assert.ok('error' in compileTarget('re:(.*)*x'));
  assert.ok(cpuMilliseconds() - began < 3000);
});

test('nested repeats that are quick stay usable', () => {
  const compiled = compileTarget('re:model(\\.\\w+)+\\.q_proj$');
  assert.ok('matcher' in compiled && compiled.matcher({ name: 'model.layers.0.self_attn.q_proj', class: 'Linear' }));
});

test('a process that was held up does not make a pattern slow: the tenth of a second is one of its own work', () => {
  const compiled = compileTarget('re:held(\\.\\w+)+\\.up_proj$');
  assert.ok('matcher' in compiled);
  const { test: matches } = RegExp.prototype;
  let stops = 2;
  RegExp.prototype.test = function (this: RegExp, text: string): boolean {
    if (stops-- > 0) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1000);
    return matches.call(this, text);
  };
  try {
    assert.ok(compiled.matcher({ name: 'held.layers.0.mlp.up_proj', class: 'Linear' }));
  } finally {
    RegExp.prototype.test = matches;
  }
  assert.ok('matcher' in compileTarget('re:held(\\.\\w+)+\\.up_proj$'));
});

test('entries of any length are answered', () => {
  for (const entry of [`re:${'x'.repeat(200_000)}`, 'x'.repeat(200_000), `re:${'('.repeat(5000)}${')'.repeat(5000)}`]) compileTarget(entry);
  assert.equal(verdict(`re:${'x'.repeat(200_000)}`), null);
});

test('a pattern that lists names says which, and matches those alone', () => {
  const namesOf = (entry: string): readonly string[] | null => {
    const compiled = compileTarget(entry);
    assert.ok('names' in compiled, entry);
    return compiled.names;
  };
  assert.deepEqual(namesOf('re:model\\.layers\\.(0|1|12)\\.(?:q|k)_proj$'), [
    'model.layers.0.q_proj',
    'model.layers.0.k_proj',
    'model.layers.1.q_proj',
    'model.layers.1.k_proj',
    'model.layers.12.q_proj',
    'model.layers.12.k_proj',
  ]);
  assert.deepEqual(namesOf('lm_head'), ['lm_head']);
  for (const entry of [
    'Linear',
    're:model\\.layers',
    're:a.b$',
    're:a|b$',
    're:(a|b)*$',
    're:(a(b|c))$',
    're:[ab]$',
    're:(?i)a$',
    `re:${'(0|1|2|3|4|5|6|7|8|9)'.repeat(3)}$`,
  ])
    assert.equal(namesOf(entry), null, entry);
  const began = cpuMilliseconds();
  assert.equal(namesOf(`re:${'a'.repeat(5000)}!`), null);
  assert.ok(cpuMilliseconds() - began < 1000);
  const compiled = compileTarget('re:a(b|)c$');
  assert.ok('matcher' in compiled);
  assert.deepEqual(
    ['abc', 'ac', 'abcd', 'xabc', 'abc\n'].map((name) => compiled.matcher({ name, class: 'Linear' })),
    [true, true, false, false, false],
  );
});
