// `bitwright plan RECIPE`: what a run would do, without running it.
import { bytesText } from '../../../../schemas/src/bytes-text.js';
import { depthOperations } from '../../../../schemas/src/depth-operations.js';
import { memoryNeedOf } from '../../../../schemas/src/device-choice.js';
import type {
  DatasetPlan,
  GenerationPlan,
  MultipleChoicePlan,
  PrunerPlan,
  QuantizationPlan,
} from '../../../../schemas/src/generated/plan.js';
import { canaryPlanText } from '../../../../schemas/src/canary-text.js';
import { percent } from '../../../../schemas/src/number-text.js';
import { gatesText } from '../../../../schemas/src/quality-gates.js';
import { deviceOption, exitCode, outOption, recipeOptions, type Command } from '../command.js';
import { change, counted, schemeText, table, thousands } from '../format-text.js';
import { groupByName } from '../name-groups.js';
import { hasErrors, problemCounts, problemLines, whyNoPlan } from '../problem-text.js';
import { startServer } from '../processes.js';
import { resolveRecipe } from '../recipe-file.js';

export const planCommand: Command = {
  name: 'plan',
  synopsis: 'RECIPE',
  summary: 'Show what a run would do: layers, schemes, sizes, memory.',
  description: `Problems go to stderr. With --json: {"plan", "problems"}; plan is null when an error stands in the way. Too little memory or disk on this machine leaves the plan as it is. Exit code 1 with an error.`,
  operands: { least: 1, most: 1 },
  options: {
    out: outOption,
    device: deviceOption,
    ...recipeOptions,
  },
  run: async (invocation, terminal) => {
    const server = await startServer();
    try {
      const recipe = await resolveRecipe(server, invocation.operands[0] ?? '', invocation, 'plan-to-show');
      const { plan, problems } = recipe;
      if (invocation.flag('json')) terminal.json({ plan, problems });
      else {
        for (const problem of problems) for (const line of problemLines(recipe, problem)) terminal.err(line);
        if (plan === null) terminal.err(`No plan: ${whyNoPlan(problems)}`);
        else for (const line of planLines(plan)) terminal.out(line);
        if (plan !== null && hasErrors(problems)) terminal.err(`This machine cannot run it: ${problemCounts(problems)}.`);
      }
      return hasErrors(problems) || plan === null ? exitCode.problems : exitCode.success;
    } finally {
      await server.stop();
    }
  },
};

function transformText(transform: QuantizationPlan['transforms'][number]): string {
  if (transform.name === 'hadamard')
    return `${transform.rotations.map(({ name, size }) => `${name} of size ${size}`).join(', ')}, ${transform.seed === null ? 'without random signs' : `seed ${transform.seed}`}`;
  if (transform.name === 'duquant')
    return `${transform.rotations.map(({ name, size }) => `${name} in blocks of ${size}`).join(', ')}, ${counted(transform.max_rotation_step, 'step')}, seed ${transform.seed}`;
  if (transform.name === 'bias-correction')
    return `biases of ${counted(transform.layers.length, 'layer')}${transform.added.length === 0 ? '' : `, ${transform.added.length} of them new with ${transform.switches.join(' and ')}`}`;
  if (transform.name === 'low-rank-residual' || transform.name === 'outlier-split')
    return `an adapter of ${counted(transform.layers.length, 'layer')}, rank ${transform.name === 'outlier-split' ? transform.max_columns : transform.rank}`;
  if (transform.name === 'variance-correction')
    return `scales of ${counted(transform.layers.length, 'layer')} by the variance of their ${transform.statistic}`;
  const how =
    transform.name === 'awq'
      ? `a search over ${counted(transform.n_grid, 'scaling')}, duo_scaling ${transform.duo_scaling}`
      : `${transform.algorithm}, strength ${transform.smoothing_strength}`;
  return `${how}, ${counted(transform.mappings.length, 'mapping')}`;
}

function prunerText(pruner: PrunerPlan): string {
  const asked = [...new Set(pruner.layers.map(({ sparsity }) => sparsity))];
  const structure = 'mask_structure' in pruner ? pruner.mask_structure : null;
  const share = `${asked.map((sparsity) => `${(100 * sparsity).toFixed(1).replace('.0', '')} %`).join(', ')} of the weights`;
  const zeros =
    pruner.name === 'constant' ? 'zeros that are there stay' : structure === null ? share : `${structure.n} of ${structure.m} weights`;
  return `${zeros}, in ${counted(pruner.layers.length, 'layer')}`;
}

