"""Every recipe in a checkout of llm-compressor (examples and tests/e2e), with the real package's verdict, as JSON lines on standard output.

  PYTHONPATH=<llm-compressor>/src:<compressed-tensors>/src python test/parity/recipe-examples.py <llm-compressor>

Recipes are YAML files, YAML in fenced blocks of Markdown, YAML texts in Python files, and modifiers that Python files construct from literals:
the last are written as the YAML that says the same. A call with a value that is no literal is left out and counted on standard error.
"""

import ast
import json
import logging
import os
import re
import sys
import warnings
from pathlib import Path

os.environ.update(HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
warnings.filterwarnings("ignore")
logging.disable(logging.WARNING)

from peers import supply_versions  # noqa: E402

FOLDERS = ("examples", "tests/e2e")


class NotLiteral(Exception):
    pass


def main():
    import yaml

    supply_versions()
    # The package prints what it could not import.
    out, sys.stdout = sys.stdout, sys.stderr
    from loguru import logger

    logger.remove()
    from llmcompressor.recipe import Recipe

    root = Path(sys.argv[1])
    left_out = []
    for source, text in recipes(root, yaml, left_out):
        try:
            n_modifiers, refusal = len(Recipe.create_instance(text).modifiers), None
        except Exception as error:  # noqa: BLE001  (the package may raise anything)
            n_modifiers, refusal = 0, f"{type(error).__name__}: {str(error).splitlines()[0]}"
        # AutoRound is an optional package of its own; without it the recipe is judged as if it were there.
        missing = refusal is not None and "AutoRoundModifier" in refusal and "No modifier of type" in refusal
        print(json.dumps({"source": source, "recipe": text, "n_modifiers": n_modifiers, "refusal": None if missing else refusal}), file=out)
    print(f"{len(left_out)} constructions with values that are no literals: {', '.join(left_out)}", file=sys.stderr)


def recipes(root, yaml, left_out):
    files = sorted(file for folder in FOLDERS for file in (root / folder).rglob("*") if file.suffix in (".yaml", ".yml", ".md", ".py"))
    for file in files:
        name = file.relative_to(root).as_posix()
        text = file.read_text(encoding="utf-8")
        if file.suffix in (".yaml", ".yml"):
            if has_stage(text, yaml):
                yield name, text
        elif file.suffix == ".md":
            for index, block in enumerate(re.findall(r"^```(?:yaml|yml)?\n(.*?)^```", text, flags=re.M | re.S)):
                if has_stage(block, yaml):
                    yield f"{name} block {index}", block
        else:
            tree = ast.parse(text)
            for node in ast.walk(tree):
                if isinstance(node, ast.Constant) and isinstance(node.value, str) and "_modifiers" in node.value and has_stage(node.value, yaml):
                    yield f"{name}:{node.lineno}", node.value
            names = constants(tree)
            for node in constructions(tree):
                try:
                    yield f"{name}:{node.lineno}", as_yaml(node, yaml, names)
                except NotLiteral as error:
                    left_out.append(f"{name}:{node.lineno} ({error})")


def has_stage(text, yaml):
    try:
        value = yaml.safe_load(text)
    except yaml.YAMLError:
        return False
    return isinstance(value, dict) and any(str(key).endswith("_stage") for key in value)


def is_modifier(node):
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id.endswith("Modifier")


def constructions(tree):
    """Modifiers, and lists of them, that something is assigned or given as recipe."""
    for node in ast.walk(tree):
        value = node.value if isinstance(node, (ast.Assign, ast.keyword)) else None
        if value is not None and (is_modifier(value) or (isinstance(value, ast.List) and value.elts and all(map(is_modifier, value.elts)))):
            yield value


def constants(tree):
    """Names that the file itself gives a literal."""
    found = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            try:
                found[node.targets[0].id] = plain(node.value, {})
            except NotLiteral:
                continue
    return found


def as_yaml(node, yaml, names):
    """One group per modifier, as one name may come twice."""
    calls = node.elts if isinstance(node, ast.List) else [node]
    groups = {f"part{index}_modifiers": {call.func.id: fields(call, names)} for index, call in enumerate(calls)}
    return yaml.safe_dump({"example_stage": groups}, sort_keys=False)


def fields(call, names):
    if call.args or any(keyword.arg is None for keyword in call.keywords):
        raise NotLiteral(f"{call.func.id} with positional or spread arguments")
    return {keyword.arg: plain(keyword.value, names) for keyword in call.keywords}


def plain(node, names):
    match node:
        case ast.Constant():
            return node.value
        case ast.Name() if node.id in names:
            return names[node.id]
        case ast.List() | ast.Tuple():
            return [plain(each, names) for each in node.elts]
        case ast.Dict():
            return {plain(key, names): plain(value, names) for key, value in zip(node.keys, node.values)}
        case ast.UnaryOp(op=ast.USub()):
            return -plain(node.operand, names)
        case ast.Call(func=ast.Name(id="QuantizationScheme" | "QuantizationArgs")):
            return fields(node, names)
        case ast.Call(func=ast.Name(id="AWQMapping")):
            names = ("smooth_layer", "balance_layers", "activation_hook_target")
            return {**dict(zip(names, (plain(each, names) for each in node.args))), **{keyword.arg: plain(keyword.value, names) for keyword in node.keywords}}
        case ast.Attribute(value=ast.Name(id="QuantizationStrategy" | "QuantizationType" | "DynamicType" | "ActivationOrdering")):
            return node.attr.lower()
        case ast.Attribute(value=ast.Name(id="torch")):
            return node.attr
    raise NotLiteral(ast.unparse(node).splitlines()[0][:40])


main()
