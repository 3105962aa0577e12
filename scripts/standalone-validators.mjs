// An esbuild plugin: in place of schemas/src/compiled-schemas.ts the bundles get the validators as plain code, written by ajv from the same schemas with the same options.
import { createRequire } from 'node:module';
import standaloneCode from 'ajv/dist/standalone/index.js';
import { build } from 'esbuild';

export const standaloneValidators = {
  name: 'standalone-validators',
  setup({ onLoad }) {
    onLoad({ filter: /[\\/]schemas[\\/]src[\\/]compiled-schemas\.ts$/ }, async ({ path }) => ({
      contents: await validatorCode(path),
      loader: 'js',
    }));
  },
};

async function validatorCode(file) {
  const options = { bundle: true, platform: 'node', format: 'cjs', packages: 'external', write: false, logLevel: 'warning' };
  const { outputFiles } = await build({ ...options, entryPoints: [file] });
  const compiledSchemas = { exports: {} };
  new Function('module', 'exports', 'require', outputFiles[0].text)(
    compiledSchemas,
    compiledSchemas.exports,
    createRequire(import.meta.url),
  );
  const { ajv, schemaIds } = compiledSchemas.exports;
  const names = Object.keys(schemaIds);
  const code = (standaloneCode.default ?? standaloneCode)(ajv, Object.fromEntries(names.map((name) => [`${name}Code`, schemaIds[name]])));
  return `${code}\n${names.map((name) => `export const ${name} = () => ${name}Code;`).join('\n')}\n`;
}
