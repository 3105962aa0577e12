// `bitwright suggest RECIPE`: the bits of every layer that lose least within a budget, or the fewest with which the model still meets a criterion, as an
// edit of the recipe.
import { rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { AllocationError } from '../../../../schemas/src/allocate-bits.js';
import { bytesText } from '../../../../schemas/src/bytes-text.js';
import type { BitCriterion, BitSearch } from '../../../../schemas/src/protocol/client-worker.js';
import {
  budgetBytes,
  lossMetrics,
  lossTitles,
  suggestBits,
  weightCount,
  type LossMetric,
  type Suggestion,
} from '../../../../schemas/src/suggest-bits.js';
import { bytesChosen, searchBits, searchLines } from '../bit-search.js';
import { deviceOption, exitCode, outOption, recipeOptions, UsageError, type Command, type ExitCode, type Invocation } from '../command.js';
import { counted, table } from '../format-text.js';
import { problemLines, whyNoPlan } from '../problem-text.js';
import { HostError, startServer } from '../processes.js';
import { overridesOf, resolveRecipe } from '../recipe-file.js';
import { readAnalysis } from '../report-file.js';

const positive = { fits: (value: string): boolean => /^\d*\.?\d+(e-?\d+)?$/i.test(value) && Number(value) > 0, words: 'a number above 0' };

export const suggestCommand: Command = {
  name: 'suggest',
  synopsis: 'RECIPE (--budget SIZE | --max-kld NATS | --max-perplexity-change P)',
  summary: 'Choose the bits of every layer: what loses least within a budget, or the fewest that keep the quality.',
  description: `Reads the analysis of this recipe (bitwright analyze), chooses exactly, and prints the edit of the recipe and the predicted loss. Layers that servers
run as one (q, k and v; gate and up) move together. The prediction adds up what each layer loses alone; a run with evaluate tells the truth.
With --max-kld or --max-perplexity-change the whole model is measured, on the text of evaluate, with one choice after the other from the weights that
bitwright analyze --keep-weights has kept: bits go down until the limit is exceeded.`,
  operands: { least: 1, most: 1 },
  options: {
    budget: { value: 'SIZE', description: 'bits per weight of the quantized layers (4.25bpw), or their bytes (300MB, 280MiB)' },
    'max-kld': { value: 'NATS', description: 'KL divergence from the model that may be reached, such as 0.05', form: positive },
    'max-perplexity-change': {
      value: 'P',
      description: 'perplexity above that of the model that may be reached, such as 0.1',
      form: positive,
    },
    evaluations: { value: 'N', description: 'choices that are measured at most (default: 8)', count: { most: 1000 } },
    device: deviceOption,
    metric: {
      value: 'NAME',
      description: `loss to add up: ${lossMetrics.join(', ')} (default: the first that was measured)`,
      form: {
        fits: (value) => (lossMetrics as readonly string[]).includes(value),
        words: lossMetrics.join(', '),
      },
    },
    write: { value: null, description: 'change the recipe file' },
    out: outOption,
    ...recipeOptions,
  },
  run: async (invocation, terminal) => {
    const aim = aimOf(invocation);
    const server = await startServer();
    try {
      const file = invocation.operands[0] ?? '';
      const resolved = await resolveRecipe(server, file, invocation);
      const { plan, source } = resolved;
      if (plan === null) {
        for (const problem of resolved.problems) for (const line of problemLines(resolved, problem)) terminal.err(line);
        terminal.err(`Nothing was suggested: ${whyNoPlan(resolved.problems)}`);
        return exitCode.problems;
      }
      const analysis = await readAnalysis(`${plan.output.dir}.analysis`);
      if (analysis.recipe.sha256 !== plan.recipe.sha256)
        terminal.err(
          'note  The recipe has changed since it was analyzed. Analyze it again where its method, scheme or calibration changed.',
        );
      if (analysis.model.dir !== plan.model.dir)
        terminal.err(`note  The analysis is of another model, ${analysis.model.dir}. Analyze the recipe again for ${plan.model.dir}.`);
      const metric = invocation.text('metric') as LossMetric | undefined;
      let search: BitSearch | null = null;
      let bytes: number | null;
      if ('criterion' in aim) {
        const evaluations = invocation.count('evaluations') ?? 8;
        search = await searchBits({ plan, criterion: aim.criterion, evaluations, metric: metric ?? null }, terminal);
        if (search === null) return exitCode.interrupted;
        bytes = bytesChosen(search, aim.criterion, terminal);
        if (bytes === null) return exitCode.problems;
      } else {
        bytes = budgetBytes(aim.budget, weightCount(analysis.layers));
        if (bytes === null || !(bytes > 0))
          throw new UsageError(`--budget ${aim.budget} is no size; write --budget 4.25bpw, 300MB or 280MiB.`);
      }
      const suggestion = solved(() => suggestBits(analysis, bytes, metric));
      const bits = Object.fromEntries(suggestion.groups.flatMap(({ layers, num_bits }) => layers.map((name) => [name, num_bits])));
      const uri = pathToFileURL(path.resolve(file)).href;
      const assigned = await server.assignBits({ uri, text: source, overrides: overridesOf(invocation), bits });
      if ('reason' in assigned) {
        terminal.err(`The recipe cannot be written so: ${assigned.reason}`);
        return exitCode.problems;
      }
      if (invocation.flag('json')) terminal.json({ ...suggestion, search, recipe: assigned.text });
      else
        for (const line of [
          ...suggestionLines(suggestion),
          ...(search ? ['', ...searchLines(search)] : []),
          '',
          ...diffLines(source, assigned.text, file),
        ])
          terminal.out(line);
      return await finish(invocation.flag('write'), file, assigned.text, terminal.err);
    } finally {
      await server.stop();
    }
  },
};

type Aim = { budget: string } | { criterion: BitCriterion };

/** One of the three, and no option that belongs to another. */
function aimOf(invocation: Invocation): Aim {
  const budget = invocation.text('budget') ?? null;
  const criteria = (
    [
      ['max-kld', 'mean_kld'],
      ['max-perplexity-change', 'perplexity_change'],
    ] as const
  ).flatMap(([option, metric]) => {
    const value = invocation.text(option);
    return value === undefined ? [] : [{ metric, most: Number(value) }];
  });
  if (criteria.length + (budget === null ? 0 : 1) !== 1)
    throw new UsageError('suggest needs one of --budget SIZE (such as 4.25bpw), --max-kld NATS and --max-perplexity-change P.');
  if (budget !== null && invocation.count('evaluations') !== undefined)
    throw new UsageError('--evaluations belongs to --max-kld and --max-perplexity-change: with --budget nothing is measured.');
  const [criterion] = criteria;
  return criterion === undefined ? { budget: budget ?? '' } : { criterion };
}

/** What has no solution is a sentence and exit code 1. */
function solved(solve: () => Suggestion): Suggestion {
  try {
    return solve();
  } catch (error) {
    if (error instanceof AllocationError) throw new HostError(`There is no such choice: ${error.message}.`);
    throw error;
  }
}

async function finish(isWritten: boolean, file: string, text: string, tell: (line: string) => void): Promise<ExitCode> {
  if (!isWritten) {
    tell('Nothing was changed; --write changes the recipe.');
    return exitCode.success;
  }
  const beside = `${path.resolve(file)}.new`;
  await writeFile(beside, text);
  await rename(beside, path.resolve(file));
  tell(`${file} was changed.`);
  return exitCode.success;
}

function suggestionLines({ groups, metric, bytes, bitsPerWeight, loss, uniform, curve }: Suggestion): string[] {
  const closed = (value: number | null): string => (value === null ? '–' : value.toFixed(2));
  return [
    ...table(
      [
        { title: 'layers that move together', align: 'left' },
        { title: 'bits', align: 'right' },
        { title: 'closed form', align: 'right' },
      ],
      groups.map(({ layers, num_bits, closedFormBits }) => [
        layers.length === 1 ? (layers[0] ?? '') : `${layers[0]} and ${counted(layers.length - 1, 'sibling')}`,
        String(num_bits),
        closed(closedFormBits),
      ]),
    ),
    '',
    `Chosen   ${bitsPerWeight.toFixed(3)} bits per weight, ${bytesText(bytes)}; predicted loss ${loss.toPrecision(4)} (${lossTitles[metric]})`,
    ...uniform.map(
      (one) =>
        `Uniform  ${one.bitsPerWeight.toFixed(3)} bits per weight with ${one.num_bits} bits everywhere; predicted loss ${one.loss.toPrecision(4)}`,
    ),
    `Curve    ${curve.map((point) => `${point.bitsPerWeight.toFixed(2)}: ${point.loss.toPrecision(3)}`).join('  ')}`,
  ];
}

/** The lines that differ, between those that are equal at both ends: an edit of one modifier is one piece. */
function diffLines(before: string, after: string, file: string): string[] {
  const [a, b] = [before.split('\n'), after.split('\n')];
  let begin = 0;
  while (begin < a.length && begin < b.length && a[begin] === b[begin]) begin += 1;
  let end = 0;
  while (end < a.length - begin && end < b.length - begin && a[a.length - 1 - end] === b[b.length - 1 - end]) end += 1;
  const [removed, added] = [a.slice(begin, a.length - end), b.slice(begin, b.length - end)];
  if (removed.length + added.length === 0) return [`${file} says so already.`];
  return [
    `--- ${file}`,
    `+++ ${file}`,
    `@@ -${begin + (removed.length > 0 ? 1 : 0)},${removed.length} +${begin + (added.length > 0 ? 1 : 0)},${added.length} @@`,
    ...removed.map((line) => `-${line}`),
    ...added.map((line) => `+${line}`),
  ];
}
