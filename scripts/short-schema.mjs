// How the schemas of plans, reports, analyses and locks stand in the bundles: what each of their objects says alike is left out. schemas/src/whole-schema.ts puts it back.

/** `x-object` in place of properties, of a type object with no others; all are required but those of `x-optional`. */
export function shortSchema(schema) {
  if (typeof schema !== 'object' || schema === null) return schema;
  if (Array.isArray(schema)) return schema.map(shortSchema);
  const inside = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, shortSchema(value)]));
  if (schema.type !== 'object' || schema.additionalProperties !== false) return inside;
  const { properties, required = [] } = inside;
  const optional = Object.keys(properties).filter((name) => !required.includes(name));
  for (const key of ['type', 'additionalProperties', 'properties', 'required']) delete inside[key];
  return { ...inside, 'x-object': properties, ...(optional.length > 0 && { 'x-optional': optional }) };
}
