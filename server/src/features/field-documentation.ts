// What a field means, as Markdown: description, type, default, allowed values.
import { enumeratedValues, firstSaid, typesOf, type PlacedSchema } from './schema-lookup.js';

export function fieldDocumentation(key: string, schemas: readonly PlacedSchema[]): string {
  const description = firstSaid(schemas, 'description');
  const standard = firstSaid(schemas, 'default');
  const types = typesOf(schemas);
  const named = enumeratedValues(schemas).map(({ value }) => value);
  const isClosed = schemas.some(({ schema }) => schema.enum !== undefined);
  const lines = [`**${key}**${types.length === 0 ? '' : ` · ${types.join(' or ')}`}`];
  if (description !== undefined) lines.push(description);
  if (standard !== undefined) lines.push(`Default: ${inline(standard)}`);
  if (named.length > 0 && !types.includes('boolean')) lines.push(`${isClosed ? 'Values' : 'For example'}: ${named.map(inline).join(', ')}`);
  return lines.join('\n\n');
}

const inline = (value: unknown): string => `\`${typeof value === 'string' ? value : JSON.stringify(value)}\``;
