// How many results an operation answered: another number than it is to answer is a bug of worker/native.
import type { Tensor } from '../tensor.js';

export function one(results: Tensor[]): Tensor {
  const [result] = results;
  if (result === undefined || results.length !== 1)
    throw new Error(`A native operation answered ${results.length} results where one was expected.`);
  return result;
}

export function two(results: Tensor[]): [Tensor, Tensor] {
  const [first, second] = results;
  if (first === undefined || second === undefined || results.length !== 2)
    throw new Error(`A native operation answered ${results.length} results where two were expected.`);
  return [first, second];
}

export function three(results: Tensor[]): [Tensor, Tensor, Tensor] {
  const [first, second, third] = results;
  if (first === undefined || second === undefined || third === undefined || results.length !== 3)
    throw new Error(`A native operation answered ${results.length} results where three were expected.`);
  return [first, second, third];
}
