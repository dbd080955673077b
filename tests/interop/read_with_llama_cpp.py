"""Serves nibble's GGUF files with the prebuilt llama-server of the wheel xllamacpp.

usage: read_with_llama_cpp.py EXPORTS.json RESULT.json
"""

import json
import math
import pathlib
import sys
import tempfile
import urllib.request

import xllamacpp

import nibble_program as nibble
from findings import Findings, version

PROMPTS = [
    "The capital of Russia is",
    "It is a truth universally acknowledged, that a single man",
    "Ella has 11 apples. Ella gives 6 to Henry.",
]
N_GREEDY = 24
N_PROBABILITIES = 5
# llama.cpp keeps keys and values as F16, and rounds activations to BF16 for BF16 matrices and to
# eight bits for NVFP4 ones; the random
# models amplify that a hundredfold.
ALLOWED_NANO = {"F32": 0.001, "BF16": 0.01, "NVFP4": 0.03}
ALLOWED_RANDOM = {"F32": 0.005, "BF16": 0.05, "NVFP4": 0.2}
WHOLE_CHARACTER = 40  # an ASCII letter or sign in every byte-level vocabulary


class LlamaServer:
    def __init__(self, path):
        parameters = xllamacpp.CommonParams()
        parameters.model.path = str(path)
        parameters.n_ctx = 1024
        parameters.n_parallel = 1
        parameters.warmup = False
        parameters.port = 0
        self.server = xllamacpp.Server(parameters)
        self.address = self.server.listening_address

    def complete(self, ids, n_tokens, forced=None):
        body = {"prompt": ids, "n_predict": n_tokens, "temperature": 0, "top_k": 1, "ignore_eos": True,
                "n_probs": N_PROBABILITIES, "post_sampling_probs": False, "return_tokens": True,
                "cache_prompt": False}
        if forced is not None:
            body["logit_bias"] = [[forced, 1e4]]
        request = urllib.request.Request(self.address + "/completion", json.dumps(body).encode(),
                                         {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.load(answer)


def same_answers(server, model):
    """Greedy continuations, token for token. Where two programs disagree, the two best tokens must
    have been as good as equal, and the rest is not compared."""
    n_same, n_ties = 0, 0
    for prompt in PROMPTS:
        ids, ours = nibble.greedy(model, prompt, N_GREEDY)
        answer = server.complete(ids, N_GREEDY)
        for at, (a, b) in enumerate(zip(ours, answer["tokens"], strict=True)):
            if a == b:
                n_same += 1
                continue
            best = answer["completion_probabilities"][at]["top_logprobs"]
            gap = best[0]["logprob"] - next((t["logprob"] for t in best if t["id"] == a), -math.inf)
            if gap > 0.02:
                return f"{prompt!r}: token {at} is {b}, nibble's {a}, {gap:.3f} apart", False
            n_ties += 1
            break
    return f"{n_same} tokens equal, {n_ties} near ties", True


def same_probabilities(server, model, is_text, allowed):
    """Log-probabilities of the five best next tokens after every prefix of a text."""
    ids = nibble.token_ids(model, PROMPTS[1]) if is_text else list(range(20, 40))
    ids = ids[:24]
    with tempfile.TemporaryDirectory() as scratch:
        ours = nibble.logits(model, ids, scratch).double().log_softmax(-1)
    differences = []
    for n in range(1, len(ids) + 1):
        # The server keeps a token back that ends within a character, so a whole one is forced on it;
        # the probabilities are those from before.
        best = server.complete(ids[:n], 1, WHOLE_CHARACTER)["completion_probabilities"][0]["top_logprobs"]
        differences += [abs(t["logprob"] - ours[n - 1, t["id"]].item()) for t in best]
    mean = sum(differences) / len(differences)
    return f"mean difference {mean:.5f} over {len(ids)} positions", mean < allowed


def main():
    exports = json.load(open(sys.argv[1]))
    findings = Findings()
    reader = f"llama.cpp ({version('xllamacpp')})"
    for name, paths in exports.items():
        if not (pathlib.Path(paths["source"]) / "tokenizer.json").exists():
            continue  # the server needs a vocabulary to answer
        for key, model in (("f32_gguf", paths["source"]), ("bf16_gguf", paths["source"]), ("gguf", paths["gguf_source"])):
            kind = {"f32_gguf": "F32", "bf16_gguf": "BF16", "gguf": "NVFP4"}[key]
            label = f"{name}, GGUF {kind}"
            allowed = ALLOWED_NANO[kind] if name == "nano" else ALLOWED_RANDOM[kind]
            if "moe" in name and kind != "F32":
                allowed *= 5  # a rounded router value picks another expert
            try:
                server = LlamaServer(pathlib.Path(paths[key]))
            except Exception as error:  # noqa: BLE001
                findings.add(reader, label, "loads", f"{type(error).__name__}: {error}", False)
                continue
            findings.attempt(reader, label, "next-token log-probabilities equal nibble's",
                             lambda s=server, m=model, a=allowed: same_probabilities(s, m, name == "nano", a))
            if name == "nano":
                findings.attempt(reader, label, "greedy answers equal nibble's",
                                 lambda s=server, m=model: same_answers(s, m))
            del server
    findings.save(sys.argv[2])


if __name__ == "__main__":
    main()
