#!/usr/bin/env python3
"""Logits and states of small models of the linear family that have no reference in transformers, from the published formulas written
out token by token in double precision: Tests/Fixtures/{retnet,gla,hgrn2,delta-net,gated-deltanet,mamba3,mamba3-groups,mamba3-mimo,
mamba3-mimo-norm}.

    python3 -m pip install numpy safetensors
    python3 Tests/Generators/linear.py

RetNet (arXiv 2307.08621), GLA (2312.06635), HGRN2 (2404.07904), DeltaNet (2406.06484), Gated DeltaNet (2412.06464), Mamba-3
(2603.15569). Weights and ids are seeded random numbers. Names and constants are those of flash-linear-attention and, for Mamba-3,
state-spaces. A state S of a head is N × P, and an output q S.
"""
import json
import math
import pathlib

import numpy as np
from safetensors.numpy import save_file

V, D, L, INNER = 40, 16, 2, 24
LENGTH, SPLIT, STEPS = 50, 19, 8
fixtures = pathlib.Path(__file__).parent.parent / "Fixtures"


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def silu(x):
    return x * sigmoid(x)


def softplus(x):
    return np.logaddexp(0, x)


def norm(x, weight, epsilon):
    return x / np.sqrt(np.mean(x * x, axis=-1, keepdims=True) + epsilon) * weight


def unit(x):
    return x / np.sqrt(np.sum(x * x, axis=-1, keepdims=True) + 1e-6)


class Linear:
    """What the models share: a mixer's step, then a gated feed-forward."""

    epsilon, embedding, stem, final = 1e-6, "model.embeddings.weight", "model.layers", "model.norm.weight"
    before, own, behind, tied = "attn_norm", "attn", "mlp_norm", False

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        self.weights = {}
        self.draw(self.embedding, V, D, scale=1)
        self.draw(self.final, D, scale=1)
        if not self.tied:
            self.draw("lm_head.weight", V, D, scale=0.5)
        for layer in range(L):
            self.layer = f"{self.stem}.{layer}."
            self.draw(f"{self.layer}{self.before}.weight", D, scale=1)
            self.layer += self.own + "."
            self.declare()
            self.layer = f"{self.stem}.{layer}."
            self.draw(f"{self.layer}{self.behind}.weight", D, scale=1)
            for name, rows, columns in (("gate", INNER, D), ("up", INNER, D), ("down", D, INNER)):
                self.draw(f"{self.layer}mlp.{name}_proj.weight", rows, columns, scale=0.3)

    def draw(self, name, *shape, scale, offset=0.0):
        values = self.random.normal(size=shape) * scale + offset
        self.weights[name] = values.astype(np.float32).astype(np.float64)

    def add(self, name, *shape, scale=0.4, offset=0.0):
        """A tensor of the layer's mixer."""
        self.draw(self.layer + name, *shape, scale=scale, offset=offset)

    def w(self, name):
        return self.weights[self.layer + name]

    def heads(self, x, count):
        return x.reshape(count, -1)

    def logits(self, ids, states):
        """Logits of each token; the states move on."""
        rows = []
        for t, token in enumerate(ids):
            x = self.weights[self.embedding][token]
            for layer in range(L):
                prefix = f"{self.stem}.{layer}."
                state = states[layer]
                self.layer, self.index = f"{prefix}{self.own}.", layer
                u = norm(x, self.weights[f"{prefix}{self.before}.weight"], self.epsilon)
                x = x + self.step(u, state)
                state["position"] += 1
                u = norm(x, self.weights[f"{prefix}{self.behind}.weight"], self.epsilon)
                gate, up, down = (self.weights[f"{prefix}mlp.{name}_proj.weight"] for name in ("gate", "up", "down"))
                x = x + down @ (silu(gate @ u) * (up @ u))
            head = self.weights[self.embedding if self.tied else "lm_head.weight"]
            rows.append(head @ norm(x, self.weights[self.final], self.epsilon))
        return np.array(rows)

    def start(self):
        return [{"position": 0, **self.zeros()} for _ in range(L)]

    def named(self, state):
        """The state as it is compared."""
        return {"ssm": state["S"]}


