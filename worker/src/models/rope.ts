// Tables of the rotary embedding for every scaling variant of the Llama family, rounded to single precision where transformers rounds.
// Su et al., arXiv 2104.09864; YaRN: Peng et al., arXiv 2309.00071; LongRoPE: Ding et al., arXiv 2402.13753.
import type { ArchitectureFacts } from '../../../schemas/src/generated/plan.js';

const f32 = Math.fround;

export interface RopeTables {
  n_positions: number;
  /** Pairs of columns that are turned, per head. */
  n_pairs: number;
  /** [n_positions, n_pairs], the attention factor of YaRN and LongRoPE multiplied in. */
  cos: Float32Array;
  sin: Float32Array;
}

export function makeRopeTables(facts: ArchitectureFacts, n_positions: number): RopeTables {
  const { inv_freq, attention_factor } = frequencies(facts, n_positions);
  const n_pairs = inv_freq.length;
  const cos = new Float32Array(n_positions * n_pairs);
  const sin = new Float32Array(n_positions * n_pairs);
  for (let position = 0; position < n_positions; position += 1)
    inv_freq.forEach((frequency, pair) => {
      const angle = f32(position * frequency);
      cos[position * n_pairs + pair] = f32(Math.cos(angle)) * attention_factor;
      sin[position * n_pairs + pair] = f32(Math.sin(angle)) * attention_factor;
    });
  return { n_positions, n_pairs, cos, sin };
}

interface Frequencies {
  inv_freq: Float32Array;
  attention_factor: number;
}

function frequencies(facts: ArchitectureFacts, length: number): Frequencies {
  const { rope, head_dim, max_position_embeddings } = facts;
  const dim = Math.floor(head_dim * rope.partial_rotary_factor);
  const factor = rope.factor ?? 1;
  const plain = inverseFrequencies(rope.rope_theta, dim);
  switch (rope.rope_type) {
    case 'default':
      return { inv_freq: plain, attention_factor: 1 };
    case 'linear':
      return { inv_freq: plain.map((frequency) => frequency / factor), attention_factor: 1 };
    case 'dynamic': {
      // The base grows with texts beyond the context the model was trained on. One table serves all documents of a dataset, so the longest counts.
      const stretch = (factor * Math.max(length, max_position_embeddings)) / max_position_embeddings - (factor - 1);
      return { inv_freq: inverseFrequencies(rope.rope_theta * stretch ** (dim / (dim - 2)), dim), attention_factor: 1 };
    }
    case 'llama3':
      return { inv_freq: plain.map((frequency) => llama3Frequency(facts, frequency)), attention_factor: 1 };
    case 'yarn':
      return yarn(facts, plain, dim);
    case 'longrope':
      return longrope(facts, plain, length);
  }
}

function inverseFrequencies(theta: number, dim: number): Float32Array {
  return Float32Array.from({ length: dim / 2 }, (_, pair) => 1 / f32(theta ** f32((2 * pair) / dim)));
}

/** Long wavelengths are stretched by `factor`, short ones stay, those between are blended. */
function llama3Frequency({ rope, max_position_embeddings }: ArchitectureFacts, frequency: number): number {
  const context = rope.original_max_position_embeddings ?? max_position_embeddings;
  const [factor, low, high] = [rope.factor ?? 8, rope.low_freq_factor ?? 1, rope.high_freq_factor ?? 4];
  const wavelength = (2 * Math.PI) / frequency;
  if (wavelength < context / high) return frequency;
  if (wavelength > context / low) return frequency / factor;
  const smooth = (context / wavelength - low) / (high - low);
  return ((1 - smooth) * frequency) / factor + smooth * frequency;
}

function yarn({ rope, max_position_embeddings }: ArchitectureFacts, plain: Float32Array, dim: number): Frequencies {
  const context = rope.original_max_position_embeddings ?? max_position_embeddings;
  const factor = rope.factor ?? max_position_embeddings / context;
  const mscale = (scale: number, weight: number): number => (scale <= 1 ? 1 : 0.1 * weight * Math.log(scale) + 1);
  const inferred =
    rope.mscale && rope.mscale_all_dim ? mscale(factor, rope.mscale) / mscale(factor, rope.mscale_all_dim) : mscale(factor, 1);
  const pairOf = (rotations: number): number => (dim * Math.log(context / (rotations * 2 * Math.PI))) / (2 * Math.log(rope.rope_theta));
  const exact = { low: pairOf(rope.beta_fast ?? 32), high: pairOf(rope.beta_slow ?? 1) };
  const rounded = rope.truncate === false ? exact : { low: Math.floor(exact.low), high: Math.ceil(exact.high) };
  const low = Math.max(rounded.low, 0);
  const high = Math.min(rounded.high, dim - 1);
  const width = high === low ? 0.001 : high - low;
  const inv_freq = plain.map((frequency, pair) => {
    const ramp = Math.min(1, Math.max(0, (pair - low) / width));
    return (frequency / factor) * ramp + frequency * (1 - ramp);
  });
  return { inv_freq, attention_factor: rope.attention_factor ?? inferred };
}

function longrope({ rope, max_position_embeddings }: ArchitectureFacts, plain: Float32Array, length: number): Frequencies {
  const context = rope.original_max_position_embeddings ?? max_position_embeddings;
  const factor = rope.factor ?? max_position_embeddings / context;
  const factors = (length > context ? rope.long_factor : rope.short_factor) ?? [];
  const inferred = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(context));
  return {
    inv_freq: plain.map((frequency, pair) => frequency / (factors[pair] ?? 1)),
    attention_factor: rope.attention_factor ?? inferred,
  };
}
