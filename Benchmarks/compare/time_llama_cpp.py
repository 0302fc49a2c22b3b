#!/usr/bin/env python3
"""Time llama.cpp on a GGUF file: prefill and decode in tokens a second. Or write the logits after every token of the same prompt.

    CMAKE_ARGS="-DGGML_NATIVE=ON" python3 -m pip install llama-cpp-python     # builds llama.cpp for this CPU
    python3 time_llama_cpp.py MODEL.gguf [--threads 2] [--prompt 512] [--decode 64] [--repeat 5] [--logits OUT.npy]

Prints one JSON line: medians over the repetitions. The prompt is token i -> (i * 7919) % vocabulary, so that another
engine can be given the same work. Quantised variants: llama_cpp.llama_model_quantize, see --quantize.
"""
import argparse
import ctypes
import json
import statistics
import sys
import time

import llama_cpp as ll
import numpy as np

KINDS = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 7, "bf16": 32}


def write_logits(context, vocab: int, prompt: list[int], path: str) -> None:
    """T × V, in one batch."""
    batch = ll.llama_batch_init(len(prompt), 0, 1)
    batch.n_tokens = len(prompt)
    for i, token in enumerate(prompt):
        batch.token[i], batch.pos[i], batch.n_seq_id[i], batch.logits[i] = token, i, 1, 1
        batch.seq_id[i][0] = 0
    status = ll.llama_decode(context, batch)
    assert status == 0, status
    rows = [np.ctypeslib.as_array(ll.llama_get_logits_ith(context, i), (vocab,)).copy() for i in range(len(prompt))]
    np.save(path, np.stack(rows))


def main() -> None:
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("--threads", type=int, default=2)
    a.add_argument("--prompt", type=int, default=512)
    a.add_argument("--decode", type=int, default=64)
    a.add_argument("--repeat", type=int, default=5)
    a.add_argument("--logits")
    a.add_argument("--exact", action="store_true", help="keep keys and values in F32, without flash attention")
    a.add_argument("--quantize", nargs=2, metavar=("KIND", "OUT"))
    o = a.parse_args()
    ll.llama_backend_init()
    if o.quantize:
        p = ll.llama_model_quantize_default_params()
        p.ftype, p.pure = KINDS[o.quantize[0]], True
        sys.exit(ll.llama_model_quantize(o.model.encode(), o.quantize[1].encode(), p))

    mp = ll.llama_model_default_params()
    model = ll.llama_model_load_from_file(o.model.encode(), mp)
    vocab = ll.llama_vocab_n_tokens(ll.llama_model_get_vocab(model))
    cp = ll.llama_context_default_params()
    cp.n_ctx, cp.n_batch, cp.n_ubatch = o.prompt + o.decode + 8, 512, 512
    cp.n_threads = cp.n_threads_batch = o.threads
    if o.exact:
        cp.type_k = cp.type_v = cp.flash_attn_type = 0
    context = ll.llama_init_from_model(model, cp)
    prompt = [(i * 7919) % vocab for i in range(o.prompt)]
    if o.logits:
        return write_logits(context, vocab, prompt, o.logits)

    def feed(tokens):
        ids = (ctypes.c_int32 * len(tokens))(*tokens)
        status = ll.llama_decode(context, ll.llama_batch_get_one(ids, len(tokens)))
        assert status == 0, status
        return np.ctypeslib.as_array(ll.llama_get_logits_ith(context, -1), (vocab,))

    prefill, decode = [], []
    for _ in range(o.repeat + 1):
        ll.llama_memory_clear(ll.llama_get_memory(context), True)
        t0 = time.perf_counter()
        for i in range(0, len(prompt), 512):
            feed(prompt[i:i + 512])
        t1 = time.perf_counter()
        for i in range(o.decode):
            feed([(i * 104729) % vocab])
        t2 = time.perf_counter()
        prefill.append(o.prompt / (t1 - t0))
        decode.append(o.decode / (t2 - t1))
    print(json.dumps({"model": o.model, "threads": o.threads, "prefill": statistics.median(prefill[1:]),
                      "decode": statistics.median(decode[1:])}))


main()
