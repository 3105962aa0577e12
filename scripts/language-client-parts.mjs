// An esbuild plugin: of vscode-languageclient and vscode-languageserver the bundles get the features that our server has. The library registers all it knows and asks the server later.

/** File of the library → what a server would have to say for it. */
export const absentFeatures = {
  callHierarchy: 'callHierarchyProvider',
  colorProvider: 'colorProvider',
  declaration: 'declarationProvider',
  diagnostic: 'diagnosticProvider',
  documentHighlight: 'documentHighlightProvider',
  executeCommand: 'executeCommandProvider',
  fileOperations: 'workspace.fileOperations',
  implementation: 'implementationProvider',
  inlineCompletion: 'inlineCompletionProvider',
  inlineValue: 'inlineValueProvider',
  linkedEditingRange: 'linkedEditingRangeProvider',
  notebook: 'notebookDocumentSync',
  signatureHelp: 'signatureHelpProvider',
  textDocumentContent: 'workspace.textDocumentContent',
  typeDefinition: 'typeDefinitionProvider',
  typeHierarchy: 'typeHierarchyProvider',
};

/** Whatever the library takes from such a file is a feature that says nothing of itself and does nothing. */
const absentFeature = `
class AbsentFeature {
  fillClientCapabilities() {}
  initialize() {}
  getState() { return { kind: 'static' }; }
  clear() {}
}
module.exports = new Proxy({}, { get: () => AbsentFeature });
`;

/** The same of vscode-languageserver, whose features add methods to a class. */
const absentMethods = 'module.exports = new Proxy({}, { get: () => (Base) => Base });';
const ofServer = [
  'callHierarchy',
  'diagnostic',
  'fileOperations',
  'inlineCompletion',
  'inlineValue',
  'linkedEditingRange',
  'moniker',
  'notebook',
  'textDocumentContent',
  'typeHierarchy',
];

export const languageClientParts = {
  name: 'language-client-parts',
  setup({ onLoad, onStart, onEnd }) {
    const left = new Set();
    onStart(() => Object.keys(absentFeatures).forEach((name) => left.add(name)));
    onLoad({ filter: /[\\/]vscode-languageclient[\\/]lib[\\/]common[\\/]\w+\.js$/ }, ({ path }) => {
      const name = /(\w+)\.js$/.exec(path)[1];
      if (!Object.hasOwn(absentFeatures, name)) return undefined;
      left.delete(name);
      return { contents: absentFeature, loader: 'js' };
    });
    onLoad({ filter: new RegExp(`[\\\\/]vscode-languageserver[\\\\/]lib[\\\\/]common[\\\\/](${ofServer.join('|')})\\.js$`) }, () => ({
      contents: absentMethods,
      loader: 'js',
    }));
    // Messages that only these features send.
    onLoad(
      {
        filter:
          /[\\/]vscode-languageserver-protocol[\\/]lib[\\/]common[\\/]protocol\.(callHierarchy|fileOperations|notebook|typeHierarchy)\.js$/,
      },
      () => ({ contents: 'module.exports = new Proxy({}, { get: () => ({}) });', loader: 'js' }),
    );
    // VS Code itself keeps an extension from versions that its manifest does not name.
    onLoad({ filter: /[\\/]semver[\\/]functions[\\/](parse|satisfies)\.js$/ }, () => ({
      contents: 'module.exports = () => true;',
      loader: 'js',
    }));
    onEnd(() => (left.size === 0 ? {} : { errors: [{ text: `vscode-languageclient has no ${[...left].join(', ')} any more` }] }));
  },
};
