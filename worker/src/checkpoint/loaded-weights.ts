// The weights of a part of a model, loaded: as they are stored, or dequantized exactly as any reader of the file would get them.
import type { QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { WeightSource } from '../models/model.js';
import type { Tensor } from '../tensor/tensor.js';
import { loadQuantizedWeight } from './formats/compressed-tensors.js';
import { loadInOrder } from './formats/gguf.js';
import type { InputQuantizer } from './formats/format.js';
import { loadInputQuantizer } from './formats/inputs.js';
import type { TensorReader } from './tensor-reader.js';

export type SchemeOf = (module: string) => QuantizationScheme | null;

/** Owns its tensors; a replaced one is freed at once. */
export class LoadedWeights implements WeightSource, Disposable {
  private readonly tensors = new Map<string, Tensor>();
  private readonly inputs = new Map<string, InputQuantizer>();
  /** Names of the tensors that a transform changed. */
  readonly replaced = new Set<string>();

  get seesAllRows(): boolean {
    return [...this.inputs.values()].some((quantizer) => quantizer.seesAllRows);
  }

  has(tensorName: string): boolean {
    return this.tensors.has(tensorName);
  }

  tensor(tensorName: string): Tensor {
    const tensor = this.tensors.get(tensorName);
    if (tensor === undefined) throw new Error(`The tensor ${tensorName} was asked for and is not among the loaded weights.`);
    return tensor;
  }

  linear(module: string): ReturnType<WeightSource['linear']> {
    const [A, B] = ['lora_A', 'lora_B'].map((matrix) => this.tensors.get(`${module}.${matrix}.weight`));
    const quantizer = this.inputs.get(module);
    return {
      weight: this.tensor(`${module}.weight`),
      bias: this.tensors.get(`${module}.bias`) ?? null,
      quantizeInput: quantizer ? (input) => quantizer.apply(input) : null,
      adapter: A && B ? { A, B } : null,
    };
  }

  replace(tensorName: string, tensor: Tensor): void {
    this.tensors.get(tensorName)?.dispose();
    this.tensors.set(tensorName, tensor);
    this.replaced.add(tensorName);
  }

  add(tensorName: string, tensor: Tensor): void {
    this.tensors.get(tensorName)?.dispose();
    this.tensors.set(tensorName, tensor);
  }

  addInputQuantizer(module: string, quantizer: InputQuantizer): void {
    this.inputs.get(module)?.[Symbol.dispose]();
    this.inputs.set(module, quantizer);
  }

  [Symbol.dispose](): void {
    for (const tensor of this.tensors.values()) tensor.dispose();
    for (const quantizer of this.inputs.values()) quantizer[Symbol.dispose]();
    this.tensors.clear();
    this.inputs.clear();
  }
}

const partsOfQuantized =
  /\.((?:(?:res|outlier)_)?centroids\.weight|(?:outlier_)?indices|perm|weight_bias|weight|weight\.(?:nested_)?(?:absmax|quant_map)|weight\.quant_state\.bitsandbytes__\w+|weight_packed|weight_scale|weight_global_scale|weight_shape|weight_zero_point|weight_g_idx|input_scale|input_zero_point|input_global_scale)$/;

/** Loads the tensors whose names the caller wants, by their names in the unquantized model: `M.weight` stands for whatever M is stored as. */
export async function loadWeights(
  reader: TensorReader,
  isWanted: (tensorName: string) => boolean,
  schemeOf: SchemeOf,
): Promise<LoadedWeights> {
  const weights = new LoadedWeights();
  try {
    for (const name of reader.names) {
      const module = name.replace(partsOfQuantized, '');
      const scheme = module === name ? null : schemeOf(module);
      if (scheme?.weights) {
        // Of its several tensors one stands for the weight.
        const first = { bitsandbytes: '.weight.absmax', vptq: '.indices', gguf: '.weight' }[scheme.format as string] ?? '.weight_scale';
        if (name.endsWith(first) && isWanted(`${module}.weight`)) await loadQuantized(reader, module, scheme, weights);
      } else if (isWanted(name)) {
        const heads = name.endsWith('.bias') ? schemeOf(name.slice(0, -'.bias'.length))?.weights?.gguf_heads : undefined;
        weights.add(name, heads === undefined ? reader.load(name) : await loadInOrder(reader, name, heads));
        if (scheme && name.endsWith('.weight')) addInputQuantizer(reader, module, scheme, weights);
      }
    }
    return weights;
  } catch (error) {
    weights[Symbol.dispose]();
    throw error;
  }
}

async function loadQuantized(reader: TensorReader, module: string, scheme: QuantizationScheme, weights: LoadedWeights): Promise<void> {
  weights.add(`${module}.weight`, await loadQuantizedWeight(reader, module, scheme));
  addInputQuantizer(reader, module, scheme, weights);
}

function addInputQuantizer(reader: TensorReader, module: string, scheme: QuantizationScheme, weights: LoadedWeights): void {
  const quantizer = loadInputQuantizer(reader, module, scheme);
  if (quantizer !== null) weights.addInputQuantizer(module, quantizer);
}
