"""Squared gradients of the linears of small models by torch's autograd: PYTHONPATH=... python fisher-goldens.py, writes test/golden/fisher.json.

Per row s the gradient of L_s, the sum of -log p over its predicted tokens; F = 1/N sum over s of its squares, N the predicted tokens of all rows.
For every weight the trace of F and the sum of F W^2, and the tokens that they are of. Float64 throughout.
"""

import json

from peers import SHARED, STORIES, TESTS, story_rows

ARCHITECTURES = [
    "llama",
    "llama-linear-rope",
    "llama-mlp-and-attention-bias",
    "llama-yarn-rope",
    "llama3-rope",
    "mistral-sliding-window",
    "qwen2-tied",
    "qwen3",
]


def squared_gradients(folder, rows):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    head = [] if model.config.tie_word_embeddings else [("lm_head", model.lm_head)]
    linears = [(name, module) for name, module in model.model.named_modules(prefix="model") if isinstance(module, torch.nn.Linear)] + head
    sums = {name: torch.zeros_like(module.weight) for name, module in linears}
    predicted = 0
    for row in rows:
        model.zero_grad()
        logits = model(torch.tensor([row])).logits[0, :-1].double()
        torch.nn.functional.cross_entropy(logits, torch.tensor(row[1:]), reduction="sum").backward()
        predicted += len(row) - 1
        for name, module in linears:
            sums[name] += module.weight.grad ** 2
    return {
        name: {"trace": float(sums[name].sum() / predicted), "weighted": float((sums[name] * module.weight.detach() ** 2).sum() / predicted)}
        for name, module in linears
    }


def main():
    from safetensors.numpy import load_file

    found = {}
    for name in ARCHITECTURES:
        folder = SHARED / "golden" / "architectures" / name
        rows = load_file(folder / "golden.safetensors")["input_ids"].tolist()
        found[name] = {"rows": rows, "layers": squared_gradients(folder, rows)}
    rows = [ids[0, :97].tolist() for ids in story_rows("validation", 3)]
    found["stories260K"] = {"rows": rows, "layers": squared_gradients(STORIES, rows)}
    (TESTS / "golden" / "fisher.json").write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
