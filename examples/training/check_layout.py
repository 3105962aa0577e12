"""Checks that the training model and transformers' LlamaForCausalLM compute the same logits from the written file.

    python check_layout.py             # after train_model.py
"""

import torch
from safetensors.torch import load_file
from tokenizers import Tokenizer
from train_model import DATA, MODEL, POSITIONS, Llama, read_texts
from transformers import AutoModelForCausalLM


@torch.no_grad()
def main():
    torch.set_num_threads(1)
    tokenizer = Tokenizer.from_file(str(MODEL / "tokenizer.json"))
    theirs = AutoModelForCausalLM.from_pretrained(str(MODEL), dtype=torch.float32).eval()
    ours = Llama().eval()
    tensors = load_file(str(MODEL / "model.safetensors"))
    ours.load_state_dict({name.removeprefix("model."): tensor.float() for name, tensor in tensors.items()})
    texts = read_texts(DATA / "validation.jsonl")
    texts.append(" ".join(texts))  # as long as the model can read
    largest = 0.0
    for text in texts:
        ids = torch.tensor([tokenizer.encode(text).ids[:POSITIONS]])
        largest = max(largest, (ours(ids) - theirs(ids).logits).abs().max().item())
    print(f"largest difference of a logit in {len(texts)} texts: {largest:.2e}")
    assert largest < 1e-4


if __name__ == "__main__":
    main()
