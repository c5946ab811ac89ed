"""One batch of the recursion in NumPy or PyTorch, timed on request.

First argument: a JSON object {library, device, dIn, dOut, batch, precision, threads, seed}. Each line on standard input,
{"batches": n, "seconds": s}, runs at least n batches and at least s seconds; each answer is one JSON line {"ms": [...]}.
The first line says what runs: {"version": ..., "device": ...}, or {"missing": reason}.
"""

import json
import os
import sys
import time

CONFIG = json.loads(sys.argv[1])
for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[name] = str(CONFIG["threads"])

D, OUT, U = CONFIG["dIn"], CONFIG["dOut"], CONFIG["batch"]
TILE = 512


def numpy_step():
    import numpy as np

    dtype = np.float32 if CONFIG["precision"] == "fp32" else np.float64
    rng = np.random.default_rng(CONFIG["seed"])
    c = np.zeros((D, D), dtype)
    np.fill_diagonal(c, 30 / D)
    w = np.zeros((OUT, D), dtype)
    try:
        from scipy.linalg import solve_triangular
    except ImportError:
        solve_triangular = None

    def half_solve(r, x):
        """X R^-T for a lower R."""
        if solve_triangular is None:
            return np.ascontiguousarray(np.linalg.solve(r, x.T).T)
        return np.ascontiguousarray(solve_triangular(r, x.T, lower=True, check_finite=False).T)

    def draw():
        k = rng.standard_normal((D, U), dtype=dtype)
        v = rng.standard_normal((OUT, U), dtype=dtype)
        return k, v

    def step(inputs):
        k, v = inputs
        e = v - w @ k
        f = c @ k
        s = k.T @ f
        s[np.diag_indices(U)] += 1
        r = np.linalg.cholesky(s)
        g = half_solve(r, f)
        b = half_solve(r, e)
        # By tiles: one product of the whole size would allocate a second C, and is slower.
        for i in range(0, D, TILE):
            c[i : i + TILE] -= g[i : i + TILE] @ g.T
        for i in range(0, OUT, TILE):
            w[i : i + TILE] += b[i : i + TILE] @ g.T

    return draw, step, {"version": np.__version__, "device": "cpu"}


def torch_step():
    import torch

    torch.set_num_threads(CONFIG["threads"])
    torch.set_grad_enabled(False)
    device = CONFIG["device"]
    if device == "cuda" and not torch.cuda.is_available():
        raise ImportError("torch sees no CUDA device")
    dtype = torch.float32 if CONFIG["precision"] == "fp32" else torch.float64
    torch.manual_seed(CONFIG["seed"])
    options = {"dtype": dtype, "device": device}
    c = torch.eye(D, **options).mul_(30 / D)
    w = torch.zeros((OUT, D), **options)
    eye = torch.eye(U, **options)

    def draw():
        inputs = torch.randn((D, U), **options), torch.randn((OUT, U), **options)
        wait()
        return inputs

    def wait():
        if device == "cuda":
            torch.cuda.synchronize()

    def step(inputs):
        k, v = inputs
        e = v - w @ k
        f = c @ k
        r = torch.linalg.cholesky(eye + k.T @ f)
        g = torch.linalg.solve_triangular(r, f.T, upper=False).T
        b = torch.linalg.solve_triangular(r, e.T, upper=False).T
        c.addmm_(g, g.T, alpha=-1)
        w.addmm_(b, g.T)
        wait()

    name = torch.cuda.get_device_name() if device == "cuda" else "cpu"
    return draw, step, {"version": torch.__version__, "device": name}


def say(answer):
    print(json.dumps(answer), flush=True)


def main():
    try:
        draw, step, about = numpy_step() if CONFIG["library"] == "numpy" else torch_step()
    except ImportError as error:
        say({"missing": str(error)})
        return
    step(draw())
    say(about)
    for line in sys.stdin:
        wanted = json.loads(line)
        times = []
        while len(times) < wanted["batches"] or sum(times) < 1000 * wanted["seconds"]:
            inputs = draw()
            begun = time.perf_counter()
            step(inputs)
            times.append(1000 * (time.perf_counter() - begun))
        say({"ms": times})


main()
