// Nothing a user wrote makes the server throw: thousands of damaged recipes go through parser, checks, plan, fixes and every editor feature.
// What comes out is checked too: ranges lie in the text, a plan is one that the worker would take, the formatter keeps the meaning.
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { test } from 'node:test';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import type { TextRange } from '../../../schemas/src/problem.js';
import { asPlan } from '../../../schemas/src/validate.js';
import { checkRecipe, type CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { definitionOfAlias, referencesOfAnchor, renamable, rename } from '../../../server/src/features/anchors.js';
import { fixAll, quickFixes } from '../../../server/src/features/code-actions.js';
import { codeLens } from '../../../server/src/features/code-lens.js';
import { completeRecipe } from '../../../server/src/features/completion.js';
import { documentLinks } from '../../../server/src/features/document-links.js';
import { documentSymbols, symbolsNamed } from '../../../server/src/features/document-symbols.js';
import { foldingRanges } from '../../../server/src/features/folding-ranges.js';
import { hoverRecipe } from '../../../server/src/features/hover.js';
import { inlayHintKinds, inlayHints } from '../../../server/src/features/inlay-hints.js';
import type { TextReplacement } from '../../../server/src/features/recipe-edits.js';
import { selectionRanges } from '../../../server/src/features/selection-ranges.js';
import { semanticTokens } from '../../../server/src/features/semantic-tokens.js';
import { formatRecipe } from '../../../server/src/recipe/format-recipe.js';
import type { RecipeDocument } from '../../../server/src/recipe/recipe-document.js';
import { seededRandom, type Random } from '../../support/random.js';
import { inFolder } from '../../support/recipe-fixture.js';
import { repositoryRoot } from '../../support/shared.js';

const examples = path.join(repositoryRoot, 'examples');

/** The examples with our own model and data, and recipes that use what the examples do not. */
const seeds: readonly string[] = [
  ...readdirSync(examples)
    .filter((name) => name.endsWith('.quant.yaml'))
    .map((name) => readFileSync(path.join(examples, name), 'utf8'))
    .map((text) => text.replace(/models\/[\w-]+/, 'model').replace(/data\/\w+\.jsonl/g, 'rows.jsonl')),
  `model: model
output: {dir: out, max_shard_size: 5GB}
calibration: &rows {dataset: rows.jsonl, num_calibration_samples: 8, max_seq_length: 64}
evaluate: {perplexity: {<<: *rows}}
q_stage:
  q_modifiers:
    GPTQModifier:
      ignore: ["re:.*lm_hea", lm_head]
      actorder: group
      config_groups:
        a: {targets: [Linear], weights: {num_bits: 4, strategy: group, group_size: 32, symmetric: false}}
        b:
          targets: ['re:.*down_proj$']
          weights: {num_bits: 8, type: int, strategy: channel, observer: mse, observer_kwargs: {grid: 20}}
          input_activations: {num_bits: 8, strategy: tensor, dynamic: false, observer: static_minmax}
`,
  `model: model
output:
  dir: out
threads: 2
s_stage:
  s_modifiers:
    SmoothQuantModifier:
      smoothing_strength: 0.5
      mappings:
        - [['re:.*q_proj', 're:.*k_proj'], 're:.*input_layernorm']
    QuantizationModifier: {scheme: {W4A16: [Linear], W8A8: ["re:.*mlp.*"]}, kv_cache_scheme: null, targets: [q_proj]}
args: {a: 1}
`,
];

const splices = [
  ...[
    ': ',
    '- ',
    '\n',
    '\n  ',
    '\n    ',
    '{',
    '}',
    '[',
    ']',
    ',',
    "'",
    '"',
    '#',
    ' # ',
    '&a ',
    '*a',
    '<<: ',
    '<<: *rows',
    '!!str ',
    '!!python/tuple ',
  ],
  ...['|', '>', '? ', '%', '---\n', '...\n', '\t', '\r\n', '\r', '\0', '\u2028', '\uFEFF', '😀', 'é', '\\', '@', '`', '~', '=', '<<'],
  ...[
    'null',
    'true',
    'on',
    'NaN',
    '.',
    '.nan',
    '.inf',
    '-1',
    '0',
    '1e-3',
    '1e400',
    '1:30',
    '2020-01-01',
    '0x_',
    '9'.repeat(25),
    'x'.repeat(300),
  ],
  ...[
    '__proto__',
    'constructor',
    'toString',
    '$0',
    '${1:a}',
    'cursor7f3a',
    're:',
    're:(',
    're:.*',
    're:(.*)*x',
    're:[',
    're:\\',
    're:(?i)Q',
    'Linear',
  ],
  ...[
    'model',
    'output',
    'calibration',
    'q_stage',
    '_stage',
    '_modifiers',
    'GPTQModifier',
    'SmoothQuantModifier',
    'AWQModifier',
    'scheme',
    'config_groups',
  ],
  ...[
    'targets',
    'ignore',
    'weights',
    'num_bits',
    'group_size',
    'strategy',
    'actorder',
    'mappings',
    'W4A16',
    'FP8',
    'NVFP4',
    'tensor_group',
    'token',
    'local',
  ],
];

const scalarParts = /[\w.$*:/-]+/g;

function mutated(random: Random): string {
  let text = random.of(seeds);
  for (let times = 1 + random.below(4); times > 0; times -= 1) {
    const at = random.below(text.length + 1);
    const length = random.of([0, 0, 1, 2, 5, 20]);
    switch (random.below(6)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + length);
        break;
      case 1:
        text = text.slice(0, at) + random.of(splices) + text.slice(at + length);
        break;
      case 2: {
        // A word becomes another word: goes deeper than broken syntax does.
        const words = [...text.matchAll(scalarParts)];
        const word = words.length === 0 ? undefined : random.of(words);
        if (word !== undefined) text = text.slice(0, word.index) + random.of(splices) + text.slice(word.index + word[0].length);
        break;
      }
      case 3: {
        const lines = text.split('\n');
        lines.splice(random.below(lines.length), random.below(3), ...(random.next() < 0.5 ? [random.of(lines)] : []));
        text = lines.join('\n');
        break;
      }
      case 4: {
        const lines = text.split('\n');
        const line = random.below(lines.length);
        lines[line] = ' '.repeat(random.below(8)) + (lines[line] ?? '').trimStart();
        text = lines.join('\n');
        break;
      }
      default:
        text = random.next() < 0.3 ? text.slice(0, at) : text + text.slice(at, at + 200);
    }
  }
  return text;
}

