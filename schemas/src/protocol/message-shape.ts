// Whether a value is a message of a union: its kind is one of the union's, and each of its fields has the shape that the kind gives it. Both ends of a page's channel read by it, and drop what is none.

export type Check = (value: unknown) => boolean;

/** A check for every field of every kind: a message that is added to a union does not compile without them. */
export type Shapes<Message extends { kind: string }> = {
  [Kind in Message['kind']]: { [Field in Exclude<keyof Extract<Message, { kind: Kind }>, 'kind'>]-?: Check };
};

export const isText: Check = (value) => typeof value === 'string';
export const isNumber: Check = (value) => typeof value === 'number';
export const isObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
export const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
export const oneOf =
  (...values: readonly unknown[]): Check =>
  (value) =>
    values.includes(value);
export const eitherOf =
  (...checks: readonly Check[]): Check =>
  (value) =>
    checks.some((check) => check(value));
export const listOf =
  (check: Check): Check =>
  (value) =>
    Array.isArray(value) && value.every(check);
/** An object with these fields, and perhaps others. */
export const withFields =
  (fields: Readonly<Record<string, Check>>): Check =>
  (value) =>
    isObject(value) && Object.entries(fields).every(([name, check]) => check((value as Record<string, unknown>)[name]));
/** An object whose every field is alike. */
export const recordOf =
  (check: Check): Check =>
  (value) =>
    isObject(value) && Object.values(value as object).every(check);

/** The message; null where the value is none of the union. */
export function readMessage<Message extends { kind: string }>(shapes: Shapes<Message>, value: unknown): Message | null {
  if (!isObject(value)) return null;
  const { kind } = value as { kind?: unknown };
  if (typeof kind !== 'string' || !Object.hasOwn(shapes, kind)) return null;
  return withFields(shapes[kind as Message['kind']] as Record<string, Check>)(value) ? (value as Message) : null;
}

/** A file that a page has made, as text or as base64: the extension asks where, and writes it. */
export interface SaveFile {
  kind: 'save-file';
  name: string;
  content: string;
  encoding: 'utf8' | 'base64';
}

export const saveFileShape = { name: isText, content: isText, encoding: oneOf('utf8', 'base64') };
