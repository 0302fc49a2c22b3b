#!/usr/bin/env python3
"""Logits, states, loss and every gradient of a small LSTM language model, from torch.nn.LSTM: Tests/Fixtures/lstm.

    python3 -m pip install torch safetensors
    python3 Tests/Generators/lstm.py

The layout is Meander's own, the arithmetic PyTorch's in double precision, state included; weights and ids are seeded random
numbers. Layer: x + W_out·LSTM(norm(x)). Written by torch 2.13.0.
"""
import json
import pathlib

import torch
from safetensors.torch import save_file
from torch.nn import functional as F

V, D, I, L, EPSILON = 40, 24, 20, 2, 1e-5
folder = pathlib.Path(__file__).parent.parent / "Fixtures" / "lstm"
folder.mkdir(parents=True, exist_ok=True)
torch.manual_seed(23)


def draw(*shape, scale):
    return (torch.randn(*shape) * scale).double().requires_grad_()


weights = {"backbone.embeddings.weight": draw(V, D, scale=1.0), "backbone.norm_f.weight": draw(D, scale=1.0)}
for layer in range(L):
    weights |= {
        f"backbone.layers.{layer}.norm.weight": draw(D, scale=1.0),
        f"backbone.layers.{layer}.mixer.in_proj.weight": draw(4 * I, D, scale=0.3),
        f"backbone.layers.{layer}.mixer.in_proj.bias": draw(4 * I, scale=0.5),
        f"backbone.layers.{layer}.mixer.recurrent.weight": draw(4 * I, I, scale=0.4),
        f"backbone.layers.{layer}.mixer.out_proj.weight": draw(D, I, scale=0.5),
    }


def forward(ids, states=None):
    """Logits T × V, and (h, c) of each layer."""
    x = weights["backbone.embeddings.weight"][ids]
    after = []
    for layer in range(L):
        w = {k.split(".", 3)[3]: v for k, v in weights.items() if k.startswith(f"backbone.layers.{layer}.")}
        cell = torch.nn.LSTM(D, I).double()
        parts = {"weight_ih_l0": w["mixer.in_proj.weight"], "weight_hh_l0": w["mixer.recurrent.weight"],
                 "bias_ih_l0": w["mixer.in_proj.bias"], "bias_hh_l0": torch.zeros(4 * I).double()}
        u = F.rms_norm(x, (D,), w["norm.weight"], EPSILON)
        before = states[layer] if states else (torch.zeros(1, I).double(), torch.zeros(1, I).double())
        y, state = torch.func.functional_call(cell, parts, (u, before))
        after.append(state)
        x = x + y @ w["mixer.out_proj.weight"].T
    return F.rms_norm(x, (D,), weights["backbone.norm_f.weight"], EPSILON) @ weights["backbone.embeddings.weight"].T, after


def states(name, after):
    return {f"{name}.{layer}.{letter}": value.detach().float().contiguous()
            for layer, state in enumerate(after) for letter, value in zip("hc", state)}


save_file({k: v.detach().float().contiguous() for k, v in weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
(folder / "config.json").write_text(json.dumps({
    "model_type": "lstm", "vocab_size": V, "hidden_size": D, "intermediate_size": I, "num_hidden_layers": L,
    "layer_norm_epsilon": EPSILON, "tie_word_embeddings": True}, indent=1) + "\n")

length, split, steps = 50, 19, 8
with torch.no_grad():
    ids = torch.randint(0, V, (length,))
    logits, after = forward(ids)
    golden = {"input_ids": ids[None], "logits": logits.float()[None].contiguous()} | states("state", after)
    golden |= states("state_at_split", forward(ids[:split])[1])
    greedy, state = [], after
    for _ in range(steps):
        greedy.append(int(logits[-1].argmax()))
        logits, state = forward(torch.tensor(greedy[-1:]), state)
    golden["greedy_ids"] = torch.tensor(greedy)[None]
    save_file(golden, folder / "golden.safetensors")
    short = {}
    for count in (1, 2, 3):
        short[f"{count}.input_ids"] = ids[None, :count].clone()
        short[f"{count}.logits"] = forward(ids[:count])[0].float()[None].contiguous()
    save_file(short, folder / "golden_short.safetensors")
(folder / "golden.json").write_text(json.dumps({"name": "lstm", "length": length, "split": split, "steps": steps}, indent=1) + "\n")

gradients = {}
for tokens in (1, 3, 33, 257):
    ids = torch.randint(0, V, (tokens + 1,))
    loss = F.cross_entropy(forward(ids[:-1])[0], ids[1:])
    for weight, gradient in zip(weights, torch.autograd.grad(loss, list(weights.values()), allow_unused=True)):
        value = torch.zeros_like(weights[weight]) if gradient is None else gradient
        gradients[f"{tokens}.{weight}"] = value.detach().float().contiguous()
    gradients |= {f"{tokens}.ids": ids, f"{tokens}.loss": loss.detach().float().reshape(1)}
save_file(gradients, folder / "gradients.safetensors")
