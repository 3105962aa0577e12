"""What the real llama.cpp reads from importance matrices, and what its search makes of weights with them; prints one line of JSON.

  python test/parity/imatrix-parity.py FOLDER-OF-LIBLLAMA WEIGHTS.json FILE...

Each FILE is read by common_imatrix_load of libllama-common, which llama-quantize calls: names, counts and sums, walked in the std::map that it fills. Of libllama as in gguf-parity.py;
the layout of std::string, std::vector and std::map is that of libstdc++. WEIGHTS.json holds the bytes of float32 weights and of importance as hexadecimal text, rows, columns and
numbers of types; each type is searched by ggml_quantize_chunk, as llama_model_quantize does tensor by tensor.
"""

import ctypes
import glob
import json
import os
import struct
import sys

folder, weights, *files = sys.argv[1:]


def library(pattern):
    return ctypes.CDLL(sorted(glob.glob(os.path.join(folder, pattern)))[0], mode=ctypes.RTLD_GLOBAL)


base = library("libggml-base*.so")
for pattern in ("libggml.*so", "libllama.*so"):
    library(pattern)
common = library("libllama-common*.so")
load = getattr(common, "_Z19common_imatrix_loadRKNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEEER14common_imatrix")
load.restype = ctypes.c_bool
load.argtypes = [ctypes.c_void_p, ctypes.c_void_p]


def words(address, n):
    return struct.unpack(f"<{n}Q", ctypes.string_at(address, 8 * n))


def text(address):
    data, length = words(address, 2)
    return ctypes.string_at(data, length).decode()


def vector(address, kind, size):
    first, last = words(address, 2)
    return list(struct.unpack(f"<{(last - first) // size}{kind}", ctypes.string_at(first, last - first))) if first else []


def entries(node):
    """In order: colour, parent, left, right, then the pair of a name and an entry, which begins with its sums and ends with its counts."""
    if node == 0:
        return []
    _, _, left, right = words(node, 4)
    own = {"name": text(node + 32), "sums": vector(node + 64, "f", 4), "counts": vector(node + 88, "q", 8)}
    return [*entries(left), own, *entries(right)]


def read(file):
    name = ctypes.create_string_buffer(file.encode())
    string = (ctypes.c_uint64 * 4)(ctypes.addressof(name), len(file.encode()), 0, 0)
    # A map without nodes: its header points to itself.
    imatrix = (ctypes.c_uint64 * 32)()
    header = ctypes.addressof(imatrix) + 8
    imatrix[3] = imatrix[4] = header
    if not load(ctypes.addressof(string), ctypes.addressof(imatrix)):
        return None
    return {"entries": entries(imatrix[2]), "n": imatrix[5]}


def quantized(kind, given):
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    base.ggml_quantize_chunk.restype = ctypes.c_size_t
    base.ggml_quantize_chunk.argtypes = [ctypes.c_int, pointer, pointer, number, number, number, pointer]
    values, importance = bytes.fromhex(given["weights"]), bytes.fromhex(given["importance"])
    out = ctypes.create_string_buffer(len(values))
    length = base.ggml_quantize_chunk(kind, values, out, 0, given["rows"], given["columns"], importance)
    return out.raw[:length].hex()


given = json.load(open(weights))
print(json.dumps({"files": [read(file) for file in files], "blocks": {kind: quantized(kind, given) for kind in given["types"]}}))
