// Messages between the extension and a webview, both directions as unions by kind.
import type { RunReport } from '../generated/report.js';

export type ToWebview =
  /** The report to show; arrays are fetched from `baseUri`, a webview resource URI of the report folder. */
  | { kind: 'show-report'; report: RunReport; baseUri: string }
  /** The host asks to reveal a layer. */
  | { kind: 'reveal-layer'; layer: string };

export type FromWebview =
  /** The page is loaded and can take a report. */
  | { kind: 'ready' }
  /** The user asks to see the recipe line that governs a layer. */
  | { kind: 'open-recipe'; layer: string | null }
  | { kind: 'copy-text'; text: string }
  /** A failure inside the page, shown in the output log. */
  | { kind: 'page-error'; message: string };
