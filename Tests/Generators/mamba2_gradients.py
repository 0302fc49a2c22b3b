#!/usr/bin/env python3
"""Loss and every gradient of a small Mamba-2, from transformers in double precision: Tests/Fixtures/mamba2-gradients.

    python3 -m pip install torch transformers safetensors
    python3 Tests/Generators/mamba2_gradients.py

Weights and ids are seeded random numbers of our own. Written by transformers 5.24.0 and torch 2.15.0.
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from transformers import Mamba2Config, Mamba2ForCausalLM

folder = pathlib.Path(__file__).parent.parent / "Fixtures" / "mamba2-gradients"
folder.mkdir(parents=True, exist_ok=True)
torch.manual_seed(11)
config = Mamba2Config(
    vocab_size=29, hidden_size=24, num_hidden_layers=2, state_size=8, num_heads=3, head_dim=16, expand=2, n_groups=1, conv_kernel=4,
    chunk_size=32, use_bias=True, use_conv_bias=True, tie_word_embeddings=True, time_step_limit=(0.0, float("inf")))
model = Mamba2ForCausalLM(config).double()
with torch.no_grad():
    for name, parameter in model.named_parameters():
        parameter.copy_((parameter + 0.05 * torch.randn(parameter.shape, dtype=torch.float64)).float().double())
save_file({k: v.float().contiguous() for k, v in model.state_dict().items() if k != "lm_head.weight"}, folder / "model.safetensors",
          metadata={"format": "pt"})
written = json.loads(config.to_json_string(use_diff=False))
keys = ["model_type", "vocab_size", "hidden_size", "num_hidden_layers", "state_size", "num_heads", "head_dim", "expand", "n_groups",
        "conv_kernel", "chunk_size", "use_bias", "use_conv_bias", "tie_word_embeddings", "layer_norm_epsilon"]
(folder / "config.json").write_text(json.dumps({k: written[k] for k in keys}, indent=1) + "\n")
golden = {}
for tokens in [1, 3, 4, 31, 32, 33, 63, 257]:
    ids = torch.randint(0, 29, (tokens + 1,))
    model.zero_grad()
    logits = model(input_ids=ids[None, :-1], use_cache=False).logits[0]
    loss = torch.nn.functional.cross_entropy(logits, ids[1:])
    loss.backward()
    golden[f"{tokens}.ids"] = ids
    golden[f"{tokens}.loss"] = loss.detach().float().reshape(1)
    for name, parameter in model.named_parameters():
        golden[f"{tokens}.{name}"] = parameter.grad.float().contiguous()
save_file(golden, folder / "golden.safetensors")
print({k: tuple(v.shape) for k, v in list(golden.items())[:20]})
