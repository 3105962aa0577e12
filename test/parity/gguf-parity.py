"""The real llama.cpp, gguf and transformers on a GGUF file that we wrote; prints one line of JSON.

  python test/parity/gguf-parity.py FOLDER-OF-LIBLLAMA FILE.gguf DOCUMENTS.json [TEXT.txt]

DOCUMENTS.json holds lists of token ids. llama.cpp gives their perplexity and the tokens of the text, gguf the types of the tensors, transformers the perplexity of the
same documents in float32 with the blocks dequantized. libllama is that of node-llama-cpp 3.22.1 (npm, bins/linux-x64); its structures are passed as they are returned, with
n_ctx, n_batch and n_ubatch set, which stand first.
"""

import ctypes
import glob
import json
import math
import os
import sys
from collections import Counter

import numpy as np

folder, file, documents = sys.argv[1:4]
documents = json.load(open(documents))


class Parameters(ctypes.Structure):
    _fields_ = [("words", ctypes.c_uint32 * 4), ("rest", ctypes.c_byte * 1008)]


class Batch(ctypes.Structure):
    _fields_ = [
        ("n_tokens", ctypes.c_int32),
        ("token", ctypes.POINTER(ctypes.c_int32)),
        ("embd", ctypes.c_void_p),
        ("pos", ctypes.POINTER(ctypes.c_int32)),
        ("n_seq_id", ctypes.POINTER(ctypes.c_int32)),
        ("seq_id", ctypes.POINTER(ctypes.POINTER(ctypes.c_int32))),
        ("logits", ctypes.POINTER(ctypes.c_int8)),
    ]


def library(pattern):
    return ctypes.CDLL(sorted(glob.glob(os.path.join(folder, pattern)))[0], mode=ctypes.RTLD_GLOBAL)


base = library("libggml-base*.so")
ggml = library("libggml.*so")
llama = library("libllama.*so")
ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
ggml.ggml_backend_load_all_from_path(folder.encode())
quiet = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p)(
    lambda level, text, _: sys.stderr.write(text.decode()) if level >= 3 and level != 5 else None
)
llama.llama_log_set(quiet, None)
llama.llama_backend_init()
pointer = ctypes.c_void_p
for name, result, arguments in [
    ("llama_model_default_params", Parameters, []),
    ("llama_context_default_params", Parameters, []),
    ("llama_model_load_from_file", pointer, [ctypes.c_char_p, Parameters]),
    ("llama_init_from_model", pointer, [pointer, Parameters]),
    ("llama_model_get_vocab", pointer, [pointer]),
    ("llama_vocab_n_tokens", ctypes.c_int32, [pointer]),
    ("llama_get_memory", pointer, [pointer]),
    ("llama_memory_clear", None, [pointer, ctypes.c_bool]),
    ("llama_batch_init", Batch, [ctypes.c_int32, ctypes.c_int32, ctypes.c_int32]),
    ("llama_decode", ctypes.c_int32, [pointer, Batch]),
    ("llama_get_logits", ctypes.POINTER(ctypes.c_float), [pointer]),
    (
        "llama_tokenize",
        ctypes.c_int32,
        [pointer, ctypes.c_char_p, ctypes.c_int32, ctypes.POINTER(ctypes.c_int32), ctypes.c_int32, ctypes.c_bool, ctypes.c_bool],
    ),
]:
    getattr(llama, name).restype = result
    getattr(llama, name).argtypes = arguments

model = llama.llama_model_load_from_file(file.encode(), llama.llama_model_default_params())
if not model:
    sys.exit(f"llama.cpp cannot load {file}")
vocabulary = llama.llama_model_get_vocab(model)
n_vocab = llama.llama_vocab_n_tokens(vocabulary)
parameters = llama.llama_context_default_params()
longest = max(map(len, documents))
for word in range(3):
    parameters.words[word] = longest
context = llama.llama_init_from_model(model, parameters)
# More threads than cores that are free wait for each other.
llama.llama_set_n_threads.argtypes = [pointer, ctypes.c_int32, ctypes.c_int32]
llama.llama_set_n_threads(context, 1, 1)
batch = llama.llama_batch_init(longest, 0, 1)


def nll_of(logits, ids):
    logits = np.asarray(logits, dtype=np.float64)[:-1]
    top = logits.max(axis=1, keepdims=True)
    logs = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
    return -logs[np.arange(len(ids) - 1), ids[1:]].sum()


def llama_logits(ids):
    llama.llama_memory_clear(llama.llama_get_memory(context), True)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    if llama.llama_decode(context, batch) != 0:
        sys.exit("llama_decode failed")
    return np.ctypeslib.as_array(llama.llama_get_logits(context), shape=(len(ids), n_vocab)).copy()


n = sum(len(ids) - 1 for ids in documents)
answer = {"llama.cpp": math.exp(sum(nll_of(llama_logits(ids), ids) for ids in documents) / n), "tokens": n}
if len(sys.argv) > 4:
    text = open(sys.argv[4], "rb").read()
    room = (ctypes.c_int32 * (len(text) + 8))()
    count = llama.llama_tokenize(vocabulary, text, len(text), room, len(room), True, False)
    answer["ids"] = list(room[:count])

from gguf import GGUFReader  # noqa: E402

reader = GGUFReader(file)
answer["types"] = dict(Counter(tensor.tensor_type.name for tensor in reader.tensors))
answer["metadata"] = len(reader.fields)

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

torch.set_num_threads(1)
where = os.path.dirname(file)
with torch.no_grad():
    same = AutoModelForCausalLM.from_pretrained(where, gguf_file=os.path.basename(file), dtype=torch.float32).eval()
    answer["transformers"] = math.exp(sum(nll_of(same(torch.tensor([ids])).logits[0], ids) for ids in documents) / n)
    answer["largest logit difference"] = float(max(np.abs(same(torch.tensor([ids])).logits[0].numpy() - llama_logits(ids)).max() for ids in documents[:4]))
if len(sys.argv) > 4:
    tokenizer = AutoTokenizer.from_pretrained(where, gguf_file=os.path.basename(file))
    answer["transformers ids"] = tokenizer(open(sys.argv[4]).read())["input_ids"]
print(json.dumps(answer))
