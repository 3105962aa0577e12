// Sequential colours that stay distinct for colour-blind eyes: the cividis ramp (Nuñez et al., 2018), bright for high values on dark themes, dark on light ones.

export type Theme = 'light' | 'dark' | 'high-contrast' | 'high-contrast-light';

const stops: readonly (readonly [number, number, number])[] = [
  [0, 34, 78],
  [18, 53, 112],
  [59, 73, 108],
  [87, 93, 109],
  [112, 113, 115],
  [138, 134, 120],
  [165, 156, 116],
  [195, 179, 105],
  [225, 204, 85],
  [254, 232, 56],
];

const isLight = (theme: Theme): boolean => theme === 'light' || theme === 'high-contrast-light';

/** Share in [0, 1] → red, green, blue. */
function rampColor(share: number, theme: Theme): [number, number, number] {
  const position = (isLight(theme) ? 1 - share : share) * (stops.length - 1);
  const low = stops[Math.min(stops.length - 2, Math.max(0, Math.floor(position)))] ?? [0, 0, 0];
  const high = stops[Math.min(stops.length - 1, Math.max(1, Math.floor(position) + 1))] ?? [0, 0, 0];
  const part = Math.min(1, Math.max(0, position - Math.floor(Math.min(position, stops.length - 2))));
  return [0, 1, 2].map((i) => Math.round((low[i] ?? 0) + ((high[i] ?? 0) - (low[i] ?? 0)) * part)) as [number, number, number];
}

export const fillOf = (share: number, theme: Theme): string => `rgb(${rampColor(share, theme).join(', ')})`;

/** Black or white, whichever reads better on the ramp colour (relative luminance of WCAG 2.1). */
export function inkOn(share: number, theme: Theme): string {
  const linear = rampColor(share, theme).map((channel) => {
    const c = channel / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * (linear[0] ?? 0) + 0.7152 * (linear[1] ?? 0) + 0.0722 * (linear[2] ?? 0);
  return luminance > 0.179 ? '#000000' : '#ffffff';
}
