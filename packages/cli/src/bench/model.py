"""Targets, keys and generation of a Llama-family model in PyTorch, timed on request.

First argument: a JSON object {weights, threads, model, lastLayer, layers, settings, batches}. `weights` names a file of
little-endian fp32 tensors, one after the other, at the places that `model.tensors` gives (name: [offset in values,
...shape]). A batch is {edits, rows}; a row {edit, bare, ids, lookup, watched: [{offset, token, weight}]}. Each line on
standard input is a wish, each answer one JSON line: {"targets": batch, "plain": bool}, {"keys": batch},
{"generate": tokens, "rows": n}. The first line says what runs: {"version": ..., "device": ...} or {"missing": reason}.
"""

import json
import os
import sys
import time

with open(sys.argv[1], encoding="utf8") as file:
    CONFIG = json.load(file)
for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(CONFIG["threads"])


def say(answer):
    print(json.dumps(answer), flush=True)


try:
    import numpy as np
    import torch
    import torch.nn.functional as F
except ImportError as error:
    say({"missing": str(error)})
    sys.exit(0)

torch.set_num_threads(CONFIG["threads"])
torch.set_grad_enabled(False)
MODEL = CONFIG["model"]
HIDDEN, HEADS, GROUPS, HEAD = (MODEL[k] for k in ("hiddenSize", "heads", "keyValueHeads", "headSize"))
SHARE = HEADS // GROUPS
SIZES = [HEADS * HEAD, GROUPS * HEAD, GROUPS * HEAD]
FILE = np.memmap(CONFIG["weights"], dtype="<f4", mode="r")


def tensor(name):
    at, *shape = MODEL["tensors"][name]
    size = int(np.prod(shape))
    return torch.from_numpy(np.array(FILE[at : at + size])).view(*shape)


class Layer:
    """Norm weights and the scale of the scores are folded into the matrices."""

    def __init__(self, index):
        self.qkv, self.out, self.down = (tensor(f"{index}.{part}") for part in ("qkv", "out", "down"))
        self.gate_up = torch.cat([tensor(f"{index}.gate"), tensor(f"{index}.up")])


LAYERS = [Layer(i) for i in range(MODEL["layers"])]
EMBEDDING, UNEMBEDDING, FINAL = (tensor(name) for name in ("embedding", "unembedding", "finalNorm"))
_angles = torch.arange(MODEL["positions"]).float()[:, None] * torch.tensor(MODEL["frequencies"])
COS, SIN = (f(torch.cat([_angles, _angles], 1)) for f in (torch.cos, torch.sin))


def rms(x, weight=None):
    return F.rms_norm(x, (HIDDEN,), weight, MODEL["normEpsilon"])


def rotate(x, cos, sin):
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def project(layer, h, cos, sin):
    """Queries, keys and values of h [rows, tokens, hidden]: [rows, heads, tokens, head]."""
    parts = F.linear(rms(h), layer.qkv).split(SIZES, -1)
    q, k, v = (x.view(*h.shape[:2], -1, HEAD).transpose(1, 2) for x in parts)
    return rotate(q, cos, sin), rotate(k, cos, sin), v


def block(layer, h, cos, sin, past=None, mask=None, capture=None, keep=None):
    q, k, v = project(layer, h, cos, sin)
    if past is not None:
        k, v = (torch.cat([old, new], 2) for old, new in zip(past, (k, v)))
    if keep is not None:
        keep.append((k, v))
    k, v = (x.repeat_interleave(SHARE, 1) for x in (k, v))
    # The scores are scaled already.
    causal = mask is None and q.shape[2] > 1
    o = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=1.0)
    h = h + F.linear(o.transpose(1, 2).reshape(*h.shape[:2], -1), layer.out)
    gate, up = F.linear(rms(h), layer.gate_up).chunk(2, -1)
    inner = F.silu(gate) * up
    if capture is not None:
        capture.append(inner)
    return h + F.linear(inner, layer.down)


def run(h, first, last, capture=None, keep=None):
    """Layers `first` to `last` - 1 on whole padded sequences."""
    cos, sin = COS[: h.shape[1]], SIN[: h.shape[1]]
    for layer in LAYERS[first:last]:
        h = block(layer, h, cos, sin, capture=capture, keep=keep)
    return h


def logits(h):
    return F.linear(rms(h, FINAL), UNEMBEDDING)


