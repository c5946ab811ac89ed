#!/usr/bin/env python3
"""Writes fixtures/weights: small weight files of the packages that define their formats, and what they hold.

    python3 -m pip install gguf safetensors torch numpy
    python3 packages/model/tools/weight-fixtures.py

blocks.json          random blocks of each quantised format, with the values that gguf.quants.dequantize gives them
tiny.gguf            a file of gguf.GGUFWriter with metadata of every type, at an alignment of 64
tiny.safetensors     a file of safetensors.torch with every dtype that is read and some that are not
expected.json        the metadata and values of the two files
"""
import base64
import json
import pathlib

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as Type
from safetensors.torch import save_file

folder = pathlib.Path(__file__).parent.parent / "fixtures" / "weights"
folder.mkdir(parents=True, exist_ok=True)
random = np.random.default_rng(5)

# Where the half-precision scales of a block lie, in bytes: random bytes there would be infinities.
scales = {
    Type.Q4_0: [0], Type.Q4_1: [0, 2], Type.Q5_0: [0], Type.Q5_1: [0, 2], Type.Q8_0: [0],
    Type.Q2_K: [80, 82], Type.Q3_K: [108], Type.Q4_K: [0, 2], Type.Q5_K: [0, 2], Type.Q6_K: [208],
}


def packed(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def blocks():
    cases = []
    for kind, places in scales.items():
        _, size = gguf.GGML_QUANT_SIZES[kind]
        data = random.integers(0, 256, (2, size), dtype=np.uint8)
        for row in data:
            for at in places:
                row[at : at + 2] = np.array([random.normal() / 8], "<f2").view(np.uint8)
        values = gguf.quants.dequantize(data.reshape(1, -1), kind).astype("<f4")
        cases.append({"format": kind.name, "type": int(kind), "bytes": packed(data), "values": packed(values)})
    return cases


def numbers():
    special = [0.0, -0.0, 1.0, -1.5, 65504.0, 6e-8, 6.1e-5, float("inf"), float("-inf"), float("nan")]
    return torch.tensor(special + list(random.normal(size=22)), dtype=torch.float64).reshape(4, 8)


def write_gguf():
    path = folder / "tiny.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_custom_alignment(64)
    metadata = {"u8": 200, "i8": -100, "u16": 60000, "i16": -30000, "u32": 4000000000, "i32": -2000000000,
                "f32": 0.5, "u64": 2**63 + 1, "i64": -(2**62), "f64": 0.1, "bool": True, "string": "σκληρός 日本 🙂"}
    writer.add_uint8("u8", metadata["u8"])
    writer.add_int8("i8", metadata["i8"])
    writer.add_uint16("u16", metadata["u16"])
    writer.add_int16("i16", metadata["i16"])
    writer.add_uint32("u32", metadata["u32"])
    writer.add_int32("i32", metadata["i32"])
    writer.add_float32("f32", metadata["f32"])
    writer.add_uint64("u64", metadata["u64"])
    writer.add_int64("i64", metadata["i64"])
    writer.add_float64("f64", metadata["f64"])
    writer.add_bool("bool", metadata["bool"])
    writer.add_string("string", metadata["string"])
    metadata["strings"] = ["a", "", "ñ"]
    metadata["integers"] = [1, -2, 3]
    metadata["floats"] = [0.25, -8.0]
    metadata["flags"] = [True, False]
    for key in ["strings", "integers", "floats", "flags"]:
        writer.add_array(key, metadata[key])
    matrix = random.normal(size=(3, 32)).astype("<f4")
    quantised = gguf.quants.quantize(matrix, Type.Q8_0)
    writer.add_tensor("matrix", matrix)
    writer.add_tensor("half", matrix.astype("<f2"))
    writer.add_tensor("packed", quantised, raw_dtype=Type.Q8_0)
    writer.add_tensor("last", np.array([1, 2, 3], "<f4"))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tensors = {
        "matrix": matrix, "half": matrix.astype("<f2").astype("<f4"),
        "packed": gguf.quants.dequantize(quantised, Type.Q8_0).astype("<f4"), "last": np.array([1, 2, 3], "<f4"),
    }
    # Beyond 2^53 JSON has no exact numbers.
    metadata |= {key: str(metadata[key]) for key in ["u64", "i64"]}
    return {"metadata": metadata, "tensors": {name: stated(t) for name, t in tensors.items()}}


def write_safetensors():
    values = numbers()
    tensors = {
        "f64": values, "f32": values.to(torch.float32), "f16": values.to(torch.float16),
        "bf16": values.to(torch.bfloat16), "scalar": torch.tensor(2.5), "empty": torch.zeros(0, 4),
    }
    unread = {"i64": torch.arange(4), "flags": torch.tensor([True, False])}
    save_file(tensors | unread, folder / "tiny.safetensors", metadata={"format": "pt"})
    return {"metadata": {"format": "pt"},
            "tensors": {name: stated(t.to(torch.float32).numpy()) for name, t in tensors.items()}}


def stated(array):
    return {"shape": list(array.shape), "values": packed(array.astype("<f4"))}


def write(name, content):
    (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n")


write("blocks.json", blocks())
write("expected.json", {"gguf": write_gguf(), "safetensors": write_safetensors()})
