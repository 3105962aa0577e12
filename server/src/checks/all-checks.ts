// The list of checks; imported by check-recipe.ts alone.
import { actorderWithoutGroups } from './actorder-without-groups.js';
import { architectureNotRunnable } from './architecture-not-runnable.js';
import { calibrationMissing } from './calibration-missing.js';
import type { Check } from './check.js';
import { datasetNotFound } from './dataset-not-found.js';
import { fusedSiblingsDiffer } from './fused-siblings-differ.js';
import { groupSizeIndivisible } from './group-size-indivisible.js';
import { ignoreMatchesNothing } from './ignore-matches-nothing.js';
import { invalidRegularExpression } from './invalid-regular-expression.js';
import { memoryAboveMachine } from './memory-above-machine.js';
import { modelAlreadyQuantized } from './model-already-quantized.js';
import { modelNotResolved } from './model-not-resolved.js';
import { modifierNotRunnableYet } from './modifier-not-runnable-yet.js';
import { nothingQuantized } from './nothing-quantized.js';
import { outputDirMissing } from './output-dir-missing.js';
import { outputInsideModelFolder } from './output-inside-model-folder.js';
import { recipeYieldsNoModifier } from './recipe-yields-no-modifier.js';
import { schemeMissing } from './scheme-missing.js';
import { schemeNotRunnableYet } from './scheme-not-runnable-yet.js';
import { sequenceLongerThanContext } from './sequence-longer-than-context.js';
import { smoothquantWithoutActivationQuantization } from './smoothquant-without-activation-quantization.js';
import { staticActivationsLastBatch } from './static-activations-last-batch.js';
import { targetMatchesNothing } from './target-matches-nothing.js';
import { targetsWithoutEffect } from './targets-without-effect.js';
import { transformAfterQuantizer } from './transform-after-quantizer.js';
import { unknownKey } from './unknown-key.js';
import { unknownModifier } from './unknown-modifier.js';

export const allChecks: readonly Check[] = [
  recipeYieldsNoModifier,
  unknownKey,
  unknownModifier,
  modifierNotRunnableYet,
  schemeMissing,
  schemeNotRunnableYet,
  invalidRegularExpression,
  targetMatchesNothing,
  targetsWithoutEffect,
  ignoreMatchesNothing,
  nothingQuantized,
  groupSizeIndivisible,
  fusedSiblingsDiffer,
  actorderWithoutGroups,
  transformAfterQuantizer,
  smoothquantWithoutActivationQuantization,
  staticActivationsLastBatch,
  modelNotResolved,
  modelAlreadyQuantized,
  architectureNotRunnable,
  calibrationMissing,
  datasetNotFound,
  sequenceLongerThanContext,
  outputDirMissing,
  outputInsideModelFolder,
  memoryAboveMachine,
];