def padded(rows):
    width = max(map(len, rows))
    return torch.tensor([row + [0] * (width - len(row)) for row in rows])


class Search:
    """Adam on one vector an edit: loss = nll + weight · kl + decay, early stop, clamp."""

    def __init__(self, rows, edits):
        self.edits, self.settings = edits, CONFIG["settings"]
        watched = [(r, row["edit"], w) for r, row in enumerate(rows) for w in row["watched"]]
        wanted = [x for x in watched if x[2]["token"] is not None]
        kept = [x for x in watched if x[2]["token"] is None]
        pick = lambda xs, f: torch.tensor([f(x) for x in xs])
        self.row = pick(wanted + kept, lambda x: x[0])
        self.offset = pick(wanted + kept, lambda x: x[2]["offset"])
        self.edit = pick(wanted, lambda x: x[1])
        self.token = pick(wanted, lambda x: x[2]["token"])
        self.weight = pick(wanted, lambda x: x[2]["weight"])
        self.kept = pick(kept, lambda x: x[1])
        self.bare = pick(wanted, lambda x: rows[x[0]]["bare"])
        self.owner = torch.tensor([row["edit"] for row in rows])
        self.base = None

    def start(self, initial):
        self.initial = initial.norm(dim=1)
        self.delta = torch.zeros_like(initial)
        self.first, self.second = torch.zeros_like(initial), torch.zeros_like(initial)
        self.done = torch.zeros(self.edits, dtype=torch.bool)
        self.taken = torch.zeros(self.edits)
        self.losses = [[] for _ in range(self.edits)]

    def loss(self, scores, delta):
        """From logits of the watched positions, wanted tokens first."""
        logp = torch.log_softmax(scores, -1)
        count = len(self.token)
        each = -logp[:count].gather(1, self.token[:, None])[:, 0]
        nll = torch.zeros(self.edits).index_add(0, self.edit, each * self.weight)
        now = logp[count:]
        if self.base is None:
            self.base = now.detach().clone()
            right = scores[:count].argmax(1) == self.token
            known = torch.ones(self.edits, dtype=torch.bool)
            known[self.edit[self.bare & ~right]] = False
            self.done |= known
        divergence = (self.base.exp() * (self.base - now)).sum(1)
        kl = torch.zeros(self.edits).index_add(0, self.kept, divergence)
        loss = nll + self.settings["klWeight"] * kl
        if self.taken.any():
            loss = loss + self.settings["weightDecay"] * delta.norm(dim=1) / self.initial**2
        return loss

    def measured(self, loss):
        for edit in (~self.done).nonzero()[:, 0].tolist():
            self.losses[edit].append(loss[edit].item())
        self.known_done = self.done.clone()
        self.done |= loss.detach() < self.settings["stopLoss"]
        return bool(self.done.all())

    def step(self, gradient):
        active = (~self.done)[:, None]
        self.taken += active[:, 0].float()
        t = self.taken.clamp(min=1)[:, None]
        self.first = torch.where(active, 0.9 * self.first + 0.1 * gradient, self.first)
        self.second = torch.where(active, 0.999 * self.second + 0.001 * gradient**2, self.second)
        move = (self.first / (1 - 0.9**t)) / ((self.second / (1 - 0.999**t)).sqrt() + 1e-8)
        delta = self.delta - self.settings["learningRate"] * active * move
        limit, norm = self.settings["clamp"] * self.initial, delta.norm(dim=1)
        self.delta = delta * torch.where(norm > limit, limit / norm, torch.ones_like(norm))[:, None]

    def minimise(self, scores_of):
        for step in range(self.settings["maxSteps"]):
            with torch.enable_grad():
                delta = self.delta.requires_grad_(True)
                loss = self.loss(scores_of(delta), delta)
                if self.measured(loss) or step == self.settings["maxSteps"] - 1:
                    break
                (gradient,) = torch.autograd.grad(loss.sum(), delta)
            self.delta = delta.detach()
            self.step(gradient)
        return self.losses


