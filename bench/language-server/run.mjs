// Measures our language server beside yaml-language-server on one long recipe, in turn; see README.md. Prints a table in Markdown.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { startClient } from './lsp-client.mjs';
import { deepseekTensors, llamaTensors, longRecipe, schemaInOneFile, writeModel } from './synthetic.mjs';

const { values: options } = parseArgs({
  options: {
    rounds: { type: 'string', default: '3' },
    repetitions: { type: 'string', default: '50' },
    server: { type: 'string', default: path.join(path.dirname(fileURLToPath(import.meta.url)), '..', '..', 'dist', 'server', 'main.js') },
    'yaml-server': { type: 'string', default: '' },
    only: { type: 'string', default: '' },
    profile: { type: 'string', default: '' },
  },
});
const rounds = Number(options.rounds);
const repetitions = Number(options.repetitions);
const folder = mkdtempSync(path.join(os.tmpdir(), 'bitwright-bench-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

const recipe = longRecipe();
const lines = recipe.split('\n');
const uri = pathToFileURL(path.join(folder, 'long.quant.yaml')).href;
const bitsLines = lines.flatMap((line, i) => (/^ +num_bits: \d$/.test(line) ? [i] : []));
const patternLines = lines.flatMap((line, i) => (line.includes("- 're:") ? [i] : []));

function servers() {
  const profile = options.profile === '' ? [] : ['--cpu-prof', `--cpu-prof-dir=${path.resolve(options.profile)}`];
  const ours = {
    name: 'bitwright',
    command: [process.execPath, ...profile, options.server, '--stdio'],
    knowsModels: true,
    settings: {},
    languageId: 'bitwright-recipe',
  };
  if (options.only === 'ours') return [ours];
  const schema = path.join(folder, 'schema.json');
  writeFileSync(schema, JSON.stringify(schemaInOneFile()));
  const yaml = {
    schemas: { [pathToFileURL(schema).href]: '*.quant.yaml' },
    validate: true,
    hover: true,
    completion: true,
    schemaStore: { enable: false },
  };
  const theirs = {
    name: `yaml-language-server ${yamlServer().version}`,
    command: [process.execPath, yamlServer().file, '--stdio'],
    settings: { yaml },
    languageId: 'yaml',
  };
  return [ours, theirs];
}

let installed = null;
/** npm puts it into a folder of its own, outside of the repository. */
function yamlServer() {
  if (installed !== null) return installed;
  const into = options['yaml-server'] === '' ? path.join(folder, 'npm') : options['yaml-server'];
  const at = path.join(into, 'node_modules', 'yaml-language-server');
  if (!existsSync(at)) {
    mkdirSync(into, { recursive: true });
    execFileSync('npm', ['i', '--prefix', into, '--no-audit', '--no-fund', '--silent', 'yaml-language-server'], {
      stdio: ['ignore', 2, 2],
    });
  }
  const { version } = JSON.parse(readFileSync(path.join(at, 'package.json'), 'utf8'));
  installed = { file: path.join(at, 'bin', 'yaml-language-server'), version };
  return installed;
}

const start = ({ command: [program, ...args], settings }) => startClient(program, args, settings);
const onLine = (line) => (found) => found.range.start.line === line;

/** From the start of the process to the first publication that holds the fault of the recipe, which both servers see; and to that of all problems. */
async function startToDiagnostics(server) {
  const line = bitsLines.at(-1);
  const faulty = [...lines];
  faulty[line] = faulty[line].replace(/\d$/, 'four');
  const client = start(server);
  await client.initialize();
  client.open(uri, server.languageId, faulty.join('\n'));
  const { at } = await client.diagnosticsAfter(0, ({ diagnostics }) => diagnostics.some(onLine(line)));
  // What names no version is not all that there is to say of it.
  const all = server.knowsModels ? await client.diagnosticsAfter(0, ({ version }) => version === 1) : { at };
  await client.stop();
  return { first: at - client.started, all: all.at - client.started };
}

/** One server, one open recipe: everything that a running server is asked. */
async function session(server, times) {
  const client = start(server);
  await client.initialize();
  client.open(uri, server.languageId, recipe);
  await client.diagnosticsAfter(0, () => true);
  let version = 1;
  const type = (line, from, to, text) => {
    version += 1;
    const before = client.publications();
    const at = performance.now();
    client.change(uri, version, { range: { start: { line, character: from }, end: { line, character: to } }, text });
    const mine = version;
    return { at, published: (fits) => client.diagnosticsAfter(before, (found) => (found.version ?? mine) === mine && fits(found)) };
  };
  const timed = async (name, work) => {
    const at = performance.now();
    const result = await work();
    times[name].push(performance.now() - at);
    return result;
  };
  const ask = (method, line, character) =>
    client.request(`textDocument/${method}`, { textDocument: { uri }, position: { line, character } });
  const spread = (list, i) => list[Math.floor((i * list.length) / repetitions)];

  for (let i = 0; i < repetitions; i += 1) {
    // A letter behind a number makes it no number: the fault must be told, and must go with the letter.
    const line = spread(bitsLines, i);
    const end = lines[line].length;
    const typed = type(line, end, end, 'x');
    times['keystroke'].push((await typed.published(({ diagnostics }) => diagnostics.some(onLine(line)))).at - typed.at);
    const undone = type(line, end, end + 1, '');
    times['keystroke'].push((await undone.published(({ diagnostics }) => !diagnostics.some(onLine(line)))).at - undone.at);
    // A letter in a pattern, and completion asked at once, as an editor does.
    const pattern = spread(patternLines, i);
    const at = lines[pattern].length - 1;
    const changed = type(pattern, at, at, 'q');
    await ask('completion', pattern, at + 1);
    times['completion while typing'].push(performance.now() - changed.at);
    times['keystroke'].push((await changed.published(() => true)).at - changed.at);
    const back = type(pattern, at, at + 1, '');
    times['keystroke'].push((await back.published(() => true)).at - back.at);
  }
  for (let i = 0; i < repetitions; i += 1) {
    const line = spread(bitsLines, i);
    await timed('completion', () => ask('completion', line + 3, lines[line + 3].length));
    await timed('completion', () => ask('completion', spread(patternLines, i), lines[spread(patternLines, i)].length - 1));
    const hover = await timed('hover', () => ask('hover', line, 14));
    if (!JSON.stringify(hover).includes('Bits per value')) throw new Error(`${server.name} shows no description of num_bits`);
    await timed('hover', () => ask('hover', spread(patternLines, i), 20));
  }
  const { resident } = client.memory();
  await client.stop();
  return resident;
}

/** Resident memory with the headers of a model of 163 shards; with some typing, as a session has it. */
async function largeModel(server) {
  const text =
    'model: deepseek\noutput: {dir: out}\nquant_stage:\n  quant_modifiers:\n    QuantizationModifier:\n      scheme: W8A16\n      ignore: [lm_head]\n';
  const client = start(server);
  await client.initialize();
  const at = performance.now();
  const large = pathToFileURL(path.join(folder, 'large.quant.yaml')).href;
  client.open(large, server.languageId, text);
  const first = (await client.diagnosticsAfter(0, () => true)).at - at;
  for (let version = 2; version < 42; version += 1) {
    const before = client.publications();
    const range = { start: { line: 6, character: 22 }, end: { line: 6, character: 22 + (version % 2) } };
    client.change(large, version, { range, text: version % 2 === 0 ? 'x' : '' });
    await client.request('textDocument/hover', { textDocument: { uri: large }, position: { line: 6, character: 18 } });
    await client.diagnosticsAfter(before, () => true);
  }
  const memory = client.memory();
  await client.stop();
  return { first, ...memory };
}

const rank = (sorted, part) => sorted[Math.min(sorted.length - 1, Math.ceil(part * sorted.length) - 1)];
function summary(times) {
  const sorted = [...times].sort((a, b) => a - b);
  return { median: rank(sorted, 0.5), p95: rank(sorted, 0.95), count: sorted.length };
}
const milliseconds = (value) => (value < 10 ? value.toFixed(1) : value.toFixed(0));
const megabytes = (bytes) => (bytes / 1e6).toFixed(0);

const measures = ['keystroke', 'completion', 'completion while typing', 'hover', 'start', 'start to all'];
writeModel(path.join(folder, 'model'), llamaTensors(), 64);
const large = deepseekTensors();
const totalBytes = writeModel(path.join(folder, 'deepseek'), large, 163);
const all = servers();
const best = new Map(all.map(({ name }) => [name, {}]));
const resident = new Map(all.map(({ name }) => [name, Infinity]));

for (let round = 0; round < rounds; round += 1) {
  const load = os.loadavg()[0].toFixed(1);
  const times = all.map(() => Object.fromEntries(measures.map((name) => [name, []])));
  for (let i = 0; i < repetitions; i += 1)
    for (const [k, server] of all.entries()) {
      const { first, all: complete } = await startToDiagnostics(server);
      times[k]['start'].push(first);
      times[k]['start to all'].push(complete);
    }
  for (const [k, server] of all.entries()) resident.set(server.name, Math.min(resident.get(server.name), await session(server, times[k])));
  for (const [k, { name }] of all.entries())
    for (const measure of measures) {
      const found = summary(times[k][measure]);
      process.stderr.write(
        `round ${round + 1} (load ${load}) ${name} ${measure}: ${milliseconds(found.median)} / ${milliseconds(found.p95)} ms of ${found.count}\n`,
      );
      if (best.get(name)[measure] === undefined || found.median < best.get(name)[measure].median) best.get(name)[measure] = found;
    }
}
const memory = await largeModel(all[0]);

const goals = {
  keystroke: '40 / 80',
  completion: '8 / 20',
  'completion while typing': '8 / 20',
  hover: '3 / 9',
  start: '300',
  'start to all': '',
};
const titles = {
  keystroke: 'keystroke to diagnostics',
  start: 'start to first diagnostics',
  'start to all': 'start to all diagnostics, with those of the model',
};
process.stdout.write(
  `${os.cpus()[0].model}, ${os.cpus().length} processors, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}\n\n`,
);
process.stdout.write(
  `| median / p95, ms | ${all.map(({ name }) => name).join(' | ')} | goal |\n| --- |${' --- |'.repeat(all.length + 1)}\n`,
);
for (const measure of rounds === 0 ? [] : measures) {
  const cells = all.map(({ name }) => `${milliseconds(best.get(name)[measure].median)} / ${milliseconds(best.get(name)[measure].p95)}`);
  process.stdout.write(`| ${titles[measure] ?? measure} | ${cells.join(' | ')} | ${goals[measure]} |\n`);
}
process.stdout.write(`| resident memory, MB | ${all.map(({ name }) => megabytes(resident.get(name))).join(' | ')} | |\n\n`);
process.stdout.write(
  `Headers of ${(totalBytes / 1e9).toFixed(0)} GB in 163 shards, ${large.tensors.length} tensors: ${megabytes(memory.resident)} MB resident after 40 keystrokes, ${megabytes(memory.highest)} MB at the highest (goal 150), first diagnostics ${milliseconds(memory.first)} ms after opening.\n`,
);
