// The runtime of output.runtime has no way to load what this recipe writes: known from the format and the schemes, before hours of work.
import type { LayerPlan, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import { isSolved } from '../../../schemas/src/modifiers.js';
import type { Problem, ProblemFix } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import { schemeText } from '../plan/scheme-text.js';
import { expandArgs } from '../plan/quantization-args.js';
import type { ResolvedModifier, Resolution } from '../plan/resolution.js';
import { coerceTo, mappingOf } from '../recipe/coerce.js';
import { runtimeOf } from '../runtimes/named-runtime.js';
import { releasesFor } from '../runtimes/vllm-releases.js';
import type { VllmRelease } from '../runtimes/vllm-releases.js';
import { cacheRefusedBy, refusedBy } from '../runtimes/vllm-schemes.js';
import type { Check } from './check.js';
import { ignoreEdits } from './ignore-edits.js';
import { sentence } from './sentence.js';

const code = 'runtime-cannot-load';
type Releases = ReturnType<typeof releasesFor>;
type Refusal = (release: VllmRelease) => string | null;

/** What the other runtimes read, and how such a file comes about today. */
const otherFormats = {
  'llama.cpp': 'llama.cpp reads GGUF files, and this recipe writes compressed-tensors. Quantize with GGUFModifier, or say runtime: vllm',
  onnxruntime:
    'ONNX Runtime reads ONNX files, and Bitwright writes none so far. Export and quantize the original model with its own tools, or say runtime: vllm',
} as const;

export const runtimeCannotLoad: Check = {
  code: 'runtime-cannot-load',
  run(resolution) {
    const runtime = runtimeOf(resolution.document.value);
    if (runtime === null || resolution.model === null || runtime.name === 'transformers') return [];
    if (runtime.name === 'llama.cpp' && resolution.gguf !== null) return [];
    if (runtime.name !== 'vllm')
      return [{ code, severity: 'error', path: ['output', 'runtime'], at: 'value', message: `${otherFormats[runtime.name]}.` }];
    const releases = releasesFor(runtime.version);
    const problems = [
      ...ofGroups(resolution, releases),
      ...resolution.quantization.flatMap(({ modifier }) => ofCache(modifier, releases)),
      ...ofUncommonLayers(resolution, releases),
    ];
    // Of several at one place the first is kept.
    return [...problems.filter(isError), ...problems.filter((problem) => !isError(problem))];
  },
};

const isError = ({ severity }: Problem): boolean => severity === 'error';

function ofGroups({ quantization, layers }: Resolution, releases: Releases): Problem[] {
  const layersOf = layersByScheme(layers);
  const several = new Set([...layersOf.keys()].flatMap(({ weights, format }) => (weights === null ? [] : [format]))).size > 1;
  return quantization.flatMap((resolved) => ofModifier(resolved, layersOf, several, releases));
}

function ofModifier(
  { modifier, groups }: ResolvedModifier,
  layersOf: ReturnType<typeof layersByScheme>,
  several: boolean,
  releases: Releases,
): Problem[] {
  return groups.flatMap(({ scheme, path, name }): Problem[] => {
    if (scheme === null) return [];
    const members = (layersOf.get(scheme) ?? []).filter(({ kind, role }) => kind === 'Linear' && role !== 'lm_head');
    const experts = members.filter(isExpert);
    const parts = [experts, members.filter((layer) => !isExpert(layer))].filter((part) => part.length > 0);
    const inGroups = path.includes('config_groups');
    return parts.flatMap((part) => {
      const refusal: Refusal = (release) => refusedBy(release, scheme, part === experts, several);
      const found = judge(releases, refusal, `${schemeText(scheme)} (${name}, ${counted(part)})`);
      if (found === null) return [];
      const order = ofOrder(scheme, modifier.body, modifier.path, path);
      const fixes = inGroups
        ? [...order, ...ofSymmetry(scheme, path, (changed) => everyLoads(releases, changed, part === experts, several))]
        : order;
      return [{ ...found, path, at: inGroups ? ('key' as const) : ('value' as const), fixes }];
    });
  });
}

const isExpert = ({ name }: LayerPlan): boolean => /\.experts\.\d+\./.test(name);
const counted = (layers: readonly LayerPlan[]): string =>
  `${layers.length} ${layers.length === 1 ? 'layer' : 'layers'}, first ${layers[0]?.name ?? ''}`;

const everyLoads = (releases: Releases, scheme: QuantizationScheme, expert: boolean, several: boolean): boolean =>
  releases.every((release) => refusedBy(release, scheme, expert, several) === null);

/** An error where every source that speaks for the version refuses; where two differ, only the newer one's refusal is a warning. */
function judge(releases: Releases, refusal: Refusal, what: string): Pick<Problem, 'code' | 'severity' | 'message'> | null {
  const answers = releases.map((release) => ({ release, reason: refusal(release) }));
  const refusing = answers.filter(({ reason }) => reason !== null);
  const [last] = refusing.slice(-1);
  if (last === undefined) return null;
  const names = refusing.map(({ release }) => release.name).join(' and ');
  const loads = answers.find(({ reason }) => reason === null);
  const message = `${sentence(names)} cannot load ${what}: ${last.reason ?? ''}.`;
  if (loads === undefined) return { code, severity: 'error', message: `${message} Change the scheme or the runtime.` };
  const isNewer = last.release === releases.at(-1);
  return {
    code,
    severity: isNewer ? 'warning' : 'information',
    message: `${message} ${sentence(loads.release.name)} loads it. Name the version that you serve with in output.runtime, or change the scheme.`,
  };
}

function ofOrder(
  { weights }: QuantizationScheme,
  body: Readonly<Record<string, unknown>>,
  at: Problem['path'],
  group: Problem['path'],
): ProblemFix[] {
  if (weights?.actorder !== 'group') return [];
  const path = body['actorder'] === undefined ? [...group, 'weights', 'actorder'] : [...at, 'actorder'];
  if (body['actorder'] === undefined && !group.includes('config_groups')) return [];
  return [{ title: 'Change actorder to static', preferred: true, edits: [{ kind: 'replace-value', path, text: 'static' }] }];
}

function ofSymmetry(scheme: QuantizationScheme, path: Problem['path'], loads: (scheme: QuantizationScheme) => boolean): ProblemFix[] {
  const { weights } = scheme;
  if (weights === null || weights.symmetric || !loads({ ...scheme, weights: { ...weights, symmetric: true } })) return [];
  const edit = { kind: 'replace-value' as const, path: [...path, 'weights', 'symmetric'], text: 'true' };
  return [{ title: 'Make the weights symmetric', preferred: true, edits: [edit] }];
}

function ofCache({ body, path }: ResolvedModifier['modifier'], releases: Releases): Problem[] {
  const said = coerceTo('object', body['kv_cache_scheme']);
  if (said === undefined) return [];
  const at = [...path, 'kv_cache_scheme'];
  const args = expandArgs(mappingOf(said), at, false, null, []);
  const found = judge(
    releases,
    (release) => cacheRefusedBy(release, args),
    `kv_cache_scheme with ${args.type} of ${args.num_bits} bits, strategy ${args.strategy}`,
  );
  return found === null ? [] : [{ ...found, path: at, at: 'key' }];
}

/** The head and the embedding are layers of another class in vLLM, which older releases keep unquantized. */
function ofUncommonLayers({ layers, quantization }: Resolution, releases: Releases): Problem[] {
  return layers.flatMap((layer): Problem[] => {
    const { scheme, kind, role, name } = layer;
    if (scheme === null || scheme.weights === null || (kind !== 'Embedding' && role !== 'lm_head')) return [];
    // Solvers pass over embeddings: they are written as they were.
    if (kind === 'Embedding' && isSolved(layer)) return [];
    const owner = quantization.findLast(({ groups }) => groups.some((group) => group.scheme === scheme));
    if (owner === undefined) return [];
    const { type, strategy } = scheme.weights;
    const fits = type === 'int' && (strategy === 'group' || strategy === 'channel') && scheme.input_activations === null;
    const refusal: Refusal = (release) => {
      if (role === 'lm_head')
        return release.quantizedHead
          ? refusedBy(release, scheme, false, false)
          : 'it keeps the output head unquantized and stops at tensors of a quantized one';
      if (!release.quantizedEmbedding) return 'it keeps embeddings unquantized and stops at tensors of a quantized one';
      return fits ? null : 'its embeddings take weight-only integers per group or channel';
    };
    const found = judge(releases, refusal, `a quantized ${name} (${schemeText(scheme)})`);
    return found === null
      ? []
      : [
          {
            ...found,
            message: found.message.replace('Change the scheme or the runtime.', `Add ${name} to ignore, or change the runtime.`),
            path: owner.modifier.path,
            at: 'key',
            fixes: [{ title: `Ignore ${name}`, preferred: true, edits: ignoreEdits(owner.modifier, [name]) }],
          },
        ];
  });
}
