// A value that is none of those that its field takes.
import type { Problem } from '../../../schemas/src/problem.js';
import { changeTo } from './change-to.js';
import { nearestName } from './did-you-mean.js';
import { problemAt, show, type Refusal } from './refusal.js';

export function valueNotListed(refusal: Refusal): Problem | null {
  const { path, params, field, value } = refusal;
  const allowed = (params['allowedValues'] as unknown[]).filter((item) => item !== null).map(String);
  // Preset names are matched without case; a mapping from presets to targets has its own branch.
  if (field === 'scheme') {
    if (typeof value !== 'string' || allowed.some((name) => name.toLowerCase() === value.toLowerCase())) return null;
  } else if (typeof value === 'string' && allowed.includes(value)) return null;
  const isDevice = field === 'device' && path.length === 1;
  // Who writes gpu means no processor, however near its name is.
  const near = isDevice && /^gpu/i.test(String(value)) ? 'cuda' : nearestName(String(value), allowed);
  const form =
    field === 'runtime'
      ? ' A version stands behind the name, as in vllm==0.11.0.'
      : isDevice
        ? ' One CUDA device is cuda:0, several are cuda:0,1, cuda is all of them.'
        : '';
  return problemAt(
    refusal,
    field === 'scheme' ? 'unknown-scheme' : 'unknown-value',
    near === null
      ? `${field} is ${show(value)}, which is none of ${allowed.join(', ')}.${form}`
      : `${field} ${show(value)} does not exist; did you mean ${near}? All are: ${allowed.join(', ')}.${form}`,
    near === null ? [] : [changeTo(near, path)],
  );
}
