// Verdicts as the real one: for each recipe of the table ours says error where llm-compressor fails, warning where it silently does something else,
// nothing where all is well; and every layer gets the scheme that it gets there. The golden is written by test/parity/recipe-verdicts.py.
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import type { LayerPlan, QuantizationArgs } from '../../../schemas/src/generated/plan.js';
import { describeModel } from '../../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../../schemas/src/model/model-files.js';
import { checkRecipe } from '../../../server/src/checks/check-recipe.js';
import type { CheckedRecipe } from '../../../server/src/checks/check-recipe.js';
import { writeModel } from '../../support/model-fixture.js';
import { verdictModels } from './models.js';
import { readTable, realVerdicts } from './table.js';
import type { RealVerdict, VerdictCase } from './table.js';

/** What Bitwright itself cannot do, or what becomes of the quality, is no verdict about the recipe. */
const ownWords = [
  'modifier-not-runnable-yet',
  'rotation-not-runnable-yet',
  'scheme-not-runnable-yet',
  'architecture-not-runnable',
  'memory-above-machine',
  'too-few-bits-for-method',
];

let folder = '';
before(() => {
  folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-verdicts-'));
  for (const [name, model] of Object.entries(verdictModels)) writeModel(path.join(folder, name), model());
});
after(() => {
  rmSync(folder, { recursive: true });
});

const real = realVerdicts();
const table = readTable();

test('the table is as large as it was promised, and the golden has all of it', () => {
  const names = table.flatMap(({ file, cases }) => cases.map(({ name }) => `${file}: ${name}`));
  assert.ok(names.length >= 220, `${names.length} recipes`);
  assert.deepEqual([...real.keys()].sort(), [...names].sort());
});

for (const { file, cases } of table)
  test(`verdicts of ${file}: ${cases.length} recipes`, async () => {
    const faults: string[] = [];
    for (const one of cases) {
      const verdict = real.get(`${file}: ${one.name}`);
      const found = verdict === undefined ? ['it is not in the golden'] : await compare(one, verdict);
      faults.push(...found.map((fault) => `${one.name}: ${fault}`));
    }
    assert.equal(faults.length, 0, `\n${faults.join('\n')}\n`);
  });

async function compare(one: VerdictCase, verdict: RealVerdict): Promise<string[]> {
  const sha256 = createHash('sha256').update(one.recipe).digest('hex').slice(0, 16);
  if (sha256 !== verdict.sha256) return ['the golden is older than the table; run test/parity/recipe-verdicts.py'];
  const checked = await check(one);
  const differences = [...expectationFaults(one, verdict), ...dataFaults(one, verdict, checked), ...layerFaults(one, verdict, checked)];
  const unexplained = one.differs === null ? differences : differences.length === 0 ? ['nothing differs any more; remove the line'] : [];
  return [...severityFaults(one, checked), ...unexplained];
}

function check({ recipe, model, file }: VerdictCase): Promise<CheckedRecipe> {
  return checkRecipe(recipe, {
    recipePath: path.join(folder, file ?? 'recipe.quant.yaml'),
    baseDir: folder,
    files: nodeFiles,
    environment: {},
    describe: (dir) => describeModel(dir, nodeFiles),
    overrides: { model: path.join(folder, model) },
  });
}

/** What the table expects against what the real package did. */
function expectationFaults({ severity }: VerdictCase, { parse, init, run, n_modifiers: n }: RealVerdict): string[] {
  const failure = parse ?? init ?? null;
  if (severity === 'error' && failure === null)
    return [
      run === null || run === undefined
        ? 'an error is expected and the package takes it'
        : `the package fails late and no reason is given: ${run}`,
    ];
  if (severity !== 'error' && (failure ?? run ?? null) !== null)
    return [`${severity} is expected and the package fails: ${failure ?? run}`];
  return severity === 'ok' && n === 0 ? ['ok is expected and the package finds no modifier'] : [];
}

