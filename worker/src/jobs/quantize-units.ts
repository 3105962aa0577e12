// All units of a plan, one after the other: each is finished on the disk before the calibration rows pass through it, so that the next block sees what a reader
// of the file would compute. Without calibration they only follow each other.
import path from 'node:path';
import { needsPairs } from '../../../schemas/src/modifiers.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { embedRows, propagateBlock } from '../calibration/calibrate-block.js';
import { embedOriginal, propagateOriginal } from '../calibration/observe-pairs.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import { modelTensors, openTensorReader } from '../checkpoint/tensor-reader.js';
import { loadCopies, type ReaderOn } from '../checkpoint/weight-copies.js';
import { activationBudget } from '../memory/activation-budget.js';
import { Canary } from '../evaluate/canary.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import { NextWeightsOnEach } from '../memory/next-weights.js';
import { hashOfTokens } from '../report/run-lock.js';
import type { RunContext } from '../run-context.js';
import { expectWork, observeWork } from './expected-work.js';
import { finishUnit } from './finish-unit.js';
import { describeUnit, type WorkUnit } from './layer-jobs.js';
import { availableMemory } from './memory-estimate.js';
import { forwardOperations, hessiansOf } from './operations-estimate.js';
import type { RunJournal } from './run-journal.js';
import { WrittenModel } from './written-model.js';

export async function quantizeUnits(
  context: RunContext,
  journal: RunJournal,
  units: readonly WorkUnit[],
  governor: MemoryGovernor,
): Promise<void> {
  const { plan, devices } = context;
  const tensors = modelTensors(plan.model);
  const source: ReaderOn = (device) => openTensorReader(device, tensors);
  const survive = (stage: string, attempt: () => Promise<void>, hessians: readonly number[] = []): Promise<void> => {
    let mark = context.mark();
    return governor.survive({ stage, hessians, rewind: () => context.rewind(mark) }, () => {
      mark = context.mark();
      return attempt();
    });
  };
  const written = new WrittenModel(plan, units, journal);
  await using canary = await Canary.open(context, governor, written);
  const n_finished = journal.finished.length;
  if (plan.calibration === null || n_finished === units.length) {
    expectWork(context, units, n_finished, 0, canary?.operations);
    for (const unit of units) {
      if (unit.index >= n_finished) await survive(describeUnit(unit), () => finish(context, journal, unit, null, source));
      await canary?.after(unit.block);
    }
    return;
  }
  const { architecture } = plan.model;
  if (architecture === null) throw runFailure.architectureUnknown(plan.model.architecture_name ?? plan.model.dir, 'Calibration');
  const dataset = plan.calibration;
  using tokens = await context.stage('prepare', null, 'tokenizing', () =>
    loadTokenBatches(dataset, plan.model, devices, { batchTokens: governor.batchTokens }),
  );
  context.tokens = hashOfTokens(tokens);
  tokens.problems.forEach((problem) => context.problem(problem));
  const pairs = plan.layers.some(needsPairs);
  let operations = 0;
  let message = '';
  using rows = new SpreadRows({
    tokens,
    devices,
    model: plan.model,
    purpose: 'Calibration',
    dir: path.join(context.runDir, 'activations'),
    pairs,
    budgetOf: (device, n_used) => activationBudget(device, n_used, plan.model, plan.layers, availableMemory(plan), tokens.largest),
    onBatch: (batch) => {
      context.throwIfCancelled();
      context.advance((operations * batch.nTokens) / tokens.nTokens, message);
    },
  });
  const [{ model }] = rows.parts;
  context.hiddenStates = () => rows.peaks;
  using _ = governor.hold({ tokens, rows });
  using next = new NextWeightsOnEach(rows.devices, source, plan.model, tokens.largest);
  governor.luxury = next;
  expectWork(context, units, n_finished, tokens.nTokens, canary?.operations);
  const lastConsumer = units.findLastIndex(
    (unit) => unit.place === 'block' || unit.layers.some((layer) => layer.name === architecture.lm_head),
  );
  const readWritten: ReaderOn = (device) => written.reader(device);
  let isEmbedded = false;
  for (const unit of units) {
    if (unit.place !== 'before' && !isEmbedded) {
      await survive('the embedding', async () => {
        using copies = await loadCopies(rows.devices, readWritten, (name) => model.embeddingTensors.includes(name), written.schemeOf());
        await context.stage('forward', null, 'embedding', () => rows.onEach((part, index) => embedRows(part, copies.on(index))));
      });
      if (pairs) await survive('the embedding', () => context.stage('forward', null, 'embedding', () => embedOriginal(rows, plan.model)));
      isEmbedded = true;
    }
    const hessians = hessiansOf(unit);
    message = `calibrating ${describeUnit(unit)}`;
    const observe = (): Promise<void> => {
      const isParted = governor.oneHessianAtATime && hessians.length > 1;
      operations = observeWork(context, unit, tokens.nTokens) / (isParted ? hessians.length : 1);
      return finish(context, journal, unit, rows, (device) => next.reader(device), isParted);
    };
    if (unit.index >= journal.finished.length) await survive(describeUnit(unit), observe, hessians);
    operations = 0;
    await canary?.after(unit.block);
    if (unit.block === null || unit.index >= lastConsumer) continue;
    [operations, message] = [forwardOperations(plan, unit.block, tokens.nTokens), `passing the rows through ${describeUnit(unit)}`];
    const block = unit.block;
    await survive(describeUnit(unit), async () => {
      using copies = await loadCopies(
        rows.devices,
        readWritten,
        (name) => name.startsWith(`${architecture.layers}.${block}.`),
        written.schemeOf(),
      );
      // A block that is finished is not quantized again, and its unquantized weights are not needed.
      const isAhead = unit.index + 1 >= journal.finished.length;
      await context.stage('forward', block, `block ${block}`, () =>
        rows.onEach((part, index) => {
          if (isAhead) next.plan(index, block + 1, part.batches.length);
          return propagateBlock({ ...part, onEnqueued: () => next.step(index) }, block, copies.on(index));
        }),
      );
    });
    if (pairs)
      await survive(describeUnit(unit), () =>
        context.stage('forward', block, `block ${block}, unquantized`, () =>
          propagateOriginal(rows, block, plan.model, architecture.layers),
        ),
      );
  }
  await rows.removeFiles();
}

/** `source`: tensors of the unquantized model. */
async function finish(
  context: RunContext,
  journal: RunJournal,
  unit: WorkUnit,
  rows: SpreadRows | null,
  source: ReaderOn,
  oneHessianAtATime = false,
): Promise<void> {
  context.throwIfCancelled();
  await journal.append(await finishUnit({ context, unit, source, rows, oneHessianAtATime }));
}