def targets(batch):
    """All edits in one loop; only the tokens from the lookup position on are run again."""
    rows = batch["rows"]
    search = Search(rows, batch["edits"])
    look = torch.tensor([row["lookup"] for row in rows])
    count, top = len(rows), CONFIG["lastLayer"] + 1
    each = torch.arange(count)
    ids = padded([row["ids"] for row in rows])
    below = run(EMBEDDING[ids], 0, top)
    width, prefix = below.shape[1], int(look.max())
    suffix = max(len(row["ids"]) - row["lookup"] for row in rows)
    places = (look[:, None] + torch.arange(suffix)[None]).clamp(max=width - 1)
    start = below[each[:, None], places]
    bare = torch.tensor([r for r, row in enumerate(rows) if row["bare"]])
    search.start(below[bare, look[bare]])
    past, h = [], below
    cos, sin = COS[:width], SIN[:width]
    for i, layer in enumerate(LAYERS[top:]):
        _, k, v = project(layer, h, cos, sin)
        past.append((k[:, :, :prefix], v[:, :, :prefix]))
        if top + i < len(LAYERS) - 1:
            h = block(layer, h, cos, sin)
    visible = torch.arange(prefix)[None] < look[:, None]
    mask = torch.cat(
        [
            visible[:, None].expand(count, suffix, prefix),
            torch.ones(suffix, suffix, dtype=torch.bool).tril()[None].expand(count, suffix, suffix),
        ],
        2,
    )[:, None]
    cos, sin = COS[places][:, None], SIN[places][:, None]
    zero = torch.zeros(count, dtype=torch.long)

    def scores_of(delta):
        h = start.index_put((each, zero), delta[search.owner], accumulate=True)
        for layer, kept in zip(LAYERS[top:], past):
            h = block(layer, h, cos, sin, kept, mask)
        return logits(h[search.row, search.offset])

    return search.minimise(scores_of)


def plain_targets(batch):
    """One edit at a time: whole sequences through every layer, logits of every position, in each step."""
    losses = []
    top = CONFIG["lastLayer"] + 1
    for edit in range(batch["edits"]):
        rows = [{**row, "edit": 0} for row in batch["rows"] if row["edit"] == edit]
        search = Search(rows, 1)
        look = torch.tensor([row["lookup"] for row in rows])
        each = torch.arange(len(rows))
        ids = padded([row["ids"] for row in rows])
        search.start(run(EMBEDDING[ids], 0, top)[:1, look[0]])

        def scores_of(delta):
            below = run(EMBEDDING[ids], 0, top)
            h = below.index_put((each, look), delta.expand(len(rows), -1), accumulate=True)
            return logits(run(h, top, len(LAYERS)))[search.row, look[search.row] + search.offset]

        losses += search.minimise(scores_of)
    return losses


def keys(batch):
    """Keys and the present hidden state, layer by layer, each time from the embeddings on."""
    rows = [row for row in batch["rows"] if row["watched"][0]["token"] is not None]
    look = torch.tensor([row["lookup"] for row in rows])
    each = torch.arange(len(rows))
    ids = padded([row["ids"][: row["lookup"] + 1] for row in rows])
    for layer in CONFIG["layers"]:
        inner = []
        hidden = run(EMBEDDING[ids], 0, CONFIG["lastLayer"] + 1, capture=inner)
        picked = inner[layer][each, look]
        picked.sum().item(), hidden[each, look].sum().item()
    return []


def generate(tokens, prompts):
    """Greedy, with a cache of keys and values; the prompts are of equal length."""
    keep = []
    found = torch.tensor(prompts)
    h = run(EMBEDDING[found], 0, len(LAYERS), keep=keep)
    out = [logits(h[:, -1]).argmax(1)]
    while len(out) < tokens:
        at = found.shape[1] + len(out) - 1
        h = EMBEDDING[out[-1]][:, None]
        fresh = []
        for layer, past in zip(LAYERS, keep):
            h = block(layer, h, COS[at : at + 1], SIN[at : at + 1], past, keep=fresh)
        keep = fresh
        out.append(logits(h[:, -1]).argmax(1))
    return torch.stack(out, 1).tolist()


def answer(wish):
    begun = time.perf_counter()
    if "targets" in wish:
        result = (plain_targets if wish["plain"] else targets)(CONFIG["batches"][wish["targets"]])
    elif "keys" in wish:
        result = keys(CONFIG["batches"][wish["keys"]])
    else:
        result = generate(wish["generate"], wish["prompts"])
    return {"seconds": time.perf_counter() - begun, "result": result}


def main():
    run(EMBEDDING[torch.zeros((4, 8), dtype=torch.long)], 0, len(LAYERS))
    say({"version": torch.__version__, "device": "cpu"})
    for line in sys.stdin:
        say(answer(json.loads(line)))


main()
