// A file with weights → what a person looks at first: format, facts, metadata and the table of tensors, from its header alone, whatever of the three formats it has.
import { bytesText } from '../bytes-text.js';
import type { FileTensor, ModelFileFacts, ModelFileFormat } from '../protocol/model-file-page.js';
import { readGgufHeader, type GgufValue } from './gguf-header.js';
import type { ModelFiles } from './model-files.js';
import { readOnnxHeader } from './onnx-header.js';
import { readSafetensorsHeader } from './safetensors-header.js';

/** Formats by the endings of their files, which the manifest opens in the editor of model files. */
export const modelFileFormats: Readonly<Record<string, ModelFileFormat>> = {
  '.safetensors': 'safetensors',
  '.gguf': 'GGUF',
  '.onnx': 'ONNX',
};
export const formatOf = (name: string): ModelFileFormat | null => modelFileFormats[name.slice(name.lastIndexOf('.')).toLowerCase()] ?? null;

/** Throws a HeaderError for a header that cannot be followed, and what the file access throws. */
export async function readModelFile(files: ModelFiles, file: string, name: string): Promise<ModelFileFacts> {
  switch (formatOf(name)) {
    case 'GGUF':
      return ggufFacts(files, file, name);
    case 'ONNX':
      return onnxFacts(files, file, name);
    default:
      return safetensorsFacts(files, file, name);
  }
}

async function safetensorsFacts(files: ModelFiles, file: string, name: string): Promise<ModelFileFacts> {
  const header = await readSafetensorsHeader(files, file, name);
  const tensors = [...header.tensors]
    .sort((a, b) => a.offset - b.offset)
    .map(({ name: tensor, dtype, shape, bytes, offset }) => ({ name: tensor, dtype, shape, bytes, offset, file: null }));
  return {
    format: 'safetensors',
    size: header.size,
    facts: [...commonFacts(tensors, header.size), { name: 'Header', value: bytesText(header.dataStart) }],
    metadata: Object.entries(header.metadata).map(([key, value]) => ({ key, value })),
    tensors,
    problems: [],
  };
}

async function ggufFacts(files: ModelFiles, file: string, name: string): Promise<ModelFileFacts> {
  const header = await readGgufHeader(files, file, name);
  const tensors = header.tensors.map(({ name: tensor, type, shape, bytes, offset }) => ({
    name: tensor,
    dtype: type,
    shape,
    bytes,
    offset,
    file: null,
  }));
  const byteOrder = header.littleEndian ? '' : ', big-endian';
  return {
    format: 'GGUF',
    size: header.size,
    facts: [
      { name: 'Version', value: `${header.version}${byteOrder}` },
      ...commonFacts(tensors, header.size),
      { name: 'Alignment', value: `${header.alignment} bytes` },
      { name: 'Header', value: bytesText(header.dataStart) },
    ],
    metadata: header.metadata.map(({ key, value }) => ({ key, value: valueText(value) })),
    tensors,
    problems: header.problems,
  };
}

async function onnxFacts(files: ModelFiles, file: string, name: string): Promise<ModelFileFacts> {
  const header = await readOnnxHeader(files, file, name);
  const tensors = header.tensors.map(({ name: tensor, type, shape, bytes, externalFile, offset }) => ({
    name: tensor,
    dtype: type,
    shape,
    bytes,
    offset,
    file: externalFile,
  }));
  const initializers = new Set(tensors.map((tensor) => tensor.name));
  const listed = (names: readonly string[]): string => names.join(', ') || 'none';
  return {
    format: 'ONNX',
    size: header.size,
    facts: [
      { name: 'IR version', value: header.irVersion === null ? 'not said' : String(header.irVersion) },
      {
        name: 'Operator sets',
        value: listed(header.opsets.map(({ domain, version }) => `${domain === '' ? 'ai.onnx' : domain} ${version}`)),
      },
      ...(header.producer === '' ? [] : [{ name: 'Producer', value: header.producer }]),
      ...commonFacts(tensors, header.size),
      {
        name: 'Nodes',
        value:
          header.n_nodes === 0
            ? '0'
            : `${header.n_nodes}: ${header.operators.map(([operator, nodes]) => `${operator} ${nodes}`).join(', ')}`,
      },
      // Before IR version 4 every initializer is an input as well.
      { name: 'Inputs', value: listed(header.inputs.filter((input) => !initializers.has(input))) },
      { name: 'Outputs', value: listed(header.outputs) },
    ],
    metadata: header.metadata,
    tensors,
    problems: header.problems,
  };
}

function commonFacts(tensors: readonly FileTensor[], size: number): ModelFileFacts['facts'] {
  const values = tensors.reduce((sum, { shape }) => sum + shape.reduce((product, extent) => product * extent, 1), 0);
  const bytes = tensors.reduce((sum, tensor) => sum + (tensor.bytes ?? 0), 0);
  const byType = new Map<string, number>();
  for (const tensor of tensors) byType.set(tensor.dtype, (byType.get(tensor.dtype) ?? 0) + (tensor.bytes ?? 0));
  const types = [...byType].sort((a, b) => b[1] - a[1]).map(([dtype, stored]) => `${dtype} ${bytesText(stored)}`);
  return [
    { name: 'File', value: bytesText(size) },
    { name: 'Tensors', value: `${tensors.length}, ${values.toLocaleString('en-US')} values in ${bytesText(bytes)}` },
    ...(values === 0 ? [] : [{ name: 'Bits per value', value: ((8 * bytes) / values).toFixed(2) }]),
    ...(types.length === 0 ? [] : [{ name: 'Types', value: types.join(', ') }]),
  ];
}

/** A value of GGUF for a person; of an array its length and its first elements. */
function valueText(value: GgufValue): string {
  if (typeof value === 'string') return value;
  // 32 bits of a floating point number are seven digits.
  if (typeof value === 'number') return Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(7)));
  if (typeof value !== 'object') return String(value);
  const first = value.first.map((element) => (typeof element === 'string' ? JSON.stringify(element) : valueText(element)));
  return `${value.length} × ${value.type}: ${first.join(', ')}${value.length > first.length ? ', …' : ''}`;
}
