"""What the real llm-compressor makes of each recipe in test/server/verdicts/*.txt; writes test/golden/recipe-verdicts.json.

Needs llm-compressor and compressed-tensors with torch and transformers:
  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/recipe-verdicts.py [--only FILE-OR-NAME …]

The golden was written with llm-compressor ab1ba3e (0.13.1.dev37) and compressed-tensors ac8e2ba (0.18.0).

Each recipe goes through three gates, each in its own try and under a time limit: parse (Recipe.create_instance), init (the session's
initialize on a small Llama with random weights, first without calibration data, then with it where the modifier asks for it), and run
(the calibration pipelines that oneshot would choose, on two short rows). What a gate says is kept as one short line.
"""

import argparse
import hashlib
import json
import logging
import os
import re
import signal
import sys
import tempfile
import warnings
from pathlib import Path

if os.environ.get("PYTHONHASHSEED") != "0":
    # Some messages print sets.
    os.execve(sys.executable, [sys.executable, *sys.argv], {**os.environ, "PYTHONHASHSEED": "0"})
os.environ.update(
    HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", LLM_COMPRESSOR_LOG_DISABLED="true", TOKENIZERS_PARALLELISM="false", TQDM_DISABLE="1"
)
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

TESTS = Path(__file__).resolve().parent.parent
TABLE = TESTS / "server" / "verdicts"
GOLDEN = TESTS / "golden" / "recipe-verdicts.json"
SECONDS_PER_GATE = 60
NO_ACCELERATOR = "Cannot access accelerator device"

from peers import supply_versions  # noqa: E402

supply_versions()
from loguru import logger  # noqa: E402

logger.remove()
logger.disable("llmcompressor")
logger.disable("compressed_tensors")
import torch  # noqa: E402
from pydantic import ValidationError  # noqa: E402
from transformers import LlamaConfig, LlamaForCausalLM  # noqa: E402

import llmcompressor  # noqa: E402, F401
from llmcompressor.args import DatasetArguments  # noqa: E402
from llmcompressor.core import active_session  # noqa: E402
from llmcompressor.pipelines import CalibrationPipeline  # noqa: E402
from llmcompressor.recipe import Recipe  # noqa: E402

torch.set_num_threads(1)

# The shapes that test/server/verdicts/models.ts writes as headers.
MODELS = {
    "llama": dict(hidden_size=128, intermediate_size=256, vocab_size=64),
    "narrow": dict(hidden_size=64, intermediate_size=172, vocab_size=32),
    "tied": dict(hidden_size=128, intermediate_size=256, vocab_size=64, tie_word_embeddings=True),
}


def make_model(name):
    torch.manual_seed(0)
    config = LlamaConfig(
        **{"tie_word_embeddings": False, **MODELS[name]},
        num_hidden_layers=2,
        num_attention_heads=8,
        num_key_value_heads=4,
        max_position_embeddings=128,
    )
    return LlamaForCausalLM(config).eval()


def calibration_rows(model):
    torch.manual_seed(1)
    rows = [torch.randint(0, model.config.vocab_size, (16,)) for _ in range(2)]
    return torch.utils.data.DataLoader([{"input_ids": row, "attention_mask": torch.ones_like(row)} for row in rows], batch_size=1)


def read_table():
    """The same reading as test/server/verdicts/table.ts."""
    for file in sorted(TABLE.glob("*.txt")):
        for part in re.split(r"^== ", file.read_text(encoding="utf-8"), flags=re.M)[1:]:
            name, _, rest = part.partition("\n")
            case = {"file": file.stem, "name": name.strip(), "model": "llama", "as": None, "text": ""}
            lines = rest.split("\n")
            while lines and (field := re.fullmatch(r"(expect|differs|with|as|text): (.*)", lines[0])):
                case["model" if field[1] == "with" else field[1]] = field[2].strip()
                lines.pop(0)
            how = case["text"].split()
            body = "\n".join(lines).rstrip("\n")
            if re.match(r"[A-Z][A-Za-z]*Modifier:", body) and "bare" not in how:
                body = "quant_stage:\n  quant_modifiers:\n" + "\n".join(f"    {line}" for line in body.split("\n"))
            body += "\n"
            if "crlf" in how:
                body = body.replace("\n", "\r\n")
            if "bom" in how:
                body = "\ufeff" + body
            if "empty" in how:
                body = ""
            yield {**case, "recipe": body}


class TooLong(Exception):
    pass


def limited(work):
    """(result, None) or (None, message)."""

    def stop(*_):
        raise TooLong(f"no answer within {SECONDS_PER_GATE} s")

    signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS_PER_GATE)
    try:
        return work(), None
    except BaseException as error:  # noqa: BLE001  (a gate may raise anything; what it raises is the result)
        if isinstance(error, KeyboardInterrupt):
            raise
        return None, message(error)
    finally:
        signal.alarm(0)


