"""Writes Sources/MeanderText/Normalizing/CompatibilityTable.swift from Python's Unicode data.

  python3 Tests/Generators/compatibility.py
"""
import os
import sys
import textwrap
import unicodedata

HEADER = '''/// The compatibility decompositions of Unicode {version}, as `Tests/Generators/compatibility.py` writes them: hexadecimal,
/// `first[-last]:replacement`, where a range's replacements count up with it. Hangul and canonical decompositions are left
/// to composition.
enum CompatibilityTable {{
  static let text = """
{body}
    """
}}
'''


def main():
    entries = []
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        c = chr(code)
        full = unicodedata.normalize("NFKD", c)
        if full == unicodedata.normalize("NFD", c):
            continue
        target = [ord(x) for x in full]
        last = entries[-1] if entries else None
        if last and code == last[1] + 1 and len(target) == 1 == len(last[2]) and target[0] == last[2][0] + code - last[0]:
            last[1] = code
        else:
            entries.append([code, code, target])
    words = [f"{a:X}" + (f"-{b:X}" if b > a else "") + ":" + ".".join(f"{t:X}" for t in target) for a, b, target in entries]
    body = "\n".join("    " + line for line in textwrap.wrap(" ".join(words), 106, break_on_hyphens=False))
    body = "\n".join(line + " \\" for line in body.split("\n"))[:-2]
    path = os.path.join(os.path.dirname(__file__), "../../Sources/MeanderText/Normalizing/CompatibilityTable.swift")
    with open(path, "w") as file:
        file.write(HEADER.format(version=unicodedata.unidata_version, body=body))


if __name__ == "__main__":
    sys.exit(main())
