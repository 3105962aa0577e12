// The pipeline of a run: plan → calibrated, transformed, quantized, written, measured. Unit by unit: what is finished is on the disk, and what
// the next block sees is what a reader of the file would compute, so that a resumed run and an unbroken one are the same run.
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { needsPairs, quantizerFacts } from '../../schemas/src/modifiers.js';
import type { RunFailure, RunOutcome } from '../../schemas/src/run-event.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import { observers } from './algorithms.js';
import { embedRows, propagateBlock } from './calibration/calibrate-block.js';
import { embedOriginal, propagateOriginal } from './calibration/observe-pairs.js';
import { SpreadRows } from './calibration/spread-rows.js';
import { loadTokenBatches } from './calibration/token-batches.js';
import { checkOutputFolder, writeCheckpoint } from './checkpoint/checkpoint-writer.js';
import { makeFolder, writeFailure, writeTextDurably } from './checkpoint/durable-file.js';
import { modelTensors, openTensorReader, verifyModelFiles } from './checkpoint/tensor-reader.js';
import { loadCopies, type ReaderOn } from './checkpoint/weight-copies.js';
import { evaluateRun, type Quality } from './evaluate/evaluate-run.js';
import { checkDevice } from './device-limits.js';
import { finishUnit } from './jobs/finish-unit.js';
import { checkPlanIsSupported, isSkippedEmbedding, isUntied, planUnits, transformPasses, type WorkUnit } from './jobs/layer-jobs.js';
import { availableMemory, checkDisk, checkMemory, deviceLimit, residentPeakBytes } from './jobs/memory-estimate.js';
import {
  evaluateOperations,
  forwardOperations,
  observeOperations,
  quantizeOperations,
  searchOperations,
} from './jobs/operations-estimate.js';
import { hashOfWork, RunJournal } from './jobs/run-journal.js';
import { rotateModel, rotationOf } from './jobs/rotate-model.js';
import { passedOverProblems } from './jobs/scaled-mapping.js';
import { WrittenModel } from './jobs/written-model.js';
import { activationBudget } from './memory/activation-budget.js';
import { MemoryGovernor } from './memory/memory-governor.js';
import { NextWeightsOnEach } from './memory/next-weights.js';
import { makeReport, reportFile, type RunFacts } from './report/run-report.js';
import { asRunFailure, idle, isCancellation, type RunContext } from './run-context.js';

/** What a run has reached, kept here so that the report of a failed run tells it too. */
interface Reached {
  outputDir: string | null;
  weightsBytes: number | null;
  quality: Quality | null;
}

/** Never throws: the outcome is the last event, and the report says the same. */
export async function run(context: RunContext): Promise<void> {
  const reached: Reached = { outputDir: null, weightsBytes: null, quality: null };
  let outcome: RunOutcome = 'completed';
  let failure: RunFailure | null = null;
  let journal: RunJournal | null = null;
  for (const { native } of context.devices) native.limitMemory(deviceLimit(context.plan, native.kind));
  try {
    journal = await prepare(context);
    await rotate(context);
    await carryOut(context, journal, reached);
  } catch (error) {
    outcome = isCancellation(error) || context.cancelled ? 'cancelled' : 'failed';
    failure = outcome === 'failed' ? asRunFailure(error) : null;
  }
  if (context.cancelled) await idle(context.devices);
  let reportDir: string | null = null;
  try {
    if (journal !== null) reportDir = await writeReport(context, outcome, reached);
  } catch (error) {
    outcome = outcome === 'completed' ? 'failed' : outcome;
    failure ??= asRunFailure(writeFailure(reportFile(context.runDir), error, 'the report'));
  }
  for (const { native } of context.devices) native.limitMemory(0);
  context.emit({ kind: 'run-ended', run_id: context.runId, outcome, report_dir: reportDir, output_dir: reached.outputDir, failure });
}

/** All that can be refused is refused here, before the first byte of weights is read. */
async function prepare(context: RunContext): Promise<RunJournal> {
  const { plan, runDir } = context;
  checkPlanIsSupported(plan, observers);
  checkDevice(plan, context.device.native.kind);
  checkMemory(plan, context.device.native.kind);
  await checkOutputFolder(plan.output.dir);
  await verifyModelFiles(plan.model);
  await makeFolder(runDir).catch((error: unknown) => {
    throw writeFailure(runDir, error, 'the run folder');
  });
  await checkDisk(plan, runDir);
  const journal = await RunJournal.open(runDir, hashOfWork(plan, context.workDevice, context.version), context.version);
  const units = planUnits(plan);
  context.emit({
    kind: 'run-began',
    run_id: context.runId,
    run_dir: runDir,
    n_blocks: units.filter((unit) => unit.block !== null).length,
    n_layers: units.reduce((sum, unit) => sum + unit.layers.length, 0),
    resumed_blocks: journal.finished.filter(({ unit }) => units[unit]?.block !== null).length,
    device: `${context.deviceFacts.name} (${context.deviceFacts.devices?.map(({ id }) => id).join(', ') ?? context.deviceFacts.kind})`,
  });
  return journal;
}

