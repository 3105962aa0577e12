// Ids of commands, settings, views and context keys as constants, so that a misspelt one does not compile; a repository test compares them with package.json.

export const LANGUAGE_ID = 'bitwright-recipe';
export const RECIPE_GLOB = '**/*.quant.{yaml,yml}';

export const commands = {
  newRecipe: 'bitwright.newRecipe',
  quantize: 'bitwright.quantize',
  cancelRun: 'bitwright.cancelRun',
  showPlan: 'bitwright.showPlan',
  openReport: 'bitwright.openReport',
  analyze: 'bitwright.analyze',
  compareRuns: 'bitwright.compareRuns',
  openSensitivity: 'bitwright.openSensitivity',
  applyProposal: 'bitwright.applyProposal',
  discardProposal: 'bitwright.discardProposal',
  restartWorker: 'bitwright.restartWorker',
  showLog: 'bitwright.showLog',
  openModel: 'bitwright.openModel',
  closeModel: 'bitwright.closeModel',
  openModelFile: 'bitwright.openModelFile',
  filterModel: 'bitwright.filterModel',
  clearModelFilter: 'bitwright.clearModelFilter',
  addToTargets: 'bitwright.addToTargets',
  addToIgnore: 'bitwright.addToIgnore',
  refreshRuns: 'bitwright.refreshRuns',
  revealRun: 'bitwright.revealRun',
  deleteRun: 'bitwright.deleteRun',
  continueRun: 'bitwright.continueRun',
  verifyRun: 'bitwright.verifyRun',
  showRun: 'bitwright.showRun',
} as const;

export const settings = {
  device: 'bitwright.device',
  threads: 'bitwright.threads',
  maxDeviceMemory: 'bitwright.maxDeviceMemory',
} as const;

export const contextKeys = {
  runActive: 'bitwright.runActive',
  proposalShown: 'bitwright.proposalShown',
  modelFiltered: 'bitwright.modelFiltered',
} as const;

/** Trees in the activity bar. */
export const views = {
  model: 'bitwright.model',
  runs: 'bitwright.runs',
} as const;

/** What a language model may ask, by the command that answers. */
export const languageModelTools = {
  check: 'bitwright_check',
  plan: 'bitwright_plan',
  analyze: 'bitwright_analyze',
  suggest: 'bitwright_suggest',
} as const;

export const TASK_TYPE = 'bitwright';
export const TASK_PROBLEM_MATCHER = '$bitwright';
export const MODEL_FILE_VIEW = 'bitwright.modelFile';
export const REPORT_VIEW = 'bitwright.report';
export const RUN_VIEW = 'bitwright.run';
export const COMPARISON_VIEW = 'bitwright.comparison';
export const SENSITIVITY_VIEW = 'bitwright.sensitivity';
export const PROPOSAL_SCHEME = 'bitwright-proposal';
export const PLAN_SCHEME = 'bitwright-plan';
