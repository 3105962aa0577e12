"""Perplexity of checkpoints by transformers with compressed-tensors: python transformers-parity.py TEXT.jsonl MAX_LENGTH FOLDER...

Per document: the tokens of the folder's tokenizer with its BOS, cut at MAX_LENGTH; total negative log-likelihood over all predicted tokens.
Weights as the packages dequantize them, activations in float32. Prints {folder: {"perplexity", "nll", "tokens"}} as the last line.
"""

import importlib.util
import json
import math
import os
import sys
import types

os.environ["HF_HUB_OFFLINE"] = "1"


def supply_version():
    """An unbuilt source checkout of compressed-tensors has no version.py, which its build writes."""
    found = importlib.util.find_spec("compressed_tensors")
    if found and found.origin and not os.path.exists(os.path.join(os.path.dirname(found.origin), "version.py")):
        version = types.ModuleType("compressed_tensors.version")
        version.__version__ = "0.18.0"
        version.__all__ = ["__version__"]
        sys.modules["compressed_tensors.version"] = version


supply_version()
import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402
from transformers.utils import is_compressed_tensors_available  # noqa: E402


@torch.no_grad()
def perplexity(folder, texts, max_length):
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").eval()
    documents = []
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False).input_ids
        documents.append(([tokenizer.bos_token_id] + ids)[:max_length])
    # The first pass dequantizes the weights; from then on only inputs are quantized, and everything runs in float32.
    model(torch.tensor([documents[0]]))
    for module in model.modules():
        if getattr(module, "quantization_scheme", None) is not None:
            module.quantization_scheme.weights = None
    torch.nn.Module.float(model)
    nll, tokens = 0.0, 0
    for ids in documents:
        logits = model(torch.tensor([ids])).logits[0, :-1].double()
        nll += float(torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum"))
        tokens += len(ids) - 1
    return {"perplexity": math.exp(nll / tokens), "nll": nll, "tokens": tokens}


def main():
    if not is_compressed_tensors_available():
        sys.exit("transformers finds no compressed-tensors that it can use")
    if len(sys.argv) == 1:
        return
    with open(sys.argv[1], encoding="utf-8") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    print(json.dumps({folder: perplexity(folder, texts, int(sys.argv[2])) for folder in sys.argv[3:]}))


main()
