// A safetensors file of F32 weights with other weights under the same header: what a fine-tuned model is to its base.
import { readFileSync, writeFileSync } from 'node:fs';

export function negateWeights(file: string): void {
  const bytes = readFileSync(file);
  for (let at = 8 + Number(bytes.readBigUInt64LE(0)) + 3; at < bytes.length; at += 4) bytes[at]! ^= 0x80;
  writeFileSync(file, bytes);
}
