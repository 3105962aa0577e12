// Rotations folded into the weights: every channel becomes a mixture of all, so that none stands out and few bits suffice; the model computes the same.
// QuaRot, Ashkboos et al., arXiv 2404.00456; placement and names as SpinQuant, Liu et al., arXiv 2405.16406, and SpinQuantModifier of llm-compressor 0.13.
//
//   R1   hidden states x → x R1: embedding, o_proj and down_proj (with their biases) hand on turned vectors, q, k, v, gate, up and the head take them. An RMS norm
//        without its weight commutes with R1, so the weights of the norms are folded into the layers behind them first (a tied head gets a matrix of its own).
//   R2   values of a head v → v R2: v_proj (with its bias) hands them on, o_proj takes them; heads that share values share R2.
//   P    intermediate channels of an MLP in another order (DuQuant): gate_proj and up_proj hand them on, down_proj takes them
//   R    D H / √b, H a Hadamard matrix of size b, D signs from a seed or none
//
// Differs from llm-compressor: norms are folded and both rotations done in one step with one rounding to the type of the weight (there three). The embeddings keep
// their means: llm-compressor subtracts them (center_embeddings), which a layer norm does not see and an RMS norm does, so that the model computes something else.
// Cost for P weights: P · (K + log2 (b / K)) twice for o_proj and v_proj, b = K · 2^m; nothing of calibration.
import type { ArchitectureFacts, HadamardPlan } from '../../../schemas/src/generated/plan.js';
import type { RotationPlan } from '../../../schemas/src/modifiers.js';
import { hadamardFactor, hadamardMatrix } from '../../../schemas/src/hadamard.js';
import { seededRandom } from '../random-numbers.js';
import { hadamardTransform } from '../tensor/operations/transforms.js';
import type { Device, Tensor } from '../tensor/tensor.js';

/** P: a permutation of the intermediate channels, which DuQuant has. */
export type RotationName = RotationPlan['rotations'][number]['name'];

/** What happens to one tensor of the model. */
export interface TurnedTensor {
  /** Tensor that it is made from: the embedding for a tied head. */
  source: string;
  /** Weight of the norm that is folded into its columns. */
  gain: string | null;
  /** Rotation of what a matrix takes, along its rows; of an embedding, of what it hands on. */
  input: RotationName | null;
  /** Rotation of what it hands on, along its columns, and of a bias. */
  output: RotationName | null;
  /** Decoder block; null outside. */
  block: number | null;
}

/** The matrices of a plan: what turns the tensors that rotatedTensors names. */
export interface Turner extends Disposable {
  /** The turned tensor in the type of `x`, the caller's. */
  turn(x: Tensor, turned: TurnedTensor, gain: Tensor | null): Tensor;
}

export interface RotatedTensors {
  turned: ReadonlyMap<string, TurnedTensor>;
  /** Weights of norms that have been folded into others: ones now. */
  ones: ReadonlySet<string>;
}

/** `has`: which tensors the model has; biases are optional. */
export function rotatedTensors(plan: RotationPlan, facts: ArchitectureFacts, has: (tensor: string) => boolean): RotatedTensors {
  const isDone = (name: RotationName): RotationName | null => (plan.rotations.some((rotation) => rotation.name === name) ? name : null);
  const [R1, R2, P] = [isDone('R1'), isDone('R2'), isDone('P')];
  let inBlock: number | null = null;
  const turned = new Map<string, TurnedTensor>();
  const ones = new Set<string>();
  const turn = (module: string, input: RotationName | null, output: RotationName | null, norm: string | null, source = module): void => {
    if (input !== null || output !== null)
      turned.set(`${module}.weight`, {
        source: `${source}.weight`,
        gain: norm === null ? null : `${norm}.weight`,
        input,
        output,
        block: inBlock,
      });
    if (output !== null && has(`${module}.bias`))
      turned.set(`${module}.bias`, { source: `${module}.bias`, gain: null, input: null, output, block: inBlock });
    if (norm !== null) ones.add(`${norm}.weight`);
  };
  const folded = (norm: string): string | null => (R1 === null ? null : norm);
  turn(facts.embed_tokens, R1, null, null);
  for (let block = 0; block < facts.num_hidden_layers; block += 1) {
    inBlock = block;
    const at = `${facts.layers}.${block}`;
    const [attention, mlp] = [folded(`${at}.input_layernorm`), folded(`${at}.post_attention_layernorm`)];
    turn(`${at}.self_attn.q_proj`, R1, null, attention);
    turn(`${at}.self_attn.k_proj`, R1, null, attention);
    turn(`${at}.self_attn.v_proj`, R1, R2, attention);
    turn(`${at}.self_attn.o_proj`, R2, R1, null);
    turn(`${at}.mlp.gate_proj`, R1, P, mlp);
    turn(`${at}.mlp.up_proj`, R1, P, mlp);
    turn(`${at}.mlp.down_proj`, P, R1, null);
  }
  inBlock = null;
  turn(facts.lm_head, R1, null, folded(facts.norm), facts.tie_word_embeddings ? facts.embed_tokens : facts.lm_head);
  return { turned, ones };
}

/** The matrices of a plan on a device. */
export class Rotations implements Turner {
  private readonly matrices = new Map<RotationName, { signs: Tensor; factor: Tensor }>();

  constructor(device: Device, plan: HadamardPlan) {
    for (const { name, size } of plan.rotations) {
      const order = hadamardFactor(size);
      if (order === null) throw new Error(`There is no Hadamard matrix of size ${size}.`);
      // Each rotation has numbers of its own, whichever others the plan has.
      const random = plan.seed === null ? null : seededRandom(plan.seed + (name === 'R1' ? 0 : 1));
      const signs = Int8Array.from({ length: size }, () => (random !== null && random() < 0.5 ? -1 : 1));
      this.matrices.set(name, {
        signs: device.fromBytes('I8', [size], new Uint8Array(signs.buffer)),
        factor: device.fromBytes('I8', [order, order], new Uint8Array(hadamardMatrix(order).buffer)),
      });
    }
  }

  /** The turned tensor in the type of `x`, the caller's. Both sides are turned in F32 between, so that it is rounded once. */
  turn(x: Tensor, { input, output }: TurnedTensor, gain: Tensor | null): Tensor {
    const { dtype } = x;
    if (input === null) return this.apply(x, output, null, 0, dtype);
    if (output === null) return this.apply(x, input, gain, 1, dtype);
    using between = this.apply(x, input, gain, 1, 'F32');
    return this.apply(between, output, null, 0, dtype);
  }

  private apply(x: Tensor, name: RotationName | null, gain: Tensor | null, axis: 0 | 1, dtype: Tensor['dtype']): Tensor {
    const matrix = name === null ? undefined : this.matrices.get(name);
    if (matrix === undefined) throw new Error(`The plan has no rotation ${name}.`);
    return hadamardTransform(x, gain, matrix.signs, matrix.factor, { axis, dtype });
  }

  [Symbol.dispose](): void {
    for (const { signs, factor } of this.matrices.values()) {
      signs.dispose();
      factor.dispose();
    }
    this.matrices.clear();
  }
}
