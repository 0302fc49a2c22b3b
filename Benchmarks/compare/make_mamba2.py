#!/usr/bin/env python3
"""Write one Mamba-2 model with random weights in three files: Hugging Face layout in F32 and in BF16, and GGUF in F32.

They hold the same numbers (in BF16 the matrices are rounded, as llama.cpp's own conversion does), so two engines can be
compared on the same work: first their outputs, then their speed. Shapes are those of the published checkpoints.

    python3 -m pip install numpy safetensors gguf
    python3 make_mamba2.py 130m OUT_DIR          # OUT_DIR/{f32,bf16}/{config.json,model.safetensors}, OUT_DIR/f32.gguf
"""
import json
import pathlib
import struct
import sys

import gguf
import numpy as np
from safetensors.numpy import save_file

SHAPES = {  # d_model, layers, vocabulary (padded)
    "tiny": (128, 4, 512),
    "130m": (768, 24, 50288),
    "370m": (1024, 48, 50288),
    "1.3b": (2048, 48, 50288),
    "2.7b": (2560, 64, 50288),
}
N, P, G, K, EXPAND, EPS = 128, 64, 1, 4, 2, 1e-5


def save_bf16(tensors: dict, path: pathlib.Path) -> None:
    """Matrices rounded to the nearest BF16, ties to even; everything else as it is. NumPy has no such type."""
    header, pieces, end = {"__metadata__": {"format": "pt"}}, [], 0
    for name, value in tensors.items():
        kind = "F32"
        if value.ndim == 2:
            bits = value.view(np.uint32)
            value, kind = ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16), "BF16"
        header[name] = {"dtype": kind, "shape": value.shape, "data_offsets": [end, end + value.nbytes]}
        pieces.append(value)
        end += value.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for piece in pieces:
            file.write(piece.tobytes())


def main(name: str, out: pathlib.Path) -> None:
    d, layers, vocab = SHAPES[name]
    inner = EXPAND * d
    heads, conv = inner // P, inner + 2 * G * N
    rng = np.random.default_rng(7)

    def normal(*shape, scale=0.02):
        return (rng.standard_normal(shape, dtype=np.float32) * scale).astype(np.float32)

    tensors = {"backbone.embeddings.weight": normal(vocab, d), "backbone.norm_f.weight": np.ones(d, np.float32)}
    for i in range(layers):
        layer = f"backbone.layers.{i}."
        dt = np.exp(rng.uniform(np.log(1e-3), np.log(1e-1), heads)).astype(np.float32)
        tensors |= {
            layer + "norm.weight": np.ones(d, np.float32),
            layer + "mixer.in_proj.weight": normal(2 * inner + 2 * G * N + heads, d),
            layer + "mixer.conv1d.weight": normal(conv, 1, K, scale=0.3),
            layer + "mixer.conv1d.bias": normal(conv),
            layer + "mixer.dt_bias": dt + np.log(-np.expm1(-dt)),
            layer + "mixer.A_log": np.log(rng.uniform(1, 16, heads)).astype(np.float32),
            layer + "mixer.D": np.ones(heads, np.float32),
            layer + "mixer.norm.weight": np.ones(inner, np.float32),
            layer + "mixer.out_proj.weight": normal(d, inner, scale=0.02 / np.sqrt(layers)),
        }

    config = json.dumps({
        "model_type": "mamba2", "architectures": ["Mamba2ForCausalLM"], "hidden_size": d, "num_hidden_layers": layers,
        "vocab_size": vocab, "state_size": N, "head_dim": P, "num_heads": heads, "n_groups": G, "conv_kernel": K,
        "expand": EXPAND, "chunk_size": 256, "layer_norm_epsilon": EPS, "use_bias": False, "use_conv_bias": True,
        "hidden_act": "silu", "rms_norm": True, "residual_in_fp32": True, "time_step_limit": [0.0, float("inf")],
        "time_step_rank": 128, "time_step_min": 0.001, "time_step_max": 0.1, "time_step_floor": 1e-4,
        "tie_word_embeddings": True, "bos_token_id": 0, "eos_token_id": 0, "pad_token_id": 0,
    }, indent=1)
    for kind in ("f32", "bf16"):
        (out / kind).mkdir(parents=True, exist_ok=True)
        (out / kind / "config.json").write_text(config)
    save_file(tensors, out / "f32" / "model.safetensors", metadata={"format": "pt"})
    save_bf16(tensors, out / "bf16" / "model.safetensors")

    w = gguf.GGUFWriter(str(out / "f32.gguf"), "mamba2")
    w.add_context_length(2**20)
    w.add_embedding_length(d)
    w.add_feed_forward_length(0)
    w.add_head_count(0)
    w.add_block_count(layers)
    w.add_ssm_conv_kernel(K)
    w.add_ssm_inner_size(inner)
    w.add_ssm_state_size(N)
    w.add_ssm_time_step_rank(heads)
    w.add_ssm_group_count(G)
    w.add_layer_norm_rms_eps(EPS)
    w.add_tokenizer_model("no_vocab")
    w.add_vocab_size(vocab)
    w.add_tensor("token_embd.weight", tensors["backbone.embeddings.weight"])
    w.add_tensor("output_norm.weight", tensors["backbone.norm_f.weight"])
    for i in range(layers):
        t = {k.removeprefix(f"backbone.layers.{i}."): v for k, v in tensors.items() if f".layers.{i}." in k}
        b = f"blk.{i}."
        w.add_tensor(b + "attn_norm.weight", t["norm.weight"])
        w.add_tensor(b + "ssm_in.weight", t["mixer.in_proj.weight"])
        w.add_tensor(b + "ssm_conv1d.weight", t["mixer.conv1d.weight"].reshape(conv, K))
        w.add_tensor(b + "ssm_conv1d.bias", t["mixer.conv1d.bias"])
        w.add_tensor(b + "ssm_dt.bias", t["mixer.dt_bias"])
        w.add_tensor(b + "ssm_a", -np.exp(t["mixer.A_log"]).reshape(heads, 1))
        w.add_tensor(b + "ssm_d", t["mixer.D"].reshape(heads, 1))
        w.add_tensor(b + "ssm_norm.weight", t["mixer.norm.weight"].reshape(G, inner // G))
        w.add_tensor(b + "ssm_out.weight", t["mixer.out_proj.weight"])
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in SHAPES:
        sys.exit(f"usage: {sys.argv[0]} {{{','.join(SHAPES)}}} OUT_DIR")
    main(sys.argv[1], pathlib.Path(sys.argv[2]))
