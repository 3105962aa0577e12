// `npm run demo`: quantizes the bundled example with the real worker, from a fresh clone, and prints what happened.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { root, runScript, setUp } from './setup.mjs';

const recipe = 'examples/w4a16-gptq.quant.yaml';

function bitwright(...args) {
  process.stdout.write(`\n$ npx bitwright ${args.join(' ')}\n`);
  const { status } = spawnSync(process.execPath, [path.join(root, 'dist/cli/bitwright.js'), ...args], { cwd: root, stdio: 'inherit' });
  if (status !== 0) throw new Error(`bitwright ${args[0]} ended with exit code ${status}.`);
}

await runScript(async () => {
  await setUp();
  bitwright('check', recipe);
  bitwright('quantize', recipe);
  process.stdout.write(`
To see it in VS Code, with the heatmap of every layer and the weight histograms:

  npm run code

To try another recipe: npx bitwright quantize examples/w8a8-smoothquant-gptq.quant.yaml
`);
});
