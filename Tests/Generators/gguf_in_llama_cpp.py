#!/usr/bin/env python3
"""Write fixtures as GGUF with Meander, run the files in llama.cpp, and compare the logits with the goldens.

    python3 -m pip install numpy safetensors llama-cpp-python
    python3 Tests/Generators/gguf_in_llama_cpp.py MEANDER [FIXTURE…]

Three fixtures are changed first, in what llama.cpp cannot be told: Nemotron-H's smallest time step, the ε of Falcon-Mamba's inner
norms, and Qwen3-Next's layers without experts; those are compared with Meander's own logits of the changed model. The files of
`rwkv7-hf` are those of `rwkv7-bf16-head64`; of `rwkv7`, whose heads are 16 wide, llama.cpp's kernels know nothing.
"""
import ctypes
import json
import pathlib
import subprocess
import sys
import tempfile

import llama_cpp as ll
import numpy as np
from safetensors.numpy import load_file, save_file

FIXTURES = pathlib.Path(__file__).resolve().parents[1] / "Fixtures"
NAMES = ["mamba2-tied", "mamba1", "falcon-mamba", "rwkv6", "rwkv7-bf16-head64", "jamba", "falcon-h1", "granite-moe-hybrid",
         "granite-hybrid-dense", "lfm2", "nemotron-h", "nemotron-h-moe", "qwen3-next", "llama-gqa", "qwen2-bias", "qwen3-qknorm",
         "llama-rope-scaled-f16-sharded"]
BOUND = 5e-6


def llama_logits(path: pathlib.Path, ids: list[int]) -> np.ndarray:
    model = ll.llama_model_load_from_file(str(path).encode(), ll.llama_model_default_params())
    assert model, f"llama.cpp does not load {path}"
    vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
    params = ll.llama_context_default_params()
    params.n_ctx, params.n_batch, params.n_ubatch = max(64, len(ids) + 8), max(32, len(ids)), max(32, len(ids))
    params.n_threads = params.n_threads_batch = 1
    # F32 in the cache, and no flash attention, which would round there.
    params.type_k = params.type_v = params.flash_attn_type = 0
    context = ll.llama_init_from_model(model, params)
    batch = ll.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for i, token in enumerate(ids):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    assert ll.llama_decode(context, batch) == 0
    rows = [np.ctypeslib.as_array(ll.llama_get_logits_ith(context, i), (vocab,)).copy() for i in range(len(ids))]
    return np.stack(rows).astype(np.float64)


def changed(name: str, folder: pathlib.Path) -> bool:
    """Writes the fixture into `folder` with what llama.cpp can be told; whether anything had to be changed."""
    if name not in ("nemotron-h", "falcon-mamba", "qwen3-next"):
        return False
    config = json.loads((FIXTURES / name / "config.json").read_text())
    tensors = load_file(FIXTURES / name / "model.safetensors")
    if name == "nemotron-h":
        config["time_step_min"] = 0.0
    if name == "falcon-mamba":
        config["mixer_rms_eps"] = config["layer_norm_epsilon"]
    if name == "qwen3-next":
        config["decoder_sparse_step"] = 1
        rng = np.random.default_rng(3)
        for layer in (0, 2):
            tensors = {k: v for k, v in tensors.items() if not k.startswith(f"model.layers.{layer}.mlp.")}
            for key in [k for k in tensors if k.startswith("model.layers.1.mlp.")]:
                value = tensors[key]
                noise = rng.standard_normal(value.shape, dtype=np.float32) * value.std()
                tensors[key.replace("layers.1.", f"layers.{layer}.")] = value + noise
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    save_file(tensors, folder / "model.safetensors")
    return True


def main(meander: str, names: list[str]) -> None:
    quiet = ll.llama_log_callback(lambda level, text, data: None)
    ll.llama_log_set(quiet, ctypes.c_void_p())
    ll.llama_backend_init()
    failed = []
    for name in names:
        with tempfile.TemporaryDirectory() as scratch:
            work = pathlib.Path(scratch)
            golden = load_file(FIXTURES / name / "golden.safetensors")
            ids = [int(i) for i in golden["input_ids"].reshape(-1)]
            source, expected = FIXTURES / name, golden["logits"][0].astype(np.float64)
            if changed(name, work / "changed"):
                source = work / "changed"
                (work / "ids.json").write_text(json.dumps(ids))
                subprocess.run([meander, "logits", "-m", source, "--compute", "fp32", "--ids", work / "ids.json", "-o",
                                work / "ours.safetensors"], check=True, stderr=subprocess.DEVNULL)
                expected = load_file(work / "ours.safetensors")["logits"].astype(np.float64)
            subprocess.run([meander, "quantize", source, "--type", "f32", "-o", work / "model.gguf"], check=True,
                           stderr=subprocess.DEVNULL)
            logits = llama_logits(work / "model.gguf", ids)[:, :expected.shape[1]]
            error = float(np.sqrt(np.mean((logits - expected) ** 2) / np.mean(expected**2)))
            print(f"{name}: {error:.1e} (RMS over RMS, allowed {BOUND:.0e})", flush=True)
            failed += [name] if not error <= BOUND else []
    if failed:
        sys.exit(f"llama.cpp disagrees about {', '.join(failed)}.")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    main(sys.argv[1], sys.argv[2:] or NAMES)
