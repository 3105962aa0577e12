// What an analysis shall measure beside each layer alone, asked with what it takes. What the recipe cannot give is refused here, before anything starts.
import * as vscode from 'vscode';
import {
  fisherCost,
  gradientObstacle,
  measuredText,
  mixedBitsNote,
  needOf,
  passesOfProbe,
  planWithNeed,
  textObstacle,
  usualProbes,
} from '../../../schemas/src/analysis-measures.js';
import { bytesText } from '../../../schemas/src/bytes-text.js';
import { memoryNeedOf } from '../../../schemas/src/device-choice.js';
import type { AnalysisNeed, DatasetPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { AnalyzeParams } from '../../../schemas/src/protocol/client-worker.js';

interface Measure extends vscode.QuickPickItem {
  param: 'fisher' | 'end_to_end' | 'hessian_probes';
  obstacle: string | null;
}

/** null: nothing is to be analyzed, as the user chose so or was told why it cannot be. */
export async function askMeasures(plan: QuantizationPlan, bits: readonly number[]): Promise<Pick<AnalyzeParams, Measure['param']> | null> {
  const { l10n } = vscode;
  const measure = (param: Measure['param'], label: string, description: string, obstacle: string | null, cost: string): Measure => ({
    param,
    label,
    description,
    obstacle,
    detail: obstacle === null ? cost : l10n.t('Not with this recipe. {0}', obstacle),
  });
  const memoryOf = (which: AnalysisNeed['measure']): string =>
    bytesText(memoryNeedOf(planWithNeed(plan, needOf(plan, [which]))).peak_memory_bytes);
  const candidates = bits.length * plan.layers.filter(({ scheme }) => scheme?.weights).length;
  const items = [
    measure(
      'fisher',
      l10n.t('Predicted loss'),
      l10n.t('Fisher information: gradients'),
      gradientObstacle(plan, 'fisher'),
      costOfGradients(plan, 4, memoryOf('fisher'), true),
    ),
    measure(
      'hessian_probes',
      l10n.t('Trace of the Hessian'),
      l10n.t('second derivatives of the loss, from {0} probes', usualProbes),
      gradientObstacle(plan, 'hessian_trace'),
      costOfGradients(plan, passesOfProbe * usualProbes, memoryOf('hessian_trace'), false),
    ),
    measure(
      'end_to_end',
      l10n.t('KL divergence and perplexity'),
      l10n.t('of the whole model, end to end'),
      textObstacle(plan),
      l10n.t(
        'Time: {0} times half of the model, on {1}. Memory: about {2}.',
        candidates,
        rowsText(measuredText(plan)),
        memoryOf('end_to_end'),
      ),
    ),
  ];
  const chosen = await vscode.window.showQuickPick(items, {
    canPickMany: true,
    ignoreFocusOut: true,
    title: l10n.t('Analyze Layer Sensitivity'),
    placeHolder: l10n.t('Each layer alone, {0} bits: about {1}. What else?', bits.join(', '), memoryOf('layers')),
  });
  const impossible = chosen?.find(({ obstacle }) => obstacle !== null);
  if (impossible) void vscode.window.showErrorMessage(impossible.obstacle ?? '');
  if (chosen === undefined || impossible) return null;
  const note = mixedBitsNote(plan);
  if (note !== null) void vscode.window.showInformationMessage(note);
  const has = (param: Measure['param']): boolean => chosen.some((item) => item.param === param);
  return { fisher: has('fisher'), end_to_end: has('end_to_end'), hessian_probes: has('hessian_probes') ? usualProbes : 0 };
}

function rowsText(dataset: DatasetPlan | null): string {
  const rows = dataset?.num_calibration_samples ?? null;
  return rows === null ? vscode.l10n.t('all rows') : vscode.l10n.t('{0} rows', rows);
}

/** Squared gradients are kept. `passes`: as often as the rows would pass forwards in the same time. */
function costOfGradients(plan: QuantizationPlan, passes: number, memory: string, isKept: boolean): string {
  // One line of the list, which cuts what is longer.
  const cost = vscode.l10n.t('Time: about {0} passes of {1}. Memory: about {2}.', passes, rowsText(plan.calibration), memory);
  return isKept ? `${cost} ${vscode.l10n.t('Disk: {0}.', bytesText(fisherCost(plan, 0).gradient_bytes))}` : cost;
}
