// Rotations that are folded into the weights: which matrices a modifier asks for, and what stands against folding them into this model.
import type { DuquantPlan, HadamardPlan, ModelDescription } from '../../../schemas/src/generated/plan.js';
import { hadamardFactor, isPowerOfTwo, largestHadamardBlock } from '../../../schemas/src/hadamard.js';
import type { RotationPlan } from '../../../schemas/src/modifiers.js';
import type { Problem, ProblemFix, RecipePath } from '../../../schemas/src/problem.js';
import { booleanOf, coerceTo, integerOf, textOf, textsOf } from '../recipe/coerce.js';
import type { RecipeModifier } from './read-modifiers.js';

export interface ResolvedRotation {
  modifier: RecipeModifier;
  /** null where something stands against it. */
  plan: RotationPlan | null;
  problems: Problem[];
}

/** Modifiers whose rotations are folded into weights. */
export const rotationModifiers: readonly string[] = ['SpinQuantModifier', 'HadamardModifier', 'DuQuantModifier'];

/** llm-compressor has no seed: torch chooses anew each time. */
const usualSeed = 42;

/** The final norm is folded into the head, which then cannot share its matrix with the embedding. */
export const partsHead = ({ rotations }: RotationPlan): boolean => rotations.some(({ name }) => name === 'R1');

interface Fault {
  /** Of rotations at run time. */
  isOnline?: boolean;
  at: RecipePath;
  message: string;
  fixes?: ProblemFix[];
}

export function resolveRotation(
  modifier: RecipeModifier,
  model: ModelDescription,
  architectureReason: string | null,
  isFirst: boolean,
): ResolvedRotation {
  const { body, path, name } = modifier;
  const asked = body['rotations'] === undefined ? ['R1', 'R2'] : textsOf(body['rotations']).map((text) => text.toUpperCase());
  const at = (field: string): RecipePath => (body[field] === undefined ? path : [...path, field]);
  const faults: Fault[] = [];
  const online: string[] = asked.filter((rotation) => rotation === 'R3' || rotation === 'R4');
  if (online.length > 0) {
    const rest = asked.filter((rotation) => !online.includes(rotation));
    faults.push({
      isOnline: true,
      at: [...path, 'rotations'],
      message: `${online.join(' and ')} ${online.length === 1 ? 'is' : 'are'} no rotation of weights alone: R3 turns queries and keys and R4 the input of down_proj while the model runs, which this version neither computes nor stores. Leave ${rest.length === 0 ? 'R1 and R2' : rest.join(' and ')}, which ${rest.length === 1 ? 'is' : 'are'} folded into the weights.`,
      fixes: [
        {
          title: 'Leave the rotations that are folded into weights',
          preferred: true,
          edits: [
            { kind: 'replace-value', path: [...path, 'rotations'], text: `[${(rest.length === 0 ? ['R1', 'R2'] : rest).join(', ')}]` },
          ],
        },
      ],
    });
  }
  if (!isFirst)
    faults.push({
      at: path,
      message: 'the weights are rotated by an earlier modifier already, and one rotation after the other is no better than one. Remove it.',
    });
  const { architecture } = model;
  if (architecture === null)
    faults.push({
      at: path,
      message: `a rotation must meet its inverse in every layer that reads what it turned, and the layers of ${model.architecture_name ?? 'this model'} are not known here: ${architectureReason ?? 'its architecture is unknown'}. Remove the modifier.`,
    });
  const type = name === 'HadamardModifier' || name === 'DuQuantModifier' ? null : textOf(body['transform_type'], 'hadamard');
  if (type === 'random-matrix')
    faults.push({
      at: at('transform_type'),
      message:
        'random-matrix is a matrix of random numbers that is not orthogonal: the norms do not commute with R1, so that the model computes something else, and R2 makes weights of very different sizes. Use random-hadamard.',
      fixes: [setField(modifier, 'transform_type', 'random-hadamard')],
    });
  if (name === 'DuQuantModifier') return duquant(modifier, model, asked, faults);
  const rotations: HadamardPlan['rotations'] = [];
  if (architecture !== null && type !== 'random-matrix')
    for (const rotation of ['R1', 'R2'] as const) {
      if (!asked.includes(rotation)) continue;
      const { size, fault } = sizeOf(rotation, modifier, architecture.hidden_size, architecture.head_dim, type);
      if (fault === null) rotations.push({ name: rotation, size });
      else faults.push(fault);
    }
  const isRandom = name === 'HadamardModifier' ? booleanOf(body['randomize'], true) : type === 'random-hadamard';
  const plan: HadamardPlan = {
    name: 'hadamard',
    modifier: name,
    recipe_path: [...path],
    rotations,
    seed: isRandom ? integerOf(body['seed'], usualSeed) : null,
  };
  return { modifier, plan: faults.length === 0 && rotations.length > 0 ? plan : null, problems: problemsOf(modifier, faults) };
}

