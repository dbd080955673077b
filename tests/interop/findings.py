"""What a check found: one row of the table in docs/interop.md."""

import importlib.metadata
import json


def version(package):
    return f"{package} {importlib.metadata.version(package)}"


class Findings:
    """Rows of one run. A claim that does not hold is kept and makes the run fail."""

    def __init__(self):
        self.rows = []

    def add(self, reader, checkpoint, claim, measured, holds):
        row = {"reader": reader, "checkpoint": checkpoint, "claim": claim, "measured": measured, "holds": bool(holds)}
        self.rows.append(row)
        print(f"{'ok    ' if holds else 'FAILED'}  {reader}: {checkpoint}: {claim}: {measured}", flush=True)

    def attempt(self, reader, checkpoint, claim, check):
        """Runs check() -> (measured, holds); an exception is a claim that does not hold."""
        try:
            measured, holds = check()
        except Exception as error:  # noqa: BLE001: whatever a reader throws belongs in the table
            measured, holds = f"{type(error).__name__}: {str(error).splitlines()[0][:200]}", False
        self.add(reader, checkpoint, claim, measured, holds)

    def save(self, path):
        with open(path, "w") as file:
            json.dump(self.rows, file, indent=1)
