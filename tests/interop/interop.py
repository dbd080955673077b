"""Proves nibble's exports with the real readers and writes docs/interop.md.

usage: interop.py VENVS   (the folder that make_venvs.py filled)
"""

import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WORK = ROOT / "build/interop"


def python(venv, script, *arguments):
    log = WORK / f"{pathlib.Path(script).stem}.log"
    with open(log, "w") as errors:
        done = subprocess.run([venv / "bin/python", HERE / script, *map(str, arguments)], stderr=errors, cwd=WORK,
                              timeout=1800)
    if done.returncode != 0:
        sys.stderr.write(log.read_text()[-4000:])
        raise SystemExit(f"error: {script} ended with code {done.returncode}; its messages are in {log}")


def vllm_runs(exports):
    """What vLLM is asked to load: nano in every dialect and recipe, and the checkpoint whose values
    it must compute with."""
    nano = exports["nano"]
    yield "nano, compressed-tensors", nano["ct"], nano["ct"]
    yield "nano, ModelOpt", nano["modelopt"], nano["ct"]
    for key in sorted(nano):
        if key.startswith(("portable-", "spark-", "nvidia-")):
            yield f"nano, recipe {key.replace('-', ', ', 1)}", nano[key], nano[key]


def table(rows):
    lines = ["| reader | checkpoint | claim | measured | holds |", "| --- | --- | --- | --- | --- |"]
    for row in rows:
        cells = [row["reader"], row["checkpoint"], row["claim"], row["measured"], "yes" if row["holds"] else "NO"]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def report(rows):
    n_holding = sum(row["holds"] for row in rows)
    return "\n".join([
        "# What the real readers make of nibble's checkpoints",
        "",
        "`./run interop` writes this page: it installs the readers at pinned versions, lets nibble export",
        "`models/nano` and small random members of the family, and compares what each reader makes of them",
        "with what nibble computes. No GPU is needed: where a reader has no NVFP4 kernel for CPUs (vLLM), its",
        "own code reads config and weights and a plain product stands in for the kernel. transformers is not",
        "asked for mixtures of experts: it leaves packed experts unread, whoever wrote them.",
        "",
        f"{n_holding} of {len(rows)} claims hold.",
        "",
        *table(rows),
        "",
    ])


def main():
    venvs = pathlib.Path(sys.argv[1]).resolve()
    WORK.mkdir(parents=True, exist_ok=True)
    listing = WORK / "exports.json"
    make = f"import exports, json; json.dump(exports.make(r'{WORK / 'exports'}'), open(r'{listing}', 'w'), default=str)"
    (WORK / "exports").mkdir(exist_ok=True)
    subprocess.run([venvs / "readers/bin/python", "-c", make], cwd=HERE, check=True)
    exports = json.loads(listing.read_text())

    rows = []

    def collect(venv, script, *arguments):
        result = WORK / "result.json"
        python(venvs / venv, script, *arguments, result)
        rows.extend(json.loads(result.read_text()))

    collect("readers", "read_with_libraries.py", listing)
    collect("readers", "read_with_llama_cpp.py", listing)
    collect("readers", "read_with_perplexity.py", listing)
    for name, folder, reference in vllm_runs(exports):
        collect("vllm", "read_with_vllm.py", name, folder, reference)

    (ROOT / "docs/interop.md").write_text(report(rows))
    n_failed = sum(not row["holds"] for row in rows)
    print(f"{len(rows) - n_failed} of {len(rows)} claims hold; docs/interop.md has the table")
    raise SystemExit(1 if n_failed else 0)


if __name__ == "__main__":
    main()
