"""Loads exported files with the Python libraries that others load them with.

    python3 packages/export/tools/check-export.py <<< '{"base": …, "adapter": …, "merged": …, "gguf": …, "rows": [[…]]}'

Reads JSON lines: folders of the base model, of an adapter and of a merged model, a GGUF file with the sha256 of its
tensors wanted (each may be left out), and rows of token ids, or texts to be tokenised by the merged folder. Prints one
line for each: logits of all rows by name, fp32 as base64. The first line says {} or, without the packages, {"missing": reason}.
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
    from transformers import AutoModelForCausalLM, AutoTokenizer
except ImportError as error:
    print(json.dumps({"missing": str(error)}))
    sys.exit(0)


print("{}", flush=True)


def logits(model, rows):
    model.eval()
    with torch.no_grad():
        found = [model(torch.tensor([row])).logits[0] for row in rows]
    return base64.b64encode(torch.cat(found).float().numpy().astype("<f4").tobytes()).decode()


def load(folder):
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")


def check(wish):
    answer = {}
    if "adapter" in wish:
        adapted = PeftModel.from_pretrained(load(wish["base"]), wish["adapter"])
        answer["adapter"] = logits(adapted, wish["rows"])
        stored = load_file(f"{wish['adapter']}/adapter_model.safetensors")
        used = {name.replace(".default.", "."): value for name, value in adapted.state_dict().items() if "lora_" in name}
        assert {n: tuple(v.shape) for n, v in stored.items()} == {n: tuple(v.shape) for n, v in used.items()}
    if "merged" in wish:
        answer["merged"] = logits(load(wish["merged"]), wish["rows"])
    if "texts" in wish:
        tokenizer = AutoTokenizer.from_pretrained(wish["merged"])
        answer["ids"] = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in wish["texts"]]
    if "gguf" in wish:
        answer["gguf"] = {
            tensor.name: {"type": tensor.tensor_type.name, "sha256": hashlib.sha256(tensor.data.tobytes()).hexdigest()}
            for tensor in gguf.GGUFReader(wish["gguf"]).tensors
        }
    return answer


for line in sys.stdin:
    print(json.dumps(check(json.loads(line))), flush=True)