const noise = (random: Random): string =>
  Array.from({ length: random.below(30) }, () => random.of(splices)).join(random.of(['', ' ', '\n']));

function inText(document: RecipeDocument, { start, end }: TextRange): void {
  const [begin, stop] = [document.offsetAt(start), document.offsetAt(end)];
  assert.ok(0 <= begin && begin <= stop && stop <= document.text.length, `${JSON.stringify({ start, end })} is outside of the text`);
  assert.deepEqual([document.positionAt(begin), document.positionAt(stop)], [start, end]);
}

function applied(document: RecipeDocument, edits: readonly TextReplacement[]): string {
  return edits
    .map(({ range, newText }) => ({ begin: document.offsetAt(range.start), end: document.offsetAt(range.end), newText }))
    .sort((a, b) => b.begin - a.begin)
    .reduce((text, { begin, end, newText }) => text.slice(0, begin) + newText + text.slice(end), document.text);
}

type Check = (text: string) => Promise<CheckedRecipe>;

async function throughEverything(text: string, check: Check, random: Random): Promise<'plan' | 'refused' | 'no plan'> {
  const { document, problems, plan, resolution } = await check(text);
  const { model } = resolution;
  for (const { message, range } of problems) {
    const slip = /undefined|\[object|NaN/.exec(message)?.[0];
    assert.ok(message.length > 10 && (slip === undefined || text.includes(slip)), message);
    inText(document, range);
  }
  if (plan !== null) {
    const checked = asPlan(JSON.parse(JSON.stringify(plan)));
    assert.ok('plan' in checked, 'error' in checked ? checked.error : '');
  }
  const symbols = documentSymbols(document);
  symbols.forEach(({ range, selectionRange }) => [range, selectionRange].forEach((each) => inText(document, each)));
  symbolsNamed(document, random.of(['', 'q', 'Modifier']));
  foldingRanges(document);
  codeLens(document, plan, random.next() < 0.5).forEach(({ range }) => inText(document, range));
  documentLinks(resolution).forEach(({ range }) => inText(document, range));
  semanticTokens(document, model).forEach(({ range }) => inText(document, range));
  inlayHints(resolution, document.rangeOfSpan({ begin: 0, end: text.length }), new Set(inlayHintKinds));
  applied(document, fixAll(document, problems));
  for (const { edits } of quickFixes(document, problems, document.rangeOfSpan({ begin: 0, end: text.length }))) {
    edits.forEach(({ range }) => inText(document, range));
    applied(document, edits);
  }
  for (let times = 3; times > 0; times -= 1) {
    const offset = random.below(text.length + 1);
    const completion = await completeRecipe({
      text,
      offset,
      model,
      listFolder: () => Promise.resolve([{ name: 'rows.jsonl', isFolder: false }]),
    });
    assert.ok(0 <= completion.begin && completion.begin <= completion.end && completion.end <= text.length);
    const hover = hoverRecipe({ document, offset, model, plan });
    if (hover !== null) inText(document, hover.range);
    selectionRanges(document, offset).forEach((range) => inText(document, range));
    definitionOfAlias(document, offset);
    referencesOfAnchor(document, offset, true).forEach((range) => inText(document, range));
    if (renamable(document, offset) !== null) rename(document, offset, random.of(['b', '', 'a b', '*']));
  }
  formatRecipe(text);
  return plan !== null ? 'plan' : problems.some(({ code }) => code === 'yaml-syntax') ? 'refused' : 'no plan';
}

async function withCheck(use: (check: Check) => Promise<void>): Promise<void> {
  await inFolder({ files: { 'rows.jsonl': '{"text": "once upon a time"}\n'.repeat(40) } }, async (dir) => {
    const described = new Map<string, ReturnType<typeof describeModel>>();
    await use((text) =>
      checkRecipe(text, {
        recipePath: path.join(dir, 'test.quant.yaml'),
        baseDir: dir,
        files: nodeFiles,
        environment: {},
        describe: (model) => {
          const known = described.get(model) ?? describeModel(model, nodeFiles);
          described.set(model, known);
          return known;
        },
      }),
    );
  });
}

async function fuzz(rounds: number, seed: number, makeText: (random: Random) => string, check: Check): Promise<Record<string, number>> {
  const random = seededRandom(seed);
  const outcomes: Record<string, number> = { plan: 0, refused: 0, 'no plan': 0 };
  for (let round = 0; round < rounds; round += 1) {
    const text = makeText(random);
    try {
      const outcome = await throughEverything(text, check, random);
      outcomes[outcome] = (outcomes[outcome] ?? 0) + 1;
    } catch (error) {
      throw new Error(`seed ${seed}, round ${round}: ${error instanceof Error ? error.stack : String(error)}\n${JSON.stringify(text)}`, {
        cause: error,
      });
    }
  }
  return outcomes;
}

/** More rounds, for a long search by hand. */
const factor = Number(process.env['BITWRIGHT_FUZZ_FACTOR'] ?? '1');

test('the seeds themselves are read, and the examples are plans', () =>
  withCheck(async (check) => {
    for (const seed of seeds) {
      const { problems } = await check(seed);
      assert.ok(!problems.some(({ code }) => code === 'yaml-syntax'), seed);
    }
  }));

test('mutated recipes', () =>
  withCheck(async (check) => {
    const outcomes = await fuzz(300 * factor, 20_260_822, mutated, check);
    // A fuzz that only meets one outcome looks at one part of the server.
    for (const outcome of ['plan', 'refused', 'no plan']) assert.ok((outcomes[outcome] ?? 0) > 10, JSON.stringify(outcomes));
  }));

test('random text that looks like YAML', () =>
  withCheck(async (check) => {
    await fuzz(600 * factor, 4711, noise, check);
  }));
