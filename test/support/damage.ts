// Damages the first bytes of a file in ways that go deep into a reader: bits, bytes, cuts, and numbers that lie.
import type { Random } from './random.js';

/** `splices`: texts that are put over what stands there, which keeps lengths true and so goes deeper into the reader of a text. */
export function damaged(file: Uint8Array, headerEnd: number, random: Random, splices: readonly string[] = []): Uint8Array {
  let bytes = Buffer.from(file);
  for (let times = 1 + random.below(3); times > 0; times -= 1) {
    const at = random.below(Math.max(1, Math.min(headerEnd, bytes.length)));
    switch (random.below(splices.length === 0 ? 7 : 9)) {
      case 0:
        bytes[at] = (bytes[at] ?? 0) ^ (1 << random.below(8));
        break;
      case 1:
        bytes[at] = random.below(256);
        break;
      case 2:
        bytes = bytes.subarray(0, random.below(bytes.length + 1));
        break;
      case 3:
        bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + random.below(12))]);
        break;
      case 4:
        bytes = Buffer.concat([bytes.subarray(0, at), Buffer.alloc(random.below(9), random.below(256)), bytes.subarray(at)]);
        break;
      case 5:
        if (at + 8 <= bytes.length) bytes.writeBigUInt64LE(random.of([0n, 1n, 255n, 2n ** 32n, 2n ** 53n, 2n ** 63n, 2n ** 64n - 1n]), at);
        break;
      case 6:
        if (at < bytes.length) bytes.fill(random.of([0, 0xff, 0x80]), at, Math.min(bytes.length, at + 1 + random.below(8)));
        break;
      default: {
        const text = Buffer.from(random.of(splices));
        bytes = Buffer.concat([bytes.subarray(0, at), text, bytes.subarray(at + text.length)]);
      }
    }
  }
  return bytes;
}
