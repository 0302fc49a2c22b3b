#!/usr/bin/env python3
"""What transformers makes of a model that Meander trained and exported: Tests/Fixtures/exported/golden.safetensors.

    python3 -m pip install torch transformers safetensors
    python3 Tests/Generators/exported.py

Reads Models/tiny as it ships, in float32. To be run again whenever that model changes. Written by transformers 5.24.0 and torch 2.13.0.
"""
import pathlib

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

root = pathlib.Path(__file__).parent.parent.parent
model = AutoModelForCausalLM.from_pretrained(root / "Models" / "tiny", dtype=torch.float32)
ids = torch.tensor([list(b"Licensed under the Apache License, Version 2.0 (the \"License\");\n\x00\xffand beyond")])
with torch.no_grad():
    logits = model(input_ids=ids, use_cache=False).logits
folder = root / "Tests" / "Fixtures" / "exported"
folder.mkdir(parents=True, exist_ok=True)
save_file({"input_ids": ids, "logits": logits.contiguous()}, folder / "golden.safetensors")
print(type(model).__name__, tuple(logits.shape))
