// The rotations of DuQuant for one model: its activations are seen in one pass of the calibration rows through the model as it is, on one device and in batches that
// never change, so that a run that goes on later turns the model the same way: where memory runs out, hidden states move, and the pass begins again.
import path from 'node:path';
import { rm } from 'node:fs/promises';
import type { ArchitectureFacts, DuquantPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { runFailure } from '../../../schemas/src/run-failure.js';
import { transforms } from '../algorithms.js';
import { embedRows, observeBlock, propagateBlock } from '../calibration/calibrate-block.js';
import { SpreadRows } from '../calibration/spread-rows.js';
import { loadTokenBatches } from '../calibration/token-batches.js';
import { copiesLoader } from '../evaluate/model-pass.js';
import { activationBudget } from '../memory/activation-budget.js';
import type { MemoryGovernor } from '../memory/memory-governor.js';
import { HessianObserver } from '../observers/hessian.js';
import { seededRandom } from '../random-numbers.js';
import type { RunContext } from '../run-context.js';
import { embedding, rmsnorm } from '../tensor/operations/forward.js';
import { summary } from '../tensor/operations/metrics.js';
import { columnMomentsAccumulate } from '../tensor/operations/observers.js';
import { gatherColumns } from '../tensor/operations/storage.js';
import { rotate } from '../tensor/operations/transforms.js';
import type { Tensor } from '../tensor/tensor.js';
import type { Turn } from '../transforms/duquant.js';
import type { RotationName, Turner, TurnedTensor } from '../transforms/hadamard.js';
import { availableMemory } from './memory-estimate.js';

/** Turns by the activation that they belong to. */
type Turns = Map<string, Turn[]>;

const keyOf = (name: RotationName, block: number | null): string => (name === 'R1' ? name : `${name} ${block}`);

class DuquantRotations implements Turner {
  constructor(
    private readonly turns: Turns,
    private readonly heads: Pick<ArchitectureFacts, 'num_attention_heads' | 'num_key_value_heads'>,
    private readonly owned: readonly Tensor[],
  ) {}

  turn(x: Tensor, { input, output, block }: TurnedTensor, gain: Tensor | null): Tensor {
    const { turned } = transforms.duquant;
    const { dtype } = x;
    if (input === null) return turned(x, gain, this.of(output, block), { axis: 0, dtype });
    using between = turned(x, gain, this.ofInput(input, block), { axis: 1, dtype: output === null ? dtype : 'F32' });
    return turned(between, null, output === null ? [] : this.of(output, block), { axis: 0, dtype });
  }

  private of(name: RotationName | null, block: number | null): readonly Turn[] {
    const turns = name === null ? undefined : this.turns.get(keyOf(name, block));
    if (turns === undefined) throw new Error(`The plan has no rotation ${name}.`);
    return turns;
  }

  /** o_proj takes every head of values as often as heads of queries share it. */
  private ofInput(name: RotationName, block: number | null): readonly Turn[] {
    return this.turns.get(`${keyOf(name, block)} taken`) ?? this.of(name, block);
  }

  [Symbol.dispose](): void {
    for (const tensor of this.owned) tensor.dispose();
  }
}

export async function duquantRotations(context: RunContext, plan: DuquantPlan, governor: MemoryGovernor): Promise<DuquantRotations> {
  const { model, calibration } = context.plan;
  const facts = model.architecture;
  if (calibration === null || facts === null)
    throw runFailure.planInvalid(`${plan.modifier} needs calibration rows and a known architecture`);
  const turns: Turns = new Map();
  const owned: Tensor[] = [];
  const maker = new TurnMaker(context, plan, turns, owned);
  try {
    await passRows(context, facts, plan, maker, governor);
    return new DuquantRotations(turns, facts, owned);
  } catch (error) {
    for (const tensor of owned) tensor.dispose();
    throw error;
  }
}

/** One pass: the hidden states at the borders of the blocks, normed, for R1; the inputs of o_proj and down_proj of each block. */
async function passRows(
  context: RunContext,
  facts: ArchitectureFacts,
  plan: DuquantPlan,
  maker: TurnMaker,
  governor: MemoryGovernor,
): Promise<void> {
  const { model, calibration } = context.plan;
  const { device } = context;
  const dir = path.join(context.runDir, 'duquant');
  using tokens = await loadTokenBatches(calibration!, model, [device]);
  try {
    using rows = new SpreadRows({
      tokens,
      devices: [device],
      model,
      purpose: `The rotation of ${plan.modifier}`,
      dir,
      budgetOf: (on, n_used) => activationBudget(on, n_used, model, context.plan.layers, availableMemory(context.plan), tokens.largest),
      onBatch: () => context.throwIfCancelled(),
    });
    using _ = governor.hold({ tokens, rows, keepsBatches: true });
    const stage = `the pass that shows ${plan.modifier} what to rotate`;
    await governor.survive({ stage, rewind: () => maker.clear() }, () => seeAll(rows, facts, plan, maker));
  } finally {
    await rm(dir, { recursive: true, force: true });
  }
}

async function seeAll(
  { parts: [part], devices }: SpreadRows,
  facts: ArchitectureFacts,
  plan: DuquantPlan,
  maker: TurnMaker,
): Promise<void> {
  const { device } = part;
  await part.cache.clear();
  const load = copiesLoader(devices, maker.model);
  const has = (name: RotationName): boolean => plan.rotations.some((rotation) => rotation.name === name);
  using hidden = new HessianObserver(device);
  using ones = device.fromFloats([facts.hidden_size], new Float32Array(facts.hidden_size).fill(1));
  const seeHidden = (): void => {
    if (!has('R1')) return;
    for (const [index, batch] of part.batches.entries()) {
      using states = part.cache.get(index);
      using normed = rmsnorm(states, ones, facts.rms_norm_eps);
      hidden.observe(normed, batch);
    }
  };
  {
    using copies = await load((name) => part.model.embeddingTensors.includes(name));
    await embedRows(part, copies.first);
  }
  for (let block = 0; block < facts.num_hidden_layers; block += 1) {
    const at = `${facts.layers}.${block}`;
    using copies = await load((name) => name.startsWith(`${at}.`));
    seeHidden();
    using values = new HessianObserver(device);
    using moments = device.zeros('F64', [5, facts.intermediate_size]);
    if (has('R2') || has('P'))
      await observeBlock(part, block, copies.first, (module, input, batch) => {
        if (has('R2') && module === `${at}.self_attn.o_proj`) values.observe(input, batch);
        if (has('P') && module === `${at}.mlp.down_proj`) columnMomentsAccumulate(moments, input);
      });
    await maker.values(block, facts, values.take());
    if (has('P')) maker.intermediate(block, await moments.readDoubles());
    await propagateBlock(part, block, copies.first);
  }
  seeHidden();
  await maker.hidden(hidden.take());
}

/** Turns from what was seen; Hessians are taken over. */
class TurnMaker {
  constructor(
    private readonly context: RunContext,
    private readonly plan: DuquantPlan,
    private readonly turns: Turns,
    private readonly owned: Tensor[],
  ) {}

  get model(): ModelDescription {
    return this.context.plan.model;
  }

  /** Nothing was seen. */
  clear(): void {
    for (const tensor of this.owned.splice(0)) tensor.dispose();
    this.turns.clear();
  }

  private keep(tensor: Tensor): Tensor {
    this.owned.push(tensor);
    return tensor;
  }

  private size(name: RotationName): number {
    return this.plan.rotations.find((rotation) => rotation.name === name)?.size ?? 1;
  }

  /** Rotations of the blocks of the diagonal, with numbers of their own. */
  private async rotationOf(H: Tensor, b: number, seed: number): Promise<Tensor> {
    const { greedyRotation, diagonalBlocks, rotationTensor } = transforms.duquant;
    const n = H.shape[0] ?? 0;
    const random = seededRandom(this.plan.seed + seed);
    const steps = this.plan.max_rotation_step;
    const blocks = diagonalBlocks(await H.readFloats(), n, b).map((block) => greedyRotation(block, b, steps, random));
    return rotationTensor(this.context.device, blocks, b);
  }

  async hidden(taken: Tensor | null): Promise<void> {
    if (taken === null) return;
    using H = taken;
    await checkFinite(H, 'the hidden states');
    const b = this.size('R1');
    const n = H.shape[0] ?? 0;
    const first = this.keep(await this.rotationOf(H, b, 0));
    const turns: Turn[] = [{ rotation: first }];
    if (this.plan.permute && n > b) {
      const { powerOf, zigzag } = transforms.duquant;
      using half = rotate(H, null, first, { axis: 1, dtype: 'F32' });
      using whole = rotate(half, null, first, { axis: 0, dtype: 'F32' });
      const permutation = this.keep(this.context.device.fromInts([n], zigzag(await powerOf(whole), b)));
      using columns = gatherColumns(whole, permutation);
      using moved = embedding(columns, permutation);
      turns.push({ permutation }, { rotation: this.keep(await this.rotationOf(moved, b, 1)) });
    }
    this.turns.set('R1', turns);
  }

  async values(
    block: number,
    { head_dim, num_attention_heads, num_key_value_heads }: ArchitectureFacts,
    taken: Tensor | null,
  ): Promise<void> {
    if (taken === null) return;
    using H = taken;
    await checkFinite(H, `the values of block ${block}`);
    const { greedyRotation, diagonalBlocks, rotationTensor } = transforms.duquant;
    const ofHeads = diagonalBlocks(await H.readFloats(), num_attention_heads * head_dim, head_dim);
    const shared = num_attention_heads / num_key_value_heads;
    const random = seededRandom(this.plan.seed + 2 + block);
    const rotations = Array.from({ length: num_key_value_heads }, (_, head) => {
      const sum = new Float64Array(head_dim * head_dim);
      for (let i = 0; i < shared; i += 1) ofHeads[head * shared + i]!.forEach((value, k) => (sum[k]! += value));
      return greedyRotation(sum, head_dim, this.plan.max_rotation_step, random);
    });
    const { device } = this.context;
    const taking = Array.from({ length: num_attention_heads }, (_, head) => rotations[Math.floor(head / shared)]!);
    this.turns.set(keyOf('R2', block), [{ rotation: this.keep(rotationTensor(device, rotations, head_dim)) }]);
    this.turns.set(`${keyOf('R2', block)} taken`, [{ rotation: this.keep(rotationTensor(device, taking, head_dim)) }]);
  }

  /** `moments` [5, channels]: sums of the first four powers and the largest magnitude. */
  intermediate(block: number, moments: Float64Array): void {
    const n = moments.length / 5;
    const power = moments.subarray(n, 2 * n);
    const odd = power.findIndex((value) => !Number.isFinite(value));
    if (odd >= 0) throw runFailure.activationNotFinite(`down_proj of block ${block}`, `the power of its channel ${odd} is ${power[odd]}`);
    const permutation = this.keep(this.context.device.fromInts([n], transforms.duquant.zigzag(power, this.size('P'))));
    this.turns.set(keyOf('P', block), [{ permutation }]);
  }
}

async function checkFinite(H: Tensor, what: string): Promise<void> {
  using numbers = summary(H);
  const [, n_nan = 0, n_infinite = 0] = await numbers.readDoubles();
  if (n_nan + n_infinite > 0) throw runFailure.activationNotFinite(what, `${n_nan + n_infinite} of their products are NaN or infinite`);
}
