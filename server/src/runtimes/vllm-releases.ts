// What the sources of vLLM say, release by release: only those are here whose compressed-tensors loader and kernels were read.
import { compareReleases, releaseOf } from './named-runtime.js';

export interface VllmRelease {
  /** As a message names it. */
  name: string;
  release: readonly number[];
  /** Groups of one checkpoint may have different storage formats. */
  mixedFormats: boolean;
  /** 8-bit float weights with a scale per tile. */
  blockWeights: boolean;
  /** 4-bit integer weights with 8-bit activations. */
  w4a8: boolean;
  /** MXFP4 and MXFP8. */
  mx: boolean;
  /** NVFP4 weights of experts without quantized activations. */
  nvfp4a16Experts: boolean;
  /** Integer weights with static int8 inputs and outputs. */
  w8o8: boolean;
  /** Weight-only integers of 3, 5, 6 and 7 bits, and integer weights of any width in packed storage with dynamic integer activations. */
  anyBits: boolean;
  /** Weights in the column order of their activations, stored with weight_g_idx. */
  groupActorder: boolean;
  /** Zero points of experts, where their Marlin kernel takes the shapes. */
  asymmetricExperts: boolean;
  quantizedHead: boolean;
  quantizedEmbedding: boolean;
  cacheStrategies: readonly string[];
  /** A cache of 8-bit integers is refused; before, only what is neither float nor 8 bits. */
  cacheFloatOnly: boolean;
  /** null where the kernels of this source were not read. */
  kernels: 'strict tiles' | 'strict tiles, conch' | 'padded tiles' | null;
}

const first: VllmRelease = {
  name: 'vLLM 0.9.2',
  release: [0, 9, 2],
  mixedFormats: false,
  blockWeights: false,
  w4a8: false,
  mx: false,
  nvfp4a16Experts: false,
  w8o8: false,
  anyBits: false,
  groupActorder: true,
  asymmetricExperts: false,
  quantizedHead: false,
  quantizedEmbedding: false,
  cacheStrategies: ['tensor'],
  cacheFloatOnly: false,
  kernels: 'strict tiles',
};
const september: VllmRelease = {
  ...first,
  name: 'the vLLM of September 2026',
  release: [Infinity],
  mixedFormats: true,
  blockWeights: true,
  w4a8: true,
  mx: true,
  nvfp4a16Experts: true,
  w8o8: true,
  anyBits: true,
  groupActorder: false,
  asymmetricExperts: true,
  quantizedHead: true,
  quantizedEmbedding: true,
  cacheStrategies: ['tensor', 'attn_head'],
  cacheFloatOnly: true,
  kernels: null,
};
const v0_10_2: VllmRelease = {
  ...first,
  name: 'vLLM 0.10.2',
  release: [0, 10, 2],
  mixedFormats: true,
  w4a8: true,
  kernels: 'strict tiles, conch',
};
const v0_11_0: VllmRelease = { ...v0_10_2, name: 'vLLM 0.11.0', release: [0, 11, 0], blockWeights: true };
const v0_13_0: VllmRelease = { ...v0_11_0, name: 'vLLM 0.13.0', release: [0, 13, 0] };
const v0_24_0: VllmRelease = {
  ...september,
  name: 'vLLM 0.24.0',
  release: [0, 24, 0],
  anyBits: false,
  groupActorder: true,
  kernels: 'padded tiles',
};

/** Oldest first. */
const vllmReleases: readonly VllmRelease[] = [first, v0_10_2, v0_11_0, v0_13_0, v0_24_0, september];

/**
 * The sources that speak for a version: itself where it was read, else its neighbours, which a message may only follow where they agree. Without
 * a version it is a recent one.
 */
export function releasesFor(version: string | null): readonly [VllmRelease] | readonly [VllmRelease, VllmRelease] {
  if (version === null) return [v0_24_0, september];
  const asked = releaseOf(version);
  const newer = vllmReleases.find(({ release }) => compareReleases(release, asked) >= 0) ?? september;
  const older = vllmReleases.findLast(({ release }) => compareReleases(release, asked) <= 0) ?? first;
  return newer === older ? [newer] : [older, newer];
}
