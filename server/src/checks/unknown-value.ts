// Values that a field has the type for and llm-compressor does not take: names outside a list, switches that are not implemented, inner state that stops it.
import type { Problem } from '../../../schemas/src/problem.js';
import type { RecipeModifier } from '../plan/read-modifiers.js';
import { isTorchDtype } from '../plan/quantization-args.js';
import { booleanOf, coerceTo, textOf } from '../recipe/coerce.js';
import type { Check } from './check.js';

/** What is wrong with a value, and what to write; null where nothing is. */
type Rule = (value: unknown, body: Readonly<Record<string, unknown>>) => string | null;

export const unknownValue: Check = {
  code: 'unknown-value',
  run: ({ modifiers }) => modifiers.flatMap((modifier) => problemsOf(modifier)),
};

function problemsOf({ name, path, body }: RecipeModifier): Problem[] {
  const rules = { ...everyModifier, ...(rulesOfModifiers[name] ?? {}) };
  return Object.entries(rules).flatMap(([field, rule]): Problem[] => {
    const value = body[field];
    const wrong = value === undefined ? null : rule(value, body);
    if (wrong === null) return [];
    return [
      {
        code: 'unknown-value',
        severity: 'error',
        path: [...path, field],
        at: 'value',
        message: `${field} is ${JSON.stringify(value)}; ${wrong}`,
      },
    ];
  });
}

const mustBeFalse =
  (why: string): Rule =>
  (value) =>
    booleanOf(value, false) ? `${why} Leave it false.` : null;
const listOf =
  (names: readonly string[], change: (text: string) => string): Rule =>
  (value) => {
    const said = Array.isArray(value) ? (value as unknown[]) : [];
    const wrong = said.filter((item) => !names.includes(change(textOf(item, ''))));
    return wrong.length === 0 ? null : `${wrong.map((item) => JSON.stringify(item)).join(', ')} is none of ${names.join(', ')}.`;
  };
const dtype: Rule = (value) =>
  typeof value === 'string' && !isTorchDtype(value) ? 'torch has no type of this name; there are float64, float32 and others.' : null;
const oneshotOnly: Rule = (value) => {
  const number = coerceTo('number', value);
  return number === undefined || number === 0 || number === -1 ? null : 'the modifier works in one shot only: null or -1.';
};
const notNull =
  (why: string): Rule =>
  (value) =>
    value === null ? why : null;

const everyModifier: Readonly<Record<string, Rule>> = {
  initialized_: mustBeFalse('llm-compressor refuses to initialize a modifier twice.'),
  finalized_: mustBeFalse('llm-compressor refuses to initialize a modifier that is done.'),
};

const notImplemented = mustBeFalse('llm-compressor has not implemented it.');
const smoothing = { start: oneshotOnly, end: oneshotOnly };
const pruning: Readonly<Record<string, Rule>> = {
  mask_structure: (value) =>
    typeof value !== 'string' || /^\s*[-+]?\d+\s*:\s*[-+]?\d+\s*$/.test(value)
      ? null
      : "it is two numbers with a colon, in quotes: '2:4' sets two of every four inputs to zero, '0:0' leaves it free.",
  sparsity_profile: (value) => (typeof value === 'string' && value.toLowerCase() !== 'owl' ? 'there is only owl.' : null),
};
const schedules = ['linear', 'cubic', 'polynomial_decay', 'polynomial', 'multi_step'];
const devices = 'cpu cuda ipu xpu mkldnn opengl opencl ideep hip ve fpga maia xla lazy vulkan mps meta hpu mtia privateuseone'.split(' ');

const rulesOfModifiers: Readonly<Record<string, Readonly<Record<string, Rule>>>> = {
  GPTQModifier: {
    dampening_frac: notNull(
      'llm-compressor multiplies by it, and fails when the data has gone through the first block. Leave it out for 0.01.',
    ),
  },
  SmoothQuantModifier: smoothing,
  LogarithmicEqualizationModifier: smoothing,
  AWQModifier: {
    duo_scaling: (value) =>
      value === 'both' || coerceTo('boolean', value) !== undefined ? null : 'it is true, false or both, in small letters.',
    offload_device: (value) =>
      typeof value !== 'string' || devices.includes(value.replace(/:\d+$/, ''))
        ? null
        : 'torch has no device of this name. It is cpu, or null to keep inputs where they are.',
  },
  SparseGPTModifier: {
    ...pruning,
    dampening_frac: notNull('llm-compressor multiplies by it, and fails at the first layer. Leave it out for 0.01.'),
  },
  WandaPruningModifier: pruning,
  MagnitudePruningModifier: {
    apply_globally: notImplemented,
    update_scheduler: (value) =>
      typeof value !== 'string' || schedules.includes(value) || /^calc\([^()]*\)$/.test(value)
        ? null
        : `it is one of ${schedules.join(', ')}.`,
    mask_structure: (value) =>
      typeof value !== 'string' || ['unstructured', 'channel', 'filter'].includes(value) || value.startsWith('block_')
        ? null
        : 'it is unstructured, channel, filter, or blocks such as block_1,4.',
  },
  QuIPModifier: {
    rotations: listOf(['v', 'u'], (text) => text.toLowerCase()),
    randomize: notImplemented,
    learnable: notImplemented,
    precision: dtype,
  },
  SpinQuantModifier: {
    rotations: listOf(['R1', 'R2', 'R3', 'R4'], (text) => text.toUpperCase()),
    randomize: notImplemented,
    learnable: notImplemented,
    precision: dtype,
    transform_config: (value) =>
      value === null
        ? null
        : 'llm-compressor writes it when it saves a recipe, and fails on it when it reads that. Remove it: it follows from rotations.',
  },
  HadamardModifier: { rotations: listOf(['R1', 'R2'], (text) => text.toUpperCase()) },
  DuQuantModifier: { rotations: listOf(['R1', 'R2'], (text) => text.toUpperCase()) },
  REAPPruningModifier: {
    report_path: (value) => (typeof value === 'string' && !value.endsWith('.json') ? 'its name must end in .json.' : null),
  },
};
