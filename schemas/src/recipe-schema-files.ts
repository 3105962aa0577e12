// The recipe schema, file by file, as its references name them.
import recipeSchema from '../recipe.schema.json';
import calibrationSchema from '../recipe/calibration.schema.json';
import canarySchema from '../recipe/canary.schema.json';
import evaluateSchema from '../recipe/evaluate.schema.json';
import gatesSchema from '../recipe/gates.schema.json';
import modifierFieldsSchema from '../recipe/modifier-fields.schema.json';
import outputSchema from '../recipe/output.schema.json';
import constantPruningSchema from '../recipe/pruning/constant.schema.json';
import magnitudePruningSchema from '../recipe/pruning/magnitude.schema.json';
import reapSchema from '../recipe/pruning/reap.schema.json';
import sparsegptSchema from '../recipe/pruning/sparsegpt.schema.json';
import wandaSchema from '../recipe/pruning/wanda.schema.json';
import autoroundSchema from '../recipe/quantizers/autoround.schema.json';
import beaconSchema from '../recipe/quantizers/beacon.schema.json';
import bitsandbytesSchema from '../recipe/quantizers/bitsandbytes.schema.json';
import comqSchema from '../recipe/quantizers/comq.schema.json';
import ggufSchema from '../recipe/quantizers/gguf.schema.json';
import gpfqSchema from '../recipe/quantizers/gpfq.schema.json';
import gptqSchema from '../recipe/quantizers/gptq.schema.json';
import hqqSchema from '../recipe/quantizers/hqq.schema.json';
import qronosSchema from '../recipe/quantizers/qronos.schema.json';
import rtnSchema from '../recipe/quantizers/rtn.schema.json';
import vptqSchema from '../recipe/quantizers/vptq.schema.json';
import schemeSchema from '../recipe/scheme.schema.json';
import awqSchema from '../recipe/transforms/awq.schema.json';
import biasCorrectionSchema from '../recipe/transforms/bias-correction.schema.json';
import duquantSchema from '../recipe/transforms/duquant.schema.json';
import hadamardSchema from '../recipe/transforms/hadamard.schema.json';
import logEqualizationSchema from '../recipe/transforms/log-equalization.schema.json';
import lowRankResidualSchema from '../recipe/transforms/low-rank-residual.schema.json';
import outlierSplitSchema from '../recipe/transforms/outlier-split.schema.json';
import quipSchema from '../recipe/transforms/quip.schema.json';
import smoothquantSchema from '../recipe/transforms/smoothquant.schema.json';
import spinquantSchema from '../recipe/transforms/spinquant.schema.json';
import varianceCorrectionSchema from '../recipe/transforms/variance-correction.schema.json';
import { wholeFields } from './whole-schema.js';

const quantizerParts = [
  rtnSchema,
  gptqSchema,
  hqqSchema,
  bitsandbytesSchema,
  vptqSchema,
  ggufSchema,
  beaconSchema,
  comqSchema,
  gpfqSchema,
  qronosSchema,
  autoroundSchema,
];
const transformParts = [smoothquantSchema, awqSchema, hadamardSchema, duquantSchema, logEqualizationSchema, quipSchema, spinquantSchema];
const correctionParts = [biasCorrectionSchema, varianceCorrectionSchema, lowRankResidualSchema, outlierSplitSchema];
const pruningParts = [sparsegptSchema, wandaSchema, magnitudePruningSchema, constantPruningSchema, reapSchema];
const modifierParts = [...quantizerParts, ...transformParts, ...correctionParts, ...pruningParts];
const otherParts = [
  recipeSchema,
  calibrationSchema,
  canarySchema,
  evaluateSchema,
  gatesSchema,
  outputSchema,
  schemeSchema,
  modifierFieldsSchema,
];

/** For editor features, which look fields up in it. */
export const recipeSchemaFiles = {
  entry: recipeSchema.$id,
  files: Object.fromEntries([
    ...otherParts.map((part) => [part.$id, part as object] as const),
    ...modifierParts.map((part) => [part.$id, wholeFields(part)] as const),
  ]),
};
