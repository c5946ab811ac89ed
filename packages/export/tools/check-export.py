"""Loads exported files with the Python libraries that others load them with.

    python3 packages/export/tools/check-export.py <<< '{"base": …, "adapter": …, "merged": …, "gguf": …, "rows": [[…]]}'

Reads one JSON object: folders of the base model, of an adapter and of a merged model, a GGUF file with the sha256 of its
tensors wanted (each may be left out), and rows of token ids. Prints one: logits of all rows by name, fp32 as base64.
Without the packages it prints {"missing": reason} and ends well.
"""
import base64
import hashlib
import json
import sys

try:
    import gguf
    import torch
    from peft import PeftModel
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit(0)

wish = json.load(sys.stdin)
answer = {}


def logits(model):
    model.eval()
    with torch.no_grad():
        rows = [model(torch.tensor([row])).logits[0] for row in wish["rows"]]
    return base64.b64encode(torch.cat(rows).float().numpy().astype("<f4").tobytes()).decode()


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


if "adapter" in wish:
    adapted = PeftModel.from_pretrained(load(wish["base"]), wish["adapter"])
    answer["adapter"] = logits(adapted)
    stored = load_file(f"{wish['adapter']}/adapter_model.safetensors")
    used = {name.replace(".default.", "."): value for name, value in adapted.state_dict().items() if "lora_" in name}
    assert {name: tuple(value.shape) for name, value in stored.items()} == {n: tuple(v.shape) for n, v in used.items()}
if "merged" in wish:
    answer["merged"] = logits(load(wish["merged"]))
if "gguf" in wish:
    tensors = gguf.GGUFReader(wish["gguf"]).tensors
    answer["gguf"] = {
        tensor.name: {"type": tensor.tensor_type.name, "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest()}
        for tensor in tensors
    }
print(json.dumps(answer))
