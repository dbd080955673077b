"""Opens nibble's exports with compressed-tensors, transformers, ModelOpt and gguf.

usage: read_with_libraries.py EXPORTS.json RESULT.json
"""

import contextlib
import json
import sys
import tempfile

import gguf
import numpy
import torch
from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
from compressed_tensors.quantization import QuantizationConfig
from compressed_tensors.quantization.lifecycle.forward import dequantize
from modelopt.torch.quantization.qtensor.nvfp4_tensor import NVFP4QTensor
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

import nibble_program as nibble
from compare import divergence, same_values
from findings import Findings, version

IDS = [11, 42, 7, 100, 3, 250, 99, 17, 64, 128, 200, 5, 77, 31, 8, 150]


def tensors_of(folder):
    found = {}
    for file in sorted(folder.glob("*.safetensors")):
        found.update(load_file(file))
    return found


def modules(tensors, ending):
    return sorted(name.removesuffix(ending) for name in tensors if name.endswith(ending))


def compressed_tensors_values(folder, decoded):
    """Every matrix as the library decompresses it, against nibble's own decoding (as BF16). The
    library divides by the stored reciprocal, which may move an F32 by two units in the last place
    and so a BF16 that lies between two."""
    config = json.loads((folder / "config.json").read_text())
    scheme = QuantizationConfig(**config["quantization_config"]).config_groups["group_0"]
    tensors, plain = tensors_of(folder), tensors_of(decoded)
    names = modules(tensors, ".weight_packed")
    n_different = 0
    for name in names:
        packed = tensors[f"{name}.weight_packed"]
        codes = unpack_fp4_from_uint8(packed, packed.shape[0], packed.shape[1] * 2, dtype=torch.float32)
        theirs = dequantize(codes, tensors[f"{name}.weight_scale"].float(), args=scheme.weights,
                            global_scale=tensors[f"{name}.weight_global_scale"], dtype=torch.float32).double()
        ours = plain[f"{name}.weight"].float()
        near = [(theirs * (1 + step)).float().to(torch.bfloat16).float() for step in (-(2.0**-22), 2.0**-22)]
        n_different += int(((ours < torch.minimum(*near)) | (ours > torch.maximum(*near))).sum())
    return f"{len(names)} matrices, {n_different} values differ", len(names) > 0 and n_different == 0


def modelopt_values(folder, decoded):
    tensors, plain = tensors_of(folder), tensors_of(decoded)
    names = modules(tensors, ".weight_scale_2")
    n_different = 0
    for name in names:
        codes = tensors[f"{name}.weight"]
        shape = torch.Size((codes.shape[0], codes.shape[1] * 2))
        theirs = NVFP4QTensor(shape, torch.float32, codes).dequantize(
            dtype=torch.float32, scale=tensors[f"{name}.weight_scale"],
            double_scale=tensors[f"{name}.weight_scale_2"], block_sizes={-1: 16})
        n_different += int((theirs.to(torch.bfloat16) != plain[f"{name}.weight"]).sum())
    return f"{len(names)} matrices, {n_different} values differ as BF16", len(names) > 0 and n_different == 0


def transformers_logits(folder, same_weights, ids):
    """Logits of the class that config.json names, against nibble's on the same BF16 weights."""
    config = AutoConfig.from_pretrained(folder)
    text_only = not hasattr(config, "vision_config")
    auto = AutoModelForCausalLM if text_only else AutoModelForImageTextToText
    model = auto.from_pretrained(folder, dtype=torch.float32).eval()
    tokens = torch.tensor([ids])
    with torch.no_grad():
        # Weights are decompressed in the first pass, to BF16 whatever is asked for, which then
        # does not fit the rest of the model.
        with contextlib.suppress(RuntimeError):
            model(input_ids=tokens, use_cache=False)
        torch.nn.Module.float(model)
        theirs = model(input_ids=tokens, use_cache=False).logits[0].float()
    with tempfile.TemporaryDirectory() as scratch:
        ours = nibble.logits(same_weights, ids, scratch)
    kld, largest = divergence(ours, theirs)
    return f"KL divergence {kld:.1e}, largest logit difference {largest:.1e}", kld < 1e-6 and largest < 5e-3


def gguf_values(path, folder):
    """Every NVFP4 tensor as the gguf package decodes it, times its second-level scale, against the
    codes and scales of the folder that it was made from; in whatever order its rows and columns
    stand, the values are the same."""
    by_name = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    theirs = []
    for name, tensor in by_name.items():
        if tensor.tensor_type != gguf.GGMLQuantizationType.NVFP4:
            continue
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float64)
        scale = by_name.get(name.removesuffix(".weight") + ".scale")
        factor = numpy.ones(1) if scale is None else scale.data.astype(numpy.float64)
        flat = values.reshape(len(factor), -1) * factor.reshape(-1, 1)
        theirs += [numpy.sort(part) for part in flat]
    tensors = tensors_of(folder)
    ours = []
    for name in modules(tensors, ".weight_packed"):
        packed = tensors[f"{name}.weight_packed"]
        table = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=torch.float64)
        codes = torch.stack((packed & 15, packed >> 4), -1).reshape(packed.shape[0], -1, 16).long()
        values = table[codes] * tensors[f"{name}.weight_scale"].double()[..., None]
        multiplier = (1.0 / tensors[f"{name}.weight_global_scale"].float()).double()
        ours.append(numpy.sort((values * multiplier).flatten().numpy()))
    theirs.sort(key=lambda v: (v.size, v[0], v[-1], v.sum()))
    ours.sort(key=lambda v: (v.size, v[0], v[-1], v.sum()))
    if [v.size for v in ours] != [v.size for v in theirs]:
        return f"{len(theirs)} matrices against {len(ours)}", False
    worst = max(same_values(torch.from_numpy(a), torch.from_numpy(b))[0] for a, b in zip(ours, theirs))
    return f"{len(ours)} matrices, largest relative difference {worst:.1e}", worst <= 2.0**-22


def main():
    exports = json.load(open(sys.argv[1]))
    findings = Findings()
    for name, paths in exports.items():
        paths = {key: nibble.pathlib.Path(path) for key, path in paths.items()}
        findings.attempt(version("compressed-tensors"), f"{name}, compressed-tensors", "decompresses to nibble's values",
                         lambda p=paths: compressed_tensors_values(p["ct"], p["decoded"]))
        findings.attempt(version("nvidia-modelopt"), f"{name}, ModelOpt", "decodes to nibble's values",
                         lambda p=paths: modelopt_values(p["modelopt"], p["decoded"]))
        # transformers keeps the experts of a layer as one tensor and leaves packed ones unread.
        if "moe" not in name:
            findings.attempt(version("transformers"), f"{name}, compressed-tensors", "loads; logits equal nibble's",
                             lambda p=paths: transformers_logits(p["ct"], p["decoded"], IDS))
        findings.attempt(version("gguf"), f"{name}, GGUF", "decodes to the same values",
                         lambda p=paths: gguf_values(p["gguf"], p["gguf_source"]))
    findings.save(sys.argv[2])


if __name__ == "__main__":
    main()
