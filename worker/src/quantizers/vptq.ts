// VPTQ, codebooks of vectors: Liu et al., arXiv 2409.17066. The k-means and the walk through the columns are native (quantize_vptq, legend in quantizers/vptq.cc);
// here stand the order of the columns, the tensors that the vptq package reads, and what is reported.
//
//   indices                  I32 [groups, ⌈O / v⌉, words]: indices of both codebooks in a stream of bits
//   centroids.weight         [groups, k · v]; res_centroids.weight [groups, k_res · v] where there is a second codebook
//   outlier_indices          I16 [1, ⌈O / 4⌉, outliers], and outlier_centroids.weight [1, k_out · 4]
//   perm                     I16 [I], both read as unsigned: the columns in the order along which groups and outliers are formed
//   weight_scale, weight_bias   [I]
import type { RunProblem } from '../../../schemas/src/generated/report.js';
import type { Vectors, VptqPlan } from '../../../schemas/src/generated/plan.js';
import { indexBits } from '../../../schemas/src/model/vptq-config.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { vptqPack, vptqValues } from '../tensor/operations/formats.js';
import { quantizeVptq } from '../tensor/operations/quantizers.js';
import { reshape } from '../tensor/operations/storage.js';
import type { Tensor } from '../tensor/tensor.js';
import type { EncodedWeight, Encoder } from './encoder.js';
import { layerProblem } from './layer-problem.js';
import type { QuantizerInput, SharedHessian } from './quantizer.js';
import { factorOf, factorProblems } from './solver-problems.js';

export const vptq: Encoder<VptqPlan> = {
  encode: async (input) => {
    const { layer, plan, weight } = input;
    const vectors = layer.scheme?.weights?.vectors;
    if (vectors === undefined) throw runFailure.planInvalid(`${layer.name} has a scheme without vectors`);
    const { hessian, problems } = await livingInputs(input);
    const ordered = plan.enable_perm && hessian !== null;
    const factored = hessian && (await factorOf(layer, hessian, plan.dampening_frac, ordered ? 'descending' : 'original'));
    const order = ordered ? hessian.order() : null;
    if (factored)
      problems.push(
        ...factorProblems(layer, plan.dampening_frac, factored.findings),
        ...deadColumns(input, factored.findings.dead_columns),
      );
    const { kiter, ktol, kseed, block_size } = plan;
    const sizes = { ...sizesOf(vectors), stores_order: vectors.enable_perm, kiter, ktol, kseed, block_size };
    const codes = quantizeVptq(weight, factored?.inverse() ?? null, hessian?.diagonal() ?? null, order, sizes);
    const parts: EncodedWeight['parts'][number][] = [];
    using indices = codes.indices;
    using scale = codes.scale;
    using bias = codes.bias;
    using outlierIndices = codes.outliers?.indices ?? null;
    codes.errors.dispose();
    const add = (suffix: string, tensor: Tensor): Tensor => {
      parts.push({ suffix, tensor });
      return tensor;
    };
    try {
      const packed = add('.indices', vptqPack(indices, { bits: indexBits(vectors) }));
      const centroids = add('.centroids.weight', codes.centroids);
      const resCentroids = codes.resCentroids && add('.res_centroids.weight', codes.resCentroids);
      const outlierCentroids = codes.outliers && add('.outlier_centroids.weight', codes.outliers.centroids);
      if (outlierIndices) add('.outlier_indices', await inHalves(outlierIndices));
      if (vectors.enable_perm) add('.perm', order === null ? unordered(weight, layer.columns) : await inHalves(order));
      if (vectors.enable_norm) {
        add('.weight_scale', reshape(scale, scale.shape));
        add('.weight_bias', reshape(bias, bias.shape));
      }
      const read = vptqValues(
        {
          packed,
          centroids,
          resCentroids,
          outliers: outlierIndices && outlierCentroids ? { indices: outlierIndices, centroids: outlierCentroids } : null,
          perm: vectors.enable_perm ? order : null,
          norm: vectors.enable_norm ? { scale, bias } : null,
        },
        { rows: layer.rows, columns: layer.columns, vector_len: vectors.vector_len, outlier_vector_len: vectors.outlier_vector_len },
      );
      return { parts, read, grid: null, findings: factored?.findings ?? null, problems };
    } catch (error) {
      for (const { tensor } of parts) tensor.dispose();
      throw error;
    }
  },
};

function sizesOf({ vector_len, num_centroids, num_res_centroids, group_num, outlier_size, outlier_num_centroids, enable_norm }: Vectors) {
  return { vector_len, num_centroids, num_res_centroids, group_num, outlier_size, outlier_num_centroids, enable_norm };
}

/** Without inputs every column weighs the same and no error is spread: plain k-means. */
async function livingInputs({ layer, hessian }: QuantizerInput): Promise<{ hessian: SharedHessian | null; problems: RunProblem[] }> {
  const reached = hessian !== null && !(await hessian.dead.read()).every((flag) => flag === 1);
  if (reached) return { hessian, problems: [] };
  const reason = hessian === null ? 'no calibration row reached it' : 'all of its calibration inputs are zero';
  return {
    hessian: null,
    problems: [
      layerProblem(
        layer,
        'solver-without-inputs',
        'warning',
        `${layer.name} gets the codebook of a plain k-means instead of VPTQ's: ${reason}. Use more varied calibration rows, or add the layer to ignore.`,
      ),
    ],
  };
}

function deadColumns({ layer }: QuantizerInput, count: number): RunProblem[] {
  if (count === 0) return [];
  const message = `${count} of ${layer.columns} input columns of ${layer.name} were zero in every calibration row; their weights had no say in the codebook and get its nearest vectors. More varied rows would weigh them.`;
  return [layerProblem(layer, 'solver-dead-columns', 'information', message)];
}

/** I32 of at most 65535 as the unsigned numbers of 16 bits that the file calls I16. */
async function inHalves(tensor: Tensor): Promise<Tensor> {
  const bytes = await tensor.read();
  const halves = Uint16Array.from(new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4));
  return tensor.device.fromBytes('I16', tensor.shape, new Uint8Array(halves.buffer));
}

const unordered = ({ device }: Tensor, columns: number): Tensor =>
  device.fromBytes('I16', [columns], new Uint8Array(Uint16Array.from({ length: columns }, (_, column) => column).buffer));
