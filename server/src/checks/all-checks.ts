// The list of checks; imported by check-recipe.ts alone.
import { actorderInvalid } from './actorder-invalid.js';
import { actorderWithoutGroups } from './actorder-without-groups.js';
import { architectureNotRunnable } from './architecture-not-runnable.js';
import { awqCannotScale } from './awq-cannot-scale.js';
import { awqWithoutQuantizer } from './awq-without-quantizer.js';
import { calibrationMissing } from './calibration-missing.js';
import { calibrationTooSmall } from './calibration-too-small.js';
import { calibrationWithoutEffect } from './calibration-without-effect.js';
import { canaryCannotMeasure } from './canary-cannot-measure.js';
import { canaryTooFewRows } from './canary-too-few-rows.js';
import type { Check } from './check.js';
import { configContradictsTensors } from './config-contradicts-tensors.js';
import { datasetColumnMissing } from './dataset-column-missing.js';
import { datasetNotFound } from './dataset-not-found.js';
import { datasetUnreadable } from './dataset-unreadable.js';
import { doubleBos } from './double-bos.js';
import { fieldMissing } from './field-missing.js';
import { fieldWithoutEffect } from './field-without-effect.js';
import { formatsCannotMix } from './formats-cannot-mix.js';
import { fusedSiblingsDiffer } from './fused-siblings-differ.js';
import { gateCannotHold } from './gate-cannot-hold.js';
import { gateWithoutMeasure } from './gate-without-measure.js';
import { ggufNotExpressible } from './gguf-not-expressible.js';
import { ggufTypeFallsBack } from './gguf-type-falls-back.js';
import { groupSizeIndivisible } from './group-size-indivisible.js';
import { hqqNotForScheme } from './hqq-not-for-scheme.js';
import { ignoreMatchesNothing } from './ignore-matches-nothing.js';
import { imatrixBeforeTransform } from './imatrix-before-transform.js';
import { imatrixOfAnotherModel } from './imatrix-of-another-model.js';
import { imatrixUnreadable } from './imatrix-unreadable.js';
import { imatrixWithoutImportance } from './imatrix-without-importance.js';
import { inputStrategyUnsupported } from './input-strategy-unsupported.js';
import { invalidRegularExpression } from './invalid-regular-expression.js';
import { kernelDoesNotFit } from './kernel-does-not-fit.js';
import { levelsNotForScheme } from './levels-not-for-scheme.js';
import { levelsOnlyHere } from './levels-only-here.js';
import { memoryAboveMachine } from './memory-above-machine.js';
import { messagesWithoutTemplate } from './messages-without-template.js';
import { maskStructureDoesNotFit } from './mask-structure-does-not-fit.js';
import { modelAlreadyQuantized } from './model-already-quantized.js';
import { modelNotResolved } from './model-not-resolved.js';
import { modelWithoutExperts } from './model-without-experts.js';
import { modelWithoutTokenizer } from './model-without-tokenizer.js';
import { modifierDeprecated } from './modifier-deprecated.js';
import { modifierNotRunnableYet } from './modifier-not-runnable-yet.js';
import { modifierWithoutEffect } from './modifier-without-effect.js';
import { moeRouterQuantized } from './moe-router-quantized.js';
import { notEnoughDisk } from './not-enough-disk.js';
import { nothingPruned } from './nothing-pruned.js';
import { nothingQuantized } from './nothing-quantized.js';
import { outputDirMissing } from './output-dir-missing.js';
import { outputInsideModelFolder } from './output-inside-model-folder.js';
import { outputNotAFolder } from './output-not-a-folder.js';
import { outputNotOurs } from './output-not-ours.js';
import { patternMatchesMore } from './pattern-matches-more.js';
import { pruningAfterQuantizer } from './pruning-after-quantizer.js';
import { recipeYieldsNoModifier } from './recipe-yields-no-modifier.js';
import { rotationUntiesHead } from './rotation-unties-head.js';
import { rowsEmpty } from './rows-empty.js';
import { runtimeCannotLoad } from './runtime-cannot-load.js';
import { schemeMissing } from './scheme-missing.js';
import { schemeNotRunnableYet } from './scheme-not-runnable-yet.js';
import { schemeNotStorable } from './scheme-not-storable.js';
import { sequenceLongerThanContext } from './sequence-longer-than-context.js';
import { smoothquantWithoutActivationQuantization } from './smoothquant-without-activation-quantization.js';
import { staticActivationsLastBatch } from './static-activations-last-batch.js';
import { targetMatchesNothing } from './target-matches-nothing.js';
import { targetsOverlap } from './targets-overlap.js';
import { targetsWithoutEffect } from './targets-without-effect.js';
import { tensorParallelCutsGroup } from './tensor-parallel-cuts-group.js';
import { tiedLmHeadPruned } from './tied-lm-head-pruned.js';
import { tiedLmHeadQuantized } from './tied-lm-head-quantized.js';
import { tooFewBitsForMethod } from './too-few-bits-for-method.js';
import { trainingModifier } from './training-modifier.js';
import { transformAfterQuantizer } from './transform-after-quantizer.js';
import { unknownKey } from './unknown-key.js';
import { unknownModifier } from './unknown-modifier.js';
import { unknownObserver } from './unknown-observer.js';
import { unknownValue } from './unknown-value.js';
import { valueOutOfRange } from './value-out-of-range.js';
import { vectorsDoNotFit } from './vectors-do-not-fit.js';
import { wrongLength } from './wrong-length.js';
import { weightsNotMatrices } from './weights-not-matrices.js';
import { zerosNotKept } from './zeros-not-kept.js';

