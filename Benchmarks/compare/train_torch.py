#!/usr/bin/env python3
"""Train a Mamba-2 language model on bytes with PyTorch: what Meander's trainer is compared with, step by step.

    python3 -m pip install torch numpy safetensors
    python3 train_torch.py TEXT OUT [--width 256 --layers 4 --state 64 --head 64 --batch 8 --length 512 --steps 200 --threads 2]

The scan is computed in chunks by matrix products, as Mamba-2's authors do it, with PyTorch's own autograd. Writes the weights before
the first step to OUT/init, in Hugging Face's layout. Row b of step s is TEXT[o : o + length + 1], o = (s·batch + b)·7919·length mod
(size - length - 1), read from a state of zeros: the recipes' source `strided`. AdamW as recipes have it: rate 1e-3 after 20 steps of
warm-up, betas 0.9 and 0.95, decay 0.1 on matrices alone, gradients clipped to norm 1. Prints a line of JSON: the losses, the seconds of
each step, and the peak of the resident memory.
"""
import argparse
import json
import math
import pathlib
import resource
import time

import numpy as np
import torch
from safetensors.torch import save_file
from torch.nn import functional as F

CHUNK, EPSILON = 64, 1e-5


class Shape:
    def __init__(self, o: argparse.Namespace) -> None:
        self.width, self.layers, self.state, self.head = o.width, o.layers, o.state, o.head
        self.inner = 2 * o.width
        self.heads = self.inner // o.head
        self.channels = self.inner + 2 * o.state

    def configuration(self) -> dict:
        return {"model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "vocab_size": 256, "hidden_size": self.width,
                "num_hidden_layers": self.layers, "state_size": self.state, "num_heads": self.heads, "head_dim": self.head,
                "expand": 2, "n_groups": 1, "conv_kernel": 4, "chunk_size": CHUNK, "layer_norm_epsilon": EPSILON, "use_bias": False,
                "use_conv_bias": True, "hidden_act": "silu", "rms_norm": True, "residual_in_fp32": True, "tie_word_embeddings": True}

    def weights(self) -> dict:
        random = torch.Generator().manual_seed(5)

        def uniform(low, high, *shape):
            return low + (high - low) * torch.rand(*shape, generator=random)

        def projection(rows, columns):
            bound = columns ** -0.5
            return uniform(-bound, bound, rows, columns)

        weights = {"backbone.embeddings.weight": 0.02 * torch.randn(256, self.width, generator=random),
                   "backbone.norm_f.weight": torch.ones(self.width)}
        for layer in range(self.layers):
            step = uniform(math.log(1e-3), math.log(1e-1), self.heads).exp()
            for name, value in {
                "norm.weight": torch.ones(self.width),
                "mixer.in_proj.weight": projection(self.inner + self.channels + self.heads, self.width),
                "mixer.conv1d.weight": uniform(-0.5, 0.5, self.channels, 1, 4),
                "mixer.conv1d.bias": torch.zeros(self.channels),
                "mixer.A_log": uniform(1, 16, self.heads).log(),
                "mixer.dt_bias": step + torch.log(-torch.expm1(-step)),
                "mixer.D": torch.ones(self.heads),
                "mixer.norm.weight": torch.ones(self.inner),
                "mixer.out_proj.weight": projection(self.width, self.inner) / self.layers ** 0.5,
            }.items():
                weights[f"backbone.layers.{layer}.{name}"] = value
        return weights


