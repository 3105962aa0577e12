// sensitivity.json and its arrays, from what the journal holds; with every metric its definition, unit and source.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import type { LayerPlan, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerSensitivity, MetricDefinition, SensitivityAnalysis } from '../../../schemas/src/generated/sensitivity.js';
import { ggufName } from '../../../schemas/src/model/gguf-names.js';
import { writeDurably, writeTextDurably } from '../checkpoint/durable-file.js';
import { imatrixFile, writeImatrix } from '../checkpoint/imatrix-file.js';
import { Sidecar } from '../report/sidecar.js';
import type { AnalysisJournal, EndToEndFacts } from './analysis-journal.js';
import type { Fisher } from './fisher.js';
import { traceOf } from './hessian-trace.js';

export const analysisFile = 'sensitivity.json';

const definition = (key: string, name: string, text: string, unit: string, source: string): MetricDefinition => ({
  key,
  name,
  definition: text,
  unit,
  source,
});

const sensitivityMetrics: readonly MetricDefinition[] = [
  definition('weight_mse', 'Weight MSE', 'Mean of (W − Ŵ)² over the weights of the layer', 'square of a weight', 'definition'),
  definition('weight_sqnr_db', 'Weight SQNR', '10 log₁₀(Σ W² / Σ (W − Ŵ)²); null: no error at all', 'dB', 'definition'),
  definition('weight_cosine', 'Weight cosine', 'Σ W Ŵ / sqrt(Σ W² · Σ Ŵ²)', '1', 'definition'),
  definition(
    'relative_output_error',
    'Relative output error',
    'tr(ΔW H ΔWᵀ) / tr(W H Wᵀ), ΔW = W − Ŵ, H = X Xᵀ of the calibration rows of the unquantized model',
    'share of the squared output',
    'objective of GPTQ, Frantar et al., arXiv 2210.17323',
  ),
  definition(
    'mean_kld',
    'KL divergence',
    'Mean over the predicted tokens of KL(P ‖ Q), P of the model, Q of the model with this layer alone quantized',
    'nats',
    'Kullback and Leibler, 1951; llama.cpp, perplexity tool with --kl-divergence',
  ),
  definition(
    'perplexity_change',
    'Perplexity change',
    'Perplexity with this layer alone quantized, minus that of the model, on the same text',
    '1',
    'definition',
  ),
  definition(
    'fisher_loss',
    'Predicted loss change (Fisher)',
    '½ Σ F ΔW² over the weights, ΔW = W − Ŵ, F = 1/N Σ (∂L/∂W)² over the calibration rows, L the sum of −log p of a row’s tokens, N the predicted tokens of all rows',
    'nats per token',
    'diagonal empirical Fisher of SqueezeLLM, Kim et al., arXiv 2306.07629; second-order change of the loss as in HAWQ-V2, Dong et al., arXiv 1911.03852',
  ),
  definition(
    'fisher_trace',
    'Trace of the Fisher information',
    'Σ F over the weights of the layer, F as in the predicted loss change',
    'nats per token and square of a weight',
    'empirical Fisher in place of the Hessian whose trace HAWQ-V2 takes, arXiv 1911.03852',
  ),
  definition(
    'hessian_loss',
    'Predicted loss change (Hessian)',
    '½ tr(H) · mean of ΔW² over the weights, ΔW = W − Ŵ, H as in the trace of the Hessian; negative where the trace is',
    'nats per token',
    'Ω of HAWQ-V2, Dong et al., arXiv 1911.03852',
  ),
  definition(
    'hessian_trace',
    'Trace of the Hessian',
    'tr(H) over the weights of the layer, H the second derivatives of the summed −log p of the calibration rows, over N; mean over the probes of vᵀ H v, v random signs, with its standard error',
    'nats per token and square of a weight',
    'Hutchinson, 1990; sensitivity of HAWQ-V2, Dong et al., arXiv 1911.03852',
  ),
  definition(
    'kurtosis',
    'Kurtosis of the inputs',
    'E[(x − μ)⁴] / E[(x − μ)²]² over all inputs of the layer; 3 for a normal distribution',
    '1',
    'Pearson, 1905',
  ),
  definition(
    'max_over_median',
    'Largest over median channel',
    'Largest magnitude of an input channel over the median of the channels’ largest magnitudes',
    '1',
    'outlier channels as in Xiao et al., arXiv 2211.10438',
  ),
  definition(
    'weight_variance',
    'Weight variance',
    'E[W²] − E[W]²: σ² of the closed form b = ½ log₂(α σ² / λ)',
    'square of a weight',
    'definition',
  ),
  definition(
    'hessian_mean_diagonal',
    'Mean diagonal of H',
    'Mean over the input channels of 2/n Σ x² over n rows: α of the closed form',
    'square of an input',
    'arXiv 2210.17323',
  ),
];

interface AnalysisFacts {
  plan: QuantizationPlan;
  version: string;
  dir: string;
  bits: readonly number[];
  layers: readonly LayerPlan[];
  journal: AnalysisJournal;
  endToEnd: EndToEndFacts | null;
  fisher: Pick<Fisher, 'reason'> | null;
  /** Why the trace of the Hessian cannot be had, where it was asked for. */
  noHessian: string | null;
}

