"""What the scripts of this folder share about the real packages."""

import importlib.util
import sys
import types
from pathlib import Path


def supply_versions():
    """A checkout without its generated version.py gets the two names from here, so that it stays as it is."""
    for package in ("llmcompressor", "compressed_tensors"):
        name = f"{package}.version"
        folder = Path(importlib.util.find_spec(package).origin).parent
        if not (folder / "version.py").exists():
            module = types.ModuleType(name)
            module.__version__ = module.version = "0.0.0+checkout"
            module.__all__ = ["__version__", "version"]
            sys.modules[name] = module
