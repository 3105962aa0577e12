// Which rows the tables of results.md have, and the tables themselves: per bit width the least perplexity first, the best one bold.
//
// A table stands in results.md between the lines `<!-- table NAME -->` and `<!-- end -->`, and is written anew from rows.jsonl by run.mjs.
import { methods, runsAt } from './methods.mjs';

export const roles = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];

/** In the folder of --data; a table of stories is not made without it. */
const stories = {
  inData: true,
  model: 'models/stories260K',
  calibration: 'text/tinystories-calibration.jsonl',
  validation: 'text/tinystories-validation.jsonl',
  text_column: 'text',
  max_seq_length: 512,
  samples: 512,
  inputs: null,
};
const example = {
  inData: false,
  model: 'examples/models/stories-and-sums-1m',
  calibration: 'examples/data/calibration.jsonl',
  validation: 'examples/data/validation.jsonl',
  text_column: 'text',
  max_seq_length: 512,
  samples: 256,
  inputs: null,
};

/** Of one row of weights as of several: scales of their own at 1.58 bits alone, pruning at 4. */
const only = {
  'rtn-absmean': [1.58],
  'gptq-absmean': [1.58],
  'rtn-mse': [4, 3, 2],
  'gptq-mse': [4, 3, 2],
  'sparsegpt-2:4-gptq': [4],
  'wanda-2:4-gptq': [4],
  'rtn-bias-correction': [4, 3],
  'gptq-variance-correction': [4, 3],
  'rtn-low-rank-residual': [4, 3],
  'rtn-outlier-split': [4, 3],
};
const inputsToo = ['smoothquant-rtn', 'smoothquant-gptq', 'beacon-corrected-quarter'];
const isIn = (method, bits) => !inputsToo.includes(method) && (only[method]?.includes(bits) ?? true) && runsAt(methods[method], bits);
const of =
  (widths, wanted = () => true) =>
  () =>
    widths.flatMap((bits) =>
      Object.keys(methods)
        .filter((method) => wanted(method) && isIn(method, bits))
        .map((method) => ({ bits, method })),
    );

/** With scales this close together the methods stand closer too: those of the peers, and ours that aim at few bits. */
const ofGroups = ['rtn', 'hqq', 'gptq', 'qronos', 'beacon', 'beacon-corrected', 'beacon-asymmetric', 'beacon-asymmetric-corrected'];
const widths = [8, 6, 5, 4, 3, 2, 1.58];

export const tables = {
  'example-channel': { setting: { ...example, group_size: null }, rows: of(widths) },
  // 5 bits lie between 6 and 4 on both models; one of them shows it.
  'stories-channel': { setting: { ...stories, group_size: null }, rows: of([8, 6, 4, 3, 2, 1.58]) },
  'stories-groups': { setting: { ...stories, group_size: 4 }, rows: of([4, 3, 2], (method) => ofGroups.includes(method)) },
};

const numberOf = (error) => (error === null ? '–' : error < 1e-6 ? String(error) : error.toFixed(2 - Math.floor(Math.log10(error))));

export function markdownOf(rows) {
  const lines = [
    `| bits | method | stored | perplexity | ${roles.join(' | ')} |`,
    `| ---: | --- | ---: | ---: | ${roles.map(() => '---:').join(' | ')} |`,
  ];
  for (const bits of [...new Set(rows.map((row) => row.bits))].sort((a, b) => b - a)) {
    const own = rows.filter((row) => row.bits === bits).sort((a, b) => (a.perplexity ?? Infinity) - (b.perplexity ?? Infinity));
    for (const { method, stored, perplexity, errors } of own) {
      const bold = perplexity !== null && perplexity === own[0].perplexity ? '**' : '';
      lines.push(
        `| ${bits} | ${bold}${method}${bold} | ${stored ?? '–'} | ${bold}${perplexity?.toFixed(4) ?? 'did not run'}${bold} | ${errors.map(numberOf).join(' | ')} |`,
      );
    }
  }
  return lines.join('\n');
}

/** The text with every table that it has a place for. */
export function writeTables(text, rows) {
  return text.replace(/(<!-- table (\S+) -->\n)[^]*?(<!-- end -->)/g, (_, begin, name, end) => {
    const own = rows.filter(
      (row) => row.table === name && tables[name].rows().some(({ bits, method }) => bits === row.bits && method === row.method),
    );
    return `${begin}\n${markdownOf(own)}\n\n${end}`;
  });
}
