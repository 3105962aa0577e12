"""Trains the example model on one processor core and writes it in Hugging Face's Llama layout.

    python train_model.py sums         # after train_tokenizer.py: starts anew, most of its time goes to sums
    python train_model.py stories      # goes on from the written weights, most of its time goes to stories
    python train_model.py untrained    # the same files with untrained weights
"""

import argparse
import json
import math
import random
import time
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save
from tokenizers import Tokenizer
from torch import nn

HERE = Path(__file__).resolve().parent
MODEL = HERE.parent / "models" / "stories-and-sums-1m"
DATA = HERE.parent / "data"

BOS, EOS, PAD = 0, 1, 2
VOCABULARY, HIDDEN, INTERMEDIATE, LAYERS = 1024, 128, 384, 4
HEADS, KV_HEADS, HEAD_DIM = 4, 2, 32
POSITIONS, ROPE_THETA, NORM_EPS = 256, 10000.0, 1e-5

SEED = 7
PEAK_RATE, LAST_RATE, WARMUP = 1e-3, 1e-5, 100
INIT_STD, WEIGHT_DECAY = 0.05, 0.05
# What the parts of a step count: a question is mostly chance (names, numbers), its answer is not.
STORY_WEIGHT, QUESTION_WEIGHT, ANSWER_WEIGHT = 0.5, 0.2, 1.0


@dataclass(frozen=True)
class Lesson:
    steps: int
    stories_per_step: int
    sums_per_step: int
    steps_before: int


# Many small steps: with large batches the sums were not learned in this time.
LESSONS = {
    "sums": Lesson(steps=10_000, stories_per_step=2, sums_per_step=16, steps_before=0),
    "stories": Lesson(steps=7_500, stories_per_step=4, sums_per_step=8, steps_before=10_000),
}


class RMSNorm(nn.Module):
    def __init__(self, size):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPS)


def rotation_table():
    """cos and sin, [position, head_dim]; the two halves of a head turn together (dimension i with i + 16)."""
    speed = ROPE_THETA ** (-torch.arange(0, HEAD_DIM, 2, dtype=torch.float32) / HEAD_DIM)
    angle = torch.outer(torch.arange(POSITIONS, dtype=torch.float32), speed).repeat(1, 2)
    return angle.cos(), angle.sin()


