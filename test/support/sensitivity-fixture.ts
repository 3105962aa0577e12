// Analyses for the pictures' tests: a Llama of any depth whose errors follow a rule, so that a reader can check a drawing by eye.
import type { LayerRulesResult } from '../../schemas/src/protocol/client-server.js';
import type { LayerSensitivity, SensitivityAnalysis } from '../../schemas/src/generated/sensitivity.js';

const roles = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'] as const;
const groupOf: Readonly<Record<string, string>> = {
  q_proj: 'q_proj',
  k_proj: 'q_proj',
  v_proj: 'q_proj',
  gate_proj: 'gate_proj',
  up_proj: 'gate_proj',
};

export const layerName = (block: number, role: string): string =>
  `model.layers.${block}.${/^(gate|up|down)/.test(role) ? 'mlp' : 'self_attn'}.${role}`;

/** With b bits the error of block k and role r is 4^−b · (k + 1) · (r + 1) / 10. */
export function sensitivityAnalysis(
  n_blocks: number,
  bits: number[] = [2, 3, 4, 8],
  changes: Partial<SensitivityAnalysis> = {},
): SensitivityAnalysis {
  const layers = Array.from({ length: n_blocks }, (_, block) =>
    roles.map((role, r): LayerSensitivity => {
      const [rows, columns] = role === 'down_proj' ? [64, 192] : /gate|up/.test(role) ? [192, 64] : [64, 64];
      return {
        name: layerName(block, role),
        role,
        block,
        rows,
        columns,
        group: layerName(block, groupOf[role] ?? role),
        bytes_before: 2 * rows * columns,
        weight_variance: 0.01,
        hessian_mean_diagonal: 1 + block,
        activations: {
          kurtosis: 3 + r,
          max_over_median: 1 + block / 10,
          channel_absmax: { file: 'activations.bin', dtype: 'F32', shape: [columns], offset: 0, min: 0, max: 1 },
        },
        candidates: bits.map((num_bits) => {
          const error = (4 ** -num_bits * (block + 1) * (r + 1)) / 10;
          return {
            num_bits,
            scheme: `int${num_bits} g64 sym`,
            quantizer: 'gptq',
            bytes: (rows * columns * num_bits) / 8 + (rows * columns) / 32,
            weight_mse: error / 100,
            weight_sqnr_db: -10 * Math.log10(error),
            weight_cosine: 1 - error / 2,
            relative_output_error: error,
            mean_kld: null,
            perplexity_change: null,
          };
        }),
      };
    }),
  ).flat();
  const metric = (key: string, name: string, unit = '1') => ({ key, name, definition: `What ${name} is`, unit, source: 'definition' });
  return {
    sensitivity_version: 1,
    bitwright_version: '0.1.0',
    recipe: { path: '/recipes/mine.quant.yaml', sha256: '0' },
    model: { dir: '/models/small', architecture_name: 'LlamaForCausalLM', dtype: 'BF16' },
    calibration: '/data/rows.jsonl',
    end_to_end: null,
    bits,
    metrics: [
      metric('weight_mse', 'Weight MSE'),
      metric('weight_sqnr_db', 'Weight SQNR', 'dB'),
      metric('weight_cosine', 'Weight cosine'),
      metric('relative_output_error', 'Relative output error', 'share of the squared output'),
      metric('mean_kld', 'KL divergence', 'nats'),
      metric('kurtosis', 'Kurtosis of the inputs'),
    ],
    not_measured: ['mean_kld and perplexity_change: not asked for.'],
    layers,
    ...changes,
  };
}

/** The same with gradients: what is predicted for block k and role r with b bits is 4^−b · (r + 1) / (k + 1), and the last layer has no gradient. */
export function withFisher(analysis: SensitivityAnalysis): SensitivityAnalysis {
  const last = analysis.layers.at(-1);
  return {
    ...analysis,
    metrics: [
      ...analysis.metrics,
      {
        key: 'fisher_loss',
        name: 'Predicted loss change (Fisher)',
        definition:
          '½ Σ F ΔW² over the weights, ΔW = W − Ŵ, F = 1/N Σ (∂L/∂W)² over the calibration rows, L the sum of −log p of a row’s tokens, N the predicted tokens of all rows',
        unit: 'nats per token',
        source:
          'diagonal empirical Fisher of SqueezeLLM, Kim et al., arXiv 2306.07629; second-order change of the loss as in HAWQ-V2, Dong et al., arXiv 1911.03852',
      },
      {
        key: 'fisher_trace',
        name: 'Trace of the Fisher information',
        definition: 'Σ F over the weights of the layer, F as in the predicted loss change',
        unit: 'nats per token and square of a weight',
        source: 'empirical Fisher in place of the Hessian whose trace HAWQ-V2 takes, arXiv 1911.03852',
      },
    ],
    layers: analysis.layers.map((layer) => {
      const size = layer === last ? null : (roles.indexOf(layer.role as (typeof roles)[number]) + 1) / ((layer.block ?? 0) + 1);
      const candidates = layer.candidates.map((candidate) => ({
        ...candidate,
        fisher_loss: size === null ? null : size * 4 ** -candidate.num_bits,
      }));
      return { ...layer, fisher_trace: size === null ? null : 100 * size, candidates };
    }),
  };
}

/** Every layer in 4 bits by one rule; those of the list in 8 by another. */
export function layerRules(analysis: SensitivityAnalysis, raised: readonly string[] = []): LayerRulesResult {
  const range = (line: number) => ({ start: { line, character: 8 }, end: { line, character: 14 } });
  return {
    rules: [
      { entry: 'Linear', kind: 'target', where: 'w4a16 of GPTQModifier', range: range(9), around: range(9) },
      { entry: raised[0] ?? '', kind: 'target', where: 'int8 of GPTQModifier', range: range(6), around: range(6) },
    ],
    layers: analysis.layers.map(({ name }) =>
      raised.includes(name) ? { name, scheme: 'int8 g64', num_bits: 8, rule: 1 } : { name, scheme: 'int4 g64', num_bits: 4, rule: 0 },
    ),
    presets: [{ name: 'W8A16', description: '8-bit weights' }],
    errors: 0,
  };
}
