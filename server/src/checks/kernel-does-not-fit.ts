// Weight-only integers that vLLM's kernels do not take in these shapes: it stops at load, needs another GPU, type or package, or gets slower.
import type { LayerPlan, QuantizationScheme } from '../../../schemas/src/generated/plan.js';
import type { Problem, ProblemFix, ProblemSeverity } from '../../../schemas/src/problem.js';
import { layersByScheme } from '../plan/assign-layers.js';
import type { Resolution } from '../plan/resolution.js';
import { runtimeOf, tensorParallelSize } from '../runtimes/named-runtime.js';
import { kernelsFor } from '../runtimes/vllm-kernels.js';
import type { KernelAnswer, KernelQuestion } from '../runtimes/vllm-kernels.js';
import { vllmLinears } from '../runtimes/vllm-linears.js';
import type { VllmLinear } from '../runtimes/vllm-linears.js';
import { releasesFor } from '../runtimes/vllm-releases.js';
import type { VllmRelease } from '../runtimes/vllm-releases.js';
import { shareOf } from '../runtimes/vllm-share.js';
import type { Check } from './check.js';
import { ignoreFixOf } from './ignore-edits.js';
import { sentence } from './sentence.js';

interface Verdict {
  level: number;
  answers: readonly KernelAnswer[];
  release: VllmRelease;
}

interface Finding extends Verdict {
  linear: VllmLinear;
  question: KernelQuestion;
}

/** Level → how severe: fits, slower, on some machines alone, nowhere. */
const severities: readonly (ProblemSeverity | null)[] = [null, 'information', 'warning', 'error'];

export const kernelDoesNotFit: Check = {
  code: 'kernel-does-not-fit',
  run(resolution) {
    const { document, layers } = resolution;
    const runtime = runtimeOf(document.value);
    if (runtime?.name !== 'vllm') return [];
    const gpus = tensorParallelSize(document.value);
    const releases = releasesFor(runtime.version);
    const found = new Map<QuantizationScheme, Finding[]>();
    // The blocks of a model repeat their shapes, so few questions are asked of many layers.
    const verdicts = new Map<string, Verdict | null>();
    for (const linear of vllmLinears(layers)) {
      const question = questionOf(linear, gpus, resolution);
      const scheme = linear.members[0]?.scheme ?? null;
      if (question === null || scheme === null) continue;
      const key = Object.values(question).join(' ');
      let verdict = verdicts.get(key);
      if (verdict === undefined) verdicts.set(key, (verdict = verdictOn(question, releases)));
      if (verdict === null) continue;
      const known = found.get(scheme);
      if (known === undefined) found.set(scheme, [{ linear, question, ...verdict }]);
      else known.push({ linear, question, ...verdict });
    }
    if (found.size === 0) return [];
    const layersOf = layersByScheme(layers);
    return [...found].map(([scheme, findings]) => problemOf(scheme, findings, gpus, resolution, layersOf.get(scheme) ?? []));
  },
};

/** null for a layer that vLLM's kernels for weight-only integers are not asked about. */
function questionOf(linear: VllmLinear, gpus: number, { model }: Resolution): KernelQuestion | null {
  const share = shareOf(linear, gpus, model?.architecture ?? null);
  const weights = linear.members[0]?.scheme?.weights ?? null;
  if (share === null || weights === null || !isWeightOnlyInteger(linear.members[0]?.scheme ?? null)) return null;
  const question: KernelQuestion = {
    num_bits: weights.num_bits,
    symmetric: weights.symmetric,
    group_size: weights.group_size ?? -1,
    hasIndex: weights.actorder === 'group',
    ...share,
  };
  // A group in pieces is another problem's to tell, and no kernel takes it.
  return question.group_size !== -1 && share.inputs % question.group_size !== 0 ? null : question;
}

/** The mildest of the answers that speak for the version; null where the layer fits. */
function verdictOn(question: KernelQuestion, releases: readonly VllmRelease[]): Verdict | null {
  const verdicts = releases.flatMap((release): Verdict[] => {
    if (release.kernels === null) return [];
    const answers = kernelsFor(question, release.kernels);
    return [{ release, answers, level: levelOf(answers) }];
  });
  const mildest = verdicts.reduce<Verdict | null>((best, one) => (best === null || one.level < best.level ? one : best), null);
  return mildest === null || mildest.level === 0 ? null : mildest;
}

/** What vLLM gives to its kernels for mixed precision; other widths are refused before (runtime-cannot-load). */
function isWeightOnlyInteger(scheme: QuantizationScheme | null): boolean {
  if (scheme === null || scheme.weights === null || scheme.input_activations !== null || scheme.format !== 'pack-quantized') return false;
  const { type, num_bits, strategy } = scheme.weights;
  return type === 'int' && (num_bits === 4 || num_bits === 8) && (strategy === 'group' || strategy === 'channel');
}

function levelOf(answers: readonly KernelAnswer[]): number {
  if (answers.length === 0) return 3;
  const everywhere = answers.find((answer) => answer.only === null && answer.package === null);
  if (everywhere === undefined) return 2;
  return everywhere.slower === null ? 0 : 1;
}