export async function writeAnalysis(facts: AnalysisFacts): Promise<void> {
  const { plan, version, dir, bits, layers, journal, endToEnd, fisher, noHessian } = facts;
  const sidecar = new Sidecar('activations.bin');
  const analysis: SensitivityAnalysis = {
    sensitivity_version: 1,
    bitwright_version: version,
    recipe: { path: plan.recipe.path, sha256: plan.recipe.sha256 },
    model: { dir: plan.model.dir, architecture_name: plan.model.architecture_name, dtype: plan.model.dtype },
    calibration: plan.calibration?.dataset ?? null,
    end_to_end: endToEnd,
    bits: [...bits],
    metrics: [...sensitivityMetrics],
    not_measured: [],
    layers: layers.map(({ name }) => layerOf(name, journal, bits, sidecar)),
  };
  analysis.not_measured = notMeasured(plan, endToEnd, [
    ...withoutGradients(analysis.layers, 'fisher_trace', 'fisher_loss and fisher_trace', '--fisher', fisher?.reason ?? null),
    ...withoutGradients(analysis.layers, 'hessian_trace', 'hessian_loss and hessian_trace', '--hessian-trace', noHessian),
  ]);
  await writeDurably(path.join(dir, sidecar.file), sidecar.chunks, 'the arrays of the analysis');
  await writeOwnImatrix(facts);
  await writeTextDurably(path.join(dir, analysisFile), `${JSON.stringify(analysis, null, 2)}\n`);
}

/** What llama-imatrix would find of the layers on the same rows, where they have names in GGUF: the model is as it is, without transforms. */
async function writeOwnImatrix({ plan, dir, layers, journal }: AnalysisFacts): Promise<void> {
  const { architecture } = plan.model;
  const all = layers.flatMap(({ name, tensor }) => {
    const gguf = architecture && ggufName(tensor, architecture);
    const importance = journal.layers.get(name)?.activations?.importance;
    return gguf && importance ? [{ ...importance, name: gguf, sums: Float32Array.from(importance.sums) }] : [];
  });
  const file = imatrixFile(dir);
  if (all.length > 0) await writeImatrix(file, plan.calibration?.dataset ?? '', all);
  else await rm(file, { force: true });
}

function layerOf(name: string, journal: AnalysisJournal, bits: readonly number[], sidecar: Sidecar): LayerSensitivity {
  const facts = journal.layers.get(name);
  if (facts === undefined) throw new Error(`The analysis of ${name} is missing in its journal.`);
  const { activations, ...rest } = facts;
  const products = [...journal.probes.values()].flatMap((probe) => probe[name] ?? []);
  const isProbed = journal.probes.size > 0;
  const hessian_trace = products.length === 0 ? null : traceOf(products);
  return {
    ...rest,
    ...(isProbed && { hessian_trace }),
    activations: activations && {
      kurtosis: activations.kurtosis,
      max_over_median: activations.max_over_median,
      channel_absmax: sidecar.floats(Float32Array.from(activations.absmax)),
    },
    candidates: bits.flatMap((bit) => {
      const found = journal.candidate(name, bit, false);
      if (found === null) return [];
      return isProbed ? { ...found, hessian_loss: hessian_trace && (hessian_trace.value * found.weight_mse) / 2 } : found;
    }),
  };
}

/** Which layers lack what gradients give, and why; nothing: all have it. `reason`: why no layer can. */
function withoutGradients(
  layers: readonly LayerSensitivity[],
  key: 'fisher_trace' | 'hessian_trace',
  figures: string,
  option: string,
  reason: string | null,
): string[] {
  const without = layers.filter((layer) => (layer[key] ?? null) === null);
  if (without.length === 0) return [];
  const names = without.length === layers.length ? figures : `${figures} of ${without.map(({ name }) => name).join(', ')}`;
  if (reason !== null) return [`${names}: ${reason}`];
  if (without.every((layer) => layer[key] === null))
    return [`${names}: gradients are those of the linears of the blocks and of a head with a weight of its own, and this is neither.`];
  return [`${names}: not asked for (on the command line: ${option}).`];
}

function notMeasured(plan: QuantizationPlan, endToEnd: EndToEndFacts | null, gradients: string[]): string[] {
  return [
    ...gradients,
    ...(plan.transforms.length > 0
      ? ['transforms: the weights are those of the model; the transforms of the recipe were not applied.']
      : []),
    ...(plan.pruning.length > 0 ? ['pruning: the weights are those of the model, with all that the recipe would set to zero.'] : []),
    ...(plan.calibration === null
      ? [
          'relative_output_error and activations: the plan has no calibration rows, as no modifier of the recipe needs them; GPTQModifier with a calibration does.',
        ]
      : []),
    ...(endToEnd === null ? ['mean_kld and perplexity_change: not asked for (on the command line: --end-to-end).'] : []),
  ];
}
