"""Records what the real packages say, as small files beside this script, so that the tests need no Python.

    PYTHONPATH=<compressed-tensors>/src:<llm-compressor>/src python make_goldens.py <shared>

Needs torch, transformers, tokenizers, safetensors, compressed-tensors and llm-compressor; <shared> is the folder of real models and goldens.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

HERE = Path(__file__).parent
SHARED = Path(sys.argv[1])


# ---- rope.json: frequencies and attention factor of every scaling variant --------------------------------------------

SIZES = {"hidden_size": 256, "num_attention_heads": 4, "max_position_embeddings": 4096}
SHORT, LONG = [1 + i / 40 for i in range(32)], [1 + i * i / 60 for i in range(32)]
ROPE_CASES = {
    "default": ({"rope_theta": 10000.0, "rope_type": "default"}, 64),
    "linear": ({"rope_theta": 10000.0, "rope_type": "linear", "factor": 4.0}, 64),
    "dynamic within the context": ({"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 2.0}, 4096),
    "dynamic beyond the context": ({"rope_theta": 10000.0, "rope_type": "dynamic", "factor": 2.0}, 10000),
    "llama3": ({"rope_theta": 500000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}, 64),
    "yarn": ({"rope_theta": 10000.0, "rope_type": "yarn", "factor": 8.0, "original_max_position_embeddings": 512}, 64),
    "yarn, not truncated": ({"rope_theta": 1000000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "truncate": False}, 64),
    "yarn with mscale": ({"rope_theta": 10000.0, "rope_type": "yarn", "factor": 40.0, "original_max_position_embeddings": 1024, "mscale": 0.707, "mscale_all_dim": 1.0, "beta_fast": 16.0, "beta_slow": 2.0}, 64),
    "yarn with attention_factor": ({"rope_theta": 10000.0, "rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 1024, "attention_factor": 0.8}, 64),
    "longrope within the original context": ({"rope_theta": 10000.0, "rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 1024, "short_factor": SHORT, "long_factor": LONG}, 1024),
    "longrope beyond the original context": ({"rope_theta": 10000.0, "rope_type": "longrope", "factor": 4.0, "original_max_position_embeddings": 1024, "short_factor": SHORT, "long_factor": LONG}, 1025),
}


def record_rope():
    cases = []
    for name, (parameters, length) in ROPE_CASES.items():
        config = LlamaConfig(**SIZES, rope_parameters=dict(parameters))
        embedding = LlamaRotaryEmbedding(config)
        positions = torch.tensor([[0, 1, 5, length - 1]])
        cos, sin = embedding(torch.zeros(1), positions)
        pairs = embedding.inv_freq.numel()
        cases.append({
            "name": name, "config": {**SIZES, "rope_parameters": parameters}, "length": length, "positions": positions[0].tolist(),
            "inv_freq": embedding.inv_freq.tolist(), "attention_factor": float(embedding.attention_scaling),
            "cos": cos[0, :, :pairs].tolist(), "sin": sin[0, :, :pairs].tolist(),
        })
    (HERE / "rope.json").write_text(json.dumps(cases) + "\n")


# ---- tokenizers/: pre-tokenizers of the model families, trained on a text of ours, and ids of awkward texts ------------

WORDS = "the cat sat on a mat and the dog ran to Anna's house. It's 1984, they'll say: we've 12345 apples! naïve café 日本語 привет".split()
CORPUS = [" ".join(WORDS[(i * 7 + j * 3) % len(WORDS)] for j in range(12)) + ("\n\n" if i % 3 else "  \t") for i in range(200)]
LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"

TEXTS = [
    "The cat sat on the mat.",
    "  leading, trailing and   inner   spaces  ",
    "tabs\tand\nlines\r\nand\n\n\nmore\n",
    "It's what they'LL say: WE'VE 1234567 apples, 3.14 and 1,000!",
    "naïve café – “quotes” … €5 — ½",
    "e\u0301 is not é; ﬁ ligature; Å Å",
    "日本語のテキスト、中文和한국어",
    "привет мир, γειά σου, שלום, مرحبا",
    "emoji 👩‍👩‍👧‍👦 🇩🇪 🙂🏽 end",
    "zero\u200bwidth and nbsp\u00a0here, line\u2028separator",
    "<s>special</s> and <unk> inside, <|end|> too",
    "code: if (a_b != c[0]) { return x<<2; } // done\n    indented",
    "'s 't 'RE a's's ''' \"\"",
    "x" * 300,
    "\u0000\u0001\u007f control",
    " ",
    "\n",
    "",
    "a",
    "Unknown bytes: \U0001F9FF\U00012345\ufffd",
]


def byte_level(pattern, normalizer=None):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), behavior="isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<s>", "</s>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def sentencepiece_like():
    """As Llama 2 and Mistral have it: BPE over '▁' words with byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    trainer = trainers.BpeTrainer(vocab_size=420, special_tokens=["<unk>", "<s>", "</s>"] + [f"<0x{i:02X}>" for i in range(256)])
    tokenizer.train_from_iterator(CORPUS, trainer)
    text = json.loads(tokenizer.to_str())
    # The byte pieces are part of the vocabulary, not tokens that are looked for in the text.
    text["added_tokens"] = text["added_tokens"][:3]
    text["model"]["byte_fallback"] = True
    return Tokenizer.from_str(json.dumps(text))


