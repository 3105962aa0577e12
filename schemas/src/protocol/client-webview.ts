// Messages between the extension and a webview, both directions as unions by kind.
import type { RunReport } from '../generated/report.js';
import type { SensitivityAnalysis } from '../generated/sensitivity.js';
import type { LiveRun } from '../live-run.js';
import type { LayerEdit, LayerRulesResult } from './client-server.js';
import {
  eitherOf,
  isNumber,
  isObject,
  isText,
  listOf,
  oneOf,
  orNull,
  readMessage,
  recordOf,
  saveFileShape,
  withFields,
  type SaveFile,
  type Shapes,
} from './message-shape.js';

export type ToWebview =
  /** The report to show; arrays are fetched from `baseUri`, a webview resource URI of the report folder, or stand in the page. `saved`: the folder, which the page keeps; null: nothing opens it again. */
  | { kind: 'show-report'; report: RunReport; arrays: { baseUri: string } | { base64: Record<string, string> }; saved: string | null }
  /** The host asks to reveal a layer. */
  | { kind: 'reveal-layer'; layer: string }
  /** The analysis to show. `saved`: what the page keeps, so that it can be opened again where it was. */
  | { kind: 'show-analysis'; analysis: SensitivityAnalysis; recipeName: string; saved: SensitivityPage }
  /** What the recipe makes of each layer now; null while it is gone. */
  | { kind: 'show-rules'; rules: LayerRulesResult | null }
  /** Layers of the rule at the cursor. */
  | { kind: 'highlight-layers'; layers: string[] }
  /** Two reports, A the earlier, with the difference of their recipes; of more, the first and the last. `saved`: the folders, which the page keeps. `all`: every one, by time. */
  | { kind: 'show-comparison'; a: RunReport; b: RunReport; recipe: RecipeLine[]; saved: string[]; all: RunReport[] }
  /** A run as far as it has come. */
  | { kind: 'show-run'; run: LiveRun };

export interface RecipeLine {
  kind: 'same' | 'added' | 'removed';
  text: string;
}

/** Which analysis a page shows, and of which recipe. */
export interface SensitivityPage {
  folder: string;
  recipe: string;
}

export type FromWebview =
  /** The page is loaded and can take a report. */
  | { kind: 'ready' }
  /** The user asks to see the recipe line that governs a layer. */
  | { kind: 'open-recipe'; layer: string | null }
  | { kind: 'copy-text'; text: string }
  /** An action on layers: the recipe's edits, which the user sees before they are made. */
  | { kind: 'edit-layers'; edits: LayerEdit[] }
  /** The same with a preset that the user is asked for. */
  | { kind: 'assign-scheme'; layers: LayerEdit['layers'] }
  | { kind: 'apply-bits'; bits: Record<string, number> }
  /** The user asks to see the rule of a layer. */
  | { kind: 'reveal-rule'; layer: string }
  | SaveFile
  /** The user ends the run in progress, takes up one that was interrupted, or asks for the report. */
  | { kind: 'cancel-run' }
  | { kind: 'continue-run' }
  | { kind: 'open-report' }
  /** A failure inside the page, shown in the output log. */
  | { kind: 'page-error'; message: string };

const report = withFields({ run_id: isText, layers: listOf(withFields({ name: isText })), recipe: isObject, model: isObject });
const layers = listOf(withFields({ name: isText, reason: isText }));

const toWebview: Shapes<ToWebview> = {
  'show-report': {
    report,
    arrays: eitherOf(withFields({ baseUri: isText }), withFields({ base64: recordOf(isText) })),
    saved: orNull(isText),
  },
  'reveal-layer': { layer: isText },
  'show-analysis': {
    analysis: withFields({ layers: listOf(withFields({ name: isText })), bits: listOf(isNumber), metrics: listOf(isObject) }),
    recipeName: isText,
    saved: withFields({ folder: isText, recipe: isText }),
  },
  'show-rules': { rules: orNull(withFields({ rules: listOf(isObject), layers: listOf(withFields({ name: isText })) })) },
  'highlight-layers': { layers: listOf(isText) },
  'show-comparison': {
    a: report,
    b: report,
    recipe: listOf(withFields({ kind: oneOf('same', 'added', 'removed'), text: isText })),
    saved: listOf(isText),
    all: listOf(report),
  },
  'show-run': {
    run: withFields({ recipe: isText, layers: listOf(withFields({ name: isText })), stages: listOf(isObject), problems: listOf(isObject) }),
  },
};

const fromWebview: Shapes<FromWebview> = {
  ready: {},
  'open-recipe': { layer: orNull(isText) },
  'copy-text': { text: isText },
  'edit-layers': {
    edits: listOf(
      withFields({
        layers,
        to: eitherOf(withFields({ num_bits: isNumber }), withFields({ scheme: isText }), withFields({ ignore: oneOf(true) })),
      }),
    ),
  },
  'assign-scheme': { layers },
  'apply-bits': { bits: recordOf(isNumber) },
  'reveal-rule': { layer: isText },
  'save-file': saveFileShape,
  'cancel-run': {},
  'continue-run': {},
  'open-report': {},
  'page-error': { message: isText },
};

/** null: not from the extension. */
export const readToWebview = (value: unknown): ToWebview | null => readMessage(toWebview, value);
/** null: not from one of our pages. */
export const readFromWebview = (value: unknown): FromWebview | null => readMessage(fromWebview, value);
