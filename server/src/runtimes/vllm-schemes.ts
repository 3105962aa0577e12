// Which schemes vLLM has a class for: the decisions of its compressed-tensors loader, in its order, for linear layers and for experts.
import { isEncoded } from '../../../schemas/src/encoded-weights.js';
import type { QuantizationArgs, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { VllmRelease } from './vllm-releases.js';

/** Formats whose activations the loader reads. */
const activationFormats: readonly string[] = ['naive-quantized', 'int-quantized', 'float-quantized', 'nvfp4-pack-quantized'];

const isDynamic = ({ dynamic }: QuantizationArgs): boolean => dynamic !== false;

const isNvfp4 = (args: QuantizationArgs): boolean =>
  args.strategy === 'tensor_group' && args.type === 'float' && args.num_bits === 4 && args.group_size === 16 && args.symmetric;

const isMx = (args: QuantizationArgs): boolean =>
  args.strategy === 'group' &&
  args.type === 'float' &&
  args.group_size === 32 &&
  args.symmetric &&
  (args.num_bits === 4 || (args.num_bits === 8 && /uint8$/.test(args.scale_dtype ?? '')));

const inGroupsOrChannels = ({ strategy }: QuantizationArgs): boolean => strategy === 'group' || strategy === 'channel';

/** Why this release cannot load the layers, in one sentence; null when it can. `several` says that the checkpoint has more than one storage format. */
export function refusedBy(release: VllmRelease, scheme: QuantizationScheme, isExpert: boolean, several: boolean): string | null {
  const { weights } = scheme;
  if (scheme.format === 'vptq') return 'it has no loader for files of vptq, which that package alone reads';
  // vLLM has a loader of its own for bitsandbytes' files, of which these tables say nothing.
  if (weights === null || isEncoded(weights)) return null;
  if (weights.actorder === 'group' && !release.groupActorder)
    return 'it stops at actorder group and dynamic, whose weights come with an index per column; actorder static gives nearly the same accuracy and loads everywhere';
  if (several && !release.mixedFormats)
    return 'it takes one storage format for the whole checkpoint, and the groups of this one have several';
  const accepted = isExpert ? acceptsExperts(release, scheme, weights) : acceptsLinear(release, scheme, weights);
  return accepted ? null : whatItTakes(release, scheme, weights, isExpert);
}

function acceptsLinear(release: VllmRelease, scheme: QuantizationScheme, weights: QuantizationArgs): boolean {
  const { input_activations: input, output_activations: output, format } = scheme;
  if (isNvfp4(weights)) return input === null || isNvfp4(input);
  if (release.mx && isMx(weights)) return true;
  if (release.w4a8 && input !== null && isW4A8Float(weights, input)) return true;
  if (release.w8o8 && input !== null && output !== null && isStaticInt8(input) && isStaticInt8(output) && isStaticInt(weights)) return true;
  if (release.anyBits && input !== null && format === 'pack-quantized' && isDynamicIntInput(input) && isStaticInt(weights)) return true;
  if (input === null && inGroupsOrChannels(weights) && !isDynamic(weights) && format === 'pack-quantized')
    return release.anyBits || weights.num_bits === 4 || weights.num_bits === 8;
  if (!activationFormats.includes(format)) return false;
  if (isFloat8(release, weights)) return true;
  return input !== null && (isInt8(weights, input) || (release.w4a8 && isW4A8Int(weights, input)));
}

function acceptsExperts(release: VllmRelease, scheme: QuantizationScheme, weights: QuantizationArgs): boolean {
  const { input_activations: input, format } = scheme;
  if (release.mx && isMx(weights)) return true;
  if (input === null && inGroupsOrChannels(weights) && !isDynamic(weights))
    return (
      format === 'pack-quantized' &&
      (release.anyBits || weights.num_bits === 4 || weights.num_bits === 8) &&
      (weights.symmetric || release.asymmetricExperts)
    );
  if (isNvfp4(weights)) return input === null ? release.nvfp4a16Experts : isNvfp4(input);
  if (input === null) return false;
  if (isFloat8(release, weights) && input.type === 'float' && (isDynamic(input) || (input.symmetric && input.strategy === 'tensor')))
    return true;
  if (isInt8(weights, input) && isDynamic(input)) return true;
  return release.w4a8 && (isW4A8Float(weights, input) || isW4A8Int(weights, input));
}

const isStaticInt = (weights: QuantizationArgs): boolean => weights.type === 'int' && !isDynamic(weights) && inGroupsOrChannels(weights);

const isStaticInt8 = (args: QuantizationArgs): boolean =>
  args.type === 'int' && args.num_bits === 8 && args.strategy === 'tensor' && !isDynamic(args);

const isDynamicIntInput = (input: QuantizationArgs): boolean =>
  input.type === 'int' &&
  input.symmetric &&
  isDynamic(input) &&
  (input.strategy === 'token' || input.strategy === 'group') &&
  (input.num_bits === 8 || input.num_bits === 4);

/** With inputs it does not take, vLLM leaves them unquantized and keeps the weights. */
const isFloat8 = (release: VllmRelease, weights: QuantizationArgs): boolean =>
  weights.type === 'float' &&
  weights.symmetric &&
  !isDynamic(weights) &&
  (weights.strategy === 'tensor' || weights.strategy === 'channel' || (weights.strategy === 'block' && release.blockWeights));

const isInt8 = (weights: QuantizationArgs, input: QuantizationArgs): boolean =>
  weights.num_bits === 8 &&
  input.num_bits === 8 &&
  (weights.strategy === 'tensor' || weights.strategy === 'channel') &&
  weights.symmetric &&
  !isDynamic(weights) &&
  ((input.strategy === 'tensor' && !isDynamic(input)) || (input.strategy === 'token' && isDynamic(input)));

const isW4A8Int = (weights: QuantizationArgs, input: QuantizationArgs): boolean =>
  weights.num_bits === 4 &&
  input.num_bits === 8 &&
  inGroupsOrChannels(weights) &&
  weights.symmetric &&
  !isDynamic(weights) &&
  input.strategy === 'token' &&
  isDynamic(input);

/** On Hopper alone. */
const isW4A8Float = (weights: QuantizationArgs, input: QuantizationArgs): boolean =>
  isW4A8Int(weights, input) && weights.strategy === 'group' && input.symmetric;

function whatItTakes(release: VllmRelease, scheme: QuantizationScheme, weights: QuantizationArgs, isExpert: boolean): string {
  const { input_activations: input } = scheme;
  const of = isExpert ? 'for experts it has' : 'it has';
  if (weights.type === 'float')
    return `${of} floating-point weights of 8 bits, symmetric, per tensor${release.blockWeights ? ', channel or block' : ' or channel'}${isExpert ? ' with quantized inputs' : ''}, NVFP4${isExpert && !release.nvfp4a16Experts ? ' with NVFP4 inputs' : ''}${release.mx ? ', MXFP4 and MXFP8' : ''}`;
  if (input === null)
    return `${of} weight-only integers ${release.anyBits ? '' : 'of 4 or 8 bits '}per group or channel${isExpert && !release.asymmetricExperts ? ', symmetric' : ''}`;
  return `${of} integer weights with quantized inputs as 8 bits, symmetric, per channel or tensor, with 8-bit inputs per token (dynamic)${isExpert ? '' : ' or per tensor (static)'}${release.w4a8 ? ', or as 4 bits, symmetric, per group or channel, with dynamic 8-bit inputs per token' : ''}`;
}

/** The same for kv_cache_scheme. */
export function cacheRefusedBy(release: VllmRelease, cache: QuantizationArgs): string | null {
  const isFloat = cache.type === 'float';
  const isEight = cache.num_bits === 8;
  if (release.cacheFloatOnly ? !(isFloat && isEight) : !isFloat && !isEight) return 'its cache takes floats of 8 bits alone';
  if (!release.cacheStrategies.includes(cache.strategy)) return `its cache takes strategy ${release.cacheStrategies.join(' or ')}`;
  return cache.symmetric ? null : 'its cache takes symmetric scales alone';
}
