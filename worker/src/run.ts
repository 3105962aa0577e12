// The pipeline of a run: plan → calibrated, transformed, quantized, written, measured. Unit by unit: what is finished is on the disk, and what
// the next block sees is what a reader of the file would compute, so that a resumed run and an unbroken one are the same run.
import { rm } from 'node:fs/promises';
import type { ErrorDepth } from '../../schemas/src/generated/report.js';
import { describeModel } from '../../schemas/src/model/describe-model.js';
import { nodeFiles } from '../../schemas/src/model/model-files.js';
import { quantizerFacts } from '../../schemas/src/modifiers.js';
import { gateText, judgeGates } from '../../schemas/src/quality-gates.js';
import type { RunFailure, RunOutcome } from '../../schemas/src/run-event.js';
import { runFailure } from '../../schemas/src/run-failure.js';
import { observers } from './algorithms.js';
import { withAdapter } from './checkpoint/adapter-folder.js';
import { checkOutputFolder, writeCheckpoint, type CheckpointHashes } from './checkpoint/checkpoint-writer.js';
import { makeFolder, writeFailure, writeTextDurably } from './checkpoint/durable-file.js';
import { verifyModelFiles } from './checkpoint/tensor-reader.js';
import { depthOfRun, evaluateRun, type Quality } from './evaluate/evaluate-run.js';
import type { FileHashes } from './hash-files.js';
import { checkPlanIsSupported, isSkippedEmbedding, isUntied, planUnits } from './jobs/layer-jobs.js';
import { checkDisk, checkMemory, limitMemory, residentPeakBytes } from './jobs/memory-estimate.js';
import { weighOutliers } from './jobs/outlier-sparsity.js';
import { quantizeUnits } from './jobs/quantize-units.js';
import { hashInputs, lockRun } from './jobs/lock-run.js';
import { RunJournal } from './jobs/run-journal.js';
import { rotateModel, rotationOf } from './jobs/rotate-model.js';
import { markRunning, unmarkRunning } from './jobs/running-mark.js';
import { passedOverProblems } from './jobs/scaled-mapping.js';
import { standInProblems } from './jobs/stand-in-types.js';
import { writeRunImatrix } from './jobs/write-imatrix.js';
import { WrittenModel } from './jobs/written-model.js';
import { MemoryGovernor } from './memory/memory-governor.js';
import { memoryPlaces } from './memory/memory-places.js';
import { collapseProblem } from './report/quality-collapse.js';
import { makeReport, reportFile, sizeOf } from './report/run-report.js';
import { asRunFailure, idle, isCancellation, type RunContext } from './run-context.js';

/** What a run has reached, kept here so that the report of a failed run tells it too. */
interface Reached {
  outputDir: string | null;
  weightsBytes: number | null;
  quality: Quality | null;
  depth: ErrorDepth | null;
}

