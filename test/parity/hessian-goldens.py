"""Second derivatives of the loss of small models by torch's autograd: PYTHONPATH=... python hessian-goldens.py, writes test/golden/hessian.json.

The loss is the sum of -log p over the predicted tokens of all rows; H its second derivatives for the weights of all linears, N the predicted tokens.
"products": v_l^T (H d)_l / s_l / N with the signs v of probe 0, d = s_m v_m in every layer m, s the root mean square of its weights. "traces": tr(H_ll) / N,
exact, one product for each weight, of some layers and one short row. Float64 throughout.
"""

import hashlib
import json

from peers import SHARED, TESTS

ARCHITECTURES = [
    "llama",
    "llama-mlp-and-attention-bias",
    "mistral-sliding-window",
    "qwen2-tied",
    "qwen3",
]
EXACT = ["model.layers.0.self_attn.k_proj", "model.layers.0.self_attn.v_proj", "model.layers.1.mlp.down_proj"]
SHORT = 10


def mixed(words):
    import numpy as np

    h = (words ^ (words >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    h = (h ^ (h >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return h ^ (h >> np.uint32(16))


def signs(probe, name, shape):
    import numpy as np
    import torch

    offset, flip = np.frombuffer(hashlib.sha256(f"hessian_trace {probe} {name}".encode()).digest()[:8], dtype="<u4")
    count = int(np.prod(shape))
    words = mixed(mixed(np.arange((count + 31) // 32, dtype=np.uint32) + offset) ^ flip)
    bits = (words[:, None] >> np.arange(32, dtype=np.uint32)) & np.uint32(1)
    return torch.from_numpy(1.0 - 2.0 * bits.reshape(-1)[:count].astype(np.float64)).reshape(shape)


def opened(folder):
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64, attn_implementation="eager").eval()
    head = [] if model.config.tie_word_embeddings else [("lm_head", model.lm_head)]
    linears = [(name, module) for name, module in model.model.named_modules(prefix="model") if isinstance(module, torch.nn.Linear)] + head
    return model, {name: module.weight for name, module in linears}


def loss(model, rows):
    import torch

    total = 0
    for row in rows:
        logits = model(torch.tensor([row])).logits[0, :-1].double()
        total = total + torch.nn.functional.cross_entropy(logits, torch.tensor(row[1:]), reduction="sum")
    return total


def products(model, weights, rows):
    import torch

    names, values = list(weights), list(weights.values())
    steps = {name: float(weight.detach().square().mean().sqrt()) for name, weight in weights.items()}
    v = {name: signs(0, name, tuple(weight.shape)) for name, weight in weights.items()}
    gradients = torch.autograd.grad(loss(model, rows), values, create_graph=True)
    along = sum((gradient * v[name] * steps[name]).sum() for name, gradient in zip(names, gradients))
    predicted = sum(len(row) - 1 for row in rows)
    found = torch.autograd.grad(along, values)
    return {name: float((part * v[name]).sum()) / steps[name] / predicted for name, part in zip(names, found)}


def traces(model, weights, row):
    import torch

    found = {}
    for name in EXACT:
        weight = weights[name]
        (gradient,) = torch.autograd.grad(loss(model, [row]), [weight], create_graph=True)
        flat, total = gradient.reshape(-1), 0.0
        for place in range(flat.numel()):
            (row_of_H,) = torch.autograd.grad(flat[place], [weight], retain_graph=True)
            total += float(row_of_H.reshape(-1)[place])
        found[name] = total / (len(row) - 1)
    return found


def main():
    from safetensors.numpy import load_file

    found = {}
    for name in ARCHITECTURES:
        folder = SHARED / "golden" / "architectures" / name
        rows = load_file(folder / "golden.safetensors")["input_ids"].tolist()
        model, weights = opened(folder)
        found[name] = {"rows": rows, "products": products(model, weights, rows)}
        if name == "llama":
            found[name] |= {"short": rows[0][:SHORT], "traces": traces(model, weights, rows[0][:SHORT])}
        print(name, found[name].get("traces"), flush=True)
    (TESTS / "golden" / "hessian.json").write_text(json.dumps(found, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
