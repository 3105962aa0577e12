"""What the SpinQuantModifier of the real llm-compressor makes of stories260K; writes test/golden/rotations.json.

Needs llm-compressor and compressed-tensors with torch and transformers, and the folder of real models beside the repository:
  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/rotation-goldens.py

The golden was written with llm-compressor ab1ba3e (0.13.1.dev37) and compressed-tensors ac8e2ba (0.18.0).

First and last row of every weight after on_calibration_start, in float32, once for each list of rotations, transform_type hadamard (the others are
random and have no seed). center_embeddings, which changes what an RMS-norm model computes, is left out for the rows, and what it changes is noted
beside them: the largest change of a logit as a part of the largest logit, with it and without.
"""

import json
import os
import sys
import types
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", LLM_COMPRESSOR_LOG_DISABLED="true", TQDM_DISABLE="1")


def supply_versions():
    """A checkout without its generated version.py gets the two names from here, so that it stays as it is."""
    import importlib.util

    for package in ("llmcompressor", "compressed_tensors"):
        folder = Path(importlib.util.find_spec(package).origin).parent
        if not (folder / "version.py").exists():
            module = types.ModuleType(f"{package}.version")
            module.__version__ = module.version = "0.0.0+checkout"
            module.__all__ = ["__version__", "version"]
            sys.modules[f"{package}.version"] = module


supply_versions()
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

from llmcompressor.core import State  # noqa: E402
from llmcompressor.modifiers.transform.spinquant import SpinQuantModifier  # noqa: E402

torch.set_num_threads(1)
TESTS = Path(__file__).resolve().parent.parent
MODEL = TESTS.parent.parent / "shared" / "data" / "models" / "stories260K"
IDS = torch.arange(3, 67)[None] % 512


def rotated(rotations, center):
    model = AutoModelForCausalLM.from_pretrained(MODEL, torch_dtype=torch.float32)
    with torch.no_grad():
        before = model(IDS).logits
        modifier = SpinQuantModifier(rotations=rotations, transform_type="hadamard")
        if not center:
            object.__setattr__(modifier, "_center_embeddings", lambda model: None)
        state = State(model=model)
        modifier.on_initialize(state)
        modifier.on_calibration_start(state, None)
        after = model(IDS).logits
    change = ((after - before).abs().max() / before.abs().max()).item()
    return {name: tensor.detach() for name, tensor in model.state_dict().items()}, change


golden = {}
for rotations in (["R1"], ["R1", "R2"]):
    tensors, change = rotated(rotations, center=False)
    _, shipped = rotated(rotations, center=True)
    print(rotations, "logits change by", change, "and as shipped by", shipped)
    golden["+".join(rotations)] = {
        "logits_change": change,
        "logits_change_as_shipped": shipped,
        "rows": {
            name: [[float(f"{value:.8g}") for value in row.tolist()] for row in (tensor[0], tensor[-1])]
            for name, tensor in tensors.items()
            if tensor.dim() == 2
        },
    }
(TESTS / "golden" / "rotations.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
