// The exact allocation against all combinations, the curve against all budgets, and the closed form against its own conditions.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { AllocationError, closedFormBits, ParetoCurve, type Candidate, type CandidateGroup } from '../../schemas/src/allocate-bits.js';
import { cpuMilliseconds } from '../support/cpu-time.js';

/** The same numbers each time. */
function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => (state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32;
}

function randomGroups(random: () => number, n: number): CandidateGroup[] {
  return Array.from({ length: n }, (_, group) => ({
    name: `group ${group}`,
    // Losses that are no function of the bits, and schemes that others beat.
    candidates: Array.from({ length: 1 + Math.floor(random() * 4) }, (_unused, at) => ({
      scheme: `${at}`,
      bytes: Math.floor(random() * 40),
      loss: Math.floor(random() * 1000),
    })),
  }));
}

/** All combinations: bytes and loss of each. */
function* combinations(groups: readonly CandidateGroup[], at = 0, bytes = 0, loss = 0): Generator<{ bytes: number; loss: number }> {
  const group = groups[at];
  if (group === undefined) return yield { bytes, loss };
  for (const candidate of group.candidates) yield* combinations(groups, at + 1, bytes + candidate.bytes, loss + candidate.loss);
}

test('for every budget the least loss of all combinations, and choices that add up to it', () => {
  const random = randomNumbers(7);
  for (let round = 0; round < 60; round += 1) {
    const groups = randomGroups(random, 1 + Math.floor(random() * 6));
    const curve = new ParetoCurve(groups);
    const all = [...combinations(groups)];
    for (let budget = 0; budget <= 250; budget += 1) {
      const fitting = all.filter(({ bytes }) => bytes <= budget);
      const best = curve.best(budget);
      if (fitting.length === 0) {
        assert.equal(best, null);
        continue;
      }
      assert.ok(best);
      assert.equal(best.loss, Math.min(...fitting.map(({ loss }) => loss)), `round ${round}, budget ${budget}`);
      const chosen = best.choices.map((choice, at): Candidate => groups[at]!.candidates[choice]!);
      assert.equal(
        chosen.reduce((sum, { bytes }) => sum + bytes, 0),
        best.bytes,
      );
      assert.equal(
        chosen.reduce((sum, { loss }) => sum + loss, 0),
        best.loss,
      );
    }
  }
});

test('the curve rises in bytes and falls in loss, and nothing beats a point of it', () => {
  const groups = randomGroups(randomNumbers(11), 7);
  const curve = new ParetoCurve(groups);
  const points = Array.from({ length: curve.length }, (_, index) => curve.at(index));
  points.slice(1).forEach((point, index) => {
    assert.ok(point.bytes > points[index]!.bytes && point.loss < points[index]!.loss);
  });
  for (const { bytes, loss } of combinations(groups))
    for (const point of points) assert.ok(!(bytes <= point.bytes && loss < point.loss) && !(bytes < point.bytes && loss <= point.loss));
  const few = curve.points(3);
  assert.ok(few.length <= 3 && few[0]!.bytes === curve.leastBytes && few.at(-1)!.bytes === points.at(-1)!.bytes);
});

test('a model of 28 blocks is solved at once', () => {
  const random = randomNumbers(3);
  const shapes = [1536 * 2048, 1536 * 1536, 2 * 1536 * 8960, 8960 * 1536];
  const groups = Array.from({ length: 28 }, (_, block) =>
    shapes.map((weights, at) => ({
      name: `${block} ${at}`,
      candidates: [2, 3, 4, 8].map((bits) => ({
        scheme: `${bits}`,
        bytes: (weights * bits) / 8 + weights / 64,
        loss: random() * 4 ** -bits,
      })),
    })),
  ).flat();
  const began = cpuMilliseconds();
  const curve = new ParetoCurve(groups);
  const weights = 28 * shapes.reduce((sum, n) => sum + n, 0);
  const best = curve.best((weights * 4.25) / 8);
  const seconds = (cpuMilliseconds() - began) / 1000;
  assert.ok(best !== null && best.bytes <= (weights * 4.25) / 8);
  assert.ok(seconds < 20, `${seconds} s, ${curve.length} points`);
});

test('what cannot be compared or held is refused in a sentence', () => {
  const candidate = { scheme: 'a', bytes: 1, loss: 1 };
  const refused = (groups: CandidateGroup[], message: RegExp, most?: number): void =>
    assert.throws(
      () => new ParetoCurve(groups, most === undefined ? {} : { most }),
      (error: unknown) => error instanceof AllocationError && message.test(error.message),
    );
  refused([], /no group/);
  refused([{ name: 'q', candidates: [] }], /q has no candidate/);
  refused([{ name: 'q', candidates: [{ ...candidate, loss: NaN }] }], /q as a has 1 bytes and a loss of NaN/);
  refused([{ name: 'q', candidates: [{ ...candidate, bytes: 1.5 }] }], /1\.5 bytes/);
  refused(randomGroups(randomNumbers(1), 6), /more than 5 totals/, 5);
});

test('the closed form spends what it is given, and no weight could use a bit better elsewhere', () => {
  const layers = [
    { n_weights: 100, alphaVariance: 1 },
    { n_weights: 300, alphaVariance: 1e-3 },
    { n_weights: 50, alphaVariance: 40 },
    { n_weights: 70, alphaVariance: 1e-9 },
    { n_weights: 10, alphaVariance: 0 },
  ];
  for (const budget of [0.5, 2, 4.25]) {
    const bits = closedFormBits(layers, budget);
    const spent = bits.reduce((sum, value, at) => sum + value * layers[at]!.n_weights, 0) / 530;
    assert.ok(Math.abs(spent - budget) < 1e-9, `${spent} of ${budget}`);
    // What one more bit gains, d(α σ² 2^(−2b))/db, is the same wherever there are bits, and less where there are none.
    const gains = bits.map((value, at) => layers[at]!.alphaVariance * 4 ** -value);
    const level = Math.max(...gains.filter((_, at) => bits[at]! > 0));
    gains.forEach((gain, at) =>
      assert.ok(bits[at]! > 0 ? Math.abs(gain / level - 1) < 1e-6 : gain <= level * (1 + 1e-9), `layer ${at} at ${budget}`),
    );
  }
  assert.deepEqual(closedFormBits([{ n_weights: 5, alphaVariance: 0 }], 4), [0]);
});
