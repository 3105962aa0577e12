// DuQuant as far as it can be folded into weights: rotations of blocks of channels that spread the strongest one over its block, and permutations that deal strong
// channels out to all blocks alike. Lin et al., arXiv 2406.01721, sections 3.2 and 3.3; the model computes the same.
//
//   H       Σ xᵀx of an activation over the calibration rows; its diagonal is the power of every channel
//   R̂       product of reflections I − 2uuᵀ, each turning the channel with the most power into an even mixture of all of its block, with random signs; of the
//           max_rotation_step products the one whose strongest channel is weakest (the paper's greedy choice)
//   P       zigzag: channels by falling power, dealt to the blocks forth and back, so that all have about the same power
//   R1      hidden states: R̂₁ P R̂₂, the second rotation after the permutation as in the paper
//   R2      values of the heads: one R̂ for each head of keys and values
//   P       the intermediate channels of an MLP: a permutation alone, as a rotation does not pass the product of gate and up
//
// Differs from the paper: its rotations stand at the input of every linear and are computed by the runtime; those of q, k, gate and up are here one for the residual
// stream, that of down_proj is left out (only its permutation is folded), and so is the smoothing before (SmoothQuantModifier). Channels are judged by their power over all
// tokens and not by their largest value: products of rotations then follow from H alone. Reflections in place of a random matrix for each swap: their first row is as
// even, and a step costs b² and not b³.
// Cost: one pass of the rows, N n² for each H; greedy steps · n b; folding P · b (rotate) twice for R1.
import { hessianDiagonal } from '../tensor/operations/observers.js';
import { rotate, type RotateArgs } from '../tensor/operations/transforms.js';
import { embedding } from '../tensor/operations/forward.js';
import { cast, gatherColumns, reshape } from '../tensor/operations/storage.js';
import type { Device, Tensor } from '../tensor/tensor.js';

/** Power of the channels and R [b, b], row by row. */
export interface BlockRotation {
  R: Float64Array;
  /** Largest power of a channel, before and after. */
  before: number;
  after: number;
}

/** `H` [b, b], symmetric; `random` in [0, 1). */
export function greedyRotation(H: Float64Array, b: number, steps: number, random: () => number): BlockRotation {
  const G = H.slice();
  const R = new Float64Array(b * b);
  for (let i = 0; i < b; i += 1) R[i * b + i] = 1;
  const strongest = (): number => {
    let best = 0;
    for (let i = 1; i < b; i += 1) if (G[i * b + i]! > G[best * b + best]!) best = i;
    return best;
  };
  let channel = strongest();
  const before = G[channel * b + channel]!;
  let [after, best] = [before, R.slice()];
  const u = new Float64Array(b);
  for (let step = 0; step < steps && b > 1; step += 1) {
    // Unit vector along e_channel − v, v even with random signs: I − 2uuᵀ takes e_channel to v.
    for (let i = 0; i < b; i += 1) u[i] = (random() < 0.5 ? 1 : -1) / Math.sqrt(b);
    u[channel]! -= 1;
    const length = Math.sqrt(u.reduce((sum, value) => sum + value * value, 0));
    for (let i = 0; i < b; i += 1) u[i]! /= length;
    reflectColumns(G, b, u);
    reflectRows(G, b, u);
    reflectColumns(R, b, u);
    channel = strongest();
    const most = G[channel * b + channel]!;
    if (most < after) [after, best] = [most, R.slice()];
  }
  return { R: best, before, after };
}

/** A ← A (I − 2uuᵀ). */
function reflectColumns(A: Float64Array, b: number, u: Float64Array): void {
  for (let i = 0; i < b; i += 1) {
    let product = 0;
    for (let j = 0; j < b; j += 1) product += A[i * b + j]! * u[j]!;
    for (let j = 0; j < b; j += 1) A[i * b + j]! -= 2 * product * u[j]!;
  }
}

