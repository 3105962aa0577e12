// The numbers of one quantized layer: how far its weights and its outputs moved, and the arrays that its picture needs.
//
//   W     weight before quantization (after transforms)
//   What  weight that a reader of the checkpoint computes
//   H     Hessian of the calibration inputs
import type { LayerPlan } from '../../../schemas/src/generated/plan.js';
import type { LayerMetrics, PruningMetrics } from '../../../schemas/src/generated/report.js';
import { informationBits, levelsFacts } from '../../../schemas/src/levels.js';
import type { WeightArgs } from '../tensor/grid-args.js';
import { compare, hessianError, histogram, summary } from '../tensor/operations/metrics.js';
import { clippedShare } from '../tensor/operations/quantizers.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Sidecar } from './sidecar.js';
import { weightPicture } from './weight-picture.js';

const n_bins = 128;

export interface MeasuredWeights {
  layer: LayerPlan;
  W: Tensor;
  What: Tensor;
  H: Tensor | null;
  bytesAfter: number;
  seconds: number;
  findings: { dampening_frac: number; dead_columns: number } | null;
  /** Null where nothing prunes the layer. */
  pruning: PruningMetrics | null;
}

export interface MeasuredLayer extends MeasuredWeights {
  grid: { args: WeightArgs; scale: Tensor; zeroPoint: Tensor; gIdx: Tensor | null };
}

/** `draws`: its picture is wanted too, which takes some more passes over the weight. */
export async function measureLayer(measured: MeasuredLayer, sidecar: Sidecar, draws = true): Promise<LayerMetrics> {
  const { W } = measured;
  const { args, scale, zeroPoint, gIdx } = measured.grid;
  using clipped = clippedShare(W, scale, zeroPoint, gIdx, args);
  const shared = await measureWeights(measured, sidecar, draws);
  const [clippedPart = 0] = await clipped.readDoubles();
  const grid = sidecar.floats(await gridOfMedianScale(scale, zeroPoint, args));
  return {
    ...shared,
    scheme: schemeText(measured.layer),
    num_bits: args.num_bits,
    group_size: args.strategy === 'group' || args.strategy === 'tensor_group' ? args.group_size : null,
    symmetric: args.symmetric,
    strategy: args.strategy,
    information_bits: informationBits(args),
    clipped_share: clippedPart,
    grid,
  };
}

/** Of a weight whose bytes a method made itself, or that is pruned alone: there is no scale to ask for what lies outside. */
export async function measureEncoded(
  measured: MeasuredWeights,
  grid: Float32Array | null,
  scheme: string | null,
  sidecar: Sidecar,
): Promise<LayerMetrics> {
  const shared = await measureWeights(measured, sidecar, true);
  const weights = measured.layer.scheme?.weights;
  return {
    ...shared,
    scheme,
    num_bits: weights?.num_bits ?? null,
    group_size: weights?.group_size ?? null,
    symmetric: null,
    strategy: null,
    clipped_share: null,
    grid: grid === null ? null : sidecar.floats(grid),
  };
}

/** What is asked of a weight and its quantized form, whatever the form. */
async function measureWeights(
  { layer, W, What, H, bytesAfter, findings, pruning, seconds }: MeasuredWeights,
  sidecar: Sidecar,
  draws: boolean,
) {
  using numbers = summary(W);
  const [, , , min = 0, max = 0] = await numbers.readDoubles();
  using sums = compare(W, What);
  using errors = H && hessianError(W, What, H);
  const width = max > min ? { min, max } : { min: min - 0.5, max: max + 0.5 };
  using counts = histogram(W, { ...width, n_bins });
  const [squaresBefore = 0, squaresAfter = 0, squaredError = 0, product = 0] = await sums.readDoubles();
  const [outputError = 0, output = 0] = errors ? await errors.readDoubles() : [];
  const count = layer.rows * layer.columns;
  const counted = sidecar.counts(await readCounts(counts), width);
  const groupSize = layer.scheme?.weights?.group_size ?? 0;
  const picture = draws && (await weightPicture(W, What, width, groupSize > 0 && groupSize < layer.columns ? groupSize : 1, sidecar));
  return {
    name: layer.name,
    role: layer.role,
    block: layer.block,
    rows: layer.rows,
    columns: layer.columns,
    quantizer: layer.quantizer?.name ?? null,
    bits_per_weight: (bytesAfter * 8) / count,
    bytes_before: W.bytes,
    bytes_after: bytesAfter,
    weight_mse: squaredError / count,
    weight_sqnr_db: squaredError > 0 ? 10 * Math.log10(squaresBefore / squaredError) : null,
    weight_cosine: squaresBefore > 0 && squaresAfter > 0 ? product / Math.sqrt(squaresBefore * squaresAfter) : null,
    relative_output_error: errors && output > 0 ? outputError / output : null,
    dampening_frac: findings?.dampening_frac ?? null,
    dead_columns: findings?.dead_columns ?? null,
    ...(pruning === null ? {} : { pruning }),
    seconds,
    histogram: counted,
    ...(picture ? { picture } : {}),
  };
}

