"""What the scripts of this folder share about the real packages, and about the model that they are asked for.

Packages are imported by the functions that need them: supply_versions comes before, and not every script has all of them.
"""

import importlib.util
import json
import sys
import types
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
SHARED = TESTS.parent.parent / "shared"
STORIES = SHARED / "data" / "models" / "stories260K"


def supply_versions():
    """A checkout without its generated version.py gets the two names from here, so that it stays as it is."""
    for package in ("llmcompressor", "compressed_tensors"):
        name = f"{package}.version"
        folder = Path(importlib.util.find_spec(package).origin).parent
        if not (folder / "version.py").exists():
            module = types.ModuleType(name)
            module.__version__ = module.version = "0.0.0+checkout"
            module.__all__ = ["__version__", "version"]
            sys.modules[name] = module


def story_rows(name, limit=None):
    """Token ids of the first texts of tinystories-{name}.jsonl, BOS first, cut at 512."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(STORIES)
    lines = (SHARED / "data" / "text" / f"tinystories-{name}.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["text"] for line in lines if line][:limit]
    return [tokenizer(text, truncation=True, max_length=512, return_tensors="pt")["input_ids"] for text in texts]


def perplexity(model, limit=None):
    """On the first validation texts, per document; and the number of predicted tokens."""
    import torch

    total, count = 0.0, 0
    with torch.no_grad():
        for ids in story_rows("validation", limit):
            logits = model(ids).logits[0, :-1].double()
            total += torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="sum").item()
            count += ids.shape[1] - 1
    return float(torch.tensor(total / count).exp()), count


def apply_recipe(model, recipe, n_rows):
    """llm-compressor's oneshot without its reading and writing. Answers the session, which the caller finalizes.

    Patch: the recorded inputs of a pipeline are not pinned in memory, which torch refuses on a machine without an accelerator; it moves no number.
    """
    import torch
    from torch.utils.data import DataLoader

    from llmcompressor.args import DatasetArguments
    from llmcompressor.core import active_session
    from llmcompressor.pipelines import CalibrationPipeline
    from llmcompressor.pipelines.cache import IntermediatesCache

    IntermediatesCache.pin_memory = lambda self, batch_index, input_names=None: None
    rows = [{"input_ids": ids[0], "attention_mask": torch.ones_like(ids[0])} for ids in story_rows("calibration", n_rows)]
    data = DataLoader(rows, batch_size=1)
    session = active_session()
    session.reset()
    session.initialize(model=model, start=-1, recipe=recipe, recipe_stage=None, recipe_args=None, calib_data=data, sequential_targets=None)
    CalibrationPipeline.from_modifiers(session.lifecycle.recipe.modifiers)(model, data, DatasetArguments())
    return session
