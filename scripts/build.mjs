// Bundles what ships into dist/: extension, server, worker, command line and webviews. `--watch` rebuilds on change.
import { chmodSync, existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { languageClientParts } from './language-client-parts.mjs';
import { shortFields, shortSchema } from './short-schema.mjs';

const root = path.join(path.dirname(fileURLToPath(import.meta.url)), '..');
const inRoot = (...parts) => path.join(root, ...parts);

/** A report outside of VS Code is one file, so its page has no parts in others; what the other pages have alike is there once. */
const wholePages = ['report', 'standalone'];
const sharingPages = ['sensitivity', 'comparison', 'run', 'model-file'];

function bundleOptions(outDir, sourcemap) {
  const { version } = JSON.parse(readFileSync(inRoot('package.json'), 'utf8'));
  const common = {
    bundle: true,
    metafile: true,
    // Less to read at every start. Names of functions in traces are those of the maps, which every build of the same sources writes alike.
    minify: true,
    // ThirdPartyNotices.txt has the licences whole.
    legalComments: 'none',
    logLevel: 'warning',
    absWorkingDir: root,
    define: { BITWRIGHT_VERSION: JSON.stringify(version) },
  };
  const browser = { ...common, platform: 'browser', target: 'es2022', charset: 'utf8', sourcemap, outdir: `${outDir}/webviews` };
  const entries = (names) => Object.fromEntries(names.map((page) => [page, `client/webviews/${page}/main.ts`]));
  return [
    {
      ...common,
      entryPoints: {
        'client/extension': 'client/src/extension.ts',
        'server/main': 'server/src/main.ts',
        'worker/main': 'worker/src/main.ts',
        'worker/hash-thread': 'worker/src/hash-thread.ts',
        'cli/bitwright': 'client/src/cli/bitwright.ts',
      },
      plugins: [shortSchemas, withoutUris, languageClientParts, asCommonJs(outDir, sourcemap)],
      // What several of them need is there once, and what they import later is read later.
      splitting: true,
      chunkNames: 'shared/[name]-[hash]',
      // Splitting needs modules; asCommonJs makes of them what VS Code loads.
      format: 'esm',
      platform: 'node',
      target: 'node20',
      external: ['vscode'],
      alias: {
        // The same sources as modules, of which the bundle takes what is used.
        yaml: './node_modules/yaml/browser/index.js',
        // The client's library has a patch release of its own; one serves all.
        'vscode-languageserver-textdocument': './node_modules/vscode-languageserver-textdocument/lib/esm/main.js',
      },
      sourcemap: sourcemap === false ? false : 'inline',
      charset: 'utf8',
      write: false,
      outdir: outDir,
    },
    { ...browser, format: 'iife', entryPoints: entries(wholePages) },
    {
      ...browser,
      format: 'esm',
      entryPoints: entries(sharingPages),
      splitting: true,
      chunkNames: 'shared-[hash]',
      plugins: [withoutOldParts(outDir)],
    },
  ];
}

/** Nothing asks which draft a schema follows. Most are short (short-schema.mjs); those of plans, reports, analyses and locks are without descriptions, which no editor shows. */
const shortSchemas = {
  name: 'short-schemas',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]schemas[\\/].*\.schema\.json$/ }, ({ path: file }) => {
      const isShort = /(plan|report|sensitivity|lock)\.schema\.json$/.test(file);
      const dropped = ['$schema', ...(isShort ? ['description', 'title'] : [])];
      const keep = (key, value) => (dropped.includes(key) && typeof value === 'string' ? undefined : value);
      const schema = JSON.parse(readFileSync(file, 'utf8'), keep);
      const isModifier = /[\\/](quantizers|transforms|pruning)[\\/]/.test(file);
      return { contents: JSON.stringify(isShort ? shortSchema(schema) : isModifier ? shortFields(schema) : schema), loader: 'json' };
    });
  },
};

/** ajv's resolver of addresses is never asked: schemas/src/json-schema.ts has one for ids like ours. */
const withoutUris = {
  name: 'without-uris',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]fast-uri[\\/]index\.js$/ }, () => ({ contents: 'module.exports = {};', loader: 'js' }));
  },
};

/** Parts that pages shared at the last build have names of their own. */
const withoutOldParts = (outDir) => ({
  name: 'without-old-parts',
  setup({ onStart }) {
    onStart(() => {
      const folder = inRoot(outDir, 'webviews');
      const names = existsSync(folder) ? readdirSync(folder) : [];
      for (const name of names) if (name.startsWith('shared-')) rmSync(path.join(folder, name));
    });
  },
});

/** Exports by a loop over getters: esbuild's own way begins every file with a copy of its helpers. */
const withShortExports = (text) =>
  text.replace(/export\{([^{}]*)\};?(?=\s*(?:\/\/# sourceMappingURL|$))/, (_, names) => {
    const getters = names.split(',').map((name) => {
      const [from, to = from] = name.split(' as ');
      return `${to}:()=>${from}`;
    });
    // What the getters name are the file's own names: the loop's stand in a function of their own.
    return `exports.__esModule=!0;Object.entries({${getters}}).forEach(([name,get])=>Object.defineProperty(exports,name,{get,enumerable:!0}));`;
  });

/** Writes the outputs as CommonJS modules, in place of those of the last build. */
const asCommonJs = (outDir, sourcemap) => ({
  name: 'as-common-js',
  setup({ onEnd, esbuild }) {
    onEnd(async ({ errors, outputFiles }) => {
      if (errors.length > 0) return;
      rmSync(inRoot(outDir, 'shared'), { recursive: true, force: true });
      for (const { path: file, text } of outputFiles) {
        const { code, map } = await esbuild.transform(withShortExports(text), {
          format: 'cjs',
          platform: 'node',
          target: 'node20',
          minify: true,
          legalComments: 'none',
          charset: 'utf8',
          // An import of the editor's process is a promise of require: import() would leave VS Code's own loader.
          supported: { 'dynamic-import': false },
          sourcefile: path.basename(file),
          sourcemap: sourcemap === false ? false : 'external',
        });
        mkdirSync(path.dirname(file), { recursive: true });
        writeFileSync(file, sourcemap === false ? code : `${code}//# sourceMappingURL=${path.basename(file)}.map\n`);
        if (sourcemap !== false) writeFileSync(`${file}.map`, map);
      }
      chmodSync(inRoot(outDir, 'cli/bitwright.js'), 0o755);
    });
  },
});

/** Answers the files that the bundles are made of. */
export async function buildBundles({ outDir = 'dist', sourcemap = 'linked' } = {}) {
  const esbuild = await import('esbuild');
  const built = await Promise.all(bundleOptions(outDir, sourcemap).map((options) => esbuild.build(options)));
  const outputs = built.flatMap(({ metafile }) => Object.values(metafile.outputs));
  return [...new Set(outputs.flatMap(({ inputs }) => Object.keys(inputs).filter((name) => inputs[name].bytesInOutput > 0)))].sort();
}

async function watchBundles() {
  const esbuild = await import('esbuild');
  for (const options of bundleOptions('dist', 'linked')) await (await esbuild.context({ ...options, logLevel: 'info' })).watch();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.includes('--watch')) await watchBundles();
  else await buildBundles();
}
