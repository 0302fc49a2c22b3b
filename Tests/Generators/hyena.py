#!/usr/bin/env python3
"""Logits of small models of long convolutions, straight from the definition: Tests/Fixtures/hyena, -explicit and -striped.

    python3 -m pip install numpy safetensors
    python3 Tests/Generators/hyena.py

Weights and ids are seeded random numbers, the arithmetic is numpy's in double precision, and no transform is used: every output is
the sum over its past. Written by numpy 2.4.6.
"""
import json
import pathlib

import numpy
from safetensors.numpy import save_file

V, D, L, INNER, T = 40, 12, 2, 20, 300
fixtures = pathlib.Path(__file__).parent.parent / "Fixtures"


def normed(x, weight):
    return x / numpy.sqrt((x * x).mean(-1, keepdims=True) + 1e-6) * weight


def silu(x):
    return x / (1 + numpy.exp(-x))


def causal(x, taps):
    """y[t] = sum of taps[s] * x[t - s]; both with channels last."""
    y = numpy.zeros_like(x)
    for s in range(min(len(taps), len(x))):
        y[s:] += taps[s] * x[: len(x) - s]
    return y


def implicit(w, config, channels):
    """The taps of all stages, from the network."""
    K, E = config["filter_length"], config["filter_features"]
    bands = (E - 1) // 2
    lag = numpy.arange(K)
    angle = numpy.linspace(1e-4, bands - 1, bands)[None] * (2 * numpy.pi * lag / K)[:, None]
    share = (lag / (K - 1)).astype(numpy.float32).astype(float)[:, None]
    x = numpy.concatenate([share, numpy.cos(angle), -numpy.sin(angle)], 1)
    layers = ["in"] + [f"hidden.{i}" for i in range(config["filter_layers"])]
    for name in layers:
        x = numpy.sin(w["frequency"] * (x @ w[f"{name}.weight"].T + w[f"{name}.bias"]))
    rate = -numpy.log(0.01)
    decay = numpy.linspace(rate / 1.5, rate / 0.3, channels)
    window = numpy.exp(-share * numpy.tile(decay, config["order"] - 1)) + config["filter_shift"]
    return (x @ w["out.weight"].T) * window


def hyena(u, w, config):
    N = config["order"]
    mixed = u @ w["in_proj.weight"].T + w["in_proj.bias"]
    short = w["conv.weight"][:, 0, ::-1].T
    parts = numpy.split(causal(mixed, short) + w["conv.bias"], N + 1, axis=1)
    own = {k[len("filter."):]: v for k, v in w.items() if k.startswith("filter.")}
    taps = own["taps"] if "taps" in own else implicit(own, config, D)
    z = parts[N]
    for stage in range(N - 1):
        z = z * parts[stage + 1]
        columns = slice(stage * D, (stage + 1) * D)
        z = causal(z, taps[:, columns]) + w["skip"][columns] * z
    return (parts[0] * z) @ w["out_proj.weight"].T + w["out_proj.bias"]