function planLines(plan: QuantizationPlan): string[] {
  const { model, estimate } = plan;
  const memory = memoryNeedOf(plan);
  const quantized = plan.layers.filter((layer) => layer.scheme !== null);
  const pruned = new Set(plan.pruning.flatMap(({ layers }) => layers.map(({ name }) => name)));
  const kept = plan.layers.filter((layer) => layer.scheme === null && !pruned.has(layer.name));
  return [
    `Model        ${model.dir} (${model.architecture_name ?? 'architecture unknown'}, ${model.dtype}, ${counted(model.tensors.length, 'tensor')})`,
    ...plan.transforms.map((transform) => `Transform    ${transform.modifier}: ${transformText(transform)}`),
    ...plan.pruning.map((pruner) => `Prune        ${pruner.modifier}: ${prunerText(pruner)}`),
    ...(quantized.length === 0 && pruned.size > 0
      ? []
      : [`Quantize     ${thousands(quantized.length)} of ${counted(plan.layers.length, 'layer')}`, ...layerTable(quantized)]),
    ...(kept.length === 0
      ? []
      : [
          `Kept         ${groupByName(
            kept,
            (layer) => layer.name,
            () => '',
          )
            .map(({ name }) => name)
            .join(', ')}`,
        ]),
    `Calibration  ${plan.calibration === null ? 'none needed' : datasetText(plan.calibration)}`,
    ...evaluationLines(plan.evaluate).map((line, index) => `${index === 0 ? 'Evaluation ' : '           '}  ${line}`),
    ...(plan.gates === null ? [] : [`Gates        ${gatesText(plan.gates)}`]),
    ...(plan.canary === undefined ? [] : [`Canary       ${canaryPlanText(plan.canary)}, on ${datasetText(plan.canary.dataset)}`]),
    ...(plan.depth === undefined
      ? []
      : [
          `Depth        error of every layer on ${datasetText(plan.depth)}, about ${percent(depthOperations(plan) / estimate.operations)} of the arithmetic`,
        ]),
    `Weights      ${bytesText(estimate.weights_bytes_before)} → ${bytesText(estimate.weights_bytes_after)} (${change(estimate.weights_bytes_before, estimate.weights_bytes_after)}${quantized.length === 0 ? '' : `; quantized layers ${estimate.bits_per_weight.toFixed(2)} bits per weight`})`,
    `Memory       about ${bytesText(memory.peak_memory_bytes)} at most${memory === estimate.cuda ? ' on each device' : ''}, while ${memory.peak_memory_stage}`,
    `Disk         ${bytesText(estimate.disk_bytes)} free needed`,
    `Output       ${plan.output.dir}`,
    `Device       ${plan.device}`,
  ];
}

/** Like layers in one line. */
function layerTable(layers: QuantizationPlan['layers']): string[] {
  return table(
    [
      { title: 'layers', align: 'left' },
      { title: 'rows × columns', align: 'right' },
      { title: 'scheme', align: 'left' },
      { title: 'by', align: 'left' },
    ],
    groupByName(
      layers,
      (layer) => layer.name,
      (layer) => JSON.stringify([layer.rows, layer.columns, layer.scheme, layer.quantizer?.modifier, layer.quantizer?.name]),
    ).map(({ name, items: [layer] }) => [
      name,
      layer === undefined ? '' : `${layer.rows} × ${layer.columns}`,
      schemeText(layer?.scheme ?? null),
      layer?.quantizer === null || layer === undefined ? '' : `${layer.quantizer.name} (${layer.quantizer.modifier})`,
    ]),
  );
}

function evaluationLines(evaluate: QuantizationPlan['evaluate']): string[] {
  const { perplexity, kl_divergence, multiple_choice, generation } = evaluate ?? {};
  const lines = [
    ...(perplexity ? [`perplexity on ${datasetText(perplexity)}`] : []),
    ...(kl_divergence ? [`KL divergence on ${datasetText(kl_divergence)}`] : []),
    ...(multiple_choice
      ? [`multiple choice on ${taskText(multiple_choice)}, scored by the ${multiple_choice.answers} of the choices`]
      : []),
    ...(generation ? [`exact match on ${taskText(generation)}, ${thousands(generation.max_gen_toks)} new tokens at most each`] : []),
  ];
  return lines.length === 0 ? ['none'] : lines;
}

function taskText({ dataset, num_samples, num_fewshot }: MultipleChoicePlan | GenerationPlan): string {
  const questions = num_samples === null ? 'all questions' : `the first ${counted(num_samples, 'question')}`;
  return `${dataset.file}: ${questions}${num_fewshot === 0 ? '' : `, each behind ${counted(num_fewshot, 'solved example')}`}`;
}

function datasetText(dataset: DatasetPlan): string {
  const rows =
    dataset.num_calibration_samples === null
      ? 'all rows'
      : `${dataset.shuffle ? '' : 'the first '}${counted(dataset.num_calibration_samples, 'row')}`;
  const order = dataset.shuffle && dataset.num_calibration_samples !== null ? ` drawn with seed ${dataset.seed}` : '';
  const length = dataset.max_seq_length === null ? 'whole' : `${thousands(dataset.max_seq_length)} tokens at most each`;
  return `${dataset.dataset}: ${rows}${order}, ${length}`;
}