/** From here on the model is the rotated one; the report and the measure before are of the one that was given. */
async function rotate(context: RunContext): Promise<void> {
  const rotation = rotationOf(context.plan);
  if (rotation === undefined) return;
  const model = await context.stage('transform', null, 'folding rotations into the weights', () => rotateModel(context, rotation));
  context.plan = { ...context.plan, model };
}

async function carryOut(context: RunContext, journal: RunJournal, reached: Reached): Promise<void> {
  const { plan } = context;
  const units = planUnits(plan);
  for (const { layers, transforms, problems } of journal.finished) {
    layers.forEach((layer) => context.layerFinished(layer));
    transforms.forEach((metrics) => context.transformFinished(metrics));
    problems.forEach((problem) => context.problem(problem));
  }
  for (const { name, scheme, quantizer } of plan.layers.filter(isSkippedEmbedding))
    if (scheme !== null && quantizer !== null)
      context.problem({
        code: 'embedding-skipped',
        severity: 'warning',
        message: `${name} is an embedding, which ${quantizerFacts[quantizer.name].title} does not quantize; it is stored as it is. Quantize it with QuantizationModifier, or add it to ignore.`,
        layer: name,
        recipe_path: quantizer.recipe_path,
      });
  passedOverProblems(plan).forEach((problem) => context.problem(problem));
  // What it has learned about the memory of the device in the calibration the evaluations need not learn again.
  const governor = new MemoryGovernor(context.devices, (problem) => context.problem(problem));
  await quantizeUnits(context, journal, units, governor);
  const written = new WrittenModel(plan, units, journal);
  await context.stage('write', null, plan.output.dir, async () => {
    const parted = context.given.model.architecture?.tie_word_embeddings === true && plan.model.architecture?.tie_word_embeddings === false;
    const content = {
      plan,
      stored: written.stored,
      tensors: written.tensors,
      isUntied: parted || isUntied(plan),
      bitwrightVersion: context.version,
    };
    reached.weightsBytes = await writeCheckpoint(content, context.runDir, () => context.throwIfCancelled());
    reached.outputDir = plan.output.dir;
    await journal.close();
    if (plan.model.dir !== context.given.model.dir) await rm(plan.model.dir, { recursive: true, force: true });
  });
  if (plan.evaluate !== null) {
    const file = await describeModel(plan.output.dir, nodeFiles);
    if (file.model === null) throw runFailure.fileUnreadable(plan.output.dir, file.problems.map((problem) => problem.message).join(' '));
    await evaluateRun(context, governor, file.model, (quality) => (reached.quality = quality));
  }
}

