// Which of vLLM's kernels for weight-only integers take a layer: their conditions, kernel by kernel, in the order in which vLLM asks them on NVIDIA GPUs.
import type { VllmRelease } from './vllm-releases.js';

/** One GPU's share of a linear layer, as vLLM asks its kernels about it. */
export interface KernelQuestion {
  num_bits: number;
  symmetric: boolean;
  /** -1: one scale per channel. */
  group_size: number;
  /** Stored with weight_g_idx. */
  hasIndex: boolean;
  inputs: number;
  outputs: number;
  /** Before the split. */
  allInputs: number;
}

export interface KernelAnswer {
  kernel: string;
  /** Where it runs; null: on every NVIDIA GPU that the scheme runs on. */
  only: string | null;
  /** A package that vLLM does not bring. */
  package: string | null;
  /** It runs, and slower than it could. */
  slower: string | null;
}

const marlinGroups: readonly number[] = [-1, 32, 64, 128];
const macheteGroups: readonly number[] = [-1, 64, 128];
const bitblasGroups = marlinGroups;
const conchGroups: readonly number[] = [-1, 128];
const tritonGroups: readonly number[] = [-1, 32, 64, 128, 256];

const divides = (size: number, extent: number): boolean => extent % size === 0;
const wholeGroups = ({ group_size, inputs }: KernelQuestion): boolean => group_size === -1 || divides(group_size, inputs);
const isSplit = ({ inputs, allInputs }: KernelQuestion): boolean => inputs !== allInputs;

/** Empty: vLLM stops while it loads the layer. */
export function kernelsFor(question: KernelQuestion, kernels: NonNullable<VllmRelease['kernels']>): KernelAnswer[] {
  const padded = kernels === 'padded tiles';
  const answers: (KernelAnswer | null)[] = [
    machete(question),
    allSpark(question),
    padded ? paddedMarlin(question) : marlin(question),
    padded ? humming(question) : bitblas(question),
    kernels === 'strict tiles' ? null : conch(question, padded),
    exllama(question, padded),
    padded ? triton(question) : null,
  ];
  return answers.filter((answer) => answer !== null);
}

const takes = (kernel: string, conditions: Partial<Omit<KernelAnswer, 'kernel'>>): KernelAnswer => ({
  kernel,
  only: null,
  package: null,
  slower: null,
  ...conditions,
});

const isMarlinType = ({ num_bits, symmetric, group_size }: KernelQuestion): boolean =>
  (symmetric || num_bits === 4) && marlinGroups.includes(group_size);

const fitsTiles = ({ inputs, outputs }: KernelQuestion): boolean => divides(64, outputs) && divides(128, inputs);

function marlin(question: KernelQuestion): KernelAnswer | null {
  return isMarlinType(question) && fitsTiles(question) && wholeGroups(question) ? takes('Marlin', {}) : null;
}

/** Since it pads with zeros, tiles cost time and stop nothing; an index per column cannot be padded. */
function paddedMarlin(question: KernelQuestion): KernelAnswer | null {
  if (!isMarlinType(question) || !wholeGroups(question) || (question.hasIndex && !fitsTiles(question))) return null;
  const fits = fitsTiles(question) || (divides(128, question.outputs) && divides(64, question.inputs));
  return takes('Marlin', { slower: fits ? null : 'pads weights and activations with zeros on every pass' });
}

function machete(question: KernelQuestion): KernelAnswer | null {
  const { group_size, inputs, outputs, hasIndex } = question;
  const fits = macheteGroups.includes(group_size) && divides(64, inputs) && divides(128, outputs);
  return fits && !(hasIndex && isSplit(question)) ? takes('Machete', { only: 'Hopper GPUs' }) : null;
}

function allSpark({ num_bits, symmetric, group_size, inputs, outputs, hasIndex }: KernelQuestion): KernelAnswer | null {
  const fits = num_bits === 8 && symmetric && group_size === -1 && !hasIndex && divides(16, inputs) && divides(16, outputs);
  return fits ? takes('AllSpark', { only: 'Ampere and Ada GPUs' }) : null;
}

function bitblas(question: KernelQuestion): KernelAnswer | null {
  const { group_size, inputs, outputs } = question;
  const fits = bitblasGroups.includes(group_size) && divides(16, inputs) && divides(16, outputs) && wholeGroups(question);
  return fits ? takes('BitBLAS', { package: 'bitblas' }) : null;
}

const humming = ({ symmetric, hasIndex }: KernelQuestion): KernelAnswer | null => (symmetric && !hasIndex ? takes('Humming', {}) : null);

const conch = ({ group_size, hasIndex }: KernelQuestion, padded: boolean): KernelAnswer | null =>
  conchGroups.includes(group_size) && !(padded && hasIndex) ? takes('Conch', { package: 'conch-triton-kernels' }) : null;

function exllama(question: KernelQuestion, padded: boolean): KernelAnswer | null {
  const { num_bits, symmetric, group_size, outputs, allInputs, hasIndex } = question;
  const fits = symmetric && divides(32 / num_bits, outputs) && divides(group_size, allInputs) && !(padded && group_size === -1);
  return fits && !(hasIndex && isSplit(question)) ? takes('Exllama', { only: '--dtype float16', slower: 'is the slowest' }) : null;
}

function triton(question: KernelQuestion): KernelAnswer | null {
  const { num_bits, group_size, outputs, allInputs, hasIndex } = question;
  const fits =
    num_bits === 4 && divides(8, outputs) && (tritonGroups.includes(group_size) || group_size === allInputs) && wholeGroups(question);
  return fits && !hasIndex ? takes('Triton', { slower: 'stands behind all the others' }) : null;
}
