// Why a file or folder of a model cannot be read: what is wrong, and what to do.
import path from 'node:path';
import type { ModelFiles } from './model-files.js';

const noRight = 'this account may not read it';

/** Of a folder that could not be listed; null: there is nothing at that path. */
export async function whyNoFolder(dir: string, files: ModelFiles): Promise<string | null> {
  switch (await files.kindOf(dir)) {
    case 'none':
      return null;
    case 'file':
      return `${dir} is a file, and a model is a folder with config.json and safetensors files. Name ${/\.(safetensors|gguf)$/i.test(dir) ? `the folder, such as ${path.dirname(dir)}` : 'such a folder'}.`;
    default:
      return `The folder ${dir} cannot be read: ${noRight}. Change its permissions, so that it can be listed and entered, or name a copy.`;
  }
}

/** `error` is what reading threw. */
export function whyNoFile(file: string, error: unknown): string {
  switch ((error as NodeJS.ErrnoException | null)?.code) {
    case 'EACCES':
    case 'EPERM':
      return `${file} cannot be read: ${noRight}. Change its permissions, or name a copy of the model.`;
    case 'EISDIR':
      return `${file} is a folder, and a file belongs there. Download the model again.`;
    case 'ENOENT':
      return `${file} cannot be read: it is a link to nothing, or was removed just now. Download the model again.`;
    default:
      return `${file} cannot be read: ${error instanceof Error ? error.message : String(error)}. Check the disk, or download the model again.`;
  }
}