def message(error):
    """Kind and first line, without paths; of a pydantic error its first place and reason."""
    if isinstance(error, ValidationError):
        first = error.errors()[0]
        place = ".".join(str(step) for step in first["loc"])
        text = f"{place}: {first['msg']}" if place else first["msg"]
    else:
        text = str(error).strip()
    text = text.split("\n")[0]
    text = re.sub(r"(?<![\w.])/(?:[\w.+-]+/)+[\w.+-]*", "<path>", text)
    text = re.sub(r"0x[0-9a-f]{6,}", "<address>", text)
    return f"{type(error).__name__}: {text[:140]}".rstrip(": ")


def args_text(args):
    if args is None:
        return "-"
    value = lambda part: getattr(part, "value", part)  # noqa: E731
    strategy = value(args.strategy)
    size = f":{args.group_size}" if strategy in ("group", "tensor_group") else ""
    size += ":" + "x".join(map(str, args.block_structure)) if args.block_structure else ""
    parts = [f"{value(args.type)}{args.num_bits}", strategy + size, "sym" if args.symmetric else "asym"]
    if args.dynamic is not False:
        parts.append("dynamic" if args.dynamic is True else str(value(args.dynamic)))
    if args.actorder is not None:
        order = str(value(args.actorder))
        parts.append("order=" + {"static": "weight", "dynamic": "group"}.get(order, order))
    return " ".join(parts)


def scheme_text(scheme):
    return f"{args_text(scheme.weights)} | {args_text(scheme.input_activations)} | {args_text(scheme.output_activations)}"


def short_names(names):
    """0.q_proj instead of model.layers.0.self_attn.q_proj; what is in both blocks as *.q_proj."""
    short = {re.sub(r"^model\.layers\.(\d+)\..*\.", r"\1.", re.sub(r"^model\.layers\.(\d+)\.self_attn$", r"\1.attn", name)) for name in names}
    both = {name[1:] for name in short if "0" + name[1:] in short and "1" + name[1:] in short and name[0] in "01"}
    return " ".join(sorted({"*" + name[1:] if name[1:] in both and name[0] in "01" else name for name in short}))


def layers_of(model):
    found = {}
    for name, module in model.named_modules():
        scheme = getattr(module, "quantization_scheme", None)
        if scheme is not None:
            found.setdefault(scheme_text(scheme), []).append(name)
    return {scheme: short_names(names) for scheme, names in found.items()}


def as_input(case, folder):
    if case["as"] is None:
        return case["recipe"]
    file = Path(folder) / case["as"]
    file.write_bytes(case["recipe"].encode())
    return str(file)


def initialize(case, recipe, with_data):
    session = active_session()
    session.reset()
    model = make_model(case["model"])
    rows = calibration_rows(model) if with_data else None
    session.initialize(model=model, start=-1, recipe=recipe, recipe_stage=None, recipe_args=None, calib_data=rows, sequential_targets=None)
    return model


def run(model):
    session = active_session()
    arguments = DatasetArguments()
    pipeline = CalibrationPipeline.from_modifiers(session.lifecycle.recipe.modifiers, user=arguments.pipeline)
    pipeline(model, calibration_rows(model), arguments)
    session.finalize()


def judge(case, folder):
    recipe = as_input(case, folder)
    verdict = {"sha256": hashlib.sha256(case["recipe"].encode()).hexdigest()[:16]}
    parsed, verdict["parse"] = limited(lambda: Recipe.create_instance(recipe))
    if parsed is None:
        return verdict
    verdict["n_modifiers"] = len(parsed.modifiers)
    if not parsed.modifiers:
        return verdict
    model, verdict["init"] = limited(lambda: initialize(case, recipe, False))
    verdict["needs_data"] = any(modifier.requires_calibration_data for modifier in parsed.modifiers)
    if "requires a calibration dataset" in (verdict["init"] or ""):
        model, verdict["init"] = limited(lambda: initialize(case, recipe, True))
    if model is None:
        return verdict
    verdict["layers"] = layers_of(model)
    # Calibration wants data from the start.
    if verdict["needs_data"]:
        model, verdict["init"] = limited(lambda: initialize(case, recipe, True))
    _, verdict["run"] = limited(lambda: run(model))
    if NO_ACCELERATOR in (verdict["run"] or ""):
        verdict["run"] = None
        verdict["oracle_cannot"] = "AWQModifier wants an accelerator; it got as far as its search for scales"
    return verdict


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--only", nargs="*", default=None, help="files of the table or names of cases; the others keep their verdict")
    only = arguments.parse_args().only
    old = json.loads(GOLDEN.read_text()) if only is not None and GOLDEN.exists() else {}
    verdicts = {}
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for case in read_table():
            key = f"{case['file']}: {case['name']}"
            if key in verdicts:
                sys.exit(f"two cases are called {key}")
            if only is not None and case["file"] not in only and case["name"] not in only and key in old:
                verdicts[key] = old[key]
                continue
            print(key, end=" ", flush=True)
            verdicts[key] = judge(case, folder)
            print({name: value for name, value in verdicts[key].items() if name not in ("sha256", "layers")}, flush=True)
    GOLDEN.write_text(json.dumps(dict(sorted(verdicts.items())), indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


main()
