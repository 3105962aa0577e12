// The plan of a recipe as a read-only document that a person can read.
import path from 'node:path';
import * as vscode from 'vscode';
import { l10n } from 'vscode';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { canaryPlanText } from '../../../schemas/src/canary-text.js';
import { depthOperations } from '../../../schemas/src/depth-operations.js';
import { memoryNeedOf, parseDeviceChoice } from '../../../schemas/src/device-choice.js';
import type { DatasetPlan, LayerPlan, QuantizationArgs, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import { percent } from '../../../schemas/src/number-text.js';
import { gatesText } from '../../../schemas/src/quality-gates.js';
import { roleOrder } from '../../../schemas/src/role-order.js';
import { PLAN_SCHEME } from '../manifest.js';

export interface PlanPreview extends vscode.Disposable {
  show(recipe: vscode.Uri, plan: QuantizationPlan): Promise<void>;
}

export function createPlanPreview(): PlanPreview {
  const texts = new Map<string, string>();
  const changed = new vscode.EventEmitter<vscode.Uri>();
  const registration = vscode.workspace.registerTextDocumentContentProvider(PLAN_SCHEME, {
    onDidChange: changed.event,
    // The renderer asks with a fragment or query of its own.
    provideTextDocumentContent: (uri) => texts.get(uri.with({ fragment: '', query: '' }).toString()) ?? '',
  });
  return {
    async show(recipe, plan) {
      const uri = vscode.Uri.from({ scheme: PLAN_SCHEME, path: `${recipe.path}.plan.md` });
      texts.set(uri.toString(), planText(plan));
      changed.fire(uri);
      // Rendered by VS Code's own Markdown extension, which a user may have switched off.
      if (vscode.extensions.getExtension('vscode.markdown-language-features') !== undefined) {
        await vscode.commands.executeCommand('markdown.showPreviewToSide', uri);
        return;
      }
      const document = await vscode.workspace.openTextDocument(uri);
      await vscode.window.showTextDocument(document, { preview: true, preserveFocus: true, viewColumn: vscode.ViewColumn.Beside });
    },
    dispose() {
      registration.dispose();
      changed.dispose();
    },
  };
}

/** Paths of the workspace as the recipe's author writes them. */
const shown = (file: string): string => `\`${vscode.workspace.asRelativePath(file)}\``;

function argsText(args: QuantizationArgs | null): string {
  if (args === null) return '–';
  if (args.gguf_type !== undefined)
    return args.gguf_asked === undefined ? args.gguf_type : l10n.t('{0} in place of {1}', args.gguf_type, args.gguf_asked);
  const scope = args.strategy === 'group' ? l10n.t('groups of {0}', args.group_size ?? 0) : args.strategy;
  return `${args.type === 'int' ? 'int' : 'fp'}${args.num_bits}, ${scope}${args.symmetric ? '' : l10n.t(', asymmetric')}${args.dynamic === true ? l10n.t(', at run time') : ''}`;
}

function deviceText(device: string): string {
  const { kind, indices } = parseDeviceChoice(device) ?? { kind: 'auto', indices: null };
  if (kind !== 'cuda') return l10n.t('the CPU');
  return indices === null ? l10n.t('all CUDA devices') : indices.map((index) => `cuda:${index}`).join(', ');
}

function evaluationText(evaluate: QuantizationPlan['evaluate']): string {
  const { perplexity, kl_divergence, multiple_choice, generation } = evaluate ?? {};
  const parts = [
    ...(perplexity ? [l10n.t('perplexity on {0}', shown(perplexity.dataset))] : []),
    ...(kl_divergence ? [l10n.t('KL divergence on {0}', shown(kl_divergence.dataset))] : []),
    ...(multiple_choice ? [l10n.t('multiple choice on {0}', shown(multiple_choice.dataset.file))] : []),
    ...(generation ? [l10n.t('exact match on {0}', shown(generation.dataset.file))] : []),
  ];
  return parts.length === 0 ? l10n.t('Evaluation: none') : l10n.t('Evaluation: {0}', parts.join(', '));
}

/** The plan as Markdown: what goes in, what happens to each kind of layer, what it costs, where it goes. */
function planText(plan: QuantizationPlan): string {
  const { estimate, model, output, calibration, evaluate } = plan;
  const memory = memoryNeedOf(plan);
  const rows = groupLayers(plan.layers).map(
    ({ layers, first }) =>
      `| ${first.role} | ${layers.length} | ${first.rows} × ${first.columns} | ${first.quantizer?.modifier ?? l10n.t('kept as it is')} | ${argsText(first.scheme?.weights ?? null)} | ${argsText(first.scheme?.input_activations ?? null)} |`,
  );
  return [
    `# ${l10n.t('Plan of {0}', plan.recipe.path === null ? l10n.t('an unsaved recipe') : path.basename(plan.recipe.path))}`,
    '',
    `- ${l10n.t('Model: {0} ({1}, {2}, {3} tensors)', shown(model.dir), model.architecture_name ?? l10n.t('unknown architecture'), model.dtype, model.tensors.length)}`,
    `- ${calibration === null ? l10n.t('Calibration: none needed') : calibrationText(calibration)}`,
    `- ${evaluationText(evaluate)}`,
    ...(plan.gates === null ? [] : [`- ${l10n.t('Gates: {0}', gatesText(plan.gates))}`]),
    ...(plan.canary === undefined ? [] : [`- ${l10n.t('Canary: {0}', canaryPlanText(plan.canary))}`]),
    ...(plan.depth === undefined ? [] : [`- ${depthText(plan, plan.depth)}`]),
    `- ${l10n.t('Output: {0}', shown(output.dir))}`,
    `- ${l10n.t('Device: {0}', deviceText(plan.device))}`,
    '',
    `## ${l10n.t('What it costs')}`,
    '',
    `- ${l10n.t('Size: {0} → {1} ({2} bits per weight in the quantized layers)', bytesText(estimate.weights_bytes_before), bytesText(estimate.weights_bytes_after), estimate.bits_per_weight.toFixed(2))}`,
    `- ${l10n.t('Memory: about {0} while {1}', bytesText(memory.peak_memory_bytes), memory.peak_memory_stage)}`,
    `- ${l10n.t('Disk while running: about {0}', bytesText(estimate.disk_bytes))}`,
    '',
    ...(plan.transforms.length === 0
      ? []
      : [`## ${l10n.t('Transforms')}`, '', ...plan.transforms.map((transform) => `- ${transformText(transform)}`), '']),
    ...(plan.pruning.length === 0
      ? []
      : [
          `## ${l10n.t('Pruning')}`,
          '',
          ...plan.pruning.map(({ modifier, layers }) => `- ${l10n.t('{0}: {1} layers', modifier, layers.length)}`),
          '',
        ]),
    `## ${l10n.t('Layers')}`,
    '',
    `| ${[l10n.t('layer'), l10n.t('number'), l10n.t('shape'), l10n.t('modifier'), l10n.t('weights'), l10n.t('inputs')].join(' | ')} |`,
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

function transformText(transform: QuantizationPlan['transforms'][number]): string {
  if (transform.name === 'hadamard' || transform.name === 'duquant') {
    const rotations = transform.rotations.map(({ name, size }) => `${name} (${size})`).join(', ');
    return l10n.t('{0}: rotations {1}, seed {2}', transform.modifier, rotations, transform.seed ?? l10n.t('none'));
  }
  if (
    transform.name === 'bias-correction' ||
    transform.name === 'variance-correction' ||
    transform.name === 'low-rank-residual' ||
    transform.name === 'outlier-split'
  )
    return l10n.t('{0}: {1} layers', transform.modifier, transform.layers.length);
  if (transform.name === 'awq')
    return l10n.t(
      '{0}: {1} mappings, n_grid {2}, duo_scaling {3}',
      transform.modifier,
      transform.mappings.length,
      transform.n_grid,
      String(transform.duo_scaling),
    );
  return l10n.t('{0}: {1} mappings, smoothing_strength {2}', transform.modifier, transform.mappings.length, transform.smoothing_strength);
}

function calibrationText({ dataset, num_calibration_samples, max_seq_length }: DatasetPlan): string {
  const rows = num_calibration_samples ?? l10n.t('all');
  return l10n.t('Calibration: {0}, {1} rows of at most {2} tokens', shown(dataset), rows, max_seq_length ?? l10n.t('the context’s'));
}

function depthText(plan: QuantizationPlan, { dataset, num_calibration_samples, max_seq_length }: DatasetPlan): string {
  const share = percent(depthOperations(plan) / plan.estimate.operations);
  return l10n.t(
    'Where did it break: {0}, {1} rows of at most {2} tokens, about {3} of the run’s arithmetic',
    shown(dataset),
    num_calibration_samples ?? l10n.t('all'),
    max_seq_length ?? l10n.t('the context’s'),
    share,
  );
}

/** Other layers come first, as in the file; the head, which computes after all blocks, last. */
const placeOf = ({ role }: LayerPlan): number => [...roleOrder, 'lm_head'].indexOf(role);

/** Layers of one role, shape and scheme are one row. */
function groupLayers(layers: readonly LayerPlan[]): { first: LayerPlan; layers: LayerPlan[] }[] {
  const groups = new Map<string, { first: LayerPlan; layers: LayerPlan[] }>();
  for (const layer of layers) {
    const key = JSON.stringify([layer.role, layer.rows, layer.columns, layer.scheme]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { first: layer, layers: [layer] });
    else group.layers.push(layer);
  }
  return [...groups.values()].sort((a, b) => placeOf(a.first) - placeOf(b.first));
}
