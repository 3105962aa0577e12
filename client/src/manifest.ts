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
} as const;

export const settings = {
  device: 'bitwright.device',
  threads: 'bitwright.threads',
  maxDeviceMemory: 'bitwright.maxDeviceMemory',
} as const;

export const contextKeys = {
  runActive: 'bitwright.runActive',
  proposalShown: 'bitwright.proposalShown',
} as const;

export const REPORT_VIEW = 'bitwright.report';
export const COMPARISON_VIEW = 'bitwright.comparison';
export const SENSITIVITY_VIEW = 'bitwright.sensitivity';
export const PROPOSAL_SCHEME = 'bitwright-proposal';
export const PLAN_SCHEME = 'bitwright-plan';