/** Speaks of those of the scheme's layers that fare worst. */
function problemOf(
  scheme: QuantizationScheme,
  all: readonly Finding[],
  gpus: number,
  { quantization }: Resolution,
  layers: readonly LayerPlan[],
): Problem {
  const worst = all.reduce((best, one) => (one.level > best.level ? one : best));
  const { question, release, level } = worst;
  const findings = all.filter((finding) => finding.level === level);
  const answers = [...new Map(findings.flatMap((finding) => finding.answers).map((answer) => [answer.kernel, answer])).values()];
  const owner = quantization.findLast(({ groups }) => groups.some((group) => group.scheme === scheme));
  const group = owner?.groups.find((candidate) => candidate.scheme === scheme);
  const path = group?.path ?? [];
  const inGroups = path.includes('config_groups');
  const shapes = [...new Set(findings.map(({ linear, question: { inputs, outputs } }) => `${linear.role} ${outputs} × ${inputs}`))];
  const where = gpus === 1 ? '' : ` on each of ${gpus} GPUs`;
  const what = `${findings.length} ${findings.length === 1 ? 'layer' : 'layers'} (${shapes.join(', ')}${where}; ${textOf(question)})`;
  const roles = [...new Set(findings.flatMap(({ linear }) => linear.members.map(({ role }) => role)))];
  const affected = findings.reduce((sum, { linear }) => sum + linear.members.length, 0);
  const isPart = affected < layers.length;
  const size = inGroups ? fittingSize(all, gpus, layers, scheme) : null;
  const ways = [
    ...(size === null ? [] : [`use group_size ${size}`]),
    ...(isPart ? [`add ${roles.join(', ')} to ignore`] : size === null ? ['choose another scheme'] : []),
    ...(gpus > 1 ? ['lower tensor_parallel_size'] : []),
  ];
  const fixes: ProblemFix[] = [];
  if (size !== null)
    fixes.push({
      title: `Use group_size ${size}`,
      preferred: true,
      edits: [{ kind: 'replace-value', path: [...path, 'weights', 'group_size'], text: String(size) }],
    });
  if (owner !== undefined && isPart)
    fixes.push(
      ignoreFixOf(
        owner.modifier,
        findings.flatMap(({ linear }) => linear.members),
        layers,
      ),
    );
  return {
    code: 'kernel-does-not-fit',
    severity: severities[level] ?? 'warning',
    path,
    at: inGroups ? 'key' : 'value',
    message: `${verdict(release, answers, level)} ${what}. ${need(findings)} ${sentence(ways.join(', or '))}.`,
    fixes,
  };
}

const textOf = ({ num_bits, symmetric, group_size, hasIndex }: KernelQuestion): string =>
  `${num_bits} bits${symmetric ? '' : ', asymmetric'}, ${group_size === -1 ? 'channel' : `group_size ${group_size}`}${hasIndex ? ', actorder group' : ''}`;

function verdict(release: VllmRelease, answers: readonly KernelAnswer[], level: number): string {
  const name = sentence(release.name);
  if (level === 3) return `${name} has no kernel for NVIDIA GPUs and stops at load of`;
  if (level === 2) return `${name} has only ${answers.map(conditionText).join(' or ')} for`;
  const [chosen] = answers.filter((answer) => answer.only === null && answer.package === null);
  return `${name} takes ${chosen?.kernel ?? ''}, which ${chosen?.slower ?? ''}, for`;
}

const conditionText = (answer: KernelAnswer): string =>
  answer.package === null ? `${answer.kernel} (${answer.only ?? ''})` : `${answer.kernel} (with the package ${answer.package})`;

/** What of Marlin's conditions the layers do not meet. */
function need(findings: readonly Finding[]): string {
  const some = (isMissed: (question: KernelQuestion) => boolean): boolean => findings.some(({ question }) => isMissed(question));
  const wants = [
    ...(some(({ symmetric, num_bits }) => !symmetric && num_bits !== 4) ? ['symmetric weights for 8 bits'] : []),
    ...(some(({ group_size }) => ![-1, 32, 64, 128].includes(group_size)) ? ['groups of 32, 64 or 128 or one per channel'] : []),
    ...(some(({ inputs, outputs }) => inputs % 128 !== 0 || outputs % 64 !== 0) ? ['inputs in multiples of 128 and outputs of 64'] : []),
  ];
  return `Its usual kernel, Marlin, wants ${wants.join(', and ')}.`;
}

/** A group_size that every layer of the scheme can have and every kernel takes; null where the shapes stand in the way. */
function fittingSize(findings: readonly Finding[], gpus: number, layers: readonly LayerPlan[], scheme: QuantizationScheme): number | null {
  if (scheme.weights?.strategy !== 'group') return null;
  const fits = (size: number): boolean =>
    layers.every(({ columns }) => columns % (size * gpus) === 0) &&
    findings.every(
      ({ question, release }) => release.kernels !== null && levelOf(kernelsFor({ ...question, group_size: size }, release.kernels)) === 0,
    );
  return [128, 64, 32].find(fits) ?? null;
}
