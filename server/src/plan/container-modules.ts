// The modules of a loaded model that hold others and have no matrix of their own: attention, MLP, decoder layers, norms. Patterns may name them.
import type { ModelDescription } from '../../../schemas/src/generated/plan.js';
import { compileTarget } from '../../../schemas/src/model/match-targets.js';
import { madeOnce } from '../../../schemas/src/made-once.js';

export interface ContainerModule {
  name: string;
  /** As transformers names its classes: LlamaAttention; null where the name does not say it. */
  className: string | null;
  kind: 'attention' | 'mlp' | 'layer' | 'norm' | 'other';
}

/** From the names of the tensors; the same array for the same model. */
export const containerModules = madeOnce((model: ModelDescription): readonly ContainerModule[] => {
  const names = new Set<string>();
  for (const name of Object.keys(model.modules))
    for (let dot = name.lastIndexOf('.'); dot > 0; dot = name.lastIndexOf('.', dot - 1)) names.add(name.slice(0, dot));
  for (const { name, shape } of model.tensors)
    if (shape.length === 1 && name.endsWith('norm.weight')) names.add(name.slice(0, -'.weight'.length));
  const prefix = /^(.+?)(?:For[A-Z]\w*|LMHeadModel|Model)$/.exec(model.architecture_name ?? '')?.[1] ?? null;
  return [...names].sort().map((name): ContainerModule => {
    const kind = kindOf(name);
    return { name, kind, className: prefix === null || kind === 'other' ? null : prefix + classEndings[kind] };
  });
});

const classEndings = { attention: 'Attention', mlp: 'MLP', layer: 'DecoderLayer', norm: 'RMSNorm' };

function kindOf(name: string): ContainerModule['kind'] {
  if (/(^|\.)(self_attn|attn|attention)$/.test(name)) return 'attention';
  if (/(^|\.)mlp$/.test(name)) return 'mlp';
  if (/(^|\.)(layers|h|blocks)\.\d+$/.test(name)) return 'layer';
  return name.endsWith('norm') ? 'norm' : 'other';
}

/** What an entry of targets or ignore matches among them; nothing for an invalid pattern. */
export function containersMatching(entry: string, model: ModelDescription): readonly ContainerModule[] {
  const compiled = compileTarget(entry);
  if (!('matcher' in compiled)) return [];
  return containerModules(model).filter(
    ({ name, className }) => className === entry || (entry !== 'Module' && compiled.matcher({ name, class: 'Other' })),
  );
}
