// The vptq package's storage of vectors, read back: the tensors stand in worker/src/quantizers/vptq.ts. Packed indices alone, as it writes them for use.
import type { QuantizationScheme } from '../../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../../schemas/src/run-failure.js';
import { vptqValues } from '../../tensor/operations/formats.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { TensorReader } from '../tensor-reader.js';

/** The weight [rows, columns] in the dtype of its codebook. */
export async function loadVptq(reader: TensorReader, module: string, scheme: QuantizationScheme): Promise<Tensor> {
  const vectors = scheme.weights?.vectors;
  const [rows, columns] = vectors?.shape ?? [];
  if (vectors === undefined || rows === undefined || columns === undefined)
    throw runFailure.fileUnreadable(reader.file(`${module}.indices`), `its config.json does not give the sizes of ${module}`);
  const { num_res_centroids, outlier_size, enable_perm, enable_norm, vector_len, outlier_vector_len } = vectors;
  using packed = reader.load(`${module}.indices`);
  using centroids = reader.load(`${module}.centroids.weight`);
  using resCentroids = num_res_centroids > 0 ? reader.load(`${module}.res_centroids.weight`) : null;
  using outlierIndices = outlier_size > 0 ? await loadHalves(reader, `${module}.outlier_indices`) : null;
  using outlierCentroids = outlier_size > 0 ? reader.load(`${module}.outlier_centroids.weight`) : null;
  using perm = enable_perm ? await loadHalves(reader, `${module}.perm`) : null;
  using scale = enable_norm ? reader.load(`${module}.weight_scale`) : null;
  using bias = enable_norm ? reader.load(`${module}.weight_bias`) : null;
  return vptqValues(
    {
      packed,
      centroids,
      resCentroids,
      outliers: outlierIndices && outlierCentroids ? { indices: outlierIndices, centroids: outlierCentroids } : null,
      perm,
      norm: scale && bias ? { scale, bias } : null,
    },
    { rows, columns, vector_len, outlier_vector_len },
  );
}

/** Unsigned numbers of 16 bits, which the file calls I16, as I32. */
async function loadHalves(reader: TensorReader, name: string): Promise<Tensor> {
  using stored = reader.load(name);
  if (stored.dtype !== 'I16')
    throw runFailure.fileUnreadable(reader.file(name), `${name} is ${stored.dtype}, and packed vectors have I16 there`);
  const bytes = await stored.read();
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
  return stored.device.fromInts(stored.shape, Int32Array.from(halves));
}
