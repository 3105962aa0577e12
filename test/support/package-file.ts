// The package that test/package looks at: the one that scripts/test-package.mjs has made or was given.
const { BITWRIGHT_PACKAGE } = process.env;
if (BITWRIGHT_PACKAGE === undefined) throw new Error('There is no package to test: run npm run test:package, which makes one.');
export const packageFile = BITWRIGHT_PACKAGE;
