"""One GPTQ run of llm-compressor, as gptq-run.mjs asks for it; prints {"seconds": …} of the `oneshot` call alone, without imports, loading and tokenizing.

    python gptq_oneshot.py MODEL DATASET N_SAMPLES MAX_LENGTH OUTPUT RECIPE
"""

import json
import sys
import time
from pathlib import Path

import torch
from datasets import Dataset
from llmcompressor import oneshot
from loguru import logger
from transformers import AutoModelForCausalLM, AutoTokenizer


def main():
    model_dir, dataset, n_samples, max_length, output, recipe = sys.argv[1:]
    logger.remove()
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    with Path(dataset).open(encoding="utf-8") as file:
        texts = [json.loads(line)["text"] for line in file][: int(n_samples)]
    ids = []
    for text in texts:
        tokens = tokenizer(text, add_special_tokens=False).input_ids
        ids.append(([tokenizer.bos_token_id] + tokens)[: int(max_length)])
    rows = Dataset.from_dict({"input_ids": ids, "attention_mask": [[1] * len(row) for row in ids]})
    model = AutoModelForCausalLM.from_pretrained(model_dir, dtype=torch.float32)
    began = time.perf_counter()
    oneshot(
        model=model,
        recipe=recipe,
        dataset=rows,
        max_seq_length=int(max_length),
        num_calibration_samples=len(ids),
        output_dir=output,
        shuffle_calibration_samples=False,
    )
    seconds = time.perf_counter() - began
    print(json.dumps({"seconds": seconds, "tokens": sum(map(len, ids))}))


if __name__ == "__main__":
    main()
