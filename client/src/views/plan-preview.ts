// The plan of a recipe as a read-only document that a person can read.
import path from 'node:path';
import * as vscode from 'vscode';
import type { LayerPlan, QuantizationArgs, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
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

const megabytes = (bytes: number): string => (bytes >= 1e9 ? `${(bytes / 1e9).toFixed(2)} GB` : `${(bytes / 1e6).toFixed(2)} MB`);

function argsText(args: QuantizationArgs | null): string {
  if (args === null) return '–';
  const scope = args.strategy === 'group' ? `groups of ${args.group_size ?? 0}` : args.strategy;
  return `${args.type === 'int' ? 'int' : 'fp'}${args.num_bits}, ${scope}${args.symmetric ? '' : ', asymmetric'}${args.dynamic === true ? ', at run time' : ''}`;
}

/** The plan as Markdown: what goes in, what happens to each kind of layer, what it costs, where it goes. */
export function planText(plan: QuantizationPlan): string {
  const { estimate, model, output, calibration, evaluate } = plan;
  const rows = groupLayers(plan.layers).map(
    ({ layers, first }) =>
      `| ${first.role} | ${layers.length} | ${first.rows} × ${first.columns} | ${first.quantizer?.modifier ?? 'kept as it is'} | ${argsText(first.scheme?.weights ?? null)} | ${argsText(first.scheme?.input_activations ?? null)} |`,
  );
  return [
    `# Plan of ${plan.recipe.path === null ? 'an unsaved recipe' : path.basename(plan.recipe.path)}`,
    '',
    `- Model: ${shown(model.dir)} (${model.architecture_name ?? 'unknown architecture'}, ${model.dtype}, ${model.tensors.length} tensors)`,
    `- Calibration: ${calibration === null ? 'none needed' : `${shown(calibration.dataset)}, ${calibration.num_calibration_samples ?? 'all'} rows of at most ${calibration.max_seq_length ?? 'the context’s'} tokens`}`,
    `- Evaluation: ${evaluate === null ? 'none' : `perplexity on ${shown(evaluate.perplexity.dataset)}`}`,
    `- Output: ${shown(output.dir)}`,
    `- Device: ${plan.device === 'auto' ? 'a CUDA device where the worker has one, else the CPU' : plan.device}`,
    '',
    '## What it costs',
    '',
    `- Size: ${megabytes(estimate.weights_bytes_before)} → ${megabytes(estimate.weights_bytes_after)} (${estimate.bits_per_weight.toFixed(2)} bits per weight in the quantized layers)`,
    `- Memory: about ${megabytes(estimate.peak_memory_bytes)} while ${estimate.peak_memory_stage}`,
    `- Disk while running: about ${megabytes(estimate.disk_bytes)}`,
    '',
    ...(plan.transforms.length === 0
      ? []
      : [
          '## Transforms',
          '',
          ...plan.transforms.map(
            (transform) =>
              `- ${transform.modifier}: ${transform.mappings.length} mappings, smoothing_strength ${transform.smoothing_strength}`,
          ),
          '',
        ]),
    '## Layers',
    '',
    '| layer | number | shape | modifier | weights | inputs |',
    '| --- | --- | --- | --- | --- | --- |',
    ...rows,
    '',
  ].join('\n');
}

/** In the order in which a block computes; other layers come first, as in the file. */
const roleOrder = ['q_proj', 'k_proj', 'v_proj', 'qkv_proj', 'o_proj', 'gate_proj', 'up_proj', 'gate_up_proj', 'down_proj', 'lm_head'];

/** Layers of one role, shape and scheme are one row. */
function groupLayers(layers: readonly LayerPlan[]): { first: LayerPlan; layers: LayerPlan[] }[] {
  const groups = new Map<string, { first: LayerPlan; layers: LayerPlan[] }>();
  for (const layer of layers) {
    const key = JSON.stringify([layer.role, layer.rows, layer.columns, layer.scheme]);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, { first: layer, layers: [layer] });
    else group.layers.push(layer);
  }
  return [...groups.values()].sort((a, b) => roleOrder.indexOf(a.first.role) - roleOrder.indexOf(b.first.role));
}
