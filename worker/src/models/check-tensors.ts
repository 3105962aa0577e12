// Compares the tensors of a folder with what its config.json says of the architecture, before a weight is read.
import type { ArchitectureFacts, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { blockContradictions, expectedTensors } from '../../../schemas/src/model/architecture-tensors.js';
import { rowBytes } from '../../../schemas/src/model/gguf-types.js';
import { runFailure } from '../../../schemas/src/run-failure.js';

/** Throws one failure that names every tensor that is missing or has another shape. Quantized weights are compared where their storage keeps the shape. */
export function checkTensors(model: ModelDescription, facts: ArchitectureFacts): void {
  const shapes = new Map(model.tensors.map(({ name, shape }) => [name, shape]));
  const findings: string[] = [];
  for (const [name, shape] of expectedTensors(facts)) {
    const found = shapes.get(name);
    const isPacked = found === undefined && shapes.has(`${name}_packed`);
    const scheme = model.quantization?.layers[name.slice(0, -'.weight'.length)];
    const isQuantized = scheme?.weights;
    const blocks = scheme?.format === 'gguf' ? scheme.weights?.gguf_type : undefined;
    if (blocks !== undefined) {
      const [rows, columns = 0] = shape;
      const inFile = isFloat(blocks) ? columns : rowBytes(blocks, columns);
      if (found?.[0] !== rows || found?.[1] !== inFile)
        findings.push(
          found === undefined
            ? `${name} is missing`
            : `${name} has ${blocks} rows [${found.join(', ')}] where [${rows}, ${inFile}] is implied`,
        );
      continue;
    }
    if (scheme?.format === 'bitsandbytes') {
      if (found === undefined || !shapes.has(`${name}.absmax`))
        findings.push(`${found === undefined ? name : `${name}.absmax`} is missing`);
      continue;
    }
    if (scheme?.format === 'vptq') {
      const module = name.slice(0, -'.weight'.length);
      findings.push(
        ...['centroids.weight', 'indices'].filter((part) => !shapes.has(`${module}.${part}`)).map((part) => `${module}.${part} is missing`),
      );
      continue;
    }
    if (found === undefined && !isPacked) findings.push(`${name} is missing`);
    else if (isQuantized && !shapes.has(`${name}_scale`))
      findings.push(`${name}_scale is missing, and quantization_config names the layer`);
    else if (found !== undefined && found.join() !== shape.join())
      findings.push(`${name} is [${found.join(', ')}] where config.json implies [${shape.join(', ')}]`);
  }
  // A block that is missing is said by its tensors.
  if (findings.length === 0) findings.push(...blockContradictions(model.tensors, facts));
  const cached = model.tensors.find(({ name }) => /\.[kv]_scale$/.test(name));
  if (cached !== undefined)
    throw runFailure.fileUnreadable(
      model.dir,
      `it has ${cached.name}, so its keys and values are quantized in the cache (kv_cache_scheme), which Bitwright does not compute yet`,
    );
  if (findings.length === 0) return;
  const more = findings.length > 3 ? `; and ${findings.length - 3} more such tensors` : '';
  throw runFailure.fileUnreadable(
    model.dir,
    `its tensors are not those of ${model.architecture_name ?? 'the architecture that config.json names'}: ${findings.slice(0, 3).join('; ')}${more}`,
  );
}

const isFloat = (type: string): boolean => type === 'F32' || type === 'F16' || type === 'BF16';
