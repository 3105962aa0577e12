// Other commands of the command line on a device: evaluate and analyze against the processor, verify and a run that is interrupted against themselves.
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { change, compareCheckpoints } from './compare-runs.mjs';
import { perCent } from './likeness.mjs';
import { endOf } from './workspace.mjs';

/** A run of its checkpoint is evaluated, verified and interrupted: GPTQ, as what is quantized most. */
export const watched = 'w4a16-gptq';
/** Rounds to nearest, so that each of its layers alone is equal to 1 %. */
const analyzed = 'w3a16-bias-correction';

/** A command that is to end well. */
async function succeeded(run, args) {
  const answer = await run(args);
  if (answer.code !== 0) throw new Error(`bitwright ${args[0]} ${endOf(answer)}`);
  return answer;
}

/** The watched run on the device, which may stand there already. */
async function watchedRun({ run, writeRecipe, output }) {
  const folder = output(watched, 'cuda');
  if (!existsSync(folder)) await succeeded(run, ['quantize', writeRecipe(watched).file, '--device', 'cuda', '--out', folder]);
  return folder;
}

async function evaluate(workspace) {
  const folder = await watchedRun(workspace);
  const found = {};
  for (const device of ['cpu', 'cuda']) {
    const text = ['--text', workspace.validation, '--max-seq-length', String(workspace.length)];
    const { stdout, seconds } = await succeeded(workspace.run, ['evaluate', folder, ...text, '--device', device, '--json']);
    found[device] = { ...JSON.parse(stdout), seconds };
  }
  const apart = change(found.cpu.perplexity, found.cuda.perplexity);
  return { passed: apart <= 0.002, says: `perplexity differs by ${perCent(apart)}, at most 0.2 %`, ...found };
}

async function analyze({ run, writeRecipe, output }) {
  const { file } = writeRecipe(analyzed);
  const found = {};
  const seconds = {};
  for (const device of ['cpu', 'cuda']) {
    const folder = output(analyzed, device);
    const args = ['analyze', file, '--bits', '4', '--fisher', '--device', device, '--out', folder];
    seconds[device] = (await succeeded(run, args)).seconds;
    found[device] = JSON.parse(readFileSync(path.join(`${folder}.analysis`, 'sensitivity.json'), 'utf8')).layers;
  }
  const worst = {};
  for (const key of ['weight_mse', 'relative_output_error', 'fisher_loss'])
    for (const [i, { name, candidates }] of found.cpu.entries()) {
      const [cpu, cuda] = [candidates[0]?.[key] ?? null, found.cuda[i]?.candidates[0]?.[key] ?? null];
      const apart = cpu === null ? Infinity : change(cpu, cuda);
      if (worst[key] === undefined || apart > worst[key].change) worst[key] = { change: apart, layer: name, cpu, cuda };
    }
  const passed = Object.values(worst).every((one) => one.change <= 0.01);
  const says = Object.entries(worst).map(([key, one]) => `${key} differs by ${perCent(one.change)} at most (${one.layer})`);
  return { passed, says: `${says.join(', ')}; 1 % is allowed`, worst, seconds };
}

async function verify(workspace) {
  const answer = await workspace.run(['verify', `${await watchedRun(workspace)}.run`, '--json']);
  const { code, stdout, seconds } = answer;
  // What differs is no failure of the command, though it has its code.
  if (!stdout.trim().startsWith('{')) throw new Error(`bitwright verify ${endOf(answer)}`);
  const { identical, differences } = JSON.parse(stdout);
  const says = identical ? 'the same bytes twice on the device' : `other bytes: ${differences.map(({ message }) => message).join(' ')}`;
  return { passed: code === 0 && identical, says, differences, seconds };
}

/** Ctrl-C behind the first block, and the rest in a second call. */
async function resume(workspace) {
  const { run, writeRecipe, output } = workspace;
  const whole = await watchedRun(workspace);
  const folder = output(watched, 'resumed');
  const args = ['quantize', writeRecipe(watched).file, '--device', 'cuda', '--out', folder];
  const journal = path.join(`${folder}.run`, 'journal.jsonl');
  const finished = () => (existsSync(journal) ? readFileSync(journal, 'utf8').split('\n').length - 1 : 0);
  const answer = await run(args, { interruptWhen: () => finished() > 0 });
  if (answer.code === 0) return { passed: false, says: 'the run had ended before it could be interrupted' };
  if (answer.code !== 130) throw new Error(`bitwright quantize ${endOf(answer)}`);
  const blocks = finished();
  await succeeded(run, args);
  const { pieces_apart, apart } = compareCheckpoints(whole, folder);
  const bytes =
    pieces_apart === 0 ? 'the bytes of an uninterrupted run' : `other bytes than an uninterrupted run: ${apart.slice(0, 3).join(', ')}`;
  return { passed: pieces_apart === 0, says: `interrupted behind block ${blocks}, then continued: ${bytes}`, blocks };
}

export const commands = { evaluate, analyze, verify, resume };
