// A key that its mapping does not have: what became of it, or which one is near.
import type { Problem, ProblemFix } from '../../../schemas/src/problem.js';
import { nearestName } from './did-you-mean.js';
import { knownKeys } from './recipe-schema.js';
import { problemAt, type Refusal } from './refusal.js';

/** Fields of older releases → what became of them. */
const retiredFields: Record<string, string> = {
  percdamp: 'the field is called dampening_frac',
  sequential_update: 'it was removed in llm-compressor 0.8; runs are always sequential',
  sequential_targets: 'it became an argument of oneshot in 0.11',
  quantize: 'it was removed; give scheme or config_groups',
  num_calibration_steps: 'it was removed from the quantization modifiers; use calibration.num_calibration_samples',
  disable_quantization_observer_epoch: 'it belonged to training and was removed',
  group: 'the loader sets it itself, from the name of the *_modifiers key',
};

/** AWQModifier quantized on its own until 0.10. */
const awqPart =
  'valid until llm-compressor 0.10; in 0.11 the quantization part became a modifier of its own, such as QuantizationModifier, behind AWQModifier';
const retiredOfModifiers: ReadonlyMap<string, string> = new Map([
  ...['scheme', 'targets', 'ignore', 'config_groups'].map((field): [string, string] => [`AWQModifier.${field}`, awqPart]),
  ['GGUFModifier.scheme', 'it is called type here, as in llama.cpp'],
  ['AWQModifier.max_chunk_memory', 'valid until llm-compressor 0.10; nothing takes its place'],
]);

export function unknownField(refusal: Refusal): Problem {
  const { path, params, document, field } = refusal;
  const key = String(params['additionalProperty']);
  const known = knownKeys(path);
  const near = nearestName(key, known);
  const retired = retiredOfModifiers.get(`${field}.${key}`) ?? (Object.hasOwn(retiredFields, key) ? retiredFields[key] : undefined);
  const what = `${key} is not a field of ${field}`;
  const way = retired !== undefined ? `: ${retired}.` : near !== null ? `; did you mean ${near}?` : `; it has ${known.join(', ')}.`;
  const fixes: ProblemFix[] = [];
  const isType = field === 'GGUFModifier' && key === 'scheme' && document.valueAt([...path, 'type']) === undefined;
  if (retired === undefined && near !== null)
    fixes.push({ title: `Rename to ${near}`, preferred: true, edits: [{ kind: 'replace-key', path: [...path, key], text: near }] });
  const called = key === 'percdamp' ? 'dampening_frac' : isType ? 'type' : null;
  if (called !== null)
    fixes.push({
      title: `Rename to ${called}`,
      preferred: true,
      edits: [{ kind: 'replace-key', path: [...path, key], text: called }],
    });
  // An empty key has no text to remove.
  if (key !== '') fixes.push({ title: `Remove ${key}`, preferred: false, edits: [{ kind: 'remove', path: [...path, key] }] });
  return { ...problemAt(refusal, 'unknown-field', what + way, fixes), path: [...path, key], at: 'key' };
}
