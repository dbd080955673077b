"""The checkpoints that nibble writes for the readers: every dialect, recipe and kind of model."""

import pathlib

import nibble_program as nibble

NANO = nibble.ROOT / "models/nano"


def sources():
    """Name and folder of the models that are exported: nano, and the small random ones."""
    found = {"nano": NANO}
    micro = nibble.ROOT.parent / "shared/golden/micro"
    for folder in sorted(micro.iterdir()) if micro.exists() else []:
        if (folder / "config.json").exists():
            found[f"micro_{folder.name.replace('-', '_')}"] = folder
    for folder in sorted((nibble.ROOT / "tests/data/model").iterdir()):
        if (folder / "config.json").exists():
            found.setdefault(folder.name, folder)
    return found


def make(folder):
    """Writes them all below `folder`; returns {name: {"source", "ct", "modelopt", "gguf", ...}}."""
    folder = pathlib.Path(folder)
    made = {}
    for name, source in sources().items():
        paths = {"source": source}

        def write(key, *arguments):
            paths[key] = folder / f"{name}-{key}"
            nibble.run(*arguments[:2], paths[key], *arguments[2:], "--force", "--quiet")

        write("ct", "quantize", source)
        write("modelopt", "convert", paths["ct"], "--to", "modelopt")
        # GGUF's blocks hold 64 columns; the MLPs of the small models have other sizes.
        paths["gguf_source"] = paths["ct"]
        if name != "nano":
            write("gguf_source", "quantize", source, "--ignore", "re:.*down_proj$")
        paths["gguf"] = folder / f"{name}-nvfp4.gguf"
        nibble.run("convert", paths["gguf_source"], paths["gguf"], "--to", "gguf", "--force", "--quiet")
        for kind in ("bf16", "f32"):
            paths[f"{kind}_gguf"] = folder / f"{name}-{kind}.gguf"
            nibble.run("convert", source, paths[f"{kind}_gguf"], "--to", "gguf", "--outtype", kind, "--force", "--quiet")
        write("decoded", "convert", paths["ct"], "--to", "hf", "--dequantize")
        if name == "nano":
            paths["decoded_gguf"] = folder / f"{name}-decoded.gguf"
            nibble.run("convert", paths["ct"], paths["decoded_gguf"], "--to", "gguf", "--dequantize", "--force", "--quiet")
            for recipe in ("portable", "spark", "nvidia"):
                for dialect in ("compressed-tensors", "modelopt"):
                    write(f"{recipe}-{dialect}", "quantize", source, "--recipe", recipe, "--to", dialect)
        made[name] = paths
    return made