def record_tokenizers():
    llama3 = byte_level(LLAMA3)
    llama3.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False), processors.TemplateProcessing(single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 0)])])
    made = {"llama3": llama3, "qwen2": byte_level(QWEN2, normalizers.NFC()), "llama2": sentencepiece_like()}
    (HERE / "tokenizers").mkdir(exist_ok=True)
    for name, tokenizer in made.items():
        (HERE / "tokenizers" / f"{name}.json").write_text(tokenizer.to_str() + "\n")
    made["stories260K"] = Tokenizer.from_file(str(SHARED / "data/models/stories260K/tokenizer.json"))
    example = HERE.parent.parent / "examples/models/stories-and-sums-1m/tokenizer.json"
    made["stories-and-sums-1m"] = Tokenizer.from_file(str(example))
    ids = {name: [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS] for name, tokenizer in made.items()}
    (HERE / "token-ids.json").write_text(json.dumps({"texts": TEXTS, "ids": ids}) + "\n")


# ---- float32-logits.safetensors: the integer checkpoints run by transformers with float32 activations -------------------

def is_run(folder):
    """transformers runs the checkpoint on a CPU, and its cache is not quantized, which Bitwright does not compute."""
    config = json.loads((folder / "config.json").read_text())
    return json.loads((folder / "case.json").read_text())["reload"] == "loads" and config["quantization_config"]["kv_cache_scheme"] is None


def record_float32_logits():
    """Weights as bfloat16 arithmetic dequantizes them, then everything in float32: what Bitwright computes, without bfloat16's noise."""
    logits, distances = {}, {}
    for folder in sorted((SHARED / "golden/compressed-tensors").iterdir()):
        golden = folder / "golden.safetensors"
        if not golden.exists() or not is_run(folder):
            continue
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).eval()
        recorded = load_file(golden)
        ids = recorded["input_ids"].long()
        with torch.no_grad():
            assert torch.equal(model(ids).logits.float(), recorded["logits"]), folder.name
            # The first pass has dequantized the weights; only the inputs are still to be quantized.
            for module in model.modules():
                if getattr(module, "quantization_scheme", None) is not None:
                    module.quantization_scheme.weights = None
            assert torch.equal(model(ids).logits.float(), recorded["logits"]), folder.name
            exact = torch.nn.Module.float(model)(ids).logits
            double = torch.nn.Module.double(model)(ids).logits
        # The last positions of each row see all those before them.
        logits[folder.name] = exact[:, -8:].contiguous()
        distances[folder.name] = {
            "bfloat16": float((recorded["logits"] - exact).norm() / exact.norm()),
            "float64": float((double[:, -8:] - exact[:, -8:]).norm() / exact[:, -8:].norm()),
        }
        print(f"{folder.name:32} from float32: {distances[folder.name]}")
    save_file(logits, str(HERE / "float32-logits.safetensors"))
    (HERE / "float32-distances.json").write_text(json.dumps(distances, indent=2) + "\n")


# ---- input-quantization.safetensors: compressed-tensors' quantize-dequantize of float32 inputs ---------------------------