def attention(u, w, config):
    heads, width = config["num_attention_heads"], config["head_dim"]
    angle = numpy.arange(len(u))[:, None] * 10000.0 ** (-numpy.arange(0, width, 2) / width)
    cosine, sine = (numpy.concatenate([f(angle), f(angle)], 1)[:, None] for f in (numpy.cos, numpy.sin))

    def turned(x):
        half = numpy.concatenate([-x[..., width // 2:], x[..., : width // 2]], -1)
        return x * cosine + half * sine

    q = turned((u @ w["q_proj.weight"].T).reshape(len(u), heads, width))
    k = turned((u @ w["k_proj.weight"].T).reshape(len(u), 1, width))[:, 0]
    v = u @ w["v_proj.weight"].T
    scores = numpy.einsum("thp,sp->hts", q, k) / numpy.sqrt(width)
    scores[:, numpy.triu(numpy.ones((len(u), len(u)), bool), 1)] = -numpy.inf
    weights = numpy.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return numpy.einsum("hts,sp->thp", weights, v).reshape(len(u), -1) @ w["o_proj.weight"].T


def write(name, changes, seed):
    config = {
        "model_type": "hyena", "vocab_size": V, "hidden_size": D, "num_hidden_layers": L, "num_attention_heads": 2,
        "num_key_value_heads": 1, "head_dim": 8, "intermediate_size": INNER, "max_position_embeddings": 512,
        "tie_word_embeddings": True, "order": 2, "conv_kernel": 3,
    } | changes
    rng = numpy.random.default_rng(seed)
    weights = {}

    def draw(name, *shape, scale, around=0.0):
        weights[name] = (around + rng.standard_normal(shape) * scale).astype(numpy.float32)

    N = config["order"]
    kinds = config.get("layer_types", ["hyena"] * L)
    draw("model.embed_tokens.weight", V, D, scale=1.0)
    draw("model.norm.weight", D, scale=0.3, around=1.0)
    for layer, kind in enumerate(kinds):
        p = f"model.layers.{layer}."
        draw(p + "input_layernorm.weight", D, scale=0.3, around=1.0)
        draw(p + "post_attention_layernorm.weight", D, scale=0.3, around=1.0)
        for part, shape in (("gate", (INNER, D)), ("up", (INNER, D)), ("down", (D, INNER))):
            draw(f"{p}mlp.{part}_proj.weight", *shape, scale=0.3)
        if kind == "hyena":
            m = p + "mixer."
            draw(m + "in_proj.weight", (N + 1) * D, D, scale=0.4)
            draw(m + "in_proj.bias", (N + 1) * D, scale=0.3)
            draw(m + "conv.weight", (N + 1) * D, 1, config["conv_kernel"], scale=0.5)
            draw(m + "conv.bias", (N + 1) * D, scale=0.2)
            draw(m + "skip", (N - 1) * D, scale=0.5)
            draw(m + "out_proj.weight", D, D, scale=0.3)
            draw(m + "out_proj.bias", D, scale=0.2)
            if config.get("filter") == "explicit":
                draw(m + "filter.taps", config["filter_length"], (N - 1) * D, scale=0.1)
            else:
                width = config["filter_width"]
                draw(m + "filter.in.weight", width, config["filter_features"], scale=0.7)
                draw(m + "filter.in.bias", width, scale=0.7)
                for i in range(config["filter_layers"]):
                    draw(f"{m}filter.hidden.{i}.weight", width, width, scale=0.5)
                    draw(f"{m}filter.hidden.{i}.bias", width, scale=0.5)
                draw(m + "filter.out.weight", (N - 1) * D, width, scale=0.15)
                draw(m + "filter.frequency", width, scale=0.3, around=2.0)
        else:
            a = p + "self_attn."
            for part, rows, columns in (("q", 16, D), ("k", 8, D), ("v", 8, D), ("o", D, 16)):
                draw(f"{a}{part}_proj.weight", rows, columns, scale=0.4)
    ids = rng.integers(0, V, T)
    w = {k: v.astype(float) for k, v in weights.items()}
    x = w["model.embed_tokens.weight"][ids]
    for layer, kind in enumerate(kinds):
        p = f"model.layers.{layer}."
        u = normed(x, w[p + "input_layernorm.weight"])
        own = p + ("mixer." if kind == "hyena" else "self_attn.")
        part = {k[len(own):]: v for k, v in w.items() if k.startswith(own)}
        x = x + (hyena if kind == "hyena" else attention)(u, part, config)
        u = normed(x, w[p + "post_attention_layernorm.weight"])
        gated = silu(u @ w[p + "mlp.gate_proj.weight"].T) * (u @ w[p + "mlp.up_proj.weight"].T)
        x = x + gated @ w[p + "mlp.down_proj.weight"].T
    logits = normed(x, w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T
    folder = fixtures / name
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(weights, folder / "model.safetensors")
    save_file({"input_ids": ids[None], "logits": logits[None].astype(numpy.float32)}, folder / "golden.safetensors")
    print(name, float(logits.std()))


network = {"filter_features": 5, "filter_width": 6, "filter_layers": 1, "filter_shift": 0.05}
write("hyena", {"order": 3, "filter_length": 200} | network, 41)
write("hyena-explicit", {"filter": "explicit", "filter_length": 150}, 42)
write("hyena-striped", {"filter_length": 512, "layer_types": ["hyena", "full_attention"]} | network, 43)
