// A run that has just begun, as its page shows it: the layers of a small Llama, none finished.
import type { LiveRun } from '../../schemas/src/live-run.js';
import { reportLayers } from './report-fixture.js';

export const liveRun = (n_blocks: number): LiveRun => ({
  recipe: 'mine.quant.yaml',
  output: '/checkpoints/mine',
  device: null,
  outcome: 'running',
  fraction: 0,
  eta_seconds: null,
  message: '',
  n_blocks: 0,
  resumed_blocks: 0,
  layers: reportLayers(n_blocks).map(({ name, role, block }) => ({ name, role, block, metrics: null })),
  stages: [],
  memory: null,
  estimated_bytes: 120e6,
  problems: [],
  failure: null,
});
