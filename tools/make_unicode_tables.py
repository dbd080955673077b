#!/usr/bin/env python3
"""Writes the Unicode tables of src/tokenizer/unicode/.

general_category_table.inc: what the regular-expression engine of the reference tokenizer answers to
\\p{Lu}, \\p{Ll} ... for every code point, so that the version is the engine's own.
unassigned_in_9_table.inc: what Unicode 9.0 had not assigned, by Perl's copy of DerivedAge.

Needs `pip install tokenizers` and perl. Usage: tools/make_unicode_tables.py
"""

import pathlib
import subprocess

from tokenizers import Regex, pre_tokenizers

FOLDER = pathlib.Path(__file__).resolve().parent.parent / "src/tokenizer/unicode"
CATEGORIES = (
    "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Co".split()
)
N_CODE_POINTS = 0x110000
# Combining and composing begins at U+0300; what lies before it is as old as Unicode.
PERL = r"""
for my $c (0x300 .. 0x10FFFF) {
  next if $c >= 0xD800 && $c < 0xF900;
  print "$c\n" if chr($c) !~ /\p{Present_In: 9.0}/;
}
"""


def is_surrogate(c):
    return 0xD800 <= c < 0xE000


def matched_by(expression, chunks):
    split = pre_tokenizers.Split(Regex(expression), "removed", invert=True)
    return {ord(c) for chunk in chunks for word, _ in split.pre_tokenize_str(chunk) for c in word}


def general_categories():
    characters = [chr(c) for c in range(N_CODE_POINTS) if not is_surrogate(c)]
    chunks = ["".join(characters[i : i + 50000]) for i in range(0, len(characters), 50000)]
    categories = ["Cs" if is_surrogate(c) else "Cn" for c in range(N_CODE_POINTS)]
    for category in CATEGORIES:
        for c in matched_by(rf"\p{{{category}}}", chunks):
            categories[c] = category
    return categories


def runs_of(categories):
    """(first, name) of each run; at least two pairs of capital and small letter make one run."""
    at = 0
    while at < N_CODE_POINTS:
        n = 0
        while at + n < N_CODE_POINTS and categories[at + n] == ("Lu", "Ll")[n % 2]:
            n += 1
        n -= n % 2
        if n >= 4:
            yield at, "kUpperLowerPairs"
            at += n
            continue
        end = at + 1
        while end < N_CODE_POINTS and categories[end] == categories[at]:
            end += 1
        # The last capital before a small letter may begin a run of pairs.
        if categories[at] == "Lu" and end - at > 1 and categories[end % N_CODE_POINTS] == "Ll":
            end -= 1
        yield at, "k" + categories[at]
        at = end


def ranges_of(code_points):
    ranges = []
    for c in code_points:
        if ranges and ranges[-1][1] == c - 1:
            ranges[-1][1] = c
        else:
            ranges.append([c, c])
    return ranges


def write_table(name, comment, cells):
    lines = [comment]
    line = ""
    for cell in cells:
        if len(line) + len(cell) + 1 > 100:
            lines.append(line.rstrip())
            line = ""
        line += cell + " "
    lines.append(line.rstrip())
    (FOLDER / name).write_text("\n".join(lines) + "\n")


def main():
    write_table(
        "general_category_table.inc",
        "// {first code point, category}: each row holds up to the next one. Unicode 16.0.",
        [f"{{0x{first:X}, {name}}}," for first, name in runs_of(general_categories())],
    )
    listed = subprocess.run(["perl", "-e", PERL], check=True, capture_output=True, text=True)
    write_table(
        "unassigned_in_9_table.inc",
        "// {first, last} code point that Unicode 9.0 had not assigned.",
        [
            f"{{0x{a:X}, 0x{b:X}}},"
            for a, b in ranges_of(int(line) for line in listed.stdout.split())
        ],
    )


if __name__ == "__main__":
    main()
