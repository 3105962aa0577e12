// GPFQ has no fields of its own.
import type { GpfqPlan } from '../../../../schemas/src/generated/plan.js';
import type { QuantizerFields } from './quantizer-plan.js';

export const gpfqPlan: QuantizerFields<GpfqPlan> = () => ({});