class RetNet(Linear):
    name = "retnet"
    heads_, keys, values = 2, 8, 12
    configuration = {"model_type": "retnet", "num_heads": 2, "expand_k": 1.0, "expand_v": 1.5}

    def declare(self):
        h, n, p = self.heads_, self.keys, self.values
        for name, rows in (("q", h * n), ("k", h * n), ("v", h * p), ("g", h * p)):
            self.add(f"{name}_proj.weight", rows, D)
        self.add("o_proj.weight", D, h * p)
        self.add("g_norm_swish_gate.weight", p, scale=0.5, offset=1)

    def zeros(self):
        return {"S": np.zeros((self.heads_, self.keys, self.values))}

    def turn(self, x, position):
        """The places i and i + N/2 of every head by position · 10000^(-2i/N)."""
        half = self.keys // 2
        angle = position * 10000.0 ** (-2 * np.arange(half) / self.keys)
        a, b = x[:, :half], x[:, half:]
        return np.concatenate([a * np.cos(angle) - b * np.sin(angle), b * np.cos(angle) + a * np.sin(angle)], axis=1)

    def step(self, u, state):
        h = self.heads_
        q = self.turn(self.heads(self.w("q_proj.weight") @ u, h), state["position"]) / math.sqrt(self.keys)
        k = self.turn(self.heads(self.w("k_proj.weight") @ u, h), state["position"])
        v = self.heads(self.w("v_proj.weight") @ u, h)
        kept = 1 - 2.0 ** (-5 - np.arange(h))
        state["S"] = kept[:, None, None] * state["S"] + k[:, :, None] * v[:, None, :]
        y = np.einsum("hn,hnp->hp", q, state["S"])
        y = norm(y, self.w("g_norm_swish_gate.weight"), self.epsilon).reshape(-1)
        return self.w("o_proj.weight") @ (y * silu(self.w("g_proj.weight") @ u))


class GLA(RetNet):
    name = "gla"
    keys, values, rank = 4, 8, 3
    configuration = {"model_type": "gla", "num_heads": 2, "expand_k": 0.5, "expand_v": 1, "gate_low_rank_dim": 3,
                     "gate_logit_normalizer": 4}

    def declare(self):
        super().declare()
        self.add("gk_proj.0.weight", self.rank, D)
        self.add("gk_proj.1.weight", self.heads_ * self.keys, self.rank, scale=1)
        self.add("gk_proj.1.bias", self.heads_ * self.keys, scale=1)

    def step(self, u, state):
        h = self.heads_
        q = self.heads(self.w("q_proj.weight") @ u, h) / math.sqrt(self.keys)
        k, v = self.heads(self.w("k_proj.weight") @ u, h), self.heads(self.w("v_proj.weight") @ u, h)
        gate = self.w("gk_proj.1.weight") @ (self.w("gk_proj.0.weight") @ u) + self.w("gk_proj.1.bias")
        kept = self.heads(sigmoid(gate) ** (1 / 4), h)
        state["S"] = kept[:, :, None] * state["S"] + k[:, :, None] * v[:, None, :]
        y = np.einsum("hn,hnp->hp", q, state["S"])
        y = norm(y, self.w("g_norm_swish_gate.weight"), self.epsilon).reshape(-1)
        return self.w("o_proj.weight") @ (y * silu(self.w("g_proj.weight") @ u))


