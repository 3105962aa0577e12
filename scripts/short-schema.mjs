// How schemas stand in the bundles. Of plans, reports, analyses and locks what each object says alike is left out, of modifiers where the fields that many have are
// defined. schemas/src/whole-schema.ts puts it back.

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

/** 0 in place of the reference to the field of that name among those that modifiers share. */
export function shortFields({ properties, ...rest }) {
  const isShared = (name, field) => JSON.stringify(field) === JSON.stringify({ $ref: `../modifier-fields.schema.json#/$defs/${name}` });
  const short = Object.entries(properties).map(([name, field]) => [name, isShared(name, field) ? 0 : field]);
  return { ...rest, properties: Object.fromEntries(short) };
}