/** A ← (I − 2uuᵀ) A. */
function reflectRows(A: Float64Array, b: number, u: Float64Array): void {
  const products = new Float64Array(b);
  for (let i = 0; i < b; i += 1) for (let j = 0; j < b; j += 1) products[j]! += A[i * b + j]! * u[i]!;
  for (let i = 0; i < b; i += 1) for (let j = 0; j < b; j += 1) A[i * b + j]! -= 2 * u[i]! * products[j]!;
}

/** New place → channel: by falling power, dealt to n / size blocks forth and back. A last block that is not full takes what is left. */
export function zigzag(power: ArrayLike<number>, size: number): Int32Array {
  const n = power.length;
  const n_blocks = Math.ceil(n / size);
  const order = Array.from({ length: n }, (_, channel) => channel).sort((a, b) => power[b]! - power[a]! || a - b);
  const blocks: number[][] = Array.from({ length: n_blocks }, () => []);
  const room = (block: number): number => Math.min(size, n - block * size) - blocks[block]!.length;
  let turn = 0;
  for (const channel of order) {
    let block = 0;
    do {
      const at = turn % (2 * n_blocks);
      block = at < n_blocks ? at : 2 * n_blocks - 1 - at;
      turn += 1;
    } while (room(block) <= 0);
    blocks[block]!.push(channel);
  }
  return Int32Array.from(blocks.flat());
}

/** Blocks [b, b] of the diagonal of a matrix [n, n] that is read row by row. */
export function diagonalBlocks(H: ArrayLike<number>, n: number, b: number): Float64Array[] {
  return Array.from({ length: n / b }, (_, block) =>
    Float64Array.from({ length: b * b }, (_, k) => H[(block * b + Math.floor(k / b)) * n + block * b + (k % b)]!),
  );
}

/** What turns the channels of one activation, in order. */
export type Turn = { rotation: Tensor } | { permutation: Tensor };

/** The matrices of one activation on a device. */
export function rotationTensor(device: Device, blocks: readonly BlockRotation[], b: number): Tensor {
  const values = new Float64Array(blocks.length * b * b);
  blocks.forEach(({ R }, index) => values.set(R, index * b * b));
  return device.fromBytes('F64', [blocks.length, b, b], new Uint8Array(values.buffer));
}

/** x turned along an axis by all of `turns`, in `dtype`: F32 between, the caller's. `gain` is multiplied into the columns first. */
export function turned(x: Tensor, gain: Tensor | null, turns: readonly Turn[], { axis, dtype }: RotateArgs): Tensor {
  let current = gain === null ? cast(x, 'F32') : withGain(x, gain);
  for (const turn of turns) {
    using before = current;
    current = 'rotation' in turn ? rotate(before, null, turn.rotation, { axis, dtype: 'F32' }) : permuted(before, turn.permutation, axis);
  }
  using last = current;
  return cast(last, dtype);
}

/** The product with the matrix of one, which folds the gain. */
function withGain(x: Tensor, gain: Tensor): Tensor {
  using one = x.device.fromBytes('F64', [1, 1, 1], new Uint8Array(Float64Array.of(1).buffer));
  return rotate(x, gain, one, { axis: 1, dtype: 'F32' });
}

/** Columns, or rows, in another order. Rows are looked up as an embedding's are. */
function permuted(x: Tensor, permutation: Tensor, axis: 0 | 1): Tensor {
  if (axis === 1) return gatherColumns(x, permutation);
  if (x.shape.length > 1) return embedding(x, permutation);
  using column = reshape(x, [x.shape[0] ?? 0, 1]);
  using moved = embedding(column, permutation);
  return reshape(moved, x.shape);
}

/** Σ x² of every channel, up to a common factor. */
export async function powerOf(H: Tensor): Promise<Float32Array> {
  using diagonal = hessianDiagonal(H);
  return diagonal.readFloats();
}
