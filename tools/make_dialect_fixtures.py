#!/usr/bin/env python3
"""Cuts real exports of quantization tools down to fixtures of some hundred kilobytes.

    tools/make_dialect_fixtures.py EXPORTS tests/dialect_fixtures

EXPORTS holds one folder per export with a golden.safetensors of `dequantized.<module>` values, as
the tool's own code decodes them. A fixture keeps config files, names, types and the layout in
shards, but only the first rows of every matrix: 16 of those with golden values, 1 of the others.
Rows are independent in NVFP4, so what is left decodes as before. The golden values go to
<fixture>.expected.safetensors beside the fixture, so that the folder stays a checkpoint.
"""
import json
import pathlib
import struct
import sys

EXPORTS = {
    "llmcompressor-nvfp4": "llmcompressor-w4a4",
    "llmcompressor-nvfp4a16-cut": "llmcompressor-w4a16",
    "llmcompressor-nvfp4-mlp-fp8kv-cut": "llmcompressor-mlp-fp8kv",
    "modelopt-nvfp4": "modelopt-w4a4",
    "modelopt-mixed-fp8kv-cut": "modelopt-mixed",
    "autoround-nvfp4-cut": "autoround",
    "llmcompressor-fp8-dynamic-cut": "llmcompressor-fp8",
}
CONFIGS = ["config.json", "hf_quant_config.json", "config.llm_compressor.json"]
KEPT_ROWS = 16
LAYERS = ("layers.0.", "layers.1.", "layers.3.")


def read(path):
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    metadata = header.pop("__metadata__", None)
    body = data[8 + length :]
    return metadata, {name: (info["dtype"], info["shape"], body[slice(*info["data_offsets"])])
                      for name, info in header.items()}


def write(path, metadata, tensors):
    header = {} if metadata is None else {"__metadata__": metadata}
    offset = 0
    for name, (dtype, shape, body) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [offset, offset + len(body)]}
        offset += len(body)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text
                     + b"".join(body for _, _, body in tensors.values()))


def cut_rows(tensor, n_rows):
    dtype, shape, body = tensor
    if len(shape) < 2 or shape[0] <= n_rows:
        return tensor
    return dtype, [n_rows] + shape[1:], body[: len(body) // shape[0] * n_rows]


def keep(name):
    return "layers." not in name or name.startswith("mtp.") or any(l in name for l in LAYERS)


def make(source, target):
    _, golden = read(source / "golden.safetensors")
    expected = {name: cut_rows(tensor, KEPT_ROWS) for name, tensor in golden.items()
                if name.startswith("dequantized.")}
    modules = tuple(name.removeprefix("dequantized.") + "." for name in expected)
    target.mkdir(parents=True, exist_ok=True)
    placement, total = {}, 0
    for shard in sorted(source.glob("*.safetensors")):
        if shard.name == "golden.safetensors":
            continue
        metadata, tensors = read(shard)
        cut = {name: cut_rows(tensor, KEPT_ROWS if name.startswith(modules) else 1)
               for name, tensor in tensors.items() if keep(name)}
        write(target / shard.name, metadata, cut)
        placement.update({name: shard.name for name in cut})
        total += sum(len(body) for _, _, body in cut.values())
    if (source / "model.safetensors.index.json").exists():
        index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(placement.items()))}
        (target / "model.safetensors.index.json").write_text(json.dumps(index, indent=2) + "\n")
    for name in CONFIGS:
        if (source / name).exists():
            (target / name).write_bytes((source / name).read_bytes())
    write(target.parent / (target.name + ".expected.safetensors"), None, expected)


def main():
    exports, fixtures = map(pathlib.Path, sys.argv[1:3])
    for source, target in EXPORTS.items():
        make(exports / source, fixtures / target)


main()
