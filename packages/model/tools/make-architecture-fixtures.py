#!/usr/bin/env python3
"""Writes fixtures/architectures: tiny random models of each family, and what transformers computes with them.

    python3 -m pip install torch transformers safetensors gguf
    python3 packages/model/tools/make-architecture-fixtures.py [name ...]

config.json                the settings as published models spell them
config.transformers5.json  the same as transformers saves them
model.safetensors          random weights, bfloat16
model.gguf                 the same weights as llama.cpp's converter (convert_hf_to_gguf.py) lays them out
expected.json              for two rows of different lengths: logits, inputs of the second matrix of two feed-forwards,
                           and the gradient of the rows' summed loss (negative log-likelihood of a target behind each)
                           with respect to what is added to the hidden state after a layer at one position of each row
"""
import base64
import json
import math
import pathlib
import re
import sys

import gguf
import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

here = pathlib.Path(__file__).parent.parent / "fixtures" / "architectures"
lengths, vocabulary, gradient_layer = [24, 15], 80, 1

common = dict(vocab_size=vocabulary, hidden_size=32, intermediate_size=48, num_hidden_layers=4, num_attention_heads=4,
              num_key_value_heads=2, max_position_embeddings=64)
old = dict(vocab_size=vocabulary, n_embd=32, n_layer=3, n_head=4, n_positions=64, bos_token_id=0, eos_token_id=0)
neox = dict(model_type="gpt_neox", vocab_size=vocabulary, hidden_size=48, intermediate_size=64, num_hidden_layers=3,
            num_attention_heads=3, max_position_embeddings=64, rotary_emb_base=10000, rotary_pct=0.25,
            hidden_act="gelu", layer_norm_eps=1e-5, bos_token_id=0, eos_token_id=0, tie_word_embeddings=False)

cases = {
    "llama2": dict(common, model_type="llama", num_key_value_heads=4, rms_norm_eps=1e-5, attention_bias=True,
                   mlp_bias=True, tie_word_embeddings=False, rope_scaling=dict(type="linear", factor=2.0)),
    "llama3": dict(common, model_type="llama", rms_norm_eps=1e-5, tie_word_embeddings=True, rope_theta=500.0,
                   rope_scaling=dict(rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                     original_max_position_embeddings=32)),
    "mistral": dict(common, model_type="mistral", head_dim=12, rms_norm_eps=1e-5, sliding_window=8,
                    rope_theta=10000.0, tie_word_embeddings=False),
    "qwen2": dict(common, model_type="qwen2", use_sliding_window=False, sliding_window=8, max_window_layers=2,
                  rope_theta=1000.0, tie_word_embeddings=True,
                  rope_scaling=dict(type="yarn", factor=4.0, original_max_position_embeddings=2048)),
    "qwen2-sliding": dict(common, model_type="qwen2", use_sliding_window=True, sliding_window=8, max_window_layers=2,
                          rope_theta=1000.0, tie_word_embeddings=False),
    "qwen3": dict(common, model_type="qwen3", head_dim=12, attention_bias=False, rope_theta=1000.0,
                  use_sliding_window=False, sliding_window=None, max_window_layers=4, tie_word_embeddings=True),
    "gemma2": dict(common, model_type="gemma2", head_dim=12, query_pre_attn_scalar=12, sliding_window=8,
                   rope_theta=10000.0, attn_logit_softcapping=3.0, final_logit_softcapping=2.0),
    "gemma3": dict(common, model_type="gemma3_text", head_dim=12, query_pre_attn_scalar=12, sliding_window=8,
                   num_hidden_layers=6, sliding_window_pattern=6, rope_theta=1000.0, rope_local_base_freq=100.0,
                   rope_scaling=dict(rope_type="linear", factor=8.0)),
    "gpt2": dict(old, model_type="gpt2", activation_function="gelu_new"),
    "gptj": dict(old, model_type="gptj", rotary_dim=4, activation_function="gelu_new", tie_word_embeddings=False),
    "gptneox": dict(neox, use_parallel_residual=True),
    "gptneox-sequential": dict(neox, use_parallel_residual=False),
}


def packed(tensor):
    return base64.b64encode(tensor.detach().numpy().astype("<f4").tobytes()).decode()


