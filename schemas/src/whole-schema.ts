// A schema as its file has it, from the short one of the bundles (scripts/short-schema.mjs).

/** Puts back what is left out: type, additionalProperties, properties and required of every object. A whole schema stays as it is. */
export function wholeSchema<T>(schema: T): T {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(wholeSchema) as T;
  const {
    'x-object': properties,
    'x-optional': optional = [],
    ...rest
  } = Object.fromEntries(Object.entries(schema).map(([key, value]: [string, unknown]) => [key, wholeSchema(value)])) as {
    'x-object'?: object;
    'x-optional'?: string[];
  };
  if (properties === undefined) return rest as T;
  const required = Object.keys(properties).filter((name) => !optional.includes(name));
  return { ...rest, type: 'object', additionalProperties: false, properties, required } as T;
}

/** Puts back where the shared fields of a modifier are defined. A whole schema stays as it is. */
export function wholeFields({ properties, ...rest }: { properties: Record<string, unknown> }): object {
  const whole = Object.entries(properties).map(([name, field]): [string, unknown] => [
    name,
    field === 0 ? { $ref: `../modifier-fields.schema.json#/$defs/${name}` } : field,
  ]);
  return { ...rest, properties: Object.fromEntries(whole) };
}