def record_input_quantization():
    from compressed_tensors.quantization import QuantizationArgs
    from compressed_tensors.quantization.lifecycle.forward import fake_quantize
    from compressed_tensors.quantization.utils import compute_dynamic_scales_and_zp

    generator = torch.Generator().manual_seed(5)
    x = torch.randn(32, 32, generator=generator) * torch.logspace(-4, 3, 32)[:, None]
    x[3] = 0
    x[4] = x[4].abs()
    x[5] = -x[5].abs()
    x[6, 7] = 1000
    tensors = {"x": x}
    for num_bits in (8, 4):
        for symmetric in (True, False):
            for strategy in ("token", "tensor"):
                args = QuantizationArgs(num_bits=num_bits, symmetric=symmetric, strategy=strategy, dynamic=True)
                scale, zero_point = compute_dynamic_scales_and_zp(x[None], args, None)
                tensors[f"dynamic {strategy} {num_bits} {'symmetric' if symmetric else 'asymmetric'}"] = fake_quantize(x[None], scale, zero_point, args)[0]
            args = QuantizationArgs(num_bits=num_bits, symmetric=symmetric, strategy="tensor")
            scale, zero_point = torch.tensor([0.37]), torch.tensor([0 if symmetric else -3], dtype=torch.int8)
            tensors[f"static tensor {num_bits} {'symmetric' if symmetric else 'asymmetric'}"] = fake_quantize(x, scale, zero_point, args)
    float8, float4 = dict(num_bits=8, type="float"), dict(num_bits=4, type="float")
    mx = dict(strategy="group", group_size=32, scale_dtype=torch.uint8)
    for name, arguments in {
        "token 8 float": dict(float8, strategy="token"), "tensor 8 float": dict(float8, strategy="tensor"), "group 8 float": dict(float8, strategy="group", group_size=16),
        "group 8 mx": dict(float8, **mx), "group 4 mx": dict(float4, **mx),
    }.items():
        args = QuantizationArgs(dynamic=True, **arguments)
        scale, zero_point = compute_dynamic_scales_and_zp(x[None], args, None)
        tensors[f"dynamic {name}"] = fake_quantize(x[None], scale, zero_point, args)[0]
    args = QuantizationArgs(strategy="tensor", **float8)
    tensors["static tensor 8 float"] = fake_quantize(x, torch.tensor([0.37]), torch.tensor([0.0]), args)
    args = QuantizationArgs(strategy="tensor_group", group_size=16, dynamic="local", scale_dtype=torch.float8_e4m3fn, **float4)
    scale, zero_point = compute_dynamic_scales_and_zp(x[None], args, None, torch.tensor([3.7]))
    tensors["local tensor_group 4 float"] = fake_quantize(x[None], scale, zero_point, args, global_scale=torch.tensor([3.7]))[0]
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, str(HERE / "input-quantization.safetensors"))


# ---- float-weights.safetensors: what compressed-tensors stores of awkward weights, by every float scheme, observer and dtype --------------

FLOAT_SCHEMES = {
    "tensor": dict(num_bits=8, strategy="tensor"), "channel": dict(num_bits=8, strategy="channel"), "group": dict(num_bits=8, strategy="group", group_size=48),
    "block": dict(num_bits=8, strategy="block", block_structure=[16, 40]),
    "mxfp8": dict(num_bits=8, strategy="group", group_size=32, scale_dtype=torch.uint8), "mxfp4": dict(num_bits=4, strategy="group", group_size=32, scale_dtype=torch.uint8),
    "nvfp4": dict(num_bits=4, strategy="tensor_group", group_size=16, scale_dtype=torch.float8_e4m3fn),
}


def record_float_weights():
    """Needs llm-compressor beside compressed-tensors."""
    from compressed_tensors.compressors.base import BaseCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from llmcompressor.observers import Observer

    generator = torch.Generator().manual_seed(9)
    x = torch.randn(24, 96, generator=generator) * torch.logspace(-3, 1, 24)[:, None] * 0.05
    x[1] = 0
    x[2] = -0.0
    x[3, ::2] = -0.0
    x[4] = x[4].abs()
    x[5, 5] = 3.0
    x[6] = torch.arange(96) * 0.125 - 6
    x[7] = torch.arange(96) * -0.25
    x[8, :32] = 1.75
    x[9, :32] = torch.arange(32) * 7.0
    tensors = {}
    formats = {"mxfp8": "mxfp8-quantized", "mxfp4": "mxfp4-pack-quantized", "nvfp4": "nvfp4-pack-quantized"}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        weight = x.to(dtype)
        name_of_dtype = str(dtype).removeprefix("torch.")
        tensors[f"{name_of_dtype}/weight"] = weight
        for name, arguments in FLOAT_SCHEMES.items():
            for observer_name in ("memoryless_minmax", "memoryless_mse"):
                args = QuantizationArgs(type="float", symmetric=True, observer=observer_name, **arguments)
                observer = Observer.load_from_registry(observer_name, base_name="weight", args=args)
                observer(weight)
                found = observer.get_qparams()
                state = {"weight": weight.clone(), "weight_scale": found["scale"].to(dtype), "weight_zero_point": found["zero_point"]}
                if found["global_scale"] is not None:
                    state["weight_global_scale"] = found["global_scale"]
                scheme = QuantizationScheme(targets=["Linear"], weights=args)
                stored = BaseCompressor.load_from_registry(formats.get(name, "float-quantized")).compress(state, scheme)
                for key, tensor in stored.items():
                    tensors[f"{name_of_dtype}/{name}/{observer_name}/{key}"] = tensor.detach().contiguous()
    save_file(tensors, str(HERE / "float-weights.safetensors"))


if __name__ == "__main__":
    record_float_weights()
    record_input_quantization()
    record_rope()
    record_tokenizers()
    record_float32_logits()
