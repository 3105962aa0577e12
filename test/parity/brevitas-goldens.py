"""What the authors' code of Qronos and GPFQ (Brevitas) chooses on given inputs, grids and dampings; writes test/golden/brevitas.safetensors.

  PYTHONPATH=<brevitas>/src:<dependencies 2.0.1>/src:<unfoldNd> python test/parity/brevitas-goldens.py

The goldens were written with Brevitas b106358 (August 2025), graph/qronos.py and graph/gpfq.py, and torch 2.13. Their update runs as it is; the grid is ours (symmetric, one
scale for each row: largest magnitude over (2^b - 1) / 2), handed in by get_quant_weights, so that codes can be compared. Patch: pkg_resources, which new setuptools
no longer has, answers that Brevitas is not installed. Inputs: even, with channels that stand out, of rank below the number of columns; of the float model and behind quantized layers.
"""

import math
import sys
import types
from pathlib import Path

import torch
from safetensors.torch import save_file

resources = types.ModuleType("pkg_resources")
resources.DistributionNotFound = type("DistributionNotFound", (Exception,), {})


def no_distribution(name):
    raise resources.DistributionNotFound(name)


resources.get_distribution = no_distribution
sys.modules.setdefault("pkg_resources", resources)

from brevitas.graph.gpfq import GPFQ  # noqa: E402
from brevitas.graph.qronos import Qronos  # noqa: E402

torch.set_num_threads(1)
OUT = Path(__file__).resolve().parent.parent / "golden" / "brevitas.safetensors"
ROWS, COLUMNS, TOKENS = 24, 40, 320


def on_grid(algorithm):
    class OnGrid(algorithm):
        scale, num_bits = None, 0

        def codes(self):
            low = -(2 ** (self.num_bits - 1))
            return torch.clamp(torch.round(self.layer.weight.data / self.scale), low, -low - 1)

        def get_quant_weights(self, i, i1, permutations, with_quant_history=False):
            weight = self.codes() * self.scale
            if with_quant_history:
                return weight[:, permutations[0][: i1 + i]].unsqueeze(0)
            return weight[:, permutations[0][i1 + i]].unsqueeze(0)

    return OnGrid


class WeightQuantizer:
    is_quant_enabled = True
    requires_quant_input = False


def inputs_of(kind, generator):
    x = torch.randn(TOKENS, COLUMNS, generator=generator)
    x = x @ (torch.eye(COLUMNS) + 0.15 * torch.randn(COLUMNS, COLUMNS, generator=generator))
    if kind == "outliers":
        x[:, 3] *= 12
        x[:, 17] *= 5
    if kind == "low rank":
        x = x[:, : COLUMNS // 2] @ torch.randn(COLUMNS // 2, COLUMNS, generator=generator) / math.sqrt(COLUMNS)
    return x, x + 0.2 * x.std() * (x @ torch.randn(COLUMNS, COLUMNS, generator=generator) / (COLUMNS * x.std()))


def solve(algorithm, weight, H, C, scale, num_bits, act_order, alpha=None):
    layer = torch.nn.Linear(COLUMNS, ROWS, bias=False)
    layer.weight.data = weight.clone()
    layer.weight_quant = WeightQuantizer()
    solver = on_grid(algorithm)(layer, "layer", act_order, 1, True)
    solver.scale, solver.num_bits = scale, num_bits
    solver.H[0] = H
    # GPFQ has the product the other way round.
    solver.G[0] = C if algorithm is Qronos else C.T
    if alpha is not None:
        solver.alpha = alpha
    with torch.no_grad():
        solver.single_layer_update()
    return solver.codes().to(torch.int8)


def main():
    generator = torch.Generator().manual_seed(31)
    # Power iteration begins with random numbers.
    torch.manual_seed(31)
    tensors = {}
    for kind in ["even", "outliers", "low rank"]:
        weight = torch.randn(ROWS, COLUMNS, generator=generator)
        x, x_tilde = inputs_of(kind, generator)
        H, C = x_tilde.T @ x_tilde / TOKENS, x.T @ x_tilde / TOKENS
        tensors |= {f"{kind}.weight": weight, f"{kind}.H": H, f"{kind}.C": C}
        largest = torch.linalg.eigvalsh(H.double())[-1].item()
        for num_bits in [4, 3, 2]:
            scale = weight.abs().amax(1, keepdim=True) / ((2**num_bits - 1) / 2)
            # The same damping as ours: 0.01 of the mean diagonal; power iteration finds the largest eigenvalue to a few digits.
            alpha = 0.01 * H.diag().mean().item() / largest
            qronos = solve(Qronos, weight, H, C, scale, num_bits, True, alpha)
            gpfq = solve(GPFQ, weight, H, C, scale, num_bits, False)
            tensors |= {f"{kind}.{num_bits}.scale": scale, f"{kind}.{num_bits}.qronos": qronos, f"{kind}.{num_bits}.gpfq": gpfq}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, OUT)
    print(OUT, OUT.stat().st_size)


main()
