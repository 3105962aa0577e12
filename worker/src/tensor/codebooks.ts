// The codebooks of bitsandbytes, in float32 and ascending.
//
//   nf4      quantiles of a normal distribution, 8 above zero and 8 from zero down, over the largest (QLoRA, arXiv 2305.14314, appendix E)
//   dynamic  ± middles of 2^i equal parts of [0.1, 1] times 10^(i - 6), i = 0 … 6, and 0 and 1 (Dettmers, arXiv 1511.04561, table 1: dynamic tree of 8 bits)

export const nf4: Float32Array = Float32Array.of(
  -1,
  -0.6961928009986877,
  -0.5250730514526367,
  -0.39491748809814453,
  -0.28444138169288635,
  -0.18477343022823334,
  -0.09105003625154495,
  0,
  0.07958029955625534,
  0.16093020141124725,
  0.24611230194568634,
  0.33791524171829224,
  0.44070982933044434,
  0.5626170039176941,
  0.7229568362236023,
  1,
);

export const dynamic: Float32Array = dynamicCodebook();

function dynamicCodebook(): Float32Array {
  const f = Math.fround;
  const values = [0, 1];
  for (let exponent = 0; exponent < 7; exponent += 1) {
    const borders = linspace(f(0.1), 1, 2 ** exponent + 1);
    const scale = f(10 ** (exponent - 6));
    for (let i = 0; i + 1 < borders.length; i += 1) {
      const value = f(scale * f(f((borders[i] ?? 0) + (borders[i + 1] ?? 0)) / 2));
      values.push(value, -value);
    }
  }
  return Float32Array.from(values).sort();
}

/** Equally spaced float32 numbers as PyTorch gives them: the lower half counted from the first, the upper from the last, product and sum rounded once. */
function linspace(first: number, last: number, count: number): Float32Array {
  const f = Math.fround;
  const step = f(f(last - first) / (count - 1));
  const half = Math.floor(count / 2);
  return Float32Array.from({ length: count }, (_, i) => (i < half ? first + step * i : last - step * (count - 1 - i)));
}