/** Every unit is finished on the disk before the calibration rows pass through it, so that they see what is written. */
async function quantizeUnits(
  context: RunContext,
  journal: RunJournal,
  units: readonly WorkUnit[],
  governor: MemoryGovernor,
): Promise<void> {
  const { plan, devices } = context;
  const tensors = modelTensors(plan.model);
  const source: ReaderOn = (device) => openTensorReader(device, tensors);
  const survive = (stage: string, attempt: () => Promise<void>): Promise<void> => {
    let mark = context.mark();
    return governor.survive({ stage, rewind: () => context.rewind(mark) }, () => {
      mark = context.mark();
      return attempt();
    });
  };
  if (plan.calibration === null || journal.finished.length === units.length) {
    expectWork(context, units, journal.finished.length, 0);
    for (const unit of units.slice(journal.finished.length))
      await survive(describeUnit(unit), () => finish(context, journal, unit, null, source));
    return;
  }
  const { architecture } = plan.model;
  if (architecture === null) throw runFailure.architectureUnknown(plan.model.architecture_name ?? plan.model.dir, 'Calibration');
  const dataset = plan.calibration;
  using tokens = await context.stage('prepare', null, 'tokenizing', () =>
    loadTokenBatches(dataset, plan.model, devices, { batchTokens: governor.batchTokens }),
  );
  tokens.problems.forEach((problem) => context.problem(problem));
  let operations = 0;
  let message = '';
  using rows = new SpreadRows({
    tokens,
    devices,
    model: plan.model,
    purpose: 'Calibration',
    dir: path.join(context.runDir, 'activations'),
    pairs: plan.layers.some(needsPairs),
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
  expectWork(context, units, journal.finished.length, tokens.nTokens);
  const lastConsumer = units.findLastIndex(
    (unit) => unit.place === 'block' || unit.layers.some((layer) => layer.name === architecture.lm_head),
  );
  const written = new WrittenModel(plan, units, journal);
  const readWritten: ReaderOn = (device) => written.reader(device);
  let isEmbedded = false;
  for (const unit of units) {
    if (unit.place !== 'before' && !isEmbedded) {
      await survive('the embedding', async () => {
        using copies = await loadCopies(rows.devices, readWritten, (name) => model.embeddingTensors.includes(name), written.schemeOf());
        await context.stage('forward', null, 'embedding', () => rows.onEach((part, index) => embedRows(part, copies.on(index))));
      });
      await survive('the embedding', () => context.stage('forward', null, 'embedding', () => embedOriginal(rows, plan.model)));
      isEmbedded = true;
    }
    [operations, message] = [observeWork(context, unit, tokens.nTokens), `calibrating ${describeUnit(unit)}`];
    if (unit.index >= journal.finished.length)
      await survive(describeUnit(unit), () => finish(context, journal, unit, rows, (device) => next.reader(device)));
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
    await survive(describeUnit(unit), () =>
      context.stage('forward', block, `block ${block}`, () => propagateOriginal(rows, block, plan.model, architecture.layers)),
    );
  }
  await rows.removeFiles();
}

/** `source`: tensors of the unquantized model. */
async function finish(context: RunContext, journal: RunJournal, unit: WorkUnit, rows: SpreadRows | null, source: ReaderOn): Promise<void> {
  context.throwIfCancelled();
  await journal.append(await finishUnit({ context, unit, source, rows }));
}

const describeUnit = (unit: WorkUnit): string =>
  unit.block === null ? unit.layers.map((layer) => layer.name).join(', ') : `block ${unit.block}`;

/** One pass of the rows for each kind of transform, and one for the quantizer; searches are counted apart. */
const passesOf = (unit: WorkUnit): number => (unit.layers.length === 0 ? 0 : transformPasses(unit).length + 1);

const observeWork = ({ plan }: RunContext, unit: WorkUnit, n_tokens: number): number => {
  const passes = passesOf(unit);
  return (
    (unit.block === null ? 0 : forwardOperations(plan, unit.block, n_tokens)) + observeOperations(unit, n_tokens) / Math.max(1, passes)
  );
};

/** Resuming passes the rows through the finished blocks again, so only the rest of their work is counted as done. */
function expectWork(context: RunContext, units: readonly WorkUnit[], n_finished: number, n_tokens: number): void {
  const { plan } = context;
  let [total, done] = [evaluateOperations(plan), 0];
  for (const unit of units) {
    const searches = transformPasses(unit).flatMap((pass) => (pass.name === 'awq' ? pass.mappings : []));
    const searching = searches.reduce((sum, search) => sum + searchOperations(plan, search, n_tokens), 0);
    const work = quantizeOperations(unit.layers) + searching + passesOf(unit) * observeWork(context, unit, n_tokens);
    const passesOfRows = plan.layers.some(needsPairs) ? 2 : 1;
    total += work + (unit.block === null ? 0 : passesOfRows * forwardOperations(plan, unit.block, n_tokens));
    if (unit.index < n_finished) done += work;
  }
  context.expectOperations(total, done);
}

/** What the run took at most, place by place. */
function memoryPlaces({ devices, hiddenStates }: RunContext): RunFacts['places'] {
  const activations = hiddenStates?.() ?? null;
  const memories = devices.map(({ native }) => native.memory());
  return {
    devices: devices.map(({ native: { kind, name } }, index) => {
      const { peak_bytes = 0, total_bytes = null, limit_bytes = 0 } = memories[index] ?? {};
      return { kind, name, peak_bytes, total_bytes, limit_bytes: limit_bytes || null };
    }),
    process_peak_bytes: residentPeakBytes(),
    pinned_peak_bytes: memories.reduce((sum, { host_peak_bytes }) => sum + host_peak_bytes, 0),
    activations: activations && { device_bytes: activations.device, host_bytes: activations.host, disk_bytes: activations.disk },
  };
}

async function writeReport(context: RunContext, outcome: RunOutcome, reached: Reached): Promise<string> {
  const report = makeReport({
    plan: context.given,
    run_id: context.runId,
    bitwright_version: context.version,
    outcome,
    startedAt: context.startedAt,
    finishedAt: new Date(),
    device: context.deviceReport(),
    output_dir: reached.outputDir,
    weightsBytesAfter: reached.weightsBytes,
    quality: reached.quality,
    measured_peak_bytes: Math.max(...context.devices.map(({ native }) => native.memory().peak_bytes), residentPeakBytes()),
    peakStage: context.peakStage,
    places: memoryPlaces(context),
    stages: [...context.stageSeconds].map(([name, seconds]) => ({ name, seconds })),
    rotations: context.rotations,
    transforms: context.transforms,
    layers: context.layers,
    problems: context.problems,
  });
  await writeTextDurably(reportFile(context.runDir), `${JSON.stringify(report, null, 2)}\n`);
  return context.runDir;
}