/** What ours says against what the table expects. */
function severityFaults({ severity, codes }: VerdictCase, { problems }: CheckedRecipe): string[] {
  const judged = problems.filter((problem) => !ownWords.includes(problem.code));
  const of = (wanted: string): string[] =>
    [...new Set(judged.filter((problem) => problem.severity === wanted).map(({ code }) => code))].sort();
  const [errors, warnings] = [of('error'), of('warning')];
  const said = errors.length > 0 ? 'error' : warnings.length > 0 ? 'warning' : 'ok';
  const told = judged
    .filter(({ severity: own }) => own === 'error' || own === 'warning')
    .map((problem) => `${problem.severity} ${problem.code} (${problem.message.slice(0, 100)})`)
    .join('; ');
  if (said !== severity) return [`${severity} is expected, ours says ${said}: ${told}`];
  const missing = codes.filter((code) => !(severity === 'error' ? errors : warnings).includes(code));
  const more = severity === 'warning' && codes.length > 0 ? warnings.filter((code) => !codes.includes(code)) : [];
  return missing.length + more.length === 0 ? [] : [`expected ${codes.join(' ')}, ours says ${told}`];
}

/** Whether calibration data is needed. */
function dataFaults({ severity }: VerdictCase, { needs_data: needed, init }: RealVerdict, { problems }: CheckedRecipe): string[] {
  if (severity === 'error' || needed === undefined || (init ?? null) !== null) return [];
  const asked = problems.some(({ code }) => code === 'calibration-missing');
  return asked === needed
    ? []
    : [needed ? 'it needs calibration data, ours does not say so' : 'it needs no calibration data, ours asks for it'];
}

/** The scheme of each layer, of the recipes that both take. */
function layerFaults({ severity }: VerdictCase, { layers, init }: RealVerdict, { resolution }: CheckedRecipe): string[] {
  if (severity === 'error' || layers === undefined || (init ?? null) !== null) return [];
  // Attention modules get schemes too; ours plans layers with weights.
  const theirs = new Map<string, string>();
  for (const [scheme, names] of Object.entries(layers))
    for (const name of names.split(' ').flatMap((each) => (each.startsWith('*') ? [`0${each.slice(1)}`, `1${each.slice(1)}`] : [each])))
      if (scheme !== nothing && !name.endsWith('.attn')) theirs.set(name, scheme);
  const ours = new Map(
    resolution.layers.flatMap((layer): [string, string][] => {
      const scheme = schemeText(layer.scheme);
      return scheme === nothing ? [] : [[shortName(layer.name), scheme]];
    }),
  );
  return [...new Set([...theirs.keys(), ...ours.keys()])]
    .sort()
    .filter((name) => theirs.get(name) !== ours.get(name))
    .slice(0, 2)
    .map((name) => `${name} has ${ours.get(name) ?? 'no scheme'} with us, ${theirs.get(name) ?? 'no scheme'} there`);
}

const nothing = '- | - | -';

/** As short_names of recipe-verdicts.py writes them. */
const shortName = (name: string): string => name.replace(/^model\.layers\.(\d+)\..*\./, '$1.');

function schemeText(scheme: LayerPlan['scheme']): string {
  return scheme === null ? nothing : [scheme.weights, scheme.input_activations, scheme.output_activations].map(argsText).join(' | ');
}

function argsText(args: QuantizationArgs | null): string {
  if (args === null) return '-';
  const size = args.strategy === 'group' || args.strategy === 'tensor_group' ? `:${args.group_size}` : '';
  const block = args.block_structure === null ? '' : `:${args.block_structure.join('x')}`;
  return [
    `${args.type}${args.num_bits}`,
    args.strategy + size + block,
    args.symmetric ? 'sym' : 'asym',
    ...(args.dynamic === false ? [] : [args.dynamic === true ? 'dynamic' : args.dynamic]),
    ...(args.actorder === null ? [] : [`order=${args.actorder}`]),
  ].join(' ');
}
