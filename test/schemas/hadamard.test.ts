// Every Hadamard matrix that this version says it can make is one, and which sizes have one.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { hadamardFactor, hadamardMatrix, largestHadamardBlock } from '../../schemas/src/hadamard.js';

test('H Hᵀ = n I for every factor up to 256', () => {
  const orders = new Set(Array.from({ length: 4096 }, (_, i) => hadamardFactor(i + 1)).filter((order) => order !== null));
  assert.ok(orders.size > 20, `${orders.size} orders`);
  for (const n of orders) {
    const H = hadamardMatrix(n);
    assert.equal(H.length, n * n);
    assert.ok(H.every((entry) => Math.abs(entry) === 1));
    for (let i = 0; i < n; i += 1)
      for (let j = 0; j <= i; j += 1) {
        let dot = 0;
        for (let k = 0; k < n; k += 1) dot += H[i * n + k]! * H[j * n + k]!;
        assert.equal(dot, i === j ? n : 0, `rows ${i} and ${j} of order ${n}`);
      }
  }
});

test('all multiples of four up to 152 have a matrix, of Paley, Williamson or by doubling', () => {
  for (let size = 4; size <= 152; size += 4) assert.notEqual(hadamardFactor(size), null, `order ${size}`);
  assert.equal(hadamardFactor(156), null);
});

test('the smallest factor is taken, and widths of real models have one', () => {
  const factors = Object.entries({
    64: 1,
    288: 36,
    768: 12,
    896: 28,
    1536: 12,
    2304: 36,
    2560: 20,
    3072: 12,
    3584: 28,
    4096: 1,
    5120: 20,
    6656: 52,
    8192: 1,
    80: 20,
    96: 12,
  });
  for (const [size, factor] of factors) assert.equal(hadamardFactor(Number(size)), factor, size);
});

test('sizes without one: odd, twice an odd number, beyond what is constructed; and the largest block that divides them', () => {
  for (const size of [0, -4, 2.5, 3, 6, 50, 1250, 4 * 67 * 4 + 2]) assert.equal(hadamardFactor(size), null, String(size));
  assert.equal(largestHadamardBlock(50), 2);
  assert.equal(largestHadamardBlock(4096 + 512), 4608);
  assert.equal(largestHadamardBlock(47 * 4 * 8), 8 * 4);
});