/** Never throws: the outcome is the last event, and the report says the same. */
export async function run(context: RunContext): Promise<void> {
  const reached: Reached = { outputDir: null, weightsBytes: null, quality: null, depth: null };
  let outcome: RunOutcome = 'completed';
  let failure: RunFailure | null = null;
  let journal: RunJournal | null = null;
  let inputs: FileHashes | null = null;
  try {
    journal = await prepare(context);
    inputs = hashInputs(context);
    // What it has learned about the memory of the device in one part of the run the next need not learn again.
    const governor = new MemoryGovernor(context.devices, (problem) => context.problem(problem));
    await rotate(context, governor);
    await carryOut(context, journal, reached, inputs, governor);
  } catch (error) {
    outcome = isCancellation(error) || context.cancelled ? 'cancelled' : 'failed';
    failure = outcome === 'failed' ? asRunFailure(error) : null;
  }
  inputs?.[Symbol.dispose]();
  if (context.cancelled) await idle(context.devices);
  let reportDir: string | null = null;
  try {
    if (journal !== null) {
      reportDir = await writeReport(context, outcome, reached);
      await unmarkRunning(context);
    }
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
  limitMemory(plan, context.devices);
  const short = checkMemory(plan, context.devices);
  await checkOutputFolder(plan.output.dir);
  await verifyModelFiles(plan.model);
  await makeFolder(runDir).catch((error: unknown) => {
    throw writeFailure(runDir, error, 'the run folder');
  });
  await checkDisk(plan.estimate.disk_bytes, runDir, 'run');
  const units = planUnits(plan);
  await markRunning(context, units.length);
  const journal = await RunJournal.open(runDir, plan, context.workDevice, context.version).catch(async (error: unknown) => {
    await unmarkRunning(context);
    throw error;
  });
  context.emit({
    kind: 'run-began',
    run_id: context.runId,
    run_dir: runDir,
    n_blocks: units.filter((unit) => unit.block !== null).length,
    n_layers: units.reduce((sum, unit) => sum + unit.layers.length, 0),
    resumed_blocks: journal.finished.filter(({ unit }) => units[unit]?.block !== null).length,
    device: `${context.deviceFacts.name} (${context.deviceFacts.devices?.map(({ id }) => id).join(', ') ?? context.deviceFacts.kind})`,
  });
  if (short !== null) context.problem(short);
  if (journal.begunAnew !== null)
    context.problem({
      code: 'run-begun-anew',
      severity: 'warning',
      message: `The run begins anew, and ${journal.begunAnew.n_finished} finished blocks and layers in ${runDir} are lost, because ${journal.begunAnew.reason}. A run goes on where it was with the model, the devices and the version that it began with.`,
      layer: null,
      recipe_path: null,
    });
  return journal;
}

/** From here on the model is the rotated one; the report and the measure before are of the one that was given. */
async function rotate(context: RunContext, governor: MemoryGovernor): Promise<void> {
  const rotation = rotationOf(context.plan);
  if (rotation === undefined) return;
  const model = await context.stage('transform', null, 'folding rotations into the weights', () =>
    rotateModel(context, rotation, governor),
  );
  context.plan = { ...context.plan, model };
}

async function carryOut(
  context: RunContext,
  journal: RunJournal,
  reached: Reached,
  inputs: FileHashes,
  governor: MemoryGovernor,
): Promise<void> {
  await weighOutliers(context, governor);
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
  [...passedOverProblems(plan), ...standInProblems(plan)].forEach((problem) => context.problem(problem));
  await quantizeUnits(context, journal, units, governor);
  const written = new WrittenModel(plan, units, journal);
  const hashes: CheckpointHashes = { files: [], tensors: [] };
  await context.stage('write', null, plan.output.dir, async () => {
    const parted = context.given.model.architecture?.tie_word_embeddings === true && plan.model.architecture?.tie_word_embeddings === false;
    const content = {
      plan,
      stored: written.stored,
      tensors: written.tensors,
      isUntied: parted || isUntied(plan),
      bitwrightVersion: context.version,
    };
    reached.weightsBytes = await writeCheckpoint(content, context.runDir, () => context.throwIfCancelled(), hashes);
    reached.outputDir = plan.output.dir;
    await writeRunImatrix(plan, context.runDir, context.layers);
    await journal.close();
  });
  await context.stage('lock', null, 'hashes of what was read', () => lockRun(context, inputs, hashes));
  try {
    await judge(context, governor, reached);
  } finally {
    if (plan.model.dir !== context.given.model.dir) await rm(plan.model.dir, { recursive: true, force: true });
  }
}

/** What was written, read as any reader would: what the recipe asks to measure, and where the error arises. */
async function judge(context: RunContext, governor: MemoryGovernor, reached: Reached): Promise<void> {
  const { plan } = context;
  if (plan.evaluate === null && plan.depth === undefined) return;
  const file = await describeModel(plan.output.dir, nodeFiles);
  if (file.model === null) throw runFailure.fileUnreadable(plan.output.dir, file.problems.map((problem) => problem.message).join(' '));
  const whole = await withAdapter(file.model);
  const models = { whole, withoutAdapter: whole === file.model ? null : file.model };
  if (plan.evaluate !== null) await evaluateRun(context, governor, models, (quality) => (reached.quality = quality));
  if (plan.depth !== undefined) reached.depth = await depthOfRun(context, governor, whole, plan.depth);
  const collapse = collapseProblem(context.given, reached.quality, reached.depth);
  if (collapse !== null) context.problem(collapse);
}

async function writeReport(context: RunContext, outcome: RunOutcome, reached: Reached): Promise<string> {
  const made = { plan: context.given, weightsBytesAfter: reached.weightsBytes, layers: context.layers };
  const gates = outcome === 'completed' ? judgeGates(context.given.gates, { size: sizeOf(made), quality: reached.quality }) : [];
  for (const gate of gates)
    if (!gate.holds)
      context.problem({
        code: 'gate-failed',
        severity: 'error',
        message: `${gateText(gate)}. The checkpoint stands in ${context.given.output.dir}, and the gate does not hold for it: change what the run does, or the gate.`,
        layer: null,
        recipe_path: ['gates', gate.facts.key],
      });
  const report = makeReport({
    ...made,
    run_id: context.runId,
    bitwright_version: context.version,
    outcome,
    startedAt: context.startedAt,
    finishedAt: new Date(),
    device: context.deviceFacts,
    output_dir: reached.outputDir,
    gates,
    quality: reached.quality,
    depth: reached.depth,
    measured_peak_bytes: Math.max(...context.devices.map(({ native }) => native.memory().peak_bytes), residentPeakBytes()),
    peakStage: context.peakStage,
    places: memoryPlaces(context),
    canary: context.canary,
    stages: [...context.stageSeconds].map(([name, seconds]) => ({ name, seconds })),
    rotations: context.rotations,
    transforms: context.transforms,
    problems: context.problems,
  });
  await writeTextDurably(reportFile(context.runDir), `${JSON.stringify(report, null, 2)}\n`);
  return context.runDir;
}
