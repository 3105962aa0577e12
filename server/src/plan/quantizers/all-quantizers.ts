// A modifier that quantizes → its part of the plan.
import type { QuantizerPlan } from '../../../../schemas/src/generated/plan.js';
import { quantizationModifiers, type RecipeModifier } from '../read-modifiers.js';
import { beaconPlan } from './beacon.js';
import { bitsandbytesPlan } from './bitsandbytes.js';
import { comqPlan } from './comq.js';
import { ggufPlan } from './gguf.js';
import { gpfqPlan } from './gpfq.js';
import { gptqPlan } from './gptq.js';
import { hqqPlan } from './hqq.js';
import { qronosPlan } from './qronos.js';
import type { QuantizerFields } from './quantizer-plan.js';
import { rtnPlan } from './rtn.js';
import { vptqPlan } from './vptq.js';

type PlanNamed<Name extends QuantizerPlan['name']> = Extract<QuantizerPlan, { name: Name }>;

const fields: { readonly [Name in QuantizerPlan['name']]: QuantizerFields<PlanNamed<Name>> } = {
  rtn: rtnPlan,
  gptq: gptqPlan,
  hqq: hqqPlan,
  bitsandbytes: bitsandbytesPlan,
  vptq: vptqPlan,
  gguf: ggufPlan,
  beacon: beaconPlan,
  comq: comqPlan,
  gpfq: gpfqPlan,
  qronos: qronosPlan,
};

export function quantizerPlan({ name: modifier, path, body }: RecipeModifier): QuantizerPlan {
  // A modifier that does not run yet has a problem of its own, and never comes into a plan.
  const name = quantizationModifiers.get(modifier) ?? 'rtn';
  return { name, modifier, recipe_path: [...path], ...fields[name](body) } as QuantizerPlan;
}
