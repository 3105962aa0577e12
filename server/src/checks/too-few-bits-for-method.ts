// Bits so few that the method of the recipe leaves little of a model: it is known before the run, by what the same choice has done to others.
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { informationBits } from '../../../schemas/src/levels.js';
import type { Problem, RecipePath } from '../../../schemas/src/problem.js';
import type { Resolution, ResolvedModifier } from '../plan/resolution.js';
import { saidArgs, type ObserverPlace } from '../plan/said-observers.js';
import type { Check } from './check.js';

interface Finding {
  place: ObserverPlace;
  what: string;
  /** What it did where it was measured: bench/quality/results.md, W4 of one scale and inputs in the page of this problem. */
  seen: string;
  way: string;
}

export const tooFewBitsForMethod: Check = {
  code: 'too-few-bits-for-method',
  run: (resolution) => resolution.quantization.flatMap((resolved) => inGroups(resolved, resolution)),
};

function inGroups({ modifier, groups }: ResolvedModifier, resolution: Resolution): Problem[] {
  return groups.flatMap((group) => {
    const { scheme } = group;
    if (scheme === null) return [];
    const layers = resolution.layers.filter((layer) => layer.scheme === scheme && layer.kind === 'Linear').length;
    if (resolution.model !== null && layers === 0) return [];
    return findings(modifier.name, scheme, resolution).map(({ place, what, seen, way }) => {
      const path: RecipePath = saidArgs(modifier, group, place)?.path ?? group.path;
      return {
        code: 'too-few-bits-for-method',
        // A text without its model is an example to be read.
        severity: resolution.model === null ? 'information' : 'warning',
        path,
        at: 'key',
        message: `${layers === 0 ? '' : `${layers} ${layers === 1 ? 'layer gets' : 'layers get'} `}${what}, which leaves little of most models: ${seen}. ${way}`,
      };
    });
  });
}

function findings(modifier: string, scheme: QuantizationScheme, { awq, corrections }: Resolution): Finding[] {
  const { weights, input_activations: inputs } = scheme;
  const isAdapted = corrections.some(({ modifier: { name } }) => name === 'LowRankResidualModifier' || name === 'OutlierSplitModifier');
  const ofWeights = weights === null || weights.type !== 'int' || isAdapted ? null : weightFinding(modifier, weights, awq.length > 0);
  const ofInputs = inputs === null ? null : inputFinding(inputs);
  return [...(ofWeights === null ? [] : [{ place: 'weights' as const, ...ofWeights }]), ...(ofInputs === null ? [] : [ofInputs])];
}

function weightFinding(modifier: string, args: QuantizationArgs, isScaled: boolean): Omit<Finding, 'place'> | null {
  const { num_bits, levels, strategy, symmetric } = args;
  const isRounded = modifier === 'QuantizationModifier';
  if (!isRounded && modifier !== 'GPTQModifier') return null;
  const method = isRounded ? 'rounded to nearest' : 'by GPTQ';
  const bits = levels === undefined ? `weights of ${num_bits} ${num_bits === 1 ? 'bit' : 'bits'}` : `${levels} weights`;
  const solve = 'Solve for the codes with BeaconModifier, or with VPTQModifier at 2 bits, or use more bits.';
  if (strategy === 'tensor' && num_bits <= 4)
    return {
      what: `${bits} ${method} with one scale for a whole matrix`,
      seen: isRounded
        ? 'with 4 bits the perplexity of the small Llama stories260K became 6.2 times what it was'
        : 'with 4 bits the perplexity of the small Llama stories260K became 3.4 times what it was',
      way: 'Use strategy: channel, or group.',
    };
  if (isRounded && informationBits(args) <= 2)
    return {
      what: `${bits} ${method}`,
      seen: 'the perplexity of the small Llama stories260K went from 3.8 to 293 in groups of 4 and to 842 with one scale for each row',
      way: solve,
    };
  if (isRounded && num_bits === 3 && levels === undefined && strategy === 'channel' && !isScaled)
    return {
      what: `${bits} ${method} with one scale for each row`,
      seen: 'the perplexity of the small Llama stories260K went from 3.8 to 12.4',
      way: 'Use strategy: group, or solve for the codes with BeaconModifier or GPTQModifier.',
    };
  if (!isRounded && num_bits <= 2 && symmetric && levels === undefined)
    return {
      what: `symmetric ${bits} ${method}`,
      seen: 'the perplexity of the small Llama stories260K went from 3.8 to 33 in groups of 4 and to 581 with one scale for each row',
      way: `Use symmetric: false, which takes 7.7 there in groups of 4. ${solve}`,
    };
  return null;
}

function inputFinding({ type, num_bits, dynamic, strategy }: QuantizationArgs): Finding | null {
  if (type !== 'int' || num_bits > 4 || dynamic !== false || strategy !== 'tensor') return null;
  return {
    place: 'input_activations',
    what: `inputs of ${num_bits} bits in one fixed range for all tokens`,
    seen: 'with 4 bits and weights of 8 the perplexity of the small Llama stories260K became 14 times what it was',
    way: 'Use dynamic: true with strategy: token, where it became 1.3 times, or 8 bits.',
  };
}