export const allChecks: readonly Check[] = [
  hqqNotForScheme,
  recipeYieldsNoModifier,
  unknownKey,
  unknownModifier,
  unknownValue,
  valueOutOfRange,
  wrongLength,
  fieldMissing,
  modifierNotRunnableYet,
  modifierDeprecated,
  modifierWithoutEffect,
  awqWithoutQuantizer,
  schemeMissing,
  schemeNotRunnableYet,
  schemeNotStorable,
  imatrixBeforeTransform,
  imatrixOfAnotherModel,
  imatrixUnreadable,
  imatrixWithoutImportance,
  inputStrategyUnsupported,
  unknownObserver,
  invalidRegularExpression,
  targetMatchesNothing,
  targetsWithoutEffect,
  targetsOverlap,
  fieldWithoutEffect,
  ignoreMatchesNothing,
  patternMatchesMore,
  nothingQuantized,
  weightsNotMatrices,
  nothingPruned,
  maskStructureDoesNotFit,
  ggufNotExpressible,
  ggufTypeFallsBack,
  groupSizeIndivisible,
  fusedSiblingsDiffer,
  actorderInvalid,
  actorderWithoutGroups,
  tiedLmHeadQuantized,
  tiedLmHeadPruned,
  moeRouterQuantized,
  awqCannotScale,
  rotationUntiesHead,
  transformAfterQuantizer,
  pruningAfterQuantizer,
  zerosNotKept,
  tooFewBitsForMethod,
  trainingModifier,
  smoothquantWithoutActivationQuantization,
  staticActivationsLastBatch,
  modelNotResolved,
  configContradictsTensors,
  modelAlreadyQuantized,
  modelWithoutExperts,
  architectureNotRunnable,
  calibrationMissing,
  calibrationWithoutEffect,
  canaryCannotMeasure,
  canaryTooFewRows,
  calibrationTooSmall,
  datasetNotFound,
  datasetUnreadable,
  datasetColumnMissing,
  modelWithoutTokenizer,
  messagesWithoutTemplate,
  doubleBos,
  rowsEmpty,
  sequenceLongerThanContext,
  outputDirMissing,
  outputInsideModelFolder,
  outputNotAFolder,
  outputNotOurs,
  memoryAboveMachine,
  notEnoughDisk,
  gateWithoutMeasure,
  gateCannotHold,
  runtimeCannotLoad,
  kernelDoesNotFit,
  formatsCannotMix,
  vectorsDoNotFit,
  levelsNotForScheme,
  levelsOnlyHere,
  tensorParallelCutsGroup,
];
