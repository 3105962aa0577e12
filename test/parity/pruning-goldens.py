"""What SparseGPTModifier and WandaPruningModifier of the real llm-compressor make of stories260K, and what MagnitudePruningModifier and
ConstantPruningModifier do in one shot; writes test/golden/pruning.json: masks as packed bits for some layers, shares of zeros, perplexities.

Needs llm-compressor and compressed-tensors with torch and transformers, and the folder of real models beside the repository:
  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/pruning-goldens.py

The goldens were written with llm-compressor ab1ba3e (0.13.1.dev37) and compressed-tensors ac8e2ba (0.18.0), torch on one thread.
"""

import base64
import json
import os

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", LLM_COMPRESSOR_LOG_DISABLED="true", TQDM_DISABLE="1")

from peers import STORIES, TESTS, apply_recipe, perplexity, supply_versions  # noqa: E402

supply_versions()
from loguru import logger  # noqa: E402

logger.remove()
import numpy  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

torch.set_num_threads(1)
ROWS = 64
MEASURED_ROWS = 64
WHERE = "targets: [Linear], ignore: ['re:.*lm_head']"
TRAINING = "targets: ['re:.*_proj'], start: 0, end: 1"
CASES = {
    "sparsegpt-50": f"SparseGPTModifier: {{sparsity: 0.5, {WHERE}}}",
    "sparsegpt-30-blocks-of-32": f"SparseGPTModifier: {{sparsity: 0.3, block_size: 32, dampening_frac: 0.1, {WHERE}}}",
    "sparsegpt-2of4": f"SparseGPTModifier: {{sparsity: 0.5, mask_structure: '2:4', {WHERE}}}",
    "wanda-50": f"WandaPruningModifier: {{sparsity: 0.5, {WHERE}}}",
    "wanda-2of4": f"WandaPruningModifier: {{sparsity: 0.5, mask_structure: '2:4', {WHERE}}}",
    "wanda-by-block": "WandaPruningModifier: {sparsity: [0.1, 0.2, 0.3, 0.4, 0.5], targets: ['re:model\\.layers\\.\\d+$']}",
    "magnitude": f"MagnitudePruningModifier: {{init_sparsity: 0.2, final_sparsity: 0.5, {TRAINING}}}",
    "constant": f"ConstantPruningModifier: {{{TRAINING}}}",
}
# The first block, whose inputs are the same to the last bit or so, and two of the last, which have seen all differences before them.
LAYERS = [f"model.layers.0.{name}" for name in ("self_attn.q_proj", "self_attn.o_proj", "mlp.up_proj", "mlp.down_proj")] + [
    "model.layers.4.self_attn.v_proj",
    "model.layers.4.mlp.gate_proj",
]


def run(modifier):
    recipe = f"quant_stage:\n  quant_modifiers:\n    {modifier}\n"
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32)
    before = {name: module.weight.clone() for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    apply_recipe(model, recipe, ROWS).finalize()
    linears = {name: module.weight for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    measured, tokens = perplexity(model, MEASURED_ROWS)
    return {
        "recipe": recipe,
        "rows": ROWS,
        "measured_rows": MEASURED_ROWS,
        "perplexity": measured,
        "tokens": tokens,
        "changed": any(not torch.equal(weight, before[name]) for name, weight in linears.items()),
        "sparsity": {name: (weight == 0).double().mean().item() for name, weight in linears.items()},
        "layers": {
            name: {
                "mask": base64.b64encode(numpy.packbits((linears[name] == 0).numpy().reshape(-1), bitorder="little").tobytes()).decode(),
                "norm": linears[name].double().norm().item(),
                "row": [float(f"{value:.7g}") for value in linears[name][0].tolist()],
            }
            for name in LAYERS
        },
    }


found = {}
for name, modifier in CASES.items():
    found[name] = run(modifier)
    print(name, found[name]["perplexity"], found[name]["changed"], flush=True)
    text = json.dumps(found, separators=(",", ":")).replace('},"', '},\n"')
    (TESTS / "golden" / "pruning.json").write_text(text + "\n")
