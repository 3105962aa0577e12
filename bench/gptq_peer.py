"""Times GPTQ of one layer in llm-compressor and in our native core, in turn, on the same weight and the same inputs.

    python gptq_peer.py PATH/TO/gptq-bench [--rows 2048 --columns 2048 --tokens 4096 --bits 4 --group-size 128 --threads 2 --repeats 5]

Needs torch, and llm-compressor with compressed-tensors importable. Prints a Markdown table of medians, and both relative output errors.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import torch
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.lifecycle import initialize_module_for_quantization
from llmcompressor.modifiers.gptq.gptq_quantize import accumulate_hessian, make_empty_hessian, quantize_weight
from llmcompressor.modifiers.quantization.calibration import initialize_observer, observe
from loguru import logger


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("bench", type=Path, help="the built program gptq-bench")
    for name, value in [("rows", 2048), ("columns", 2048), ("tokens", 4096), ("bits", 4), ("group-size", 128), ("threads", 2), ("repeats", 5)]:
        parser.add_argument(f"--{name}", type=int, default=value)
    return parser.parse_args()


def make_inputs(arguments):
    """A weight and inputs with channels of unlike size that depend on each other, as those of a language model do."""
    generator = torch.Generator().manual_seed(1)
    weight = torch.randn(arguments.rows, arguments.columns, generator=generator) * 0.02
    rank = max(1, arguments.columns // 8)
    mixing = torch.randn(rank, arguments.columns, generator=generator) / rank**0.5
    activations = torch.randn(arguments.tokens, rank, generator=generator) @ mixing + 0.3 * torch.randn(arguments.tokens, arguments.columns, generator=generator)
    return weight, activations * torch.exp(torch.randn(arguments.columns, generator=generator))


def relative_error(weight, quantized, activations):
    """Squared error of the layer's output over its square."""
    return (((weight - quantized) @ activations.T).square().sum() / (weight @ activations.T).square().sum()).item()


@torch.no_grad()
def time_peer(arguments, weight, activations):
    module = torch.nn.Linear(arguments.columns, arguments.rows, bias=False)
    module.weight.copy_(weight)
    args = QuantizationArgs(num_bits=arguments.bits, type="int", symmetric=True, strategy="group", group_size=arguments.group_size)
    initialize_module_for_quantization(module, QuantizationScheme(targets=["Linear"], weights=args))
    initialize_observer(module, "weight")
    hessian, n_samples = make_empty_hessian(module), torch.zeros(())
    began = time.perf_counter()
    hessian, n_samples = accumulate_hessian(activations, module, hessian, n_samples)
    accumulated = time.perf_counter()
    observe(module, "weight")
    _, parameters = quantize_weight(module, module.quantization_scheme.weights, hessian / n_samples, 128, 0.01)
    ended = time.perf_counter()
    error = relative_error(weight, parameters["weight"], activations)
    return {"Hessian": accumulated - began, "scales, factor, quantize": ended - accumulated, "layer": ended - began, "error": error}


def time_ours(arguments, folder):
    command = [arguments.bench, "--inputs", folder, "--json", "--repeats", "1"]
    for name in ("rows", "columns", "tokens", "bits", "group-size", "threads"):
        command += [f"--{name}", str(getattr(arguments, name.replace("-", "_")))]
    times = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return {
        "Hessian": times["Hessian"],
        "scales, factor, quantize": times["scales"] + times["factor"] + times["quantize"],
        "layer": times["layer"],
        "error": times["relative_error"],
    }


def main():
    arguments = parse_arguments()
    logger.remove()
    torch.set_num_threads(arguments.threads)
    weight, activations = make_inputs(arguments)
    peer, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "weight.f32").write_bytes(weight.numpy().tobytes())
        Path(folder, "activations.f32").write_bytes(activations.numpy().tobytes())
        for turn in range(arguments.repeats + 1):
            times = time_peer(arguments, weight, activations), time_ours(arguments, folder)
            if turn > 0:  # the first turn brings pages and code
                peer.append(times[0])
                ours.append(times[1])
    print(
        f"{arguments.rows} × {arguments.columns}, {arguments.tokens} tokens, {arguments.bits} bits, groups of {arguments.group_size}, "
        f"{arguments.threads} threads; median of {arguments.repeats}\n"
    )
    print("| step | llm-compressor | Bitwright | ratio |\n| --- | ---: | ---: | ---: |")
    for step in ("Hessian", "scales, factor, quantize", "layer"):
        theirs, own = (statistics.median(times[step] for times in all_times) for all_times in (peer, ours))
        print(f"| {step} | {theirs:.3f} s | {own:.3f} s | {theirs / own:.1f} |")
    print(f"\nRelative squared error of the output: llm-compressor {peer[-1]['error']:.6f}, Bitwright {ours[-1]['error']:.6f}.")


if __name__ == "__main__":
    main()
