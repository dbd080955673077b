#!/usr/bin/env python3
"""Makes tests/dialect_fixtures/gguf-mixed.gguf: a tiny model with every number type of GGUF files.

    tools/make_gguf_fixtures.py IN.gguf OUT.gguf EXPECTED.safetensors

IN.gguf is what llama.cpp's convert_hf_to_gguf.py --outtype bf16 --no-mtp wrote for a random member
of the family with hidden size 64, a vocabulary of single bytes and an unused token 269. ggml itself
encodes the blocks, gguf-py decodes the last row of every matrix ("row.NAME"), and llama.cpp computes
"logits" of "ids". Needs the packages gguf 0.19.0, numpy, safetensors and xllamacpp 2026.10.11549,
whose library is called directly: its structures are those of that version.
"""
import ctypes as C
import sys
from pathlib import Path

import gguf
import numpy as np
import xllamacpp
from safetensors.numpy import save_file

T = gguf.GGMLQuantizationType
LLAMA = C.CDLL(str(next(Path(xllamacpp.__file__).parent.glob("xllamacpp.abi3.so"))))
PTR, I32, U32, F32 = C.c_void_p, C.c_int32, C.c_uint32, C.c_float
TYPES = {"attn_qkv": T.Q4_0, "attn_gate": T.Q8_0, "ssm_alpha": T.Q8_0, "ffn_gate": T.NVFP4,
         "ffn_up": T.NVFP4, "ffn_down": T.Q4_0, "attn_q": T.Q4_0, "attn_k": T.Q8_0,
         "attn_v": T.F16, "attn_output": T.Q6_K, "token_embd": T.Q8_0, "output": T.Q8_0}
OUT_TYPES = [T.Q4_K, T.Q5_K, T.Q6_K]  # of ssm_out, by block


class ModelParams(C.Structure):
    _fields_ = [("pointers", PTR * 2), ("n_gpu_layers", I32), ("modes", I32 * 4),
                ("more", PTR * 4), ("flags", C.c_bool * 6), ("rest", C.c_byte * 64)]


class ContextParams(C.Structure):
    _fields_ = [("n_ctx", U32), ("n_batch", U32), ("sizes", U32 * 5), ("threads", I32 * 2),
                ("kinds", I32 * 4), ("flash_attention", I32), ("rope", F32 * 6), ("orig", U32),
                ("thold", F32), ("eval", PTR * 2), ("type_k", I32), ("type_v", I32),
                ("abort", PTR * 2), ("flags", C.c_bool * 6), ("rest", C.c_byte * 128)]


class Batch(C.Structure):
    _fields_ = [("n", I32), ("token", PTR), ("embd", PTR), ("pos", PTR), ("n_seq", PTR),
                ("seq", PTR), ("logits", PTR)]


def declare(name, result, *arguments):
    function = getattr(LLAMA, name)
    function.restype, function.argtypes = result, arguments
    return function


def llama_logits(path, ids):
    declare("llama_backend_init", None)()
    params = declare("llama_model_default_params", ModelParams)()
    params.n_gpu_layers = 0
    model = declare("llama_model_load_from_file", PTR, C.c_char_p, ModelParams)(path.encode(), params)
    settings = declare("llama_context_default_params", ContextParams)()
    settings.n_ctx, settings.n_batch, settings.flash_attention = 256, 256, 0
    settings.type_k = settings.type_v = T.F32
    context = declare("llama_init_from_model", PTR, PTR, ContextParams)(model, settings)
    n = len(ids)
    arrays = [(I32 * n)(*ids), (I32 * n)(*range(n)), (I32 * n)(*[1] * n), (C.c_int8 * n)(*[1] * n)]
    sequence = I32(0)
    sequences = (PTR * n)(*[C.addressof(sequence)] * n)
    token, pos, n_seq, wanted = [C.addressof(array) for array in arrays]
    batch = Batch(n, token, None, pos, n_seq, C.addressof(sequences), wanted)
    assert declare("llama_decode", I32, PTR, Batch)(context, batch) == 0
    vocabulary = declare("llama_model_get_vocab", PTR, PTR)(model)
    n_tokens = declare("llama_vocab_n_tokens", I32, PTR)(vocabulary)
    row = declare("llama_get_logits_ith", C.POINTER(F32), PTR, I32)
    return np.stack([np.ctypeslib.as_array(row(context, i), (n_tokens,)).copy() for i in range(n)])


def encode(values, kind):
    n_values, n_bytes = gguf.GGML_QUANT_SIZES[kind]
    blocks = np.zeros(values.size // n_values * n_bytes, np.uint8)
    quantize = declare("ggml_quantize_chunk", C.c_size_t, I32, PTR, PTR, C.c_int64, C.c_int64,
                       C.c_int64, PTR)
    rows, columns = values.shape
    assert quantize(kind, values.ctypes.data, blocks.ctypes.data, 0, rows, columns, None) == blocks.size
    return blocks.reshape(rows, -1)


def add_matrix(writer, name, values, stored):
    """Writes a matrix and returns the values that readers should see."""
    part = name.split(".")
    kind = OUT_TYPES[int(part[1]) % 3] if "ssm_out" in name else TYPES.get(part[-2])
    if kind is None:
        writer.add_tensor(name, stored, raw_dtype=T.BF16)
        return values
    if kind == T.F16:
        writer.add_tensor(name, values.astype(np.float16))
        return values.astype(np.float16).astype(np.float32)
    scale = np.float32(np.abs(values).max() / (6 * 240) if kind == T.NVFP4 else 1)
    blocks = encode(np.ascontiguousarray(values / scale), kind)
    writer.add_tensor(name, blocks, raw_dtype=kind)
    if kind == T.NVFP4:
        writer.add_tensor(name.replace(".weight", ".scale"), np.array([scale], np.float32))
    return gguf.quants.dequantize(blocks, kind) * scale


def add_fields(writer, source):
    for key, field in source.fields.items():
        content = field.contents()
        if key.startswith("GGUF.") or key == "general.architecture":
            continue
        if key == "tokenizer.ggml.tokens":
            content[269] = "he"  # llama.cpp wants at least one merge
        if key == "tokenizer.ggml.token_type":
            content[269] = 1
        if field.types[0] == gguf.GGUFValueType.ARRAY:
            writer.add_array(key, content)
        else:
            writer.add_key_value(key, content, field.types[0])
    writer.add_array("tokenizer.ggml.merges", ["h e"])


def main(source_path, path, expected_path):
    source = gguf.GGUFReader(source_path)
    writer = gguf.GGUFWriter(path, "qwen35")
    add_fields(writer, source)
    expected = {}
    for tensor in source.tensors:
        shape = [int(n) for n in tensor.shape[::-1]]
        data = np.ascontiguousarray(tensor.data)
        if tensor.tensor_type == T.F32:
            writer.add_tensor(tensor.name, data.reshape(shape))
            continue
        bits = data.reshape(-1).view(np.uint16)
        values = (bits.astype(np.uint32) << 16).view(np.float32).reshape(shape)
        seen = add_matrix(writer, tensor.name, values, bits.view(np.uint8).reshape(shape[0], -1))
        expected["row." + tensor.name] = seen[-1].astype(np.float32).copy()
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    ids = list(b"Sixteen tokens!!")
    expected["ids"] = np.array(ids, np.int32)
    expected["logits"] = llama_logits(path, ids).astype(np.float32)
    save_file(expected, expected_path)


if __name__ == "__main__":
    main(*sys.argv[1:])