/** Short text of the scheme in force, e.g. int4 g128 sym. */
export function schemeText(layer: LayerPlan): string | null {
  const weights = layer.scheme?.weights;
  if (!weights) return null;
  const scope =
    { group: `g${weights.group_size}`, tensor_group: `g${weights.group_size}`, channel: 'channel', tensor: 'tensor' }[
      weights.strategy as string
    ] ?? weights.strategy;
  const inputs = layer.scheme?.input_activations;
  const inputText = inputs
    ? `, inputs ${inputs.type}${inputs.num_bits} per ${inputs.strategy} ${inputs.dynamic ? 'dynamic' : 'static'}`
    : '';
  return `${weights.type}${weights.num_bits} ${weights.levels === undefined ? '' : `${weights.levels} `}${scope} ${weights.symmetric ? 'sym' : 'asym'}${inputText}`;
}

/** All bins lie inside [min, max], so the counts below and above are zero and left out. */
async function readCounts(counts: Tensor): Promise<Uint32Array> {
  const bytes = await counts.read();
  return Uint32Array.from(new BigInt64Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 8).slice(0, n_bins), Number);
}

/**
 * Representable values (code − zero_point) · scale of one cell: the cell whose scale is the median of the layer, since a picture has room for
 * one grid and a layer has one per channel or group.
 */
async function gridOfMedianScale(
  scale: Tensor,
  zeroPoint: Tensor,
  { type, num_bits, symmetric, levels }: WeightArgs,
): Promise<Float32Array> {
  const scales = decodeFloats(await scale.read(), scale.dtype);
  const zeroPoints = new Int8Array(await zeroPoint.read());
  const order = [...scales.keys()].sort((a, b) => (scales[a] ?? 0) - (scales[b] ?? 0) || a - b);
  const cell = order[Math.floor(order.length / 2)] ?? 0;
  if (type === 'float') return Float32Array.from(floatGrid(num_bits), (value) => value * (scales[cell] ?? 0));
  if (levels !== undefined) return Float32Array.from(levelsFacts[levels].values(num_bits), (value) => value * (scales[cell] ?? 0));
  const lowest = -(2 ** (num_bits - 1));
  const offset = symmetric ? 0 : (zeroPoints[cell] ?? 0);
  return Float32Array.from({ length: 2 ** num_bits }, (_, code) => (lowest + code - offset) * (scales[cell] ?? 0));
}

/** Values of E2M1 (4 bits) or E4M3 (8) from the lowest to the highest; 0 once. */
function floatGrid(num_bits: number): number[] {
  const [mantissa, bias, n_positive] = num_bits === 4 ? [2, 1, 8] : [8, 7, 127];
  const positive = Array.from({ length: n_positive }, (_, code) => {
    const exponent = Math.floor(code / mantissa);
    const fraction = (code % mantissa) / mantissa;
    return exponent === 0 ? fraction * 2 ** (1 - bias) : (1 + fraction) * 2 ** (exponent - bias);
  });
  return [
    ...positive
      .slice(1)
      .map((value) => -value)
      .reverse(),
    ...positive,
  ];
}

function decodeFloats(bytes: Uint8Array, dtype: string): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (dtype === 'F32') return Float32Array.from({ length: bytes.byteLength / 4 }, (_, i) => view.getFloat32(4 * i, true));
  const halves = { length: bytes.byteLength / 2 };
  if (dtype === 'F16') return Float32Array.from(halves, (_, i) => decodeHalf(view.getUint16(2 * i, true)));
  const word = new DataView(new ArrayBuffer(4));
  return Float32Array.from(halves, (_, i) => {
    word.setUint32(0, view.getUint16(2 * i, true) << 16);
    return word.getFloat32(0);
  });
}

/** IEEE 754 binary16: 1 sign bit, 5 of exponent, 10 of mantissa. */
function decodeHalf(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const mantissa = bits & 0x3ff;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 0x1f) return mantissa ? NaN : sign * Infinity;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
