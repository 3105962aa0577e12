// Scales: a value to a position or share, linear or logarithmic, and round ticks.

export interface Scale {
  kind: 'linear' | 'log';
  min: number;
  max: number;
  /** Share in [0, 1] of the way from min to max; values outside are clamped. */
  share(value: number): number;
  /** Round values between min and max, about `n` of them. */
  ticks(n: number): number[];
}

export function linearScale(min: number, max: number): Scale {
  const span = max - min;
  return {
    kind: 'linear',
    min,
    max,
    share: (value) => (span > 0 ? clamp((value - min) / span) : 0.5),
    ticks: (n) => linearTicks(min, max, n),
  };
}

/** For positive values; what is not positive lies at the lower end. */
export function logScale(min: number, max: number): Scale {
  const low = Math.log10(min);
  const span = Math.log10(max) - low;
  return {
    kind: 'log',
    min,
    max,
    share: (value) => (value <= 0 ? 0 : span > 0 ? clamp((Math.log10(value) - low) / span) : 0.5),
    ticks: (n) => logTicks(min, max, n),
  };
}

const clamp = (share: number): number => Math.min(1, Math.max(0, share));

function linearTicks(min: number, max: number, n: number): number[] {
  if (!(max > min)) return [min];
  const rough = (max - min) / Math.max(1, n);
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power;
  const first = Math.ceil(min / step - 1e-9);
  const last = Math.floor(max / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, i) => Number(((first + i) * step).toPrecision(12)));
}

function logTicks(min: number, max: number, n: number): number[] {
  const factors = Math.log10(max / min) > n / 2 ? [1] : [1, 2, 5];
  const ticks: number[] = [];
  for (let power = Math.floor(Math.log10(min)); power <= Math.ceil(Math.log10(max)); power += 1)
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(6));
      if (tick >= min && tick <= max) ticks.push(tick);
    }
  return ticks.length >= 2 ? ticks : [min, max];
}
