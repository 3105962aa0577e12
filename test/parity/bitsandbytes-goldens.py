"""What the real bitsandbytes stores for awkward weights in NF4; writes test/golden/nf4.safetensors.

  PYTHONPATH=<bitsandbytes> python test/parity/bitsandbytes-goldens.py [FOLDER MODEL]

The goldens were written with bitsandbytes 95f9af3 (0.50.2.dev0) without its native library, whose table of the 8-bit codebook is coarser. With a folder that
examples/nf4-bitsandbytes wrote and its model, every tensor of the folder is compared with what bitsandbytes makes of the model's weights.
"""

import json
import sys
from pathlib import Path

import bitsandbytes.functional as F
import torch
from safetensors.torch import load_file, save_file

torch.set_num_threads(1)
STATE = "quant_state.bitsandbytes__nf4"


def stored(weight, double):
    packed, state = F.quantize_4bit(weight, blocksize=64, compress_statistics=double, quant_type="nf4")
    back = F.dequantize_4bit(packed, state)
    return {"": packed, **state.as_dict(packed=True), "read": back}


def weights():
    generator = torch.Generator().manual_seed(7)
    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        weight = torch.randn(24, 100, generator=generator) * 0.05
        weight[3] = 0
        weight[5] = 0.25
        weight[7, 11] = 3
        weight[8, ::2] = -weight[8, 1::2]
        yield str(dtype).removeprefix("torch."), weight.to(dtype)


def compare(folder, model):
    ours, theirs = load_file(f"{folder}/model.safetensors"), load_file(f"{model}/model.safetensors")
    n_different = 0
    for name, weight in theirs.items():
        if f"{name}.absmax" not in ours:
            continue
        for part, tensor in stored(weight, f"{name}.nested_absmax" in ours).items():
            if part == "read":
                continue
            own = ours[f"{name}.{part}" if part else name]
            if part == STATE:
                one, other = (json.loads(bytes(t.tolist())) for t in (own, tensor))
                same = one.keys() == other.keys() and all(abs(one[k] - other[k]) < 1e-6 if k == "nested_offset" else one[k] == other[k] for k in one)
            else:
                same = own.shape == tensor.shape and torch.equal(own, tensor)
            n_different += not same
            if not same:
                print(name, part, "differs")
    print(f"{n_different} tensors differ")


if len(sys.argv) == 3:
    compare(*sys.argv[1:])
else:
    tensors = {}
    for name, weight in weights():
        tensors[f"{name}.given"] = weight
        for double in (True, False):
            for part, tensor in stored(weight, double).items():
                tensors[f"{name}.{'double' if double else 'single'}.{part or 'weight'}"] = tensor.contiguous()
    save_file(tensors, Path(__file__).parent.parent / "golden" / "nf4.safetensors")
