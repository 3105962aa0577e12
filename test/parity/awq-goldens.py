"""What the AWQModifier of the real llm-compressor finds on stories260K; writes test/golden/awq/*.json.

Needs llm-compressor and compressed-tensors with torch and transformers, and the folder of real models beside the repository:
  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/awq-goldens.py [CASE …]

The goldens were written with llm-compressor ab1ba3e (0.13.1.dev37) and compressed-tensors ac8e2ba (0.18.0), torch on one thread.

Patches, without which there would be no golden:
- As shipped the modifier does not run on a machine without an accelerator: it pins the recorded inputs of every mapping in memory
  (IntermediatesCache.pin_memory, see peers.py), which torch refuses with "Cannot access accelerator device when none is available". The call is left out;
  it moves no number.
- "propagate: quantized": with QuantizationModifier behind it the sequential pipeline of llm-compressor hands *unquantized* outputs to the
  next block (its DisableQuantization lasts until the end, and nothing is written into the weights). Bitwright hands on what a reader of the
  file computes, as llm-compressor itself does with GPTQModifier. These cases write the quantized weights into the modules before the second pass, so
  that all blocks can be compared; the "propagate: shipped" cases are left as they are.
- The losses of a search are noted where they are computed; they are not kept by the modifier.
"""

import json
import os
import sys

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", LLM_COMPRESSOR_LOG_DISABLED="true", TQDM_DISABLE="1")

from peers import STORIES, TESTS, apply_recipe, perplexity, supply_versions  # noqa: E402

supply_versions()
from loguru import logger  # noqa: E402

logger.remove()
import torch  # noqa: E402
from compressed_tensors.quantization import forward_quantize  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from llmcompressor.modifiers.quantization import QuantizationModifier  # noqa: E402
from llmcompressor.modifiers.transform.awq import AWQModifier  # noqa: E402

torch.set_num_threads(1)
GOLDEN = TESTS / "golden" / "awq"

CHANNEL = "num_bits: 4, type: int, strategy: channel, symmetric: true"
GROUP = "num_bits: 4, type: int, strategy: group, group_size: 4, symmetric: true"
# A symmetric grid of 4 bits ends at 7.5 scales, so that the largest weight of a cell is a tie that the last bit of W · s decides: losses agree to a percent
# or so. Asymmetric grids have no such tie, and there everything agrees to rounding.
ASYMMETRIC = GROUP.replace("true", "false")
CASES = {
    "w4-channel-asymmetric": dict(awq="{}", weights=CHANNEL.replace("true", "false"), rows=24, propagate="quantized"),
    "w3-group4-asymmetric-both": dict(awq="{duo_scaling: both, n_grid: 12}", weights=ASYMMETRIC.replace("4, type", "3, type"), rows=24, propagate="quantized"),
    "w4-group4-asymmetric-activations-alone": dict(awq="{duo_scaling: false, n_grid: 8}", weights=ASYMMETRIC, rows=24, propagate="quantized"),
    "w4-channel": dict(awq="{}", weights=CHANNEL, rows=64, propagate="shipped", perplexity=True),
    "w4-group4": dict(awq="{}", weights=GROUP, rows=64, propagate="shipped", perplexity=True),
}


def record(searches, propagate):
    """Patches two places; what a search finds goes to `searches`."""
    compute_loss, compute_best = AWQModifier.shipped_loss, AWQModifier.shipped_best
    losses = []

    def noted_loss(self, *outputs):
        losses.append(compute_loss(self, *outputs))
        return losses[-1]

    def noted_best(self, mapping, *rest):
        losses.clear()
        scales = compute_best(self, mapping, *rest)
        grid = self._get_grid_search_params()
        best = min(range(len(grid)), key=lambda index: losses[index])
        searches.append(
            {
                "smooth_layer": mapping.smooth_name,
                "balance_layers": mapping.balance_names,
                "parent": mapping.parent_name,
                "ratio": grid[best][0],
                "duo_scaling": grid[best][1],
                "losses": losses.copy(),
                "scales": [float(f"{value:.9g}") for value in scales.tolist()],
            }
        )
        return scales

    AWQModifier._compute_loss, AWQModifier._compute_best_scale = noted_loss, noted_best
    shipped_end = QuantizationModifier.shipped_end

    def written_end(self, state, event, modules, **kwargs):
        shipped_end(self, state, event, modules, **kwargs)
        for module in modules:
            scheme = getattr(module, "quantization_scheme", None)
            if scheme is not None and scheme.weights is not None:
                module.weight.data = forward_quantize(module, module.weight, "weight", scheme.weights)

    QuantizationModifier.on_sequential_epoch_end = written_end if propagate == "quantized" else shipped_end


def run(case):
    recipe = (
        "quant_stage:\n  quant_modifiers:\n"
        f"    AWQModifier: {case['awq']}\n"
        f"    QuantizationModifier: {{ignore: [lm_head], config_groups: {{g: {{targets: [Linear], weights: {{{case['weights']}}}}}}}}}\n"
    )
    model = AutoModelForCausalLM.from_pretrained(STORIES, dtype=torch.float32)
    searches = []
    record(searches, case["propagate"])
    session = apply_recipe(model, recipe, case["rows"])
    result = {**case, "recipe": recipe}
    if case.get("perplexity"):
        result["perplexity"], result["tokens"] = perplexity(model)
    session.finalize()
    result["mappings"] = searches
    return result


AWQModifier.shipped_loss, AWQModifier.shipped_best = AWQModifier._compute_loss, AWQModifier._compute_best_scale
QuantizationModifier.shipped_end = QuantizationModifier.on_sequential_epoch_end
GOLDEN.mkdir(parents=True, exist_ok=True)
for name in sys.argv[1:] or CASES:
    result = run(CASES[name])
    (GOLDEN / f"{name}.json").write_text(json.dumps(result, indent=None, separators=(",", ":")).replace('{"smooth_layer"', '\n{"smooth_layer"') + "\n")
    print(name, result.get("perplexity"), [(m["smooth_layer"], m["ratio"]) for m in result["mappings"]], flush=True)