def rotate(x, cos, sin):
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q_proj = nn.Linear(HIDDEN, HEADS * HEAD_DIM, bias=False)
        self.k_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM, bias=False)
        self.v_proj = nn.Linear(HIDDEN, KV_HEADS * HEAD_DIM, bias=False)
        self.o_proj = nn.Linear(HEADS * HEAD_DIM, HIDDEN, bias=False)

    def forward(self, x, cos, sin):
        rows, length, _ = x.shape

        def heads(projection, count):
            return projection(x).view(rows, length, count, HEAD_DIM).transpose(1, 2)

        q = rotate(heads(self.q_proj, HEADS), cos, sin)
        k = rotate(heads(self.k_proj, KV_HEADS), cos, sin).repeat_interleave(HEADS // KV_HEADS, dim=1)
        v = heads(self.v_proj, KV_HEADS).repeat_interleave(HEADS // KV_HEADS, dim=1)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=1 / math.sqrt(HEAD_DIM))
        return self.o_proj(mixed.transpose(1, 2).reshape(rows, length, HEADS * HEAD_DIM))


class FeedForward(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate_proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)
        self.up_proj = nn.Linear(HIDDEN, INTERMEDIATE, bias=False)
        self.down_proj = nn.Linear(INTERMEDIATE, HIDDEN, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.input_layernorm = RMSNorm(HIDDEN)
        self.self_attn = Attention()
        self.post_attention_layernorm = RMSNorm(HIDDEN)
        self.mlp = FeedForward()

    def forward(self, x, cos, sin):
        x = x + self.self_attn(self.input_layernorm(x), cos, sin)
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Parameter names are those of the checkpoint without its leading `model.`."""

    def __init__(self):
        super().__init__()
        self.embed_tokens = nn.Embedding(VOCABULARY, HIDDEN)
        self.layers = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm = RMSNorm(HIDDEN)
        for name, parameter in self.named_parameters():
            if parameter.dim() == 2:
                residual = name.endswith(("o_proj.weight", "down_proj.weight"))
                nn.init.normal_(parameter, std=INIT_STD / math.sqrt(2 * LAYERS) if residual else INIT_STD)
        cos, sin = rotation_table()
        self.register_buffer("cos", cos, persistent=False)
        self.register_buffer("sin", sin, persistent=False)

    def forward(self, ids):
        length = ids.shape[1]
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, self.cos[:length], self.sin[:length])
        return F.linear(self.norm(x), self.embed_tokens.weight)


def read_texts(path):
    with path.open(encoding="utf-8") as file:
        return [json.loads(line)["text"] for line in file]


def encode(tokenizer, texts):
    """Token ids with BOS in front and EOS behind, cut to what the model can see plus its target."""
    return [(encoding.ids + [EOS])[: POSITIONS + 1] for encoding in tokenizer.encode_batch(texts)]


def pad(documents):
    longest = max(map(len, documents))
    return torch.tensor([ids + [PAD] * (longest - len(ids)) for ids in documents])


def batches(documents, size, rng, neighbourhood=16):
    """Batches of documents of similar length. Order is kept but for a shuffle among neighbouring batches."""
    for start in range(0, len(documents), size * neighbourhood):
        near = sorted(documents[start : start + size * neighbourhood], key=len)
        groups = [near[i : i + size] for i in range(0, len(near), size)]
        rng.shuffle(groups)
        yield from groups


def token_losses(model, ids):
    """Loss of every target token, and which of them are real."""
    logits = model(ids[:, :-1])
    targets = ids[:, 1:]
    losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    return losses, targets != PAD, logits


def answer_mask(ids, answer_token):
    """True for the targets after `Answer:`, end of text included."""
    after = (ids == answer_token).cumsum(dim=1) > 0
    return (after[:, :-1]) & (ids[:, 1:] != PAD)


def train_step_loss(model, stories, sums, answer_token):
    losses, real, _ = token_losses(model, stories)
    story_loss = losses[real].mean()
    losses, real, _ = token_losses(model, sums)
    answer = answer_mask(sums, answer_token)
    question_loss, answer_loss = losses[real & ~answer].mean(), losses[answer].mean()
    return STORY_WEIGHT * story_loss + QUESTION_WEIGHT * question_loss + ANSWER_WEIGHT * answer_loss


@torch.no_grad()
def validate(model, documents, answer_token):
    """(mean loss per token over the validation texts, share of sums whose answer is right to the end)"""
    model.eval()
    total, count, right, asked = 0.0, 0, 0, 0
    for start in range(0, len(documents), 20):
        ids = pad(documents[start : start + 20])
        losses, real, logits = token_losses(model, ids)
        total += losses[real].sum().item()
        count += real.sum().item()
        mask = answer_mask(ids, answer_token)
        sums = mask.any(dim=1)
        correct = (logits.argmax(-1) == ids[:, 1:]) | ~mask
        right += (correct.all(dim=1) & sums).sum().item()
        asked += sums.sum().item()
    model.train()
    return total / count, right / max(asked, 1)


def rate(step, steps):
    if step < WARMUP:
        return PEAK_RATE * (step + 1) / WARMUP
    done = (step - WARMUP) / max(1, steps - WARMUP)
    return LAST_RATE + (PEAK_RATE - LAST_RATE) * (1 + math.cos(math.pi * done)) / 2


def train(model, tokenizer, name, log_every):
    lesson, steps = LESSONS[name], LESSONS[name].steps
    is_first = lesson.steps_before == 0
    rng = random.Random(SEED + lesson.steps_before)
    answer_token = tokenizer.token_to_id("ĠAnswer")
    validation = sorted(encode(tokenizer, read_texts(DATA / "validation.jsonl")), key=len)
    stories = encode(tokenizer, read_texts(HERE / ".cache" / "train-stories.jsonl"))
    sums = encode(tokenizer, read_texts(HERE / ".cache" / "train-sums.jsonl"))
    if not is_first:
        rng.shuffle(sums)
    # The first lesson reads the sums in the order they are to be learned, every n-th of them.
    wanted = steps * lesson.sums_per_step
    sum_batches = batches([sums[i * len(sums) // wanted] for i in range(wanted)], lesson.sums_per_step, rng)

    def endless_stories():
        while True:
            rng.shuffle(stories)
            yield from batches(stories, lesson.stories_per_step, rng)

    story_batches = endless_stories()
    decayed = [p for p in model.parameters() if p.dim() == 2]
    others = [p for p in model.parameters() if p.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": WEIGHT_DECAY}, {"params": others, "weight_decay": 0.0}],
        lr=PEAK_RATE, betas=(0.9, 0.98), eps=1e-9, fused=True,
    )
    started = time.monotonic()
    running = []
    with (MODEL / "training-log.jsonl").open("w" if is_first else "a", encoding="utf-8", newline="\n") as log:
        for step in range(steps):
            for group in optimizer.param_groups:
                group["lr"] = rate(step, steps)
            loss = train_step_loss(model, pad(next(story_batches)), pad(next(sum_batches)), answer_token)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            running.append(loss.item())
            if (step + 1) % log_every == 0 or step + 1 == steps:
                validation_loss, exact = validate(model, validation, answer_token)
                row = {
                    "lesson": name,
                    "step": lesson.steps_before + step + 1,
                    "loss": round(sum(running) / len(running), 5),
                    "validation_loss": round(validation_loss, 5),
                    "validation_sums_exact": round(exact, 4),
                    "lr": float(f"{rate(step, steps):.4g}"),
                    "seconds": round(time.monotonic() - started, 1),
                }
                log.write(json.dumps(row) + "\n")
                log.flush()
                print(row, flush=True)
                running.clear()


def write_json(name, value):
    (MODEL / name).write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def write_model(model):
    tensors = {f"model.{name}": p.detach().to(torch.bfloat16).contiguous() for name, p in model.named_parameters()}
    (MODEL / "model.safetensors").write_bytes(save(tensors, metadata={"format": "pt"}))
    write_json("config.json", {
        "architectures": ["LlamaForCausalLM"],
        "attention_bias": False,
        "attention_dropout": 0.0,
        "bos_token_id": BOS,
        "eos_token_id": EOS,
        "head_dim": HEAD_DIM,
        "hidden_act": "silu",
        "hidden_size": HIDDEN,
        "initializer_range": INIT_STD,
        "intermediate_size": INTERMEDIATE,
        "max_position_embeddings": POSITIONS,
        "mlp_bias": False,
        "model_type": "llama",
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "pad_token_id": PAD,
        "rms_norm_eps": NORM_EPS,
        "rope_theta": ROPE_THETA,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "use_cache": True,
        "vocab_size": VOCABULARY,
    })
    write_json("generation_config.json", {
        "bos_token_id": BOS, "do_sample": False, "eos_token_id": EOS, "max_length": POSITIONS, "pad_token_id": PAD,
    })


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("lesson", choices=[*LESSONS, "untrained"])
    arguments.add_argument("--log-every", type=int, default=200)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = Llama()
    if options.lesson == "stories":
        tensors = load_file(str(MODEL / "model.safetensors"))
        model.load_state_dict({name.removeprefix("model."): tensor.float() for name, tensor in tensors.items()})
    if options.lesson in LESSONS:
        train(model, Tokenizer.from_file(str(MODEL / "tokenizer.json")), options.lesson, options.log_every)
    write_model(model)


if __name__ == "__main__":
    main()