def randomise(model):
    """Weights that matter: every bias and every norm is far from doing nothing. Values fit bfloat16."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape)
            if parameter.ndim == 2 and "wpe" in name:
                value = 0.5 * noise
            elif parameter.ndim == 2 and re.search(r"embed|wte", name):
                value = noise * (0.3 if "gemma" in model.config.model_type else 1.0)
            elif parameter.ndim == 2:
                value = noise * 1.5 / math.sqrt(model.config.hidden_size)
            elif name.endswith("bias"):
                value = 0.3 * noise
            else:
                offset = 0.0 if "gemma" in model.config.model_type else 1.0
                value = offset + 0.3 * noise
            parameter.copy_(value.to(torch.bfloat16).float())


def parts(model):
    """The blocks and the second matrices of their feed-forwards."""
    base = model.base_model
    blocks = base.layers if hasattr(base, "layers") else base.h
    names = ("down_proj", "c_proj", "fc_out", "dense_4h_to_h")
    return blocks, [next(getattr(b.mlp, n) for n in names if hasattr(b.mlp, n)) for b in blocks]


def expect(model, random):
    blocks, downs = parts(model)
    rows = [[0] + random.integers(1, vocabulary, n - 1).tolist() for n in lengths]
    positions, targets = [lengths[0] // 2, 3], random.integers(1, vocabulary, 2).tolist()
    layers = [0, len(blocks) - 1]
    inputs, logits, gradients = {layer: [] for layer in layers}, [], []
    for row, position, target in zip(rows, positions, targets):
        delta = torch.zeros(model.config.hidden_size, requires_grad=True)

        def add(_, __, output):
            hidden = output[0] if isinstance(output, tuple) else output
            at = torch.zeros(hidden.shape[1], 1)
            at[position] = 1
            moved = hidden + at * delta
            return (moved, *output[1:]) if isinstance(output, tuple) else moved

        def keep(layer):
            return lambda _, given: inputs[layer].append(given[0][0])

        hooks = [blocks[gradient_layer].register_forward_hook(add)]
        hooks += [downs[layer].register_forward_pre_hook(keep(layer)) for layer in layers]
        found = model(torch.tensor([row])).logits[0]
        torch.nn.functional.cross_entropy(found[-1:], torch.tensor([target])).backward()
        for hook in hooks:
            hook.remove()
        logits.append(found)
        gradients.append(delta.grad)
    return {
        "rows": rows,
        "logits": packed(torch.cat(logits)),
        "downInputs": {layer: packed(torch.cat(found)) for layer, found in inputs.items()},
        "gradient": {"layer": gradient_layer, "positions": positions, "targets": targets,
                     "values": packed(torch.stack(gradients))},
    }


def llama3_divisors(config, head_size):
    scaling = config["rope_scaling"]
    original = scaling["original_max_position_embeddings"]
    low, high = original / scaling["low_freq_factor"], original / scaling["high_freq_factor"]
    found = []
    for i in range(0, head_size, 2):
        length = 2 * math.pi * config["rope_theta"] ** (i / head_size)
        smooth = (original / length - scaling["low_freq_factor"]) / (
            scaling["high_freq_factor"] - scaling["low_freq_factor"])
        found.append(1 if length < high else scaling["factor"] if length > low
                     else 1 / ((1 - smooth) / scaling["factor"] + smooth))
    return np.array(found, "<f4")


def converted(name, tensor, config):
    """What the converter does to a tensor beside renaming it."""
    kind = config["model_type"]
    if kind == "llama" and re.search(r"(q|k)_proj\.", name):
        heads = config["num_attention_heads" if "q_proj" in name else "num_key_value_heads"]
        return (tensor.reshape(heads, 2, tensor.shape[0] // heads // 2, *tensor.shape[1:])
                .swapaxes(1, 2).reshape(tensor.shape))
    if kind.startswith("gemma") and name.endswith("norm.weight"):
        return tensor + 1
    if kind == "gpt2" and re.search(r"(c_attn|c_proj|c_fc)\.weight", name):
        return tensor.T
    if kind == "gpt_neox" and "query_key_value" in name:
        heads = config["num_attention_heads"]
        shaped = tensor.reshape(heads, 3, -1, *tensor.shape[1:])
        return torch.cat([shaped[:, i].reshape(-1, *tensor.shape[1:]) for i in range(3)])
    return tensor


def write_gguf(path, config, model):
    arch = {"llama": "LLAMA", "qwen2": "QWEN2", "qwen3": "QWEN3", "gemma2": "GEMMA2", "gemma3_text": "GEMMA3",
            "gpt2": "GPT2", "gpt_neox": "GPTNEOX"}.get(config["model_type"])
    if arch is None or config.get("use_sliding_window"):
        return
    arch = getattr(gguf.MODEL_ARCH, arch)
    get = lambda *keys: next((config[key] for key in keys if key in config), None)
    layers, heads, hidden = get("num_hidden_layers", "n_layer"), get("num_attention_heads", "n_head"), get("hidden_size", "n_embd")
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    writer.add_name(f"tiny {config['model_type']}")
    writer.add_block_count(layers)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(get("intermediate_size") or 4 * hidden)
    writer.add_context_length(get("max_position_embeddings", "n_positions"))
    writer.add_head_count(heads)
    if config["model_type"] in ("gpt2", "gpt_neox"):
        writer.add_layer_norm_eps(1e-5)
    else:
        writer.add_head_count_kv(config["num_key_value_heads"])
        writer.add_layer_norm_rms_eps(model.config.rms_norm_eps)
        if arch != gguf.MODEL_ARCH.GEMMA2:
            writer.add_rope_freq_base(config.get("rope_theta", 10000.0))
    if "head_dim" in config:
        writer.add_key_length(config["head_dim"])
        writer.add_value_length(config["head_dim"])
    if config["model_type"].startswith("gemma"):
        writer.add_sliding_window(config["sliding_window"])
    if config["model_type"] == "gemma2":
        writer.add_attn_logit_softcapping(config["attn_logit_softcapping"])
        writer.add_final_logit_softcapping(config["final_logit_softcapping"])
    if config["model_type"] == "gemma3_text":
        writer.add_float32("gemma3.rope.freq_base_swa", config["rope_local_base_freq"])
    if config["model_type"] == "gpt_neox":
        writer.add_rope_dimension_count(int(config["rotary_pct"] * (hidden // heads)))
        writer.add_parallel_residual(config["use_parallel_residual"])
    scaling = config.get("rope_scaling", {})
    if scaling.get("rope_type", scaling.get("type")) == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(config, hidden // heads))
    elif scaling:
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling.get("rope_type", scaling.get("type"))))
        writer.add_rope_scaling_factor(scaling["factor"])
        if "original_max_position_embeddings" in scaling:
            writer.add_rope_scaling_orig_ctx_len(scaling["original_max_position_embeddings"])
    names = gguf.get_tensor_name_map(arch, layers)
    for name, tensor in model.state_dict().items():
        if name in ("lm_head.weight", "embed_out.weight") and model.config.tie_word_embeddings:
            continue
        if re.search(r"\.attn\.(masked_)?bias$", name):
            continue
        new = names.get_name(name, try_suffixes=(".weight", ".bias"))
        data = converted(name, tensor, config).contiguous().numpy()
        if data.ndim == 1:
            writer.add_tensor(new, data)
        else:
            kind = gguf.GGMLQuantizationType.BF16
            writer.add_tensor(new, gguf.quants.quantize(data, kind), raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make(name, settings):
    folder = here / name
    folder.mkdir(parents=True, exist_ok=True)
    seed = sum(name.encode())
    torch.manual_seed(seed)
    arguments = {key: value for key, value in settings.items() if key != "model_type"}
    config = AutoConfig.for_model(settings["model_type"], **json.loads(json.dumps(arguments)))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").eval().float()
    randomise(model)
    (folder / "config.json").write_text(json.dumps(settings, indent=2) + "\n")
    saved = {key: value for key, value in config.to_dict().items() if key not in ("transformers_version", "dtype")}
    (folder / "config.transformers5.json").write_text(json.dumps(saved, indent=2, sort_keys=True) + "\n")
    tensors = {}
    for key, tensor in model.state_dict().items():
        if config.tie_word_embeddings and key == "lm_head.weight":
            continue
        # The published GPT-2 has neither the prefix that transformers writes, nor lacks the buffers it left out since.
        tensors[key.removeprefix("transformer.") if name == "gpt2" else key] = tensor.to(torch.bfloat16).contiguous()
    if name == "gpt2":
        tensors["h.0.attn.bias"] = torch.tril(torch.ones(1, 1, 64, 64)).to(torch.bfloat16)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_gguf(folder / "model.gguf", settings, model)
    (folder / "expected.json").write_text(json.dumps(expect(model, np.random.default_rng(seed))) + "\n")


for name in sys.argv[1:] or cases:
    make(name, cases[name])
    sizes = {path.name: path.stat().st_size for path in sorted((here / name).iterdir())}
    assert max(sizes.values()) <= 200_000, sizes
    print(name, sizes)
