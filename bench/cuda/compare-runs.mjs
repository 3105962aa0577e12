// Two runs of one recipe beside each other: the bytes of their checkpoints, the errors of their layers, what their files lost.
import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** Of these two, which every report has, likeness is demanded. */
export const layerErrors = ['relative_output_error', 'weight_mse'];

const readJson = (file) => JSON.parse(readFileSync(file, 'utf8'));

/** Header and bytes of a safetensors file by tensor; any other file is one piece. */
function pieces(file, bytes) {
  if (!file.endsWith('.safetensors')) return new Map([[file, bytes]]);
  const begin = 8 + Number(bytes.readBigUInt64LE(0));
  const header = JSON.parse(bytes.toString('utf8', 8, begin));
  delete header.__metadata__;
  return new Map(
    Object.entries(header).map(
      ([
        name,
        {
          data_offsets: [from, to],
        },
      ]) => [`${file}: ${name}`, bytes.subarray(begin + from, begin + to)],
    ),
  );
}

const filesOf = (folder) => readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());

function piecesOf(folder) {
  const files = filesOf(folder).map((entry) => path.relative(folder, path.join(entry.parentPath, entry.name)));
  return new Map(files.sort().flatMap((file) => [...pieces(file, readFileSync(path.join(folder, file)))]));
}

function bytesApart(a, b) {
  if (a.equals(b)) return 0;
  let n = Math.abs(a.length - b.length);
  for (let i = Math.min(a.length, b.length) - 1; i >= 0; i -= 1) n += a[i] === b[i] ? 0 : 1;
  return n;
}

/** Every tensor and every other file of both folders, byte for byte. */
export function compareCheckpoints(folder, other) {
  const [ours, theirs] = [piecesOf(folder), piecesOf(other)];
  const nothing = Buffer.alloc(0);
  const apart = [...new Set([...ours.keys(), ...theirs.keys()])]
    .map((name) => ({ name, bytes: bytesApart(ours.get(name) ?? nothing, theirs.get(name) ?? nothing) }))
    .filter(({ name, bytes }) => bytes > 0 || !ours.has(name) || !theirs.has(name));
  return {
    pieces: ours.size,
    pieces_apart: apart.length,
    bytes: [...ours.values()].reduce((sum, { length }) => sum + length, 0),
    bytes_apart: apart.reduce((sum, { bytes }) => sum + bytes, 0),
    apart: apart.map(({ name }) => name),
  };
}

/** How far `value` is from what the processor has, as a part of that; 0 where both are the same, absent ones too. */
export const change = (expected, value) =>
  expected === value ? 0 : expected === null || value === null ? Infinity : Math.abs(value / expected - 1);

const sum = (numbers) => numbers.reduce((total, n) => total + (n ?? 0), 0);

function compareErrors(cpu, cuda, key) {
  const layers = cpu.layers.map((layer, i) => ({
    layer: layer.name,
    cpu: layer[key],
    cuda: cuda.layers[i]?.[key] ?? null,
    change: change(layer[key], cuda.layers[i]?.[key] ?? null),
  }));
  const known = layers.filter(({ cpu: error }) => error !== null);
  const [worst] = known.toSorted((a, b) => b.change - a.change);
  return {
    // Absent where nothing of it is measured: output errors need calibration rows.
    worst: worst ?? null,
    mean: known.length === 0 ? null : sum(known.map((layer) => layer.change)) / known.length,
    sum: change(sum(layers.map((layer) => layer.cpu)), sum(layers.map((layer) => layer.cuda))),
    layers,
  };
}

const perplexityOf = ({ quality }) => quality?.after?.perplexity ?? quality?.kl_divergence?.perplexity ?? null;

/** All of it for the checkpoints in two folders, whose reports lie in FOLDER.run. */
export function compareRuns(folder, other) {
  const [cpu, cuda] = [folder, other].map((output) => readJson(path.join(`${output}.run`, 'report.json')));
  const names = [cpu, cuda].map(({ layers }) => layers.map(({ name }) => name).join());
  if (names[0] !== names[1]) throw new Error(`The reports of ${folder} and ${other} have other layers.`);
  const perplexities = [cpu, cuda].map(perplexityOf);
  const divergences = [cpu, cuda].map(({ quality }) => quality?.kl_divergence ?? null);
  const measured = (key) => (divergences.includes(null) ? {} : { [key]: { cpu: divergences[0][key], cuda: divergences[1][key] } });
  return {
    checkpoint: compareCheckpoints(folder, other),
    ...Object.fromEntries(layerErrors.map((key) => [key, compareErrors(cpu, cuda, key)])),
    perplexity: { cpu: perplexities[0], cuda: perplexities[1], change: change(...perplexities) },
    ...measured('mean_kld'),
    ...measured('mean_ln_ratio'),
    ...measured('ln_ratio_stderr'),
    seconds: { cpu: cpu.seconds, cuda: cuda.seconds },
    stages: { cpu: stagesOf(cpu), cuda: stagesOf(cuda) },
    devices: { cpu: cpu.device.name, cuda: cuda.device.name },
  };
}

const stagesOf = ({ stages }) => Object.fromEntries(stages.map(({ name, seconds }) => [name, Number(seconds.toFixed(3))]));
