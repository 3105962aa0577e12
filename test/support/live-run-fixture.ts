// A run that has just begun, as its page shows it: the layers of a small Llama, none finished.
import { freshRun, type LiveRun } from '../../schemas/src/live-run.js';
import { reportLayers } from './report-fixture.js';

export const liveRun = (n_blocks: number): LiveRun =>
  freshRun({
    recipe: 'mine.quant.yaml',
    output: '/checkpoints/mine',
    layers: reportLayers(n_blocks).map(({ name, role, block }) => ({ name, role, block, metrics: null })),
    estimated_bytes: 120e6,
    canary: null,
  });
