// Rows of messages: a run joins their contents and renders no chat template, so that the model calibrates on texts without roles.
import type { Check } from './check.js';
import { datasetsOf } from './dataset-use.js';

export const messagesWithoutTemplate: Check = {
  code: 'messages-without-template',
  run: (resolution) =>
    datasetsOf(resolution).flatMap((dataset) => {
      const rows = dataset.head?.reading.rows ?? [];
      const n_messages = rows.filter((row) => 'text' in row && row.fromMessages).length;
      if (n_messages === 0) return [];
      const { plan, path } = dataset;
      const hasTemplate = resolution.tokenizer?.hasChatTemplate ?? null;
      const advice =
        hasTemplate === false
          ? 'The model has no chat template either (neither in tokenizer_config.json nor as chat_template.jinja or chat_template.json), as base models have none: calibrate it on plain texts, or render the conversations with the template that it will be used with'
          : 'Render each conversation with the chat template of the model (apply_chat_template with tokenize=False)';
      return [
        {
          code: 'messages-without-template',
          severity: 'warning' as const,
          path,
          at: 'value' as const,
          message: `${n_messages} of the first ${rows.length} rows of ${plan.dataset} hold messages; a run joins their contents by line ends, without roles and without a chat template, which Bitwright cannot render. ${advice}, and write it into ${plan.text_column} (text_column).`,
        },
      ];
    }),
};
