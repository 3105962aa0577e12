// Round to nearest has no fields of its own.
import type { RtnPlan } from '../../../../schemas/src/generated/plan.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const rtnPlan: QuantizerFields<RtnPlan> = () => ({});
