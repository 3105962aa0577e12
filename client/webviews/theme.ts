// The editor's theme as a page needs it: its kind, and its colours resolved for what knows no variables.
import type { Theme } from './plot/color-ramp.js';
import type { Palette } from './plot/marks.js';

export function themeNow(): Theme {
  const kind = document.body.dataset['vscodeThemeKind'] ?? document.body.className;
  if (kind.includes('high-contrast-light')) return 'high-contrast-light';
  if (kind.includes('high-contrast')) return 'high-contrast';
  return kind.includes('light') ? 'light' : 'dark';
}

export function paletteNow(): Palette {
  const style = getComputedStyle(document.body);
  const color = (name: string, otherwise: string): string => style.getPropertyValue(name).trim() || otherwise;
  const foreground = color('--vscode-foreground', '#888888');
  return {
    background: color('--vscode-editorWidget-background', color('--vscode-editor-background', '#ffffff')),
    foreground,
    quiet: color('--vscode-descriptionForeground', foreground),
    line: color('--vscode-widget-border', color('--vscode-contrastBorder', '#808080')),
    focus: color('--vscode-focusBorder', foreground),
    accent: color('--vscode-charts-blue', '#3794ff'),
  };
}
