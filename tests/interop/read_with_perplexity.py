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
        second = measure(tool, "-m", paths["gguf"], "-f", cut, "--kl-divergence-base", base, "--kl-divergence")
    pairs = [
        ("BF16", "perplexity", ours["base_ppl"], number(r"Final estimate: PPL", first)),
        ("NVFP4", "perplexity", ours["ppl"], number(r"Mean PPL\(Q\)", second)),
        ("NVFP4", "mean KL divergence", ours["kld_mean"], number(r"Mean\s+KLD", second)),
    ]
    for kind, what, mine, theirs in pairs:
        findings.add(READER, f"nano, GGUF {kind}", f"{what} of {N_BYTES:,} bytes equals nibble eval's within 0.5 %",
                     f"{theirs:.5f} against {mine:.5f}", abs(mine / theirs - 1) <= ALLOWED)
    findings.save(sys.argv[2])


if __name__ == "__main__":
    main()
