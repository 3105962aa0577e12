"""Writes test/golden/model-files with the packages that define the formats (gguf 0.19.0, onnx 1.23.1), and what they say of the files."""
import json
import pathlib

import gguf
import numpy as np
import onnx
from gguf.constants import GGML_QUANT_SIZES
from onnx import TensorProto, helper, numpy_helper

here = pathlib.Path(__file__).parent / "model-files"


def write_gguf(name, endianess):
    writer = gguf.GGUFWriter(here / name, "llama", endianess=endianess)
    writer.add_name("small")
    writer.add_block_count(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_bool("test.flag", True)
    writer.add_int64("test.negative", -5)
    writer.add_token_list([f"token {i}" for i in range(100)])
    writer.add_array("tokenizer.ggml.scores", [0.5 * i for i in range(100)])
    values = np.linspace(-1, 1, 4 * 256, dtype=np.float32).reshape(4, 256)
    writer.add_tensor("token_embd.weight", values)
    writer.add_tensor("blk.0.ffn_down.weight", values.astype(np.float16))
    for index, kind in enumerate(["Q4_0", "Q8_0", "Q6_K", "Q4_K"]):
        block, size = GGML_QUANT_SIZES[gguf.GGMLQuantizationType[kind]]
        data = np.zeros((4, 256 // block * size), dtype=np.uint8)
        writer.add_tensor(f"blk.{index}.attn_q.weight", data, raw_dtype=gguf.GGMLQuantizationType[kind])
    writer.add_tensor("output_norm.weight", np.ones(256, dtype=np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def read_gguf(name):
    reader = gguf.GGUFReader(here / name)
    return [
        {
            "name": tensor.name,
            "dtype": tensor.tensor_type.name,
            "shape": [int(n) for n in reversed(tensor.shape)],
            "bytes": int(tensor.n_bytes),
            "offset": int(tensor.data_offset),
        }
        for tensor in reader.tensors
    ]


def write_onnx(name):
    weight = np.arange(12, dtype=np.float32).reshape(3, 4)
    raw = numpy_helper.from_array(weight, "w")
    typed = helper.make_tensor("typed", TensorProto.FLOAT, [2], [1.0, 2.0])
    half = numpy_helper.from_array(weight.astype(np.float16), "half")
    four = helper.make_tensor("four", TensorProto.INT4, [3], [1, -2, 3])
    external = onnx.TensorProto(name="beside", data_type=TensorProto.FLOAT, dims=[3, 4], data_location=TensorProto.EXTERNAL)
    for key, value in [("location", "weights.bin"), ("offset", "16"), ("length", "48")]:
        external.external_data.add(key=key, value=value)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node("Add", ["y", "beside"], ["z"]),
        helper.make_node("FusedThing", ["z"], ["out"], domain="com.example"),
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(weight, "inner")),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["batch", 4])],
        [raw, typed, half, four, external],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.example", 1)]
    model = helper.make_model(graph, producer_name="maker", producer_version="1", opset_imports=opsets, ir_version=10)
    helper.set_model_props(model, {"purpose": "a test"})
    (here / name).write_bytes(model.SerializeToString())


here.mkdir(exist_ok=True)
write_gguf("small.gguf", gguf.GGUFEndian.LITTLE)
write_gguf("big-endian.gguf", gguf.GGUFEndian.BIG)
write_onnx("small.onnx")
(here / "weights.bin").write_bytes(bytes(64))
types = {str(int(kind)): [kind.name, *sizes] for kind, sizes in GGML_QUANT_SIZES.items()}
dtypes = {str(value): name.lower() for name, value in TensorProto.DataType.items()}
expected = {"ggml_types": types, "onnx_types": dtypes, "tensors": {name: read_gguf(name) for name in ["small.gguf", "big-endian.gguf"]}}
(here / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")
