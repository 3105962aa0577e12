// The contract of a storage format: which tensors stand for a quantized layer, and how they become a weight again.
import type { LayerPlan, QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { TensorReader } from '../tensor-reader.js';

/** What a quantizer chose, and the static input range where the scheme has one. */
export interface QuantizedLayer {
  /** Codes [rows, columns], one per byte: I8 integers, F8_E4M3, or U8 for floats of 4 bits. */
  q: Tensor;
  /** Dtype of the weight: tensor [1], channel [rows, 1], group [rows, groups], block; F32 where it is the quotient of two levels. */
  scale: Tensor;
  /** I8, shape of the scale; zeros when symmetric. */
  zeroPoint: Tensor;
  /** NVFP4: F8_E4M3 [rows, groups] and F32 [1]; null else. */
  levels: { scale: Tensor; global: Tensor } | null;
  /** I32 [columns], column → group; null for contiguous groups. */
  gIdx: Tensor | null;
  /** Calibrated inputs: [1] in the dtype of the weight, with I8 [1]; or the global scale of local inputs, F32 [1] alone. Null where nothing is calibrated. */
  input: { scale: Tensor; zeroPoint: Tensor | null } | null;
}

export interface NamedTensor {
  name: string;
  tensor: Tensor;
}

/** What the weight of a layer takes: codes, scales and zero points, without its shape, its bias and what quantizes inputs. */
export const weightBytes = (stored: readonly NamedTensor[]): number =>
  stored.filter(({ name }) => !/\.(weight_shape|input_\w+|bias)$/.test(name)).reduce((sum, { tensor }) => sum + tensor.bytes, 0);

export interface Format {
  /** New tensors of the layer, by their names in the checkpoint; the caller disposes them. */
  store(layer: LayerPlan, quantized: QuantizedLayer): NamedTensor[];
  /** The weight [rows, columns] that a reader of the file computes, in the dtype of its scale, BF16 for NVFP4 and MX. */
  load(reader: TensorReader, module: string, scheme: QuantizationScheme): Promise<Tensor>;
}

/** Quantize-dequantize of the input of a linear, as the stored scheme says. */
export interface InputQuantizer extends Disposable {
  /** One scale for the rows of a batch, from their values. */
  seesAllRows?: boolean;
  apply(input: Tensor): Tensor;
}
