// The table of algorithms: the name in a plan → its implementation. Imported by the dispatchers of jobs/ alone.
import type { QuantizerPlan, TransformPlan } from '../../schemas/src/generated/plan.js';
import { compressedTensorsFormats } from './checkpoint/formats/compressed-tensors.js';
import type { Format } from './checkpoint/formats/format.js';
import { staticRangeObservers } from './observers/static-range.js';
import { gptq } from './quantizers/gptq.js';
import type { Quantizer } from './quantizers/quantizer.js';
import { rtn } from './quantizers/rtn.js';
import { nativeObservers } from './quantizers/weight-observer.js';
import { smoothquant } from './transforms/smoothquant.js';
import type { Transform } from './transforms/transform.js';

export const quantizers: Readonly<Record<QuantizerPlan['name'], Quantizer>> = { rtn, gptq };
export const transforms: Readonly<Record<TransformPlan['name'], Transform>> = { smoothquant };
export const formats: Readonly<Record<string, Format>> = compressedTensorsFormats;
/** Observers by the names that schemes carry. */
export const observers = { weights: Object.keys(nativeObservers), inputs: staticRangeObservers as readonly string[] };
