// Places a tooltip beside what it explains, inside the window.

export interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

export function placeTooltip(tooltip: HTMLElement, anchor: Box, page: { width: number; height: number }): void {
  const { width, height } = tooltip.getBoundingClientRect();
  const below = anchor.bottom + 8 + height <= page.height;
  const top = below ? anchor.bottom + 8 : Math.max(4, anchor.top - 8 - height);
  const left = Math.min(Math.max(4, (anchor.left + anchor.right - width) / 2), Math.max(4, page.width - width - 4));
  tooltip.style.top = `${top}px`;
  tooltip.style.left = `${left}px`;
}
