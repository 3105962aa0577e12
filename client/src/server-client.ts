// The language client: starts the server process and asks it for plans.
import { LanguageClient, TransportKind } from 'vscode-languageclient/node';
import type { LanguageClientOptions, ServerOptions } from 'vscode-languageclient/node';
import type * as vscode from 'vscode';
import {
  assignBitsRequest,
  describeModelRequest,
  editLayersRequest,
  layerRulesRequest,
  recipeModelRequest,
  resolvePlanRequest,
} from '../../schemas/src/protocol/client-server.js';
import type {
  AssignBitsParams,
  AssignBitsResult,
  DescribeModelParams,
  DescribeModelResult,
  EditLayersParams,
  EditLayersResult,
  LayerRulesParams,
  LayerRulesResult,
  RecipeModelParams,
  RecipeModelResult,
  ResolvePlanParams,
  ResolvePlanResult,
  ServerInitializationOptions,
} from '../../schemas/src/protocol/client-server.js';
import { LANGUAGE_ID } from './manifest.js';

export interface ServerClient extends vscode.Disposable {
  resolvePlan(params: ResolvePlanParams): Promise<ResolvePlanResult>;
  assignBits(params: AssignBitsParams): Promise<AssignBitsResult>;
  editLayers(params: EditLayersParams): Promise<EditLayersResult>;
  layerRules(params: LayerRulesParams): Promise<LayerRulesResult>;
  recipeModel(params: RecipeModelParams): Promise<RecipeModelResult>;
  describeModel(params: DescribeModelParams): Promise<DescribeModelResult>;
}

export async function startServer(context: vscode.ExtensionContext): Promise<ServerClient> {
  const module = context.asAbsolutePath('dist/server/main.js');
  const serverOptions: ServerOptions = { module, transport: TransportKind.ipc };
  const initializationOptions: ServerInitializationOptions = {
    hostVersion: String((context.extension.packageJSON as { version: string }).version),
    hasRunCommands: true,
  };
  const clientOptions: LanguageClientOptions = {
    documentSelector: [{ language: LANGUAGE_ID }],
    initializationOptions,
  };
  const client = new LanguageClient('bitwright', 'Bitwright Language Server', serverOptions, clientOptions);
  await client.start();
  return {
    resolvePlan: (params) => client.sendRequest<ResolvePlanResult>(resolvePlanRequest, params),
    assignBits: (params) => client.sendRequest<AssignBitsResult>(assignBitsRequest, params),
    editLayers: (params) => client.sendRequest<EditLayersResult>(editLayersRequest, params),
    layerRules: (params) => client.sendRequest<LayerRulesResult>(layerRulesRequest, params),
    recipeModel: (params) => client.sendRequest<RecipeModelResult>(recipeModelRequest, params),
    describeModel: (params) => client.sendRequest<DescribeModelResult>(describeModelRequest, params),
    dispose: () => {
      client.stop().catch((error: unknown) => console.error(`The language server did not stop in order: ${String(error)}`));
    },
  };
}
