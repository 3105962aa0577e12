// A forward pass, written down operation by operation as it is enqueued, and gone through backwards: gradients are those of the very operations that run,
// whatever model they belong to. Reverse-mode differentiation as in Griewank and Walther, Evaluating Derivatives, 2008.
import type { OperationOptions } from '../native-core.js';
import { add, attentionBackward, linearBackward, rmsnormBackward, rope, siluMulBackward } from './operations/forward.js';
import { weightedAccumulate } from './operations/observers.js';
import { reshape } from './operations/storage.js';
import type { Device, Tensor } from './tensor.js';

interface Step {
  operation: string;
  /** As the forward pass named them: who made a tensor is told by the object. */
  inputs: readonly (Tensor | null)[];
  result: Tensor;
  /** Of the same bytes, since the forward pass disposes its own. */
  kept: readonly (Tensor | null)[];
  options: OperationOptions;
}

/** Gradients of the inputs that depend on what is differentiated for, in their order; weights and tables have none. */
type Rule = (dy: Tensor, inputs: readonly Tensor[], options: OperationOptions) => Tensor[];

const same = (x: Tensor): Tensor => reshape(x, x.shape);

const rules: Readonly<Record<string, Rule>> = {
  add: (dy) => [same(dy), same(dy)],
  linear: (dy, [, weight]) => [linearBackward(dy, weight!)],
  rmsnorm: (dy, [x, weight], { eps }) => [rmsnormBackward(x!, weight!, dy, eps as number)],
  silu_mul: (dy, [gate, up]) => siluMulBackward(gate!, up!, dy),
  // Turned back: the angle is negated.
  rope: (dy, [, cos, sin, positions], { head_dim }) => {
    using minus = dy.device.zeros('F32', sin!.shape);
    weightedAccumulate(minus, sin!, { decay: 0, weight: -1 });
    return [rope(dy, cos!, minus, positions!, head_dim as number)];
  },
  attention: (dy, [q, k, v, offsets], options) =>
    attentionBackward(q!, k!, v!, offsets!, dy, options as unknown as Parameters<typeof attentionBackward>[5]),
};

/** A linear of the pass: its weight as the forward pass named it, what it took, and the gradient of what it answered. Valid during the call only. */
export type SeeLinear = (weight: Tensor, x: Tensor, dy: Tensor) => void;

/** The pass runs an operation that cannot be gone through backwards, such as the rounding of inputs. */
export class NoGradientError extends Error {
  constructor(readonly operation: string) {
    super(`The operation ${operation} has no gradient.`);
  }
}

export class Tape implements Disposable {
  private readonly steps: Step[] = [];

  constructor(private readonly device: Device) {}

  /** What `forward` enqueues is written down. */
  record<T>(forward: () => T): T {
    this.device.recorder = (operation, inputs, options, [result]) => {
      if (result === undefined) return;
      const step = { operation, inputs, result, options };
      this.paused(() => this.steps.push({ ...step, kept: inputs.map((input) => input && same(input)) }));
    };
    try {
      return forward();
    } finally {
      this.device.recorder = null;
    }
  }

  /** The gradient for `input`, the caller's, from that of `output`, which is taken over. */
  backward(output: Tensor, gradient: Tensor, input: Tensor, see: SeeLinear): Tensor {
    const gradients = new Map([[output, gradient]]);
    const give = (tensor: Tensor, part: Tensor): void => {
      const known = gradients.get(tensor);
      gradients.set(tensor, known === undefined ? part : add(known, part));
      if (known === undefined) return;
      known.dispose();
      part.dispose();
    };
    try {
      for (const { operation, inputs, result, kept, options } of [...this.steps].reverse()) {
        const dy = gradients.get(result);
        if (dy === undefined) continue;
        gradients.delete(result);
        using used = dy;
        const rule = rules[operation];
        if (rule === undefined) throw new NoGradientError(operation);
        if (operation === 'linear') see(inputs[1]!, kept[0]!, used);
        // Operations that may lack an input (a bias) lack it behind those that have gradients.
        rule(used, kept as Tensor[], options).forEach((part, at) => give(inputs[at]!, part));
      }
      const found = gradients.get(input);
      if (found === undefined) throw new Error('The output does not depend on the input.');
      gradients.delete(input);
      return found;
    } finally {
      for (const rest of gradients.values()) rest.dispose();
    }
  }

  private paused(work: () => void): void {
    const { recorder } = this.device;
    this.device.recorder = null;
    work();
    this.device.recorder = recorder;
  }

  [Symbol.dispose](): void {
    for (const { kept } of this.steps) for (const tensor of kept) tensor?.dispose();
  }
}
