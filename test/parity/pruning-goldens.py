"""What SparseGPTModifier and WandaPruningModifier of the real llm-compressor make of stories260K, and what MagnitudePruningModifier and
ConstantPruningModifier do in one shot; writes test/golden/pruning.json: masks as packed bits for some layers, shares of zeros, perplexities.

Needs llm-compressor and compressed-tensors with torch and transformers, and the folder of real models beside the repository:
  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/pruning-goldens.py

The goldens were written with llm-compressor ab1ba3e (0.13.1.dev37) and compressed-tensors ac8e2ba (0.18.0), torch on one thread.

Patch: the recorded inputs of a pipeline are not pinned in memory, which torch refuses on a machine without an accelerator; it moves no number.
"""

import base64
import json
import os
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", LLM_COMPRESSOR_LOG_DISABLED="true", TQDM_DISABLE="1")

from peers import supply_versions  # noqa: E402

supply_versions()
from loguru import logger  # noqa: E402

logger.remove()
import numpy  # noqa: E402
import torch  # noqa: E402
from torch.utils.data import DataLoader  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

from llmcompressor.args import DatasetArguments  # noqa: E402
from llmcompressor.core import active_session  # noqa: E402
from llmcompressor.pipelines import CalibrationPipeline  # noqa: E402
from llmcompressor.pipelines.cache import IntermediatesCache  # noqa: E402

torch.set_num_threads(1)
TESTS = Path(__file__).resolve().parent.parent
SHARED = TESTS.parent.parent / "shared"
MODEL = SHARED / "data" / "models" / "stories260K"
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


def rows_of(name, limit):
    tokenizer = AutoTokenizer.from_pretrained(MODEL)
    lines = (SHARED / "data" / "text" / f"tinystories-{name}.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line][:limit]
    return [tokenizer(text, truncation=True, max_length=512, return_tensors="pt")["input_ids"] for text in texts]


@torch.no_grad()
def perplexity(model):
    total, count = 0.0, 0
    for ids in rows_of("validation", MEASURED_ROWS):
        logits = model(ids).logits[0, :-1].double()
        total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
        count += ids.shape[1] - 1
    return float(torch.tensor(total / count).exp()), count


def run(modifier):
    recipe = f"quant_stage:\n  quant_modifiers:\n    {modifier}\n"
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32)
    before = {name: module.weight.clone() for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    data = DataLoader([{"input_ids": ids[0], "attention_mask": torch.ones_like(ids[0])} for ids in rows_of("calibration", ROWS)], batch_size=1)
    session = active_session()
    session.reset()
    session.initialize(model=model, start=-1, recipe=recipe, recipe_stage=None, recipe_args=None, calib_data=data, sequential_targets=None)
    CalibrationPipeline.from_modifiers(session.lifecycle.recipe.modifiers)(model, data, DatasetArguments())
    session.finalize()
    linears = {name: module.weight for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    measured, tokens = perplexity(model)
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


IntermediatesCache.pin_memory = lambda self, batch_index, input_names=None: None
found = {}
for name, modifier in CASES.items():
    found[name] = run(modifier)
    print(name, found[name]["perplexity"], found[name]["changed"], flush=True)
    text = json.dumps(found, separators=(",", ":")).replace('},"', '},\n"')
    (TESTS / "golden" / "pruning.json").write_text(text + "\n")