const problemsOf = ({ name, path }: RecipeModifier, faults: readonly Fault[]): Problem[] =>
  faults.map(({ isOnline, at: place, message, fixes = [] }) => ({
    code: isOnline ? 'rotation-not-runnable-yet' : 'rotation-cannot-fuse',
    severity: 'error',
    path: place,
    at: place === path ? 'key' : 'value',
    message: `${name}: ${message}`,
    fixes,
  }));

/** DuQuant's blocks in its code; a model whose width has no such divisor takes the next smaller one. */
const usualBlock = 128;

/** Any block that divides the width will do; its rotations are not Hadamard's. */
function duquant(
  modifier: RecipeModifier,
  { architecture }: ModelDescription,
  asked: readonly string[],
  faults: Fault[],
): ResolvedRotation {
  const { body, path, name } = modifier;
  const said = coerceTo('integer', body['block_size']);
  const rotations: DuquantPlan['rotations'] = [];
  const permute = booleanOf(body['permutation'], true);
  if (architecture !== null) {
    const { hidden_size, head_dim, intermediate_size } = architecture;
    const largest = (most: number): number => Array.from({ length: most }, (_, i) => most - i).find((b) => hidden_size % b === 0) ?? 1;
    const block = typeof said === 'number' ? said : largest(usualBlock);
    if (block < 1 || hidden_size % block !== 0) {
      const near = largest(Math.min(Math.max(1, block), hidden_size));
      faults.push({
        at: [...path, 'block_size'],
        message: `hidden_size ${hidden_size} is not a multiple of block_size ${block}. Give a divisor, such as ${near}.`,
        fixes: [setField(modifier, 'block_size', String(near))],
      });
    }
    if (asked.includes('R1')) rotations.push({ name: 'R1', size: block });
    if (asked.includes('R2')) rotations.push({ name: 'R2', size: head_dim });
    if (permute) rotations.push({ name: 'P', size: Math.min(block, intermediate_size) });
  }
  const plan: DuquantPlan = {
    name: 'duquant',
    modifier: name,
    recipe_path: [...path],
    rotations,
    max_rotation_step: integerOf(body['max_rotation_step'], 256),
    permute,
    seed: integerOf(body['seed'], usualSeed),
  };
  return { modifier, plan: faults.length === 0 && rotations.length > 0 ? plan : null, problems: problemsOf(modifier, faults) };
}

function sizeOf(
  rotation: 'R1' | 'R2',
  modifier: RecipeModifier,
  hidden: number,
  head: number,
  type: string | null,
): { size: number; fault: Fault | null } {
  const { body, path } = modifier;
  const said = rotation === 'R1' ? coerceTo('integer', body['transform_block_size']) : undefined;
  const block = typeof said === 'number' ? said : null;
  const size = block ?? (rotation === 'R1' ? hidden : head);
  const at = block === null ? path : [...path, 'transform_block_size'];
  const what = rotation === 'R2' ? `head_dim ${head}` : block === null ? `hidden_size ${hidden}` : `a block of ${block}`;
  if (block !== null && (block < 1 || hidden % block !== 0))
    return {
      size,
      fault: {
        at,
        message: `hidden_size ${hidden} is not a multiple of transform_block_size ${block}. Give a divisor, such as ${largestHadamardBlock(hidden)}.`,
      },
    };
  if (type === 'hadamard' && !isPowerOfTwo(size))
    return {
      size,
      fault: {
        at: body['transform_type'] === undefined ? path : [...path, 'transform_type'],
        message: `hadamard is Sylvester's matrix, which there is for powers of two alone, and ${what} is none: llm-compressor fails on it when it starts. Use random-hadamard${hadamardFactor(size) === null ? ' and a block size' : ''}.`,
        fixes: hadamardFactor(size) === null ? [] : [setField(modifier, 'transform_type', 'random-hadamard')],
      },
    };
  if (hadamardFactor(size) !== null) return { size, fault: null };
  const advice =
    rotation === 'R1'
      ? `Set transform_block_size: ${largestHadamardBlock(hidden)}, the largest divisor of ${hidden} that has one.`
      : `Leave R2 out: rotations: [R1].`;
  return {
    size,
    fault: {
      at,
      message: `there is no Hadamard matrix for ${what} in this version. ${advice}`,
      fixes:
        rotation === 'R1'
          ? [setField(modifier, 'transform_block_size', String(largestHadamardBlock(hidden)))]
          : [setField(modifier, 'rotations', '[R1]')],
    },
  };
}

function setField({ path, body }: RecipeModifier, key: string, text: string): ProblemFix {
  return {
    title: `Set ${key}: ${text}`,
    preferred: true,
    edits: [body[key] === undefined ? { kind: 'insert-key', path, key, text } : { kind: 'replace-value', path: [...path, key], text }],
  };
}
