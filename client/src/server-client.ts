// What the extension asks of the language server. The server, and the code that speaks with it, are there from the first recipe or the first question on.
import * as vscode from 'vscode';
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
} from '../../schemas/src/protocol/client-server.js';
import type { LanguageServer } from './language-client.js';
import { LANGUAGE_ID } from './manifest.js';

export interface ServerClient extends vscode.Disposable {
  resolvePlan(params: ResolvePlanParams): Promise<ResolvePlanResult>;
  assignBits(params: AssignBitsParams): Promise<AssignBitsResult>;
  editLayers(params: EditLayersParams): Promise<EditLayersResult>;
  layerRules(params: LayerRulesParams): Promise<LayerRulesResult>;
  recipeModel(params: RecipeModelParams): Promise<RecipeModelResult>;
  describeModel(params: DescribeModelParams): Promise<DescribeModelResult>;
}

export function createServer(context: vscode.ExtensionContext, log: vscode.LogOutputChannel): ServerClient {
  let starting: Promise<LanguageServer> | undefined;
  const started = (): Promise<LanguageServer> =>
    (starting ??= import('./language-client.js').then(({ startLanguageServer }) => startLanguageServer(context)));
  const ask =
    <Params extends object, Result>(method: string) =>
    async (params: Params): Promise<Result> =>
      (await started()).request<Result>(method, params);
  const startFor = ({ languageId }: vscode.TextDocument): void => {
    if (languageId === LANGUAGE_ID && starting === undefined)
      started().catch((error: unknown) => log.error(`The language server did not start: ${String(error)}`));
  };
  vscode.workspace.textDocuments.forEach(startFor);
  const opened = vscode.workspace.onDidOpenTextDocument(startFor);
  return {
    resolvePlan: ask<ResolvePlanParams, ResolvePlanResult>(resolvePlanRequest),
    assignBits: ask<AssignBitsParams, AssignBitsResult>(assignBitsRequest),
    editLayers: ask<EditLayersParams, EditLayersResult>(editLayersRequest),
    layerRules: ask<LayerRulesParams, LayerRulesResult>(layerRulesRequest),
    recipeModel: ask<RecipeModelParams, RecipeModelResult>(recipeModelRequest),
    describeModel: ask<DescribeModelParams, DescribeModelResult>(describeModelRequest),
    dispose: () => {
      opened.dispose();
      starting
        ?.then((server) => server.stop())
        .catch((error: unknown) => console.error(`The language server did not stop in order: ${String(error)}`));
    },
  };
}
