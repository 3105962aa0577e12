// The language server process: makes the connection that its arguments ask for (--stdio or --node-ipc), and nothing else.
import { createConnection, ProposedFeatures } from 'vscode-languageserver/node';
import { serveRecipes } from './lsp/connection.js';

serveRecipes(createConnection(ProposedFeatures.all));
