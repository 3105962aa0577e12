// The model as far as the run has got: tensors of finished units from their shards, everything else from the source.
import path from 'node:path';
import type { LayerPlan, ModelTensor, QuantizationPlan } from '../../../schemas/src/generated/plan.js';
import type { SchemeOf } from '../checkpoint/loaded-weights.js';
import { modelTensors, openTensorReader, type PlacedTensor, type TensorReader } from '../checkpoint/tensor-reader.js';
import type { Device } from '../tensor/tensor.js';
import { isStored, isUntied, type WorkUnit } from './layer-jobs.js';
import type { RunJournal } from './run-journal.js';

export class WrittenModel {
  constructor(
    private readonly plan: QuantizationPlan,
    private readonly units: readonly WorkUnit[],
    private readonly journal: RunJournal,
  ) {}

  /** Layers that finished units store quantized. */
  get stored(): LayerPlan[] {
    const quantized = new Set(this.plan.layers.filter(isStored).map(({ name }) => name));
    return this.journal.finished.flatMap(({ unit }) => this.units[unit]?.layers ?? []).filter(({ name }) => quantized.has(name));
  }

  get tensors(): PlacedTensor[] {
    // The weight of a tied head is the embedding's, which stays.
    const replaced = new Set(this.stored.filter((layer) => layer.tied_to === null).map((layer) => layer.tensor));
    const source = modelTensors(this.plan.model).filter(({ tensor }) => !replaced.has(tensor.name));
    const written = this.journal.finished.flatMap(({ shard }) =>
      shard ? shard.tensors.map((tensor) => this.place(shard.file, tensor)) : [],
    );
    const byName = new Map([...source, ...written].map((placed) => [placed.tensor.name, placed]));
    return [...byName.values(), ...this.untiedHead(byName)];
  }

  reader(device: Device): TensorReader {
    return openTensorReader(device, this.tensors);
  }

  schemeOf(): SchemeOf {
    const schemes = new Map(this.stored.map((layer) => [layer.name, asWritten(layer)]));
    return (module) => schemes.get(module) ?? null;
  }

  private place(file: string, tensor: ModelTensor): PlacedTensor {
    return { tensor, file: path.join(this.journal.dir, file) };
  }

  /** A head that was tied to an embedding which is quantized now, and is not quantized itself, keeps the embedding as it was under its own name. */
  private untiedHead(known: ReadonlyMap<string, PlacedTensor>): PlacedTensor[] {
    if (!isUntied(this.plan)) return [];
    return this.plan.layers.flatMap((layer) => {
      const name = `${layer.name}.weight`;
      const isStored = [...known.keys()].some(
        (tensor) => tensor === name || tensor.startsWith(`${name}_`) || tensor === `${layer.name}.indices`,
      );
      const source = modelTensors(this.plan.model).find(({ tensor }) => tensor.name === layer.tensor);
      if (layer.tied_to === null || isStored || source === undefined) return [];
      return [{ ...source, tensor: { ...source.tensor, name } }];
    });
  }
}

/** Vectors are read with the sizes of their layer beside them, as config.json has them. */
function asWritten({ scheme, rows, columns }: LayerPlan): LayerPlan['scheme'] {
  const vectors = scheme?.weights?.vectors;
  if (!scheme?.weights || vectors === undefined) return scheme;
  return { ...scheme, weights: { ...scheme.weights, vectors: { ...vectors, shape: [rows, columns] } } };
}
