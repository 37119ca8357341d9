"""Writes the xattention_*.safetensors files of this folder. Standard library only; run it in this folder.

A second, deliberately naive statement of scoring, selection and attention: plain lists, explicit padding, loops over
single tokens, no code shared with the library. The library's tests compare with what this writes.
"""

import json
import math
import struct


def generator(seed):
    """Uniform numbers in [-1.5, 1.5) on a grid of 2^-8, exact in every storage type that the tests use but bf16."""
    state = seed
    while True:
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        yield ((state >> 33) % 768) / 256 - 1.5


def tensor(numbers, *shape):
    if not shape:
        return next(numbers)
    return [tensor(numbers, *shape[1:]) for _ in range(shape[0])]


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def padded(rows, multiple, dim):
    return rows + [[0.0] * dim] * (-len(rows) % multiple)


def softmax(logits):
    """Logits may be None: not allowed."""
    top = max((a for a in logits if a is not None), default=0.0)
    weights = [0.0 if a is None else math.exp(a - top) for a in logits]
    total = math.fsum(weights)
    return [w / total if total else 0.0 for w in weights]


def block_sums(shares, q_blocks, k_blocks, per_block):
    sums = [[0.0] * k_blocks for _ in range(q_blocks)]
    for i, row in enumerate(shares):
        for j, share in enumerate(row):
            sums[i // per_block][j // per_block] += share
    return sums


def reference_sums(q, k, c):
    s, dim = c["stride"], c["D"]
    real_groups = -(-len(q) // s)
    q, k = padded(q, c["chunk_size"], dim), padded(k, c["chunk_size"], dim)
    shift = (len(k) - len(q)) // s
    shares = []
    for i in range(len(q) // s):
        row = []
        for j in range(len(k) // s):
            if c["causal"] and j > i + shift:
                row.append(None)
            else:
                terms = [dot(q[i * s + s - 1 - t], k[j * s + t]) for t in range(s)]
                row.append(math.fsum(terms) / s / math.sqrt(dim))
        shares.append(softmax(row) if i < real_groups else [0.0] * len(row))
    block = c["block_size"]
    return block_sums(shares, len(q) // block, len(k) // block, block // s)


def exact_sums(q, k, c):
    s, dim, block = c["stride"], c["D"], c["block_size"]
    offset = len(k) - len(q)
    shares = []
    for i in range(-(-len(q) // s)):
        members = range(i * s, min(i * s + s, len(q)))
        row = []
        for j in range(-(-len(k) // s)):
            # Every real pair on the antidiagonal, found by looking at all pairs.
            keys = range(j * s, min(j * s + s, len(k)))
            terms = [dot(q[a], k[b]) for a in members for b in keys if a % s + b % s == s - 1]
            seen = not c["causal"] or j * s <= members[-1] + offset
            row.append(math.fsum(terms) / len(terms) / math.sqrt(dim) if terms and seen else None)
        shares.append(softmax(row))
    return block_sums(shares, -(-len(q) // block), -(-len(k) // block), block // s)


def reference_mask(sums, c):
    n_q, n_k = len(sums), len(sums[0])
    per_chunk = c["chunk_size"] // c["block_size"]
    mask = []
    for row, x in enumerate(sums):
        diagonal = n_k - n_q + row
        first = c["causal"] and n_k - n_q + row // per_chunk * per_chunk == 0
        chosen = set()
        if c["causal"]:
            chosen = {diagonal} if first else {0, diagonal}
        rest = range(diagonal + 1) if c["causal"] else range(n_k)
        rest = sorted(set(rest) - chosen, key=lambda j: (-x[j], j))
        forced = math.fsum(x[j] for j in chosen)
        wanted = c["threshold"] * math.fsum(x)
        for rank, j in enumerate(rest):
            before = rank - 1 if first else rank
            mass = 0.0 if before < 0 else forced + math.fsum(x[m] for m in rest[:before])
            if mass < wanted:
                chosen.add(j)
        if c["causal"] or len(chosen) < n_k:
            chosen.add(0)
        mask.append([int(j in chosen) for j in range(n_k)])
    return mask


def exact_mask(sums, c):
    n_q, n_k, block = len(sums), len(sums[0]), c["block_size"]
    offset = c["Lk"] - c["Lq"]
    mask = []
    for row, x in enumerate(sums):
        first = row * block + offset
        last = min((row + 1) * block, c["Lq"]) - 1 + offset
        reachable = [j for j in range(n_k) if not c["causal"] or j * block <= last]
        chosen = {j for j in reachable if c["causal"] and (j == 0 or (j + 1) * block > first)}
        wanted = c["threshold"] * math.fsum(x[j] for j in reachable)
        for j in sorted(set(reachable) - chosen, key=lambda j: (-x[j], j)):
            if chosen and math.fsum(x[m] for m in chosen) >= wanted:
                break
            chosen.add(j)
        mask.append([int(j in chosen) for j in range(n_k)])
    return mask


def attention(q, k, v, c, mask=None):
    block, dim = c["block_size"], c["D"]
    out, lse = [], []
    for t, query in enumerate(q):
        logits = []
        for j, key in enumerate(k):
            seen = not c["causal"] or j <= t + len(k) - len(q)
            if mask is not None:
                seen = seen and mask[t // block][j // block]
            logits.append(dot(query, key) / math.sqrt(dim) if seen else None)
        p = softmax(logits)
        out.append([math.fsum(p[j] * v[j][d] for j in range(len(k))) for d in range(dim)])
        used = [a for a in logits if a is not None]
        top = max(used, default=0.0)
        lse.append(top + math.log(math.fsum(math.exp(a - top) for a in used)) if used else -math.inf)
    return out, lse


def flat(x):
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def shape_of(x):
    return [len(x), *shape_of(x[0])] if isinstance(x, list) else []


def write(name, arrays, meta):
    header, blob = {"__metadata__": {key: str(value).lower() for key, value in meta.items()}}, b""
    for key, (kind, x) in sorted(arrays.items()):
        data = struct.pack(f"<{len(flat(x))}{'f' if kind == 'F32' else 'B'}", *flat(x))
        header[key] = {"dtype": kind, "shape": shape_of(x), "data_offsets": [len(blob), len(blob) + len(data)]}
        blob += data
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-len(text) % 8)
    with open(f"{name}.safetensors", "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text + blob)


def case(name, seed, **c):
    numbers = generator(seed)
    q = tensor(numbers, c["B"], c["Hq"], c["Lq"], c["D"])
    k = tensor(numbers, c["B"], c["Hkv"], c["Lk"], c["D"])
    v = tensor(numbers, c["B"], c["Hkv"], c["Lk"], c["D"])
    # Louder heads, so that the shares differ and selection has something to decide.
    q = [[[[3 * x for x in row] for row in head] for head in item] for item in q]
    heads = lambda f: [[f(b, h, h // (c["Hq"] // c["Hkv"])) for h in range(c["Hq"])] for b in range(c["B"])]
    at = lambda x, b, h: x[b][h]
    sums = heads(lambda b, h, g: reference_sums(q[b][h], k[b][g], c))
    mask = [[reference_mask(x, c) for x in item] for item in sums]
    exact = heads(lambda b, h, g: exact_sums(q[b][h], k[b][g], c))
    dense = heads(lambda b, h, g: attention(q[b][h], k[b][g], v[b][g], c))
    sparse = heads(lambda b, h, g: attention(q[b][h], k[b][g], v[b][g], c, at(mask, b, h)))
    part = lambda results, i: [[result[i] for result in item] for item in results]
    arrays = {
        "q": ("F32", q), "k": ("F32", k), "v": ("F32", v),
        "attn_sums": ("F32", sums), "simple_mask": ("U8", mask),
        "exact_sums": ("F32", exact), "exact_mask": ("U8", [[exact_mask(x, c) for x in item] for item in exact]),
        "out_dense": ("F32", part(dense, 0)), "lse_dense": ("F32", part(dense, 1)),
        "out_sparse": ("F32", part(sparse, 0)), "lse_sparse": ("F32", part(sparse, 1)),
    }
    usual = {"keep_sink": False, "keep_recent": False, "norm": 1, "select_mode": "inverse", "softmax": True, "kdb": 1}
    write(name, arrays, {"name": name, "softmax_scale": 1 / math.sqrt(c["D"]), **usual, **c})


case("xattention_causal_gqa", 1, B=2, Hq=4, Hkv=2, Lq=96, Lk=96, D=4, stride=4, threshold=0.8, causal=True, block_size=16, chunk_size=32)
case("xattention_causal_tail", 2, B=1, Hq=2, Hkv=1, Lq=37, Lk=102, D=8, stride=4, threshold=0.9, causal=True, block_size=8, chunk_size=16)
case("xattention_full_cross", 3, B=1, Hq=2, Hkv=2, Lq=50, Lk=70, D=8, stride=2, threshold=0.7, causal=False, block_size=8, chunk_size=32)
