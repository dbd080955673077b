"""Measures nibble's GGUF files with llama.cpp's own perplexity tool and compares with nibble eval.

usage: read_with_perplexity.py EXPORTS.json RESULT.json
"""

import json
import pathlib
import re
import subprocess
import sys
import tempfile

import nibble_program as nibble
from findings import Findings

READER = "llama-perplexity (llama-cpp-python 0.3.36)"
N_BYTES = 600_000
ALLOWED = 0.005
# llama.cpp multiplies NVFP4 with activations rounded to eight bits, which moves the model a little
# further than its weights alone.
ALLOWED_WITH_ROUNDED_ACTIVATIONS = 0.02


def perplexity_tool():
    bin_folder = subprocess.run([nibble.ROOT / "tools/get_llamacpp"], capture_output=True, text=True, check=True).stdout
    return pathlib.Path(bin_folder.strip()) / "llama-perplexity"


def measure(tool, *arguments):
    done = subprocess.run([tool, "-c", "512", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"llama-perplexity: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def number(pattern, text):
    found = re.search(pattern + r"\s*[=:]?\s*([0-9.]+)", text)
    if found is None:
        raise RuntimeError(f"llama-perplexity printed no {pattern}")
    return float(found[1])


def main():
    paths = json.load(open(sys.argv[1]))["nano"]
    text = (nibble.ROOT / "data/heldout.txt").read_bytes()[:N_BYTES]
    ours = nibble.run_json("eval", paths["gguf"], "--base", paths["bf16_gguf"], "--text",
                           nibble.ROOT / "data/heldout.txt", "--max-bytes", N_BYTES)
    findings = Findings()
    tool = perplexity_tool()
    with tempfile.TemporaryDirectory() as scratch:
        cut, base = pathlib.Path(scratch) / "text.txt", pathlib.Path(scratch) / "base.kld"
        cut.write_bytes(text)
        first = measure(tool, "-m", paths["bf16_gguf"], "-f", cut, "--kl-divergence-base", base)
        decoded = measure(tool, "-m", paths["decoded_gguf"], "-f", cut, "--kl-divergence-base", base, "--kl-divergence")
        packed = measure(tool, "-m", paths["gguf"], "-f", cut, "--kl-divergence-base", base, "--kl-divergence")
    rows = [
        ("BF16", "perplexity", ours["base_ppl"], number(r"Final estimate: PPL", first), ALLOWED),
        ("NVFP4 values as BF16", "perplexity", ours["ppl"], number(r"Mean PPL\(Q\)", decoded), ALLOWED),
        ("NVFP4 values as BF16", "mean KL divergence", ours["kld_mean"], number(r"Mean\s+KLD", decoded), ALLOWED),
        ("NVFP4", "perplexity", ours["ppl"], number(r"Mean PPL\(Q\)", packed), ALLOWED),
        ("NVFP4", "mean KL divergence", ours["kld_mean"], number(r"Mean\s+KLD", packed), ALLOWED_WITH_ROUNDED_ACTIVATIONS),
    ]
    for kind, what, mine, theirs, allowed in rows:
        findings.add(READER, f"nano, GGUF {kind}", f"{what} of {N_BYTES:,} bytes within {allowed:.1%} of nibble eval's",
                     f"{theirs:.5f} against {mine:.5f}", abs(mine / theirs - 1) <= allowed)
    findings.save(sys.argv[2])


if __name__ == "__main__":
    main()