class HGRN2(Linear):
    name = "hgrn2"
    size = 8
    configuration = {"model_type": "hgrn2", "expand_ratio": 8, "num_heads": 2}

    def __init__(self, seed):
        super().__init__(seed)
        self.draw("model.lower_bounds", L, D, scale=1)

    def declare(self):
        for name in "qfio":
            self.add(f"{name}_proj.weight", D, D)
        self.add("g_norm.weight", D, scale=0.5, offset=1)

    def zeros(self):
        return {"S": np.zeros((D // self.size, self.size, self.size))}

    def step(self, u, state):
        h = D // self.size
        shares = np.exp(self.weights["model.lower_bounds"])
        shares /= shares.sum(axis=0)
        bound = (np.cumsum(shares, axis=0) - shares[0])[self.index]
        q = self.heads(silu(self.w("q_proj.weight") @ u), h) / math.sqrt(self.size)
        kept = self.heads(bound + (1 - bound) * sigmoid(self.w("f_proj.weight") @ u), h)
        v = self.heads(self.w("i_proj.weight") @ u, h)
        state["S"] = kept[:, :, None] * state["S"] + (1 - kept)[:, :, None] * v[:, None, :]
        y = np.einsum("hn,hnp->hp", q, state["S"]).reshape(-1)
        return self.w("o_proj.weight") @ norm(y, self.w("g_norm.weight"), self.epsilon)


class DeltaNet(Linear):
    name, tied = "delta-net", True
    heads_, key_heads, keys, values, taps = 2, 2, 8, 8, 4
    decays, gated, twice = False, False, False
    configuration = {"model_type": "delta_net", "num_heads": 2, "conv_size": 4, "tie_word_embeddings": True}

    def declare(self):
        h, n, p = self.heads_, self.keys, self.values
        for name, rows in (("q", self.key_heads * n), ("k", self.key_heads * n), ("v", h * p)):
            self.add(f"{name}_proj.weight", rows, D)
            self.add(f"{name}_conv1d.weight", rows, 1, self.taps)
        self.add("b_proj.weight", h, D)
        if self.decays:
            self.add("a_proj.weight", h, D)
            self.add("A_log", h, scale=0.5)
            self.add("dt_bias", h, scale=0.5, offset=-4.5)
        if self.gated:
            self.add("g_proj.weight", h * p, D)
        self.add("o_norm.weight", p, scale=0.5, offset=1)
        self.add("o_proj.weight", D, h * p)

    def zeros(self):
        channels = 2 * self.key_heads * self.keys + self.heads_ * self.values
        return {"S": np.zeros((self.heads_, self.keys, self.values)), "conv": np.zeros((channels, self.taps))}

    def named(self, state):
        return {"ssm": state["S"], "conv": state["conv"]}

    def step(self, u, state):
        h = self.heads_
        rows = np.concatenate([self.w(f"{name}_proj.weight") @ u for name in "qkv"])
        state["conv"] = np.concatenate([state["conv"][:, 1:], rows[:, None]], axis=1)
        taps = np.concatenate([self.w(f"{name}_conv1d.weight")[:, 0] for name in "qkv"])
        mixed = silu((taps * state["conv"]).sum(axis=1))
        count = self.key_heads * self.keys
        q, k = (np.repeat(unit(self.heads(part, self.key_heads)), h // self.key_heads, axis=0)
                for part in (mixed[:count], mixed[count:2 * count]))
        q, v = q / math.sqrt(self.keys), self.heads(mixed[2 * count:], h)
        strength = sigmoid(self.w("b_proj.weight") @ u) * (2 if self.twice else 1)
        S = state["S"]
        if self.decays:
            g = -np.exp(self.w("A_log")) * softplus(self.w("a_proj.weight") @ u + self.w("dt_bias"))
            S = np.exp(g)[:, None, None] * S
        found = np.einsum("hn,hnp->hp", k, S)
        state["S"] = S + strength[:, None, None] * k[:, :, None] * (v - found)[:, None, :]
        y = norm(np.einsum("hn,hnp->hp", q, state["S"]), self.w("o_norm.weight"), self.epsilon).reshape(-1)
        if self.gated:
            y = y * silu(self.w("g_proj.weight") @ u)
        return self.w("o_proj.weight") @ y


class GatedDeltaNet(DeltaNet):
    name, tied = "gated-deltanet", False
    heads_, key_heads, keys, values, taps = 4, 2, 6, 9, 3
    decays, gated, twice = True, True, True
    configuration = {"model_type": "gated_deltanet", "num_heads": 2, "num_v_heads": 4, "head_dim": 6, "expand_v": 1.5,
                     "conv_size": 3, "allow_neg_eigval": True}


class Mamba3(Linear):
    name = "mamba3"
    epsilon, embedding, stem, final = 1e-5, "backbone.embedding.weight", "backbone.layers", "backbone.norm_f.weight"
    before, own, behind, tied = "norm", "mixer", "norm2", True
    heads_, groups, keys, values, angles, normed = 4, 1, 10, 8, 2, False
    configuration = {"model_type": "mamba3", "state_size": 10, "head_dim": 8, "rope_fraction": 0.5, "tie_word_embeddings": True}

    def rate(self, a):
        return np.where(a >= 0, 1 + a, 1 / (1 - np.minimum(a, 0)))

    def declare(self):
        h, n, p = self.heads_, self.keys, self.values
        self.add("in_proj.weight", 2 * h * p + 2 * self.groups * n + 3 * h + self.angles, D, scale=0.3)
        self.add("dt_bias", h, scale=0.7, offset=-0.5)
        for letter in "BC":
            self.add(f"{letter}_norm.weight", n, scale=0.5, offset=1)
            self.add(f"{letter}_bias", h, 1, n, scale=0.5, offset=1)
        self.add("D", h, scale=0.5, offset=1)
        if self.normed:
            self.add("norm.weight", h * p, scale=0.5, offset=1)
        self.add("out_proj.weight", D, h * p)

    def zeros(self):
        h, n, p = self.heads_, self.keys, self.values
        return {"S": np.zeros((h, n, p)), "angle": np.zeros((h, self.angles)), "k": np.zeros((h, n)), "v": np.zeros((h, p))}

    def named(self, state):
        return {"ssm": state["S"].transpose(0, 2, 1), "angle": state["angle"], "key": state["k"], "value": state["v"]}

    def turn(self, x, angle):
        """The places 2i and 2i + 1 of each head by the head's own angles."""
        y = x.copy()
        even, odd = x[:, 0:2 * self.angles:2], x[:, 1:2 * self.angles:2]
        y[:, 0:2 * self.angles:2] = even * np.cos(angle) - odd * np.sin(angle)
        y[:, 1:2 * self.angles:2] = even * np.sin(angle) + odd * np.cos(angle)
        return y

    def step(self, u, state):
        h, n, p, g = self.heads_, self.keys, self.values, self.groups
        sizes = [h * p, h * p, g * n, g * n, h, h, h, self.angles]
        z, x, B, C, dt, a, trapezoid, turning = np.split(self.w("in_proj.weight") @ u, np.cumsum(sizes)[:-1])
        dt = softplus(dt + self.w("dt_bias"))
        A = np.minimum(-self.rate(a), -1e-4)
        angle = state["angle"] + math.pi * np.tanh(turning)[None, :] * dt[:, None]
        state["angle"] = angle - 2 * math.pi * np.floor(angle / (2 * math.pi))
        k, q = (np.repeat(norm(self.heads(part, g), self.w(f"{letter}_norm.weight"), 1e-5), h // g, axis=0)
                + self.w(f"{letter}_bias")[:, 0] for letter, part in (("B", B), ("C", C)))
        k, q, v = self.turn(k, state["angle"]), self.turn(q, state["angle"]), self.heads(x, h)
        share = sigmoid(trapezoid)
        kept, old, new = np.exp(A * dt), (1 - share) * dt * np.exp(A * dt), share * dt
        state["S"] = (kept[:, None, None] * state["S"] + old[:, None, None] * state["k"][:, :, None] * state["v"][:, None, :]
                      + new[:, None, None] * k[:, :, None] * v[:, None, :])
        state["k"], state["v"] = k, v
        y = np.einsum("hn,hnp->hp", q, state["S"]) + self.w("D")[:, None] * v
        if self.normed:
            y = norm(y, self.heads(self.w("norm.weight"), h), 1e-5)
        return self.w("out_proj.weight") @ (y.reshape(-1) * silu(z))


class Mamba3Groups(Mamba3):
    """Groups of heads, every place turned, a norm before the gate, and softplus for the rates."""

    name = "mamba3-groups"
    groups, keys, angles, normed = 2, 6, 3, True
    configuration = {"model_type": "mamba3", "state_size": 6, "head_dim": 8, "rope_fraction": 1.0, "n_groups": 2,
                     "is_outproj_norm": True, "a_activation": "softplus", "tie_word_embeddings": True}

    def rate(self, a):
        return softplus(a)


class Mamba3Mimo(Mamba3):
    """Several inputs and outputs: slices of B and C, and vectors that make a slice of x and of z, and take one of y."""

    name = "mamba3-mimo"
    keys, angles, rank = 8, 2, 3
    configuration = {"model_type": "mamba3", "state_size": 8, "head_dim": 8, "rope_fraction": 0.5, "is_mimo": True, "mimo_rank": 3,
                     "tie_word_embeddings": True}

    def declare(self):
        h, n, p, r = self.heads_, self.keys, self.values, self.rank
        self.add("in_proj.weight", 2 * h * p + 2 * r * self.groups * n + 3 * h + self.angles, D, scale=0.3)
        self.add("dt_bias", h, scale=0.7, offset=-0.5)
        for letter in "BC":
            self.add(f"{letter}_norm.weight", n, scale=0.5, offset=1)
            self.add(f"{letter}_bias", h, r, n, scale=0.5, offset=1)
        for letter, middle in (("x", 1 / r), ("z", 1), ("o", 1 / r)):
            self.add(f"mimo_{letter}", h, r, p, scale=0.15, offset=middle)
        self.add("D", h, scale=0.5, offset=1)
        if self.normed:
            self.add("norm.weight", h * p, scale=0.5, offset=1)
        self.add("out_proj.weight", D, h * p)

    def zeros(self):
        return super().zeros() | {"k": np.zeros((self.rank, self.heads_, self.keys))}

    def turn(self, x, angle):
        """The places i and i + N/2 of each head by the head's own angles."""
        y, half = x.copy(), self.keys // 2
        first, second = x[:, :self.angles], x[:, half:half + self.angles]
        y[:, :self.angles] = first * np.cos(angle) - second * np.sin(angle)
        y[:, half:half + self.angles] = first * np.sin(angle) + second * np.cos(angle)
        return y

    def step(self, u, state):
        h, n, p, g, r = self.heads_, self.keys, self.values, self.groups, self.rank
        sizes = [h * p, h * p, r * g * n, r * g * n, h, h, h, self.angles]
        z, x, B, C, dt, a, trapezoid, turning = np.split(self.w("in_proj.weight") @ u, np.cumsum(sizes)[:-1])
        dt = softplus(dt + self.w("dt_bias"))
        kept = np.exp(np.minimum(-self.rate(a), -1e-4) * dt)
        share = sigmoid(trapezoid)
        angle = state["angle"] + math.pi * np.tanh(turning)[None, :] * dt[:, None]
        state["angle"] = angle - 2 * math.pi * np.floor(angle / (2 * math.pi))
        x, z = self.heads(x, h), self.heads(z, h)
        S = kept[:, None, None] * state["S"]
        keys, queries = [], []
        for slice in range(r):
            for letter, part, found in (("B", B, keys), ("C", C, queries)):
                own = norm(part.reshape(r, g, n)[slice], self.w(f"{letter}_norm.weight"), 1e-5)
                biased = np.repeat(own, h // g, axis=0) + self.w(f"{letter}_bias")[:, slice]
                found.append(self.turn(biased, state["angle"]))
            projection = self.w("mimo_x")[:, slice]
            old, new = (1 - share) * dt * kept, share * dt
            S = S + old[:, None, None] * state["k"][slice][:, :, None] * (state["v"] * projection)[:, None, :]
            S = S + new[:, None, None] * keys[slice][:, :, None] * (x * projection)[:, None, :]
        state["S"], state["k"], state["v"] = S, np.array(keys), x
        out = np.zeros((h, p))
        for slice in range(r):
            y = np.einsum("hn,hnp->hp", queries[slice], S) + self.w("D")[:, None] * x * self.w("mimo_x")[:, slice]
            if self.normed:
                y = norm(y, self.heads(self.w("norm.weight"), h), 1e-5)
            out = out + y * silu(z * self.w("mimo_z")[:, slice]) * self.w("mimo_o")[:, slice]
        return self.w("out_proj.weight") @ out.reshape(-1)


class Mamba3MimoNorm(Mamba3Mimo):
    """Groups of heads, every place turned, a norm of each slice before the gate, and softplus for the rates."""

    name = "mamba3-mimo-norm"
    groups, keys, angles, rank, normed = 2, 6, 3, 2, True
    configuration = {"model_type": "mamba3", "state_size": 6, "head_dim": 8, "rope_fraction": 1.0, "n_groups": 2, "is_mimo": True,
                     "mimo_rank": 2, "is_outproj_norm": True, "a_activation": "softplus", "tie_word_embeddings": True}

    def rate(self, a):
        return softplus(a)


def states(name, all):
    return {f"{name}.{layer}.{part}": np.ascontiguousarray(value, dtype=np.float32)
            for layer, (model, state) in enumerate(all) for part, value in model.named(state).items()}


def write(model):
    folder = fixtures / model.name
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.astype(np.float32) for k, v in model.weights.items()}, folder / "model.safetensors", metadata={"format": "pt"})
    common = {"vocab_size": V, "hidden_size": D, "num_hidden_layers": L, "intermediate_size": INNER}
    (folder / "config.json").write_text(json.dumps(model.configuration | common, indent=1) + "\n")
    ids = model.random.integers(0, V, LENGTH)
    after = model.start()
    first = model.logits(ids[:SPLIT], after)
    golden = states("state_at_split", [(model, state) for state in after])
    logits = np.concatenate([first, model.logits(ids[SPLIT:], after)])
    golden |= states("state", [(model, state) for state in after])
    golden |= {"input_ids": ids[None], "logits": logits[None].astype(np.float32)}
    greedy = []
    for _ in range(STEPS):
        greedy.append(int(logits[-1].argmax()))
        logits = model.logits(greedy[-1:], after)
    golden["greedy_ids"] = np.array(greedy)[None]
    save_file(golden, folder / "golden.safetensors")
    (folder / "golden.json").write_text(
        json.dumps({"name": model.name, "length": LENGTH, "split": SPLIT, "steps": STEPS}, indent=1) + "\n")


kinds = (RetNet, GLA, HGRN2, DeltaNet, GatedDeltaNet, Mamba3, Mamba3Groups, Mamba3MimoNorm, Mamba3Mimo)
for seed, kind in enumerate(kinds, start=31):
    write(kind(seed))
