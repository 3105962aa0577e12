// A model as the recipe names it → a folder: a path, or a hub id that is looked up in the local Hugging Face cache. Nothing is downloaded.
import os from 'node:os';
import path from 'node:path';
import type { ModelFiles } from './model-files.js';

export type ModelLocation = { dir: string } | { error: string };

/** HF_HUB_CACHE, else HF_HOME/hub, else ~/.cache/huggingface/hub, as huggingface_hub decides. */
function hubCacheDir(environment: NodeJS.ProcessEnv): string {
  if (environment['HF_HUB_CACHE']) return environment['HF_HUB_CACHE'];
  const home = environment['HF_HOME'] || path.join(environment['XDG_CACHE_HOME'] || path.join(os.homedir(), '.cache'), 'huggingface');
  return path.join(home, 'hub');
}

const hubId = /^[A-Za-z0-9][\w.-]*\/[A-Za-z0-9][\w.-]*$/;

/** Where the name stands, for the words of an error. */
export type ModelNamedIn = 'recipe' | 'command';

/** `base`: the folder that relative paths start from, which is the recipe's own for a name in a recipe. */
export async function locateModel(
  model: string,
  base: string,
  files: ModelFiles,
  environment: NodeJS.ProcessEnv,
  namedIn: ModelNamedIn,
): Promise<ModelLocation> {
  const dir = path.resolve(base, model);
  // What is there and no readable folder, describeModel has words for.
  if ((await files.list(dir)) !== null || (await files.kindOf(dir)) !== 'none') return { dir };
  if (!hubId.test(model))
    return {
      error: `There is no folder ${dir}. Give the path of a model folder${namedIn === 'recipe' ? ', relative to the recipe,' : ''} or a hub id such as Qwen/Qwen2.5-0.5B that is in the local cache`,
    };
  const cached = path.join(hubCacheDir(environment), `models--${model.replace('/', '--')}`);
  const revisions = (await files.list(path.join(cached, 'snapshots'))) ?? [];
  const main =
    (await files.size(path.join(cached, 'refs', 'main'))) === null
      ? null
      : (await files.readText(path.join(cached, 'refs', 'main'))).trim();
  const revision = main !== null && revisions.includes(main) ? main : revisions[0];
  if (revision !== undefined) return { dir: path.join(cached, 'snapshots', revision) };
  return {
    error: `${model} is neither a folder ${namedIn === 'recipe' ? 'beside the recipe' : `in ${base}`} nor in the local Hugging Face cache. Bitwright downloads nothing; get it with: hf download ${model}`,
  };
}
