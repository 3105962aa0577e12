// The recipes that random edits begin with: the examples, the tables and pages of problems, and YAML at its oddest.
import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { readTable } from '../server/verdicts/table.js';
import { repositoryRoot } from './shared.js';

export interface StartText {
  name: string;
  text: string;
}

const filesOf = (folder: string, ending: string): string[] =>
  readdirSync(path.join(repositoryRoot, folder))
    .filter((name) => name.endsWith(ending))
    .map((name) => path.join(folder, name));

const read = (file: string): string => readFileSync(path.join(repositoryRoot, file), 'utf8');

/** With the model and data of the folder that problem-page-folder.ts writes. */
const examples = (): StartText[] =>
  filesOf('examples', '.quant.yaml').map((name) => ({
    name,
    text: read(name)
      .replace(/models\/[\w-]+/, 'model')
      .replace(/data\/\w+\.jsonl/g, 'rows.jsonl'),
  }));

const pages = (): StartText[] =>
  filesOf('docs/problems', '.md').flatMap((name) =>
    [...read(name).matchAll(/^```yaml\n([\s\S]*?)^```/gm)].map(([, text = ''], index) => ({ name: `${name} ${index + 1}`, text })),
  );

/** The recipes of the table name no model: block YAML gets one, the others stay as they are. */
const verdicts = (): StartText[] =>
  readTable().flatMap(({ file, cases }) =>
    cases.map(({ name, recipe, model }) => ({
      name: `${file}: ${name}`,
      text: /^\w+:/.test(recipe) && !/^(model|output):/m.test(recipe) ? `${headOf(model, recipe)}${recipe}` : recipe,
    })),
  );

function headOf(model: string, recipe: string): string {
  const end = recipe.includes('\r\n') ? '\r\n' : '\n';
  return [`model: ${model === 'tied' ? 'tied' : 'model'}`, 'output: {dir: out}', 'calibration: {dataset: rows.jsonl}', ''].join(end);
}

const oddities: Readonly<Record<string, string>> = {
  'anchors and merge keys': `model: model
output: {dir: out, max_shard_size: 5GB}
calibration: &rows {dataset: rows.jsonl, num_calibration_samples: 8, max_seq_length: 64}
evaluate: {perplexity: {<<: *rows}}
q_stage:
  q_modifiers:
    GPTQModifier:
      ignore: ["re:.*lm_hea", lm_head]
      actorder: group
      config_groups:
        a: &a
          targets: [Linear]
          weights: &w {num_bits: 4, strategy: group, group_size: 32, symmetric: false}
        b:
          <<: *a
          targets: ['re:.*down_proj$']
          weights: {<<: *w, num_bits: 8, type: int, strategy: channel, observer: mse, observer_kwargs: {grid: 20}}
          input_activations: {num_bits: 8, strategy: tensor, dynamic: false, observer: static_minmax}
`,
  'comments, lists over lines, unknown keys': `# a head
model: model   # the model
output:
  dir: out

threads: 2
s_stage:
  # what is smoothed
  s_modifiers:
    SmoothQuantModifier:
      smoothing_strength: 0.5
      mappings:
        - [['re:.*q_proj', 're:.*k_proj'], 're:.*input_layernorm']
        - - - re:.*gate_proj # inside
            - re:.*up_proj
          - re:.*post_attention_layernorm
    QuantizationModifier: {scheme: {W4A16: [Linear], W8A8: ["re:.*mlp.*"]}, kv_cache_scheme: null, targets: [q_proj]}
args: {a: 1}
`,
  'flow over lines': `{model: model, output: {dir: out},
  "q_stage": {q_modifiers: {
    QuantizationModifier: {targets: [Linear, # all
      'lm_head'], scheme: W4A16,
      ignore: [lm_head,],},
  }}}
`,
  'block scalars and several lines': `model: >-
  model
output:
  dir: |
    out
q_stage:
  q_modifiers:
    QuantizationModifier:
      scheme: "W4A\\
        16"
      targets:
      - Linear
      ignore: 're:.*lm
        head'
`,
  'astral characters': `model: model # 😀
output: {dir: "\u{1F600}/o\u00e9", 😀: é}
q_stage:
  q_modifiers:
    QuantizationModifier: {scheme: W4A16, targets: ["😀", Linear], ignore: [lm_head]} # 𝒳 bitwright-ignore target-matches-nothing: 😀
`,
  'line ends mixed':
    'model: model\r\noutput: {dir: out}\n\r\nq_stage:\r\n  q_modifiers:\n    GPTQModifier:\r\n      scheme: W4A1\r\n      ignore:\r\n        - lm_hea\r\n',
  'lone carriage returns':
    'model: model\routput: {dir: out}\rq_stage:\r  q_modifiers:\r    GPTQModifier: {scheme: W4A1, ignore: [lm_hea]}\r',
  'byte order mark':
    '\uFEFFmodel: model\nq_stage: {q_modifiers: {QuantizationModifier: {scheme: W8A8, target: [Linear], ignore: [lm_head]}}}\n',
  tabs: 'model:\tmodel\noutput: {dir:\tout}\nq_stage:\n  q_modifiers:\n    QuantizationModifier:\n\t      scheme: W4A16\n',
  JSON: '{\r\n\t"model": "model",\r\n\t"q_stage": {"q_modifiers": {"GPTQModifier": {"scheme": "W4A16", "ignore": ["lm_head"], "dampening_frac": 1e-2, "block_sizes": 128}}}\r\n}',
  'front matter':
    '---\nmodel: model\nq_stage:\n  q_modifiers:\n    QuantizationModifier: {scheme: W4A1, targets: [Linear]}\n---\n\n# A model card\n\nIt says: this.\n',
  'two documents': '%YAML 1.1\n--- # one\nmodel: model\n...\n---\nmodel: other\n',
  'explicit keys and tags':
    '? model\n: !!str model\n? q_stage\n: !!map\n  q_modifiers: !!omap\n    - QuantizationModifier: {scheme: !!python/tuple [W4A16]}\n',
  empty: '',
};

let known: StartText[] | undefined;

/** The short ones first: a failure is shrunk towards them. */
export function startTexts(): readonly StartText[] {
  known ??= [...examples(), ...Object.entries(oddities).map(([name, text]) => ({ name, text })), ...pages(), ...verdicts()].sort(
    (a, b) => a.text.length - b.text.length,
  );
  return known;
}
