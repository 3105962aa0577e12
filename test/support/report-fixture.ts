// Reports for the pictures' tests: layers of a small Llama with errors that follow a rule, so that a reader can check a drawing by eye.
import type { LayerMetrics, RunReport, TransformMetrics } from '../../schemas/src/generated/report.js';

const roles = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

/** Error of block b and role r: 0.001 · (b + 1) · (r + 1). */
export function reportLayers(n_blocks: number): LayerMetrics[] {
  return Array.from({ length: n_blocks }, (_, block) =>
    roles.map((role, r) =>
      layerMetrics(`model.layers.${block}.${r < 4 ? 'self_attn' : 'mlp'}.${role}`, {
        block,
        role,
        relative_output_error: 0.001 * (block + 1) * (r + 1),
      }),
    ),
  ).flat();
}

export function layerMetrics(name: string, changes: Partial<LayerMetrics> = {}): LayerMetrics {
  return {
    name,
    block: 0,
    role: name.split('.').at(-1) ?? name,
    rows: 64,
    columns: 64,
    scheme: 'int4 g32 sym',
    quantizer: 'gptq',
    bytes_before: 8192,
    bytes_after: 2304,
    bits_per_weight: 4.5,
    relative_output_error: 0.01,
    weight_sqnr_db: 20,
    clipped_share: 0,
    dampening_frac: 0.01,
    dead_columns: 0,
    histogram: { file: 'arrays.bin', offset: 0, dtype: 'F64', shape: [8], min: -0.2, max: 0.2 },
    grid: { file: 'arrays.bin', offset: 64, dtype: 'F32', shape: [16] },
    ...changes,
  } as LayerMetrics;
}

export function runReport(changes: Partial<RunReport> = {}): RunReport {
  return {
    report_version: 1,
    run_id: 'run',
    outcome: 'completed',
    seconds: 12.34,
    device: { kind: 'cpu', name: 'A processor', threads: 2 },
    model: { dir: '/models/small', architecture_name: 'LlamaForCausalLM', dtype: 'BF16' },
    recipe: { path: '/recipes/mine.quant.yaml' },
    output_dir: '/checkpoints/mine',
    size: { weights_bytes_before: 1_840_000, weights_bytes_after: 670_000, bits_per_weight: 4.13 },
    quality: { before: { perplexity: 1.5, nll: 1, tokens: 8793 }, after: { perplexity: 1.5015, nll: 1, tokens: 8793 } },
    memory: { measured_peak_bytes: 181e6, estimated_peak_bytes: 222e6 },
    layers: reportLayers(2),
    problems: [],
    ...changes,
  } as RunReport;
}

/** What the report's layers name: counts of a histogram and a grid of sixteen values, as a page that has no folder gets them. */
export function reportArrays(): { base64: Record<string, string> } {
  const counts = new Float64Array([1, 30, 400, 3000, 2800, 350, 20, 2]);
  const grid = Float32Array.from({ length: 16 }, (_, i) => (i - 8) * 0.025);
  const bytes = Buffer.concat([counts, grid].map(({ buffer }) => Buffer.from(buffer)));
  return { base64: { 'arrays.bin': bytes.toString('base64') } };
}

const part = (shape: number[], dtype: 'F64' | 'F32', min = -0.2, max = 0.2) => ({ file: 'arrays.bin', offset: 0, dtype, shape, min, max });

/** The pictures of a layer, from the same arrays. */
export const pictured = {
  picture: {
    rows: 64,
    after: part([8], 'F64'),
    error: part([8], 'F64', -0.01, 0.01),
    column_slices: { channels: 2, before: part([4, 2], 'F64'), after: part([4, 2], 'F64') },
    row_slices: { channels: 2, before: part([4, 2], 'F64'), after: part([4, 2], 'F64') },
    column_magnitudes: { ...part([16], 'F32'), offset: 64 },
    row_magnitudes: { ...part([16], 'F32'), offset: 64 },
    outliers: [{ axis: 'column', index: 5, magnitude: 1.25, times_median: 6.5 }],
  },
} satisfies Partial<LayerMetrics>;

/** A mapping of AWQ whose search gained a quarter. */
export const awqTransform: TransformMetrics = {
  name: 'awq',
  modifier: 'AWQModifier',
  block: 0,
  smooth_layer: 'model.layers.0.input_layernorm',
  balance_layers: ['model.layers.0.self_attn.q_proj', 'model.layers.0.self_attn.k_proj'],
  parent: 'model.layers.0.self_attn',
  ratio: 0.5,
  duo_scaling: true,
  scale_min: 0.25,
  scale_max: 4,
  loss_before: 0.002,
  loss_after: 0.0015,
};
