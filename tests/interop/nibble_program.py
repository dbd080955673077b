"""Runs the program under test and reads what it writes."""

import json
import os
import pathlib
import subprocess

from safetensors.torch import load_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
PROGRAM = pathlib.Path(os.environ.get("NIBBLE", ROOT / "build/release/nibble"))


def run(*arguments):
    command = [str(a) for a in (PROGRAM, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: exit code {done.returncode}\n{done.stderr}")
    return done.stdout


def run_json(*arguments):
    return json.loads(run(*arguments, "--json", "--quiet"))


def logits(model, ids, scratch):
    """Logits after each id, [len(ids), vocabulary], F32, by the scalar reference."""
    out = pathlib.Path(scratch) / "logits.safetensors"
    run("logits", model, "--ids", ",".join(map(str, ids)), "--precision", "f32", "-o", out, "--quiet")
    return load_file(out)["logits"]


def token_ids(model, text):
    return run_json("tokenize", model, text)["ids"]


def greedy(model, prompt, n_tokens):
    """Prompt ids and the ids of the most probable continuation."""
    answer = run_json("generate", model, "--prompt", prompt, "-n", n_tokens, "--temperature", 0, "--ignore-eos")
    return answer["prompt_ids"], answer["ids"]
