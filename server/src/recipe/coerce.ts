// What pydantic accepts where a field wants another type: numeric text for numbers, 128.0 for integers, 'yes' for booleans.
import { bytesOfText } from '../../../schemas/src/bytes-text.js';

export type FieldType = 'integer' | 'number' | 'boolean' | 'string' | 'null' | 'array' | 'object';

const trueWords = ['true', 't', 'yes', 'y', 'on', '1'];
const falseWords = ['false', 'f', 'no', 'n', 'off', '0'];

/** Single underscores between digits; 128.0 is whole, 1e3 is not. */
const wholeText = /^[-+]?\d+(?:_\d+)*(?:\.0*)?$/;
const numberText = /^[-+]?(?:(?:\d+(?:_\d+)*)(?:\.(?:\d+(?:_\d+)*)?)?|\.\d+(?:_\d+)*)(?:[eE][-+]?\d+)?$/;

/** NaN and infinities are refused, though pydantic takes them: no field means anything with them. */
function numberFrom(value: unknown, text: RegExp): number | undefined {
  if (typeof value === 'boolean') return Number(value);
  const trimmed = typeof value === 'string' ? value.trim() : null;
  const number = trimmed === null ? value : text.test(trimmed) ? Number(trimmed.replaceAll('_', '')) : undefined;
  return typeof number === 'number' && Number.isFinite(number) ? number : undefined;
}

/** The value as the type, or undefined where pydantic refuses it. */
export function coerceTo(type: FieldType, value: unknown): unknown {
  switch (type) {
    case 'integer': {
      const number = numberFrom(value, wholeText);
      return number !== undefined && Number.isInteger(number) ? number : undefined;
    }
    case 'number':
      return numberFrom(value, numberText);
    case 'boolean':
      if (value === true || value === 1) return true;
      if (value === false || value === 0) return false;
      if (typeof value !== 'string') return undefined;
      return trueWords.includes(value.toLowerCase()) ? true : falseWords.includes(value.toLowerCase()) ? false : undefined;
    case 'string':
      return typeof value === 'string' ? value : undefined;
    case 'null':
      return value === null ? null : undefined;
    case 'array':
      return Array.isArray(value) ? value : undefined;
    case 'object':
      return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Date) ? value : undefined;
  }
}

export const integerOf = (value: unknown, otherwise: number): number => (coerceTo('integer', value) as number | undefined) ?? otherwise;
export const numberOf = (value: unknown, otherwise: number): number => (coerceTo('number', value) as number | undefined) ?? otherwise;
export const booleanOf = (value: unknown, otherwise: boolean): boolean => (coerceTo('boolean', value) as boolean | undefined) ?? otherwise;
export const textOf = (value: unknown, otherwise: string): string => (typeof value === 'string' ? value : otherwise);

/** A list of texts; a lone text counts as a list of one. */
export const textsOf = (value: unknown): string[] =>
  typeof value === 'string' ? [value] : Array.isArray(value) ? value.filter((item) => typeof item === 'string') : [];
export const mappingOf = (value: unknown): Readonly<Record<string, unknown>> =>
  (coerceTo('object', value) as Record<string, unknown> | undefined) ?? {};

/** 5GB, 512 MiB or a number of bytes; null where it is none of them. */
export function bytesOf(value: unknown): number | null {
  if (typeof value === 'number') return Number.isInteger(value) && value > 0 ? value : null;
  return typeof value === 'string' ? bytesOfText(value) : null;
}
