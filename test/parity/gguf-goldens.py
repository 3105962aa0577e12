"""What the real gguf package reads from blocks of GGUF files; writes test/golden/gguf-blocks.safetensors.

  python test/parity/gguf-goldens.py

The goldens were written with gguf 0.19.0. Blocks are random bytes, so that every field takes every value, under float16 scales that are numbers; for the types of 32 weights, which the
package writes too, also what it makes of weights.
"""

from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, quants
from safetensors.numpy import save_file

HALVES = {"Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}
generator = np.random.default_rng(11)
tensors = {}
for name, places in HALVES.items():
    kind = GGMLQuantizationType[name]
    _, n_bytes = GGML_QUANT_SIZES[kind]
    blocks = generator.integers(0, 256, size=(6, 4, n_bytes), dtype=np.uint8)
    for place in places:
        blocks[..., place : place + 2] = (generator.standard_normal((6, 4, 1)) * 0.01).astype(np.float16).view(np.uint8)
    blocks = blocks.reshape(6, 4 * n_bytes)
    tensors[f"{name}.blocks"] = blocks
    tensors[f"{name}.values"] = quants.dequantize(blocks, kind)
weights = (generator.standard_normal((8, 256)) * 0.05).astype(np.float32)
weights[2] = 0
weights[3] = -0.25
weights[4, 40] = 2
tensors["weights"] = weights
for name in ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1"):
    tensors[f"{name}.written"] = quants.quantize(weights, GGMLQuantizationType[name])
save_file(tensors, Path(__file__).parent.parent / "golden" / "gguf-blocks.safetensors")
