// Messages between the extension and the page that shows one model file, both directions as unions by kind.
import type { TensorChannel, TensorStatistics } from './client-worker.js';
import {
  eitherOf,
  isNumber,
  isObject,
  isText,
  listOf,
  oneOf,
  orNull,
  readMessage,
  saveFileShape,
  withFields,
  type SaveFile,
  type Shapes,
} from './message-shape.js';

export type ModelFileFormat = 'safetensors' | 'GGUF' | 'ONNX';

export interface FileTensor {
  name: string;
  dtype: string;
  /** Outermost first. */
  shape: number[];
  /** null: the header does not say it. */
  bytes: number | null;
  /** In its file; null: not at one place. */
  offset: number | null;
  /** Another file that holds it; null: this one. */
  file: string | null;
}

export interface ModelFileFacts {
  format: ModelFileFormat;
  size: number;
  facts: { name: string; value: string }[];
  metadata: { key: string; value: string }[];
  tensors: FileTensor[];
  /** What is not as it should be, each a sentence. */
  problems: string[];
}

export type ToModelFilePage =
  /** `whyNoStatistics`: why no tensor of it can be looked into, in a sentence; null: it can. `recipe`: the one that layers are added to; null: none is open. */
  | { kind: 'show-file'; name: string; file: ModelFileFacts; whyNoStatistics: string | null; recipe: string | null }
  | { kind: 'show-unreadable'; name: string; message: string }
  | { kind: 'show-recipe'; recipe: string | null }
  | {
      kind: 'show-statistics';
      tensor: string;
      channel: TensorChannel | null;
      answer: { statistics: TensorStatistics } | { message: string };
    };

export type FromModelFilePage =
  | { kind: 'ready' }
  /** `channel`: of it alone; null: of the whole tensor. */
  | { kind: 'inspect'; tensor: string; channel: TensorChannel | null }
  /** Names of tensors; the extension finds the layers that they belong to. */
  | { kind: 'add-to-recipe'; tensors: string[]; to: RecipeList }
  | SaveFile
  /** A failure inside the page, shown in the output log. */
  | { kind: 'page-error'; message: string };

/** Where layers are added. */
export type RecipeList = 'targets' | 'ignore';

/** Names of tensors as a JSON list: what a drag from the page or the tree carries to a recipe. */
export const LAYERS_MIME = 'application/vnd.bitwright.layers';

const pairs = (first: string, second: string) => listOf(withFields({ [first]: isText, [second]: isText }));
const file = withFields({
  format: isText,
  size: isNumber,
  facts: pairs('name', 'value'),
  metadata: pairs('key', 'value'),
  tensors: listOf(withFields({ name: isText, dtype: isText, shape: listOf(isNumber) })),
  problems: listOf(isText),
});

const channel = orNull(withFields({ axis: oneOf('row', 'column'), index: isNumber }));

const toPage: Shapes<ToModelFilePage> = {
  'show-file': { name: isText, file, whyNoStatistics: orNull(isText), recipe: orNull(isText) },
  'show-unreadable': { name: isText, message: isText },
  'show-recipe': { recipe: orNull(isText) },
  'show-statistics': {
    tensor: isText,
    channel,
    answer: eitherOf(withFields({ statistics: withFields({ name: isText, histogram: isObject }) }), withFields({ message: isText })),
  },
};

const fromPage: Shapes<FromModelFilePage> = {
  ready: {},
  inspect: { tensor: isText, channel },
  'add-to-recipe': { tensors: listOf(isText), to: oneOf('targets', 'ignore') },
  'save-file': saveFileShape,
  'page-error': { message: isText },
};

/** null: not from the extension. */
export const readToModelFilePage = (value: unknown): ToModelFilePage | null => readMessage(toPage, value);
/** null: not from the page. */
export const readFromModelFilePage = (value: unknown): FromModelFilePage | null => readMessage(fromPage, value);
