// Conv1D of transformers (pytorch_utils.Conv1D): a linear layer whose weight is kept transposed, [in, out], and whose class no target `Linear` matches. What is scaled
// by its rows would be scaled by the wrong axis, and what is packed as a Linear would not load; a header does not tell it from a Linear, so that the model type does.
const modelTypes: ReadonlySet<string> = new Set(['clvp', 'decision_transformer', 'gpt2', 'imagegpt', 'openai-gpt']);

export const isConv1d = (model_type: string | null, module: string): boolean =>
  model_type !== null && modelTypes.has(model_type) && /\.(c_attn|q_attn|c_fc|c_proj)$/.test(module);
