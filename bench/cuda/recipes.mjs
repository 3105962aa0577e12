// The command line end to end on a device: every recipe of examples/ on the processor and on CUDA, compared; then evaluate, analyze, verify and an interrupted run there.
//
//   node bench/cuda/recipes.mjs LIBRARY OUT_JSON [--small] [--recipe NAME …] [--command NAME …] [--kernels NAME]
//
// LIBRARY is the backend (bitwright-cuda.so of a build, or the emulated one), which is tried with the bundles and the addon of dist/. OUT_JSON is written anew after each
// recipe, by a rename. --small: few and short rows, for the emulation. --recipe, --command: these alone. --kernels: no device at all, but the processor with other kernels
// of OpenBLAS (Nehalem, say) in its place: what sums in another order do by themselves. Exit code 1: something failed or is outside of its bounds (likeness.mjs).
import { readdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { compareRuns, layerErrors } from './compare-runs.mjs';
import { inWords, judge, kinds } from './likeness.mjs';
import { commands, watched } from './recipe-commands.mjs';
import { endOf, makeWorkspace, root } from './workspace.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    small: { type: 'boolean', default: false },
    recipe: { type: 'string', multiple: true },
    command: { type: 'string', multiple: true },
    kernels: { type: 'string' },
  },
});
const [library, out] = positionals;
if (library === undefined || out === undefined)
  throw new Error('Say which library and where the results go: node bench/cuda/recipes.mjs LIBRARY OUT_JSON');
const ending = '.quant.yaml';
const examples = readdirSync(path.join(root, 'examples')).filter((file) => file.endsWith(ending));

function chosen(kind, all) {
  const wanted = values[kind];
  const unknown = wanted?.find((name) => !all.includes(name));
  if (unknown !== undefined) throw new Error(`There is no ${kind} ${unknown}; there are ${all.join(', ')}.`);
  return wanted ?? (values.recipe || values.command || (kind === 'command' && values.kernels) ? [] : all);
}
const recipes = chosen(
  'recipe',
  examples.map((file) => file.slice(0, -ending.length)),
);
const others = chosen('command', Object.keys(commands));

const workspace = makeWorkspace(library, values.small);
// Who ends this by a signal to its group has ended the command too; `exit` takes the folder away.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));

async function compareRecipe(name) {
  const { file, kind } = workspace.writeRecipe(name);
  const seconds = {};
  for (const device of ['cpu', 'cuda']) {
    const isOther = device === 'cuda' && values.kernels !== undefined;
    const args = ['quantize', file, '--device', isOther ? 'cpu' : device, '--out', workspace.output(name, device)];
    const answer = await workspace.run(args, { environment: isOther ? { OPENBLAS_CORETYPE: values.kernels } : {} });
    if (answer.code !== 0) return { passed: false, says: `the run on ${device} ${endOf(answer)}`, kind };
    seconds[device] = answer.seconds;
  }
  const figures = compareRuns(workspace.output(name, 'cpu'), workspace.output(name, 'cuda'));
  const judged = judge(kind, figures);
  const says = `${[inWords(figures, judged), ...judged.outside].join('; ')}; ${seconds.cpu} s and ${seconds.cuda} s`;
  return { passed: judged.outside.length === 0, says, kind, ...judged, command_seconds: seconds, ...figures };
}

// ---- one file of results -----------------------------------------------------------------------------------------------

const results = { recipes: {}, commands: {} };
const short = (value) => (typeof value === 'number' ? Number(value.toPrecision(6)) : value);

/** Of every layer its name and its error on both. */
function onOneLine(result) {
  const listed = layerErrors.flatMap((key) =>
    result[key]
      ? [[key, { ...result[key], layers: result[key].layers.map(({ layer, cpu, cuda }) => [layer, short(cpu), short(cuda)]) }]]
      : [],
  );
  return JSON.stringify({ ...result, ...Object.fromEntries(listed) });
}

function write() {
  const lines = (entries) => Object.entries(entries).map(([name, one]) => `${JSON.stringify(name)}: ${onOneLine(one)}`);
  const says = Object.fromEntries(Object.entries(kinds).map(([kind, { says: text }]) => [kind, text]));
  const settings = { small: values.small, processor_kernels_in_place_of_cuda: values.kernels ?? null, node: process.version };
  const text = `{
"settings": ${JSON.stringify(settings)},
"kinds": ${JSON.stringify(says)},
"recipes": {\n${lines(results.recipes).join(',\n')}\n},
"commands": {\n${lines(results.commands).join(',\n')}\n}
}\n`;
  writeFileSync(`${out}.part`, text);
  renameSync(`${out}.part`, out);
}

function tell(kind, name, result) {
  results[kind][name] = result;
  write();
  console.log(`${name}: ${result.passed ? 'ok' : 'FAILED'}${result.kind ? ` (${result.kind})` : ''}; ${result.says}`);
}

for (const name of recipes) {
  tell('recipes', name, await compareRecipe(name));
  // One of them is looked at again.
  for (const device of name === watched && others.length > 0 ? ['cpu'] : ['cpu', 'cuda'])
    for (const end of ['', '.run']) rmSync(workspace.output(name, device) + end, { recursive: true, force: true });
}
for (const name of others) {
  const answer = await commands[name](workspace).catch((error) => ({ passed: false, says: error.message }));
  tell('commands', name, answer);
}

const all = [...Object.values(results.recipes), ...Object.values(results.commands)];
const failed = all.filter(({ passed }) => !passed).length;
const asDemanded = Object.values(results.recipes).filter((result) => result.is_as_demanded).length;
console.log(
  `${recipes.length} recipes and ${others.length} other commands, ${failed} of them failed; ${asDemanded} recipes have every layer's output error equal to 1 % and perplexity to 0.2 %.`,
);
process.exitCode = failed > 0 || all.length === 0 ? 1 : 0;
