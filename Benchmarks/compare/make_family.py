#!/usr/bin/env python3
"""Write a model of the family with random weights in a published shape, in Hugging Face's layout, F32.

    python3 -m pip install numpy safetensors
    python3 make_family.py rwkv7-0.1b|falcon-h1-0.5b OUT_DIR        # OUT_DIR/{config.json,model.safetensors}

`meander quantize OUT_DIR --type f32 -o FILE.gguf` makes of it what llama.cpp reads, so that both engines have the same numbers.
"""
import json
import pathlib
import sys

import numpy as np
from safetensors.numpy import save_file

random = np.random.default_rng(7)


def normal(*shape, scale=0.02):
    return (random.standard_normal(shape, dtype=np.float32) * scale).astype(np.float32)


def ones(*shape):
    return np.ones(shape, np.float32)


def rwkv7(d=768, layers=12, vocabulary=65536, head=64, inner=3072, ranks={"w": 64, "a": 64, "v": 32, "g": 128}):
    """RWKV-7 World 0.1B."""
    config = {
        "model_type": "rwkv7", "architectures": ["RWKV7ForCausalLM"], "hidden_size": d, "num_hidden_layers": layers,
        "vocab_size": vocabulary, "head_dim": head, "intermediate_size": inner, "hidden_ratio": inner / d, "norm_eps": 1e-5,
        "decay_low_rank_dim": ranks["w"], "a_low_rank_dim": ranks["a"], "v_low_rank_dim": ranks["v"],
        "gate_low_rank_dim": ranks["g"], "tie_word_embeddings": False,
    }
    tensors = {"model.embeddings.weight": normal(vocabulary, d, scale=1), "lm_head.weight": normal(vocabulary, d)}

    def norm(name):
        tensors[name + ".weight"], tensors[name + ".bias"] = ones(d), normal(d)

    norm("model.norm")
    norm("model.layers.0.pre_norm")
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        norm(prefix + "attn_norm")
        norm(prefix + "ffn_norm")
        own = prefix + "attn."
        norm(own + "g_norm")
        for name in "rwkvag":
            tensors[own + "x_" + name] = random.uniform(0, 1, (1, 1, d)).astype(np.float32)
        for name in "rkvo":
            tensors[f"{own}{name}_proj.weight"] = normal(d, d)
        tensors |= {own + "k_k": normal(d, scale=0.3) + 0.8, own + "k_a": ones(d), own + "r_k": normal(d // head, head, scale=0.1)}
        for name, rank in ranks.items():
            if name == "v" and layer == 0:
                continue
            tensors[f"{own}{name}_lora.lora.0.weight"] = normal(rank, d)
            tensors[f"{own}{name}_lora.lora.2.weight"] = normal(d, rank)
            if name != "g":
                tensors[f"{own}{name}_lora.lora.2.bias"] = normal(d, scale=1)
        tensors |= {prefix + "ffn.x_k": random.uniform(0, 1, d).astype(np.float32), prefix + "ffn.key.weight": normal(inner, d),
                    prefix + "ffn.value.weight": normal(d, inner)}
    return config, tensors


def falcon_h1(d=1024, layers=36, vocabulary=32784, inner=2048, ssm=1536, heads=24, size=128, attention=8, shared=2, width=64):
    """Falcon-H1 0.5B."""
    config = {
        "model_type": "falcon_h1", "architectures": ["FalconH1ForCausalLM"], "hidden_size": d, "num_hidden_layers": layers,
        "vocab_size": vocabulary, "intermediate_size": inner, "num_attention_heads": attention, "num_key_value_heads": shared,
        "head_dim": width, "mamba_d_ssm": ssm, "mamba_n_heads": heads, "mamba_d_head": ssm // heads, "mamba_d_state": size,
        "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_conv_bias": True, "mamba_proj_bias": False,
        "mamba_rms_norm": False, "mamba_norm_before_gate": False, "mamba_chunk_size": 128, "rms_norm_eps": 1e-5,
        "rope_theta": 1e11, "max_position_embeddings": 16384, "attention_bias": False, "mlp_bias": False,
        "projectors_bias": False, "tie_word_embeddings": False, "hidden_act": "silu",
    }
    tensors = {"model.embed_tokens.weight": normal(vocabulary, d, scale=1), "lm_head.weight": normal(vocabulary, d),
               "model.final_layernorm.weight": ones(d)}
    channels = ssm + 2 * size
    for layer in range(layers):
        prefix = f"model.layers.{layer}."
        dt = np.exp(random.uniform(np.log(1e-3), np.log(1e-1), heads)).astype(np.float32)
        tensors |= {
            prefix + "input_layernorm.weight": ones(d), prefix + "pre_ff_layernorm.weight": ones(d),
            prefix + "mamba.in_proj.weight": normal(ssm + channels + heads, d),
            prefix + "mamba.conv1d.weight": normal(channels, 1, 4, scale=0.3), prefix + "mamba.conv1d.bias": normal(channels),
            prefix + "mamba.dt_bias": dt + np.log(-np.expm1(-dt)), prefix + "mamba.D": ones(heads),
            prefix + "mamba.A_log": np.log(random.uniform(1, 16, heads)).astype(np.float32),
            prefix + "mamba.out_proj.weight": normal(d, ssm),
            prefix + "self_attn.q_proj.weight": normal(attention * width, d),
            prefix + "self_attn.k_proj.weight": normal(shared * width, d),
            prefix + "self_attn.v_proj.weight": normal(shared * width, d),
            prefix + "self_attn.o_proj.weight": normal(d, attention * width),
            prefix + "feed_forward.gate_proj.weight": normal(inner, d),
            prefix + "feed_forward.up_proj.weight": normal(inner, d),
            prefix + "feed_forward.down_proj.weight": normal(d, inner),
        }
    return config, tensors


MODELS = {"rwkv7-0.1b": rwkv7, "falcon-h1-0.5b": falcon_h1}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in MODELS:
        sys.exit(f"usage: {sys.argv[0]} {{{','.join(MODELS)}}} OUT_DIR")
    config, tensors = MODELS[sys.argv[1]]()
    out = pathlib.Path(sys.argv[2])
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(config, indent=1) + "\n")
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
