// New Recipe: an unsaved recipe to fill in.
import * as vscode from 'vscode';
import { LANGUAGE_ID } from '../manifest.js';

const skeleton = `# A model folder, relative to this file, or a hub id that is in the local cache.
model: \${1:path/to/model}

# Texts shown to the model, to learn what inputs each layer gets: .jsonl, .txt or .csv.
calibration:
  dataset: \${2:calibration.jsonl}
  num_calibration_samples: 512
  max_seq_length: 2048

output:
  dir: \${3:out/w4a16-gptq}

quant_stage:
  quant_modifiers:
    GPTQModifier:
      scheme: \${4:W4A16}
      targets: [Linear]
      ignore: [lm_head]
`;

export async function newRecipe(): Promise<void> {
  const document = await vscode.workspace.openTextDocument({ language: LANGUAGE_ID });
  const editor = await vscode.window.showTextDocument(document);
  await editor.insertSnippet(new vscode.SnippetString(skeleton));
}