def scan(x, step, rate, b, c):
    """The selective scan from a state of zeros: x B×T×H×P, step B×T×H, rate H, b and c B×T×N; T a multiple of the chunk."""
    batch, tokens, heads, width = x.shape
    chunks = tokens // CHUNK
    sums = (step * rate).reshape(batch, chunks, CHUNK, heads).permute(0, 1, 3, 2).cumsum(-1)  # B×c×H×Q
    z = (step[..., None] * x).reshape(batch, chunks, CHUNK, heads, width).permute(0, 1, 3, 2, 4)  # B×c×H×Q×P
    b, c = (v.reshape(batch, chunks, 1, CHUNK, -1) for v in (b, c))  # B×c×1×Q×N
    inside = torch.ones(CHUNK, CHUNK, dtype=torch.bool).tril()
    fade = (sums[..., :, None] - sums[..., None, :]).masked_fill(~inside, -torch.inf).exp()
    y = (c @ b.mT * fade) @ z
    gained = (z * (sums[..., -1:] - sums).exp()[..., None]).mT @ b  # B×c×H×P×N
    kept = sums[..., -1].exp()[..., None, None]
    state, before = torch.zeros_like(gained[:, 0]), []
    for chunk in range(chunks):
        before.append(state)
        state = kept[:, chunk] * state + gained[:, chunk]
    y = y + sums.exp()[..., None] * (c @ torch.stack(before, 1).mT)
    return y.permute(0, 1, 3, 2, 4).reshape(batch, tokens, heads, width)


def logits(weights: dict, shape: Shape, ids):
    embedding = weights["backbone.embeddings.weight"]
    residual = embedding[ids]
    for layer in range(shape.layers):
        w = {name: weights[f"backbone.layers.{layer}.{name}"] for name in (
            "norm.weight", "mixer.in_proj.weight", "mixer.conv1d.weight", "mixer.conv1d.bias", "mixer.A_log", "mixer.dt_bias",
            "mixer.D", "mixer.norm.weight", "mixer.out_proj.weight")}
        u = F.rms_norm(residual, (shape.width,), w["norm.weight"], EPSILON)
        gate, mixed, step = F.linear(u, w["mixer.in_proj.weight"]).split([shape.inner, shape.channels, shape.heads], -1)
        mixed = F.conv1d(F.pad(mixed.mT, (3, 0)), w["mixer.conv1d.weight"], w["mixer.conv1d.bias"], groups=shape.channels)
        x, b, c = F.silu(mixed).mT.split([shape.inner, shape.state, shape.state], -1)
        x = x.unflatten(-1, (shape.heads, shape.head))
        y = scan(x, F.softplus(step + w["mixer.dt_bias"]), -w["mixer.A_log"].exp(), b, c) + w["mixer.D"][:, None] * x
        y = F.rms_norm(y.flatten(2) * F.silu(gate), (shape.inner,), w["mixer.norm.weight"], EPSILON)
        residual = residual + F.linear(y, w["mixer.out_proj.weight"])
    return F.linear(F.rms_norm(residual, (shape.width,), weights["backbone.norm_f.weight"], EPSILON), embedding)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    for name, value in dict(width=256, layers=4, state=64, head=64, batch=8, length=512, steps=200, threads=2).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    o = parser.parse_args()
    torch.set_num_threads(o.threads)
    shape = Shape(o)
    weights = shape.weights()
    (o.out / "init").mkdir(parents=True, exist_ok=True)
    save_file(weights, o.out / "init" / "model.safetensors", metadata={"format": "pt"})
    (o.out / "init" / "config.json").write_text(json.dumps(shape.configuration()))

    text = np.fromfile(o.text, np.uint8)
    decayed = [v.requires_grad_() for v in weights.values() if v.dim() == 2]
    others = [v.requires_grad_() for v in weights.values() if v.dim() != 2]
    optimizer = torch.optim.AdamW(
        [{"params": decayed, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}], lr=1e-3, betas=(0.9, 0.95), eps=1e-8)
    losses, seconds = [], []
    for step in range(o.steps):
        start = time.perf_counter()
        places = [(step * o.batch + row) * 7919 * o.length % (len(text) - o.length - 1) for row in range(o.batch)]
        ids = torch.from_numpy(np.stack([text[place:place + o.length + 1] for place in places]).astype(np.int64))
        for group in optimizer.param_groups:
            group["lr"] = 1e-3 * min(1, (step + 1) / 20)
        loss = F.cross_entropy(logits(weights, shape, ids[:, :-1]).flatten(0, 1), ids[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(decayed + others, 1.0)
        optimizer.step()
        losses.append(loss.item())
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"losses": losses, "seconds": seconds, "parameters": sum(v.numel() for v in weights.values()),
                      "torch": torch.__version__,
                      "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024}))


main()
