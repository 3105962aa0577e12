"""Trains the byte-level BPE tokenizer on the training texts and writes its files into the model folder.

    python train_tokenizer.py          # after generate_text.py
"""

import json
from itertools import islice
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "models" / "stories-and-sums-1m"
VOCABULARY = 1024
BOS, EOS, PAD = "<s>", "</s>", "<pad>"  # ids 0, 1, 2
STORIES, SUMS = 10_000, 40_000

# A word with its leading space, punctuation with its leading space, one digit, or white space.
PIECES = r" ?\p{L}+| ?[^\s\p{L}\p{N}]+|\p{N}|\s+"


def texts():
    for name, count in ("train-stories.jsonl", STORIES), ("train-sums.jsonl", SUMS):
        with (HERE / ".cache" / name).open(encoding="utf-8") as file:
            for line in islice(file, count):
                yield json.loads(line)["text"]


def write_json(name, value):
    (MODEL / name).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def main():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(texts(), trainers.BpeTrainer(
        vocab_size=VOCABULARY, special_tokens=[BOS, EOS, PAD], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    ))
    assert tokenizer.get_vocab_size() == VOCABULARY
    assert [tokenizer.token_to_id(token) for token in (BOS, EOS, PAD)] == [0, 1, 2]
    # As in the Llama 3 layout, the template in tokenizer.json is what puts BOS in front.
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B:1", special_tokens=[(BOS, 0)]),
    ])

    MODEL.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(MODEL / "tokenizer.json"))
    special = {
        name: {"content": token, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
        for name, token in (("bos_token", BOS), ("eos_token", EOS), ("pad_token", PAD))
    }
    write_json("special_tokens_map.json", special)
    write_json("tokenizer_config.json", {
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {str(i): {**token, "special": True} for i, token in enumerate(special.values())},
        "bos_token": BOS,
        "clean_up_tokenization_spaces": False,
        "eos_token": EOS,
        "model_max_length": 256,
        "pad_token": PAD,
        "tokenizer_class": "PreTrainedTokenizerFast",
    })


if __name__ == "__main__":
    main()
