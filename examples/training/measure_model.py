"""Measures the written model with transformers, in float32: perplexity of the validation texts and exact match on the sums.

    python measure_model.py            # after train_model.py
"""

import json
import math
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "models" / "stories-and-sums-1m"
DATA = HERE.parent / "data"
LENGTH = 256


def read_rows(path):
    with path.open(encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def document_loss(model, tokenizer, text):
    """(sum of the token losses, number of predicted tokens) of one document: BOS in front, no EOS, cut at LENGTH tokens."""
    ids = torch.tensor([tokenizer(text).input_ids[:LENGTH]])
    logits = model(ids).logits[0, :-1]
    loss = torch.nn.functional.cross_entropy(logits.double(), ids[0, 1:], reduction="sum")
    return loss.item(), ids.shape[1] - 1


def perplexity(model, tokenizer, texts):
    losses, counts = zip(*(document_loss(model, tokenizer, text) for text in texts))
    return math.exp(sum(losses) / sum(counts)), sum(counts)


def is_answered(model, tokenizer, row):
    """Greedy decoding up to EOS gives the answer and nothing else."""
    prompt = tokenizer(row["prompt"], return_tensors="pt")
    output = model.generate(**prompt, do_sample=False, max_new_tokens=8, max_length=None)
    return tokenizer.decode(output[0, prompt.input_ids.shape[1]:], skip_special_tokens=True) == row["answer"]


@torch.no_grad()
def main():
    folder = sys.argv[1] if len(sys.argv) > 1 else str(MODEL)
    torch.set_num_threads(1)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    texts = [row["text"] for row in read_rows(DATA / "validation.jsonl")]
    groups = {
        "all": texts,
        "stories": [text for text in texts if not text.startswith("Question:")],
        "sums": [text for text in texts if text.startswith("Question:")],
    }
    for name, group in groups.items():
        value, tokens = perplexity(model, tokenizer, group)
        print(f"perplexity {name}: {value:.4f} ({len(group)} documents, {tokens} predicted tokens)")
    rows = read_rows(DATA / "sums.jsonl")
    right = sum(is_answered(model, tokenizer, row) for row in rows)
    print(f"exact match: {right} of {len(rows)} ({right / len(rows):.1%})")


if __name__ == "__main__":
    main()
