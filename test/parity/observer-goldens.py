"""What the observers of the real llm-compressor find on awkward weights and inputs; writes test/golden/observers.safetensors.

  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/observer-goldens.py

The goldens were written with llm-compressor ab1ba3e (0.13.1.dev37) and compressed-tensors ac8e2ba (0.18.0), torch on one thread.
Importance is put into the observer by hand, as its hook would sum it: no model is run.
"""

import math
from pathlib import Path

import torch
from compressed_tensors.quantization import QuantizationArgs
from llmcompressor.observers import Observer
from safetensors.torch import save_file

torch.set_num_threads(1)

MX = {"group_size": 32, "scale_dtype": torch.uint8}
NV = {"strategy": "tensor_group", "group_size": 16, "scale_dtype": torch.float8_e4m3fn}
WEIGHTS = {
    "int4-group": dict(num_bits=4, type="int", strategy="group", group_size=32),
    "int4-group-asymmetric": dict(num_bits=4, type="int", strategy="group", group_size=32, symmetric=False),
    "int3-channel": dict(num_bits=3, type="int", strategy="channel"),
    "int8-tensor": dict(num_bits=8, type="int", strategy="tensor"),
    "fp8-channel": dict(num_bits=8, type="float", strategy="channel"),
    "mxfp4": dict(num_bits=4, type="float", strategy="group", **MX),
    "nvfp4": dict(num_bits=4, type="float", **NV),
}
OBSERVERS = {
    "imatrix_mse": {},
    "imatrix_mse norm 2.4": {"norm": 2.4, "grid": 50, "maxshrink": 0.5, "expand": 1.25},
    "nvfp4_expanded_mse": {},
    "memoryless_mse expand 1.5": {"expand": 1.5, "maxshrink": 0.6, "patience": 50},
}
INPUTS = {
    "int8": dict(num_bits=8, type="int", strategy="tensor"),
    "int8-asymmetric": dict(num_bits=8, type="int", strategy="tensor", symmetric=False),
    "fp8": dict(num_bits=8, type="float", strategy="tensor"),
    "nvfp4": dict(num_bits=4, type="float", dynamic="local", **NV),
}


def weight_of(generator):
    """Zero rows, negative zeros, one sign, an outlier, ties, small and large rows."""
    x = torch.randn(24, 96, generator=generator) * torch.logspace(-3, 1, 24)[:, None] * 0.05
    x[1] = 0
    x[2] = -0.0
    x[4] = x[4].abs()
    x[5, 5] = 3.0
    x[6] = torch.arange(96) * 0.125 - 6
    return x


def main():
    generator = torch.Generator().manual_seed(19)
    x = weight_of(generator)
    importance = torch.rand(96, generator=generator) ** 4 * 7
    importance[10] = 0
    importance[11] = 900
    rows = [torch.randn(n, 96, generator=generator) * 0.7 + 0.1 for n in (7, 1, 30)]
    rows[0][2, 3] = 11
    rows[2][:, 40:56] = 0
    tensors = {"importance": importance, **{f"rows/{i}": row for i, row in enumerate(rows)}}
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        name_of_dtype = str(dtype).removeprefix("torch.")
        weight = x.to(dtype)
        tensors[f"{name_of_dtype}/weight"] = weight
        for scheme, arguments in WEIGHTS.items():
            for title, kwargs in OBSERVERS.items():
                name = title.split(" ")[0]
                args = QuantizationArgs(observer=name, observer_kwargs=dict(kwargs), **arguments)
                observer = Observer.load_from_registry(name, base_name="weight", args=args)
                if name == "imatrix_mse":
                    observer._imatrix_sum = importance.clone() * 16
                    observer._imatrix_count = torch.tensor(16)
                observer(weight)
                found = observer.get_qparams()
                for key, tensor in found.items():
                    if tensor is not None:
                        tensors[f"{name_of_dtype}/{scheme}/{title}/{key}"] = tensor.detach().clone().contiguous()
    for scheme, arguments in INPUTS.items():
        for name in ("static_minmax", "minmax", "memoryless_mse", "mse", "imatrix_mse", "nvfp4_expanded_mse"):
            for averaging in (None, 0.25):
                kwargs = {} if averaging is None or name not in ("minmax", "mse") else {"averaging_constant": averaging}
                if averaging is not None and not kwargs:
                    continue
                args = QuantizationArgs(observer=name, observer_kwargs=kwargs, **arguments)
                observer = Observer.load_from_registry(name, base_name="input", args=args)
                for row in rows:
                    observer(row[None])
                prefix = f"inputs/{scheme}/{name}{'' if averaging is None else ' ' + str(averaging)}"
                tensors[f"{prefix}/min"] = observer.min_vals.min().reshape(1).clone()
                tensors[f"{prefix}/max"] = observer.max_vals.max().reshape(1).clone()
                for key, tensor in observer.get_qparams().items():
                    if tensor is not None and (scheme == "nvfp4") == (key == "global_scale"):
                        tensors[f"{prefix}/{key}"] = tensor.detach().clone().reshape(-1)
    assert all(torch.isfinite(tensor.float()).all() for tensor in tensors.values())
    assert math.isclose(float(tensors["inputs/int8/static_minmax/max"][0]), 11)
    save_file(tensors, str(Path(__file__).resolve().parent.parent / "golden" / "observers.safetensors"))


if __name__ == "__main__":
    main()
