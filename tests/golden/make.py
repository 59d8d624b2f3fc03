"""Writes the golden values of this folder: what transformers and PEFT compute, in float32 on a CPU.

Why it is here: the tests hold this project's models, gradients and LoRA training against other
people's implementations, and whoever clones the repository must be able to run and remake that.

Run, from the root of the repository (Python 3.11 or newer; the packages come from PyPI):

    python3 -m venv .cache/golden
    .cache/golden/bin/pip install torch==2.15.0 transformers==5.24.0 peft==0.21.2
    .cache/golden/bin/python tests/golden/make.py

It rewrites every file beside it but the README. With the same packages on the same kind of
processor these are the same bytes; elsewhere the computed values may differ in their last bits.
README.md says what the files hold.
"""

import copy
import json
import math
import random
import shutil
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
)

FOLDER = Path(__file__).parent
TINY_MODEL = FOLDER.parent.parent / "examples/tiny/model"
TINY_PROMPT = "Long ago, a fox named Mia lived in a barn."

BOS, EOS, FIRST_WORD = 1, 2, 3
CASE_LENGTHS = (33, 70)
GREEDY_TOKENS = 16
# A greedy choice must lead by more than an implementation in float32 can be off.
SMALLEST_LEAD = 1e-3
# The tests hold logits to 2e-4. A feature that is left out must change one by at least this much.
SMALLEST_EFFECT = 2e-2

# The tests hold trained factors to 3e-5: rounding must stay below that, and settings above.
LARGEST_ROUNDING = 1e-5
SMALLEST_FACTOR_CHANGE = 9e-5

WORDS = "a the sun moon sea hill fox owl bee red old big sees finds likes and is in on by".split()

LINEARS = "q_proj k_proj v_proj o_proj gate_proj up_proj down_proj".split()

COMMON = dict(
    bos_token_id=BOS,
    eos_token_id=EOS,
    pad_token_id=0,
    max_position_embeddings=256,
    attn_implementation="eager",
)

# Sizes that no tile of a kernel divides, and few enough that a clone stays small.
MODELS = {
    # Grouped heads, tied embedding, Llama 3's rope: its four frequencies fall on all three
    # branches (kept, between, divided).
    "llama3": LlamaForCausalLM(LlamaConfig(
        **COMMON,
        vocab_size=67,
        hidden_size=48,
        intermediate_size=36,
        num_hidden_layers=2,
        num_attention_heads=6,
        num_key_value_heads=2,
        head_dim=8,
        rms_norm_eps=1e-5,
        tie_word_embeddings=True,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 64,
        },
    )),
    # Mistral's class: heads * head_dim (48) is not the hidden size, one key head for all, linear
    # rope scaling, an lm_head of its own.
    "mistral": MistralForCausalLM(MistralConfig(
        **COMMON,
        vocab_size=53,
        hidden_size=36,
        intermediate_size=28,
        num_hidden_layers=2,
        num_attention_heads=3,
        num_key_value_heads=1,
        head_dim=16,
        rms_norm_eps=1e-4,
        tie_word_embeddings=False,
        sliding_window=None,
        rope_parameters={"rope_type": "linear", "rope_theta": 1000.0, "factor": 4.0},
    )),
    # As many key heads as query heads, of 10 components, which is no multiple of 4; plain rope, an
    # lm_head of its own, one layer.
    "llama2": LlamaForCausalLM(LlamaConfig(
        **COMMON,
        vocab_size=41,
        hidden_size=30,
        intermediate_size=44,
        num_hidden_layers=1,
        num_attention_heads=3,
        num_key_value_heads=3,
        rms_norm_eps=1e-5,
        tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 500.0},
    )),
}


def initialize(model, seed):
    """Draws every parameter with Python's generator, which stays the same for good.

    The embedding is small, so that the epsilon of the first norms is felt; linears are large, so
    that what attention does reaches the logits.
    """
    rng = random.Random(seed)
    tied = model.config.tie_word_embeddings
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            mean, deviation = 0.0, 1.4 / math.sqrt(parameter.shape[-1])
            if "embed_tokens" in name:
                deviation = 0.03
            elif "norm" in name:
                # A tied head is as small as the embedding: the last norm makes up for it.
                mean = 6.0 if tied and name == "model.norm.weight" else 1.0
                deviation = 0.3 * mean
            values = [rng.gauss(mean, deviation) for _ in range(parameter.numel())]
            parameter.copy_(torch.tensor(values).reshape(parameter.shape))


def logits_of(model, ids):
    with torch.no_grad():
        return model(ids[None]).logits[0]


def draw_case(rng, vocabulary, length):
    """Ids and labels: the first quarter is ignored, and three in the middle."""
    ids = [BOS] + [rng.randrange(FIRST_WORD, vocabulary) for _ in range(length - 1)]
    labels = ids.copy()
    for t in [*range(length // 4), length // 2, length // 2 + 1, length * 3 // 4]:
        labels[t] = -100
    return torch.tensor(ids), torch.tensor(labels)


def continue_greedily(model, prompt, count):
    """The likeliest tokens, each by a forward pass over all before it, and the smallest lead."""
    ids, lead = prompt, math.inf
    for _ in range(count):
        best = logits_of(model, ids)[-1].topk(2)
        lead = min(lead, (best.values[0] - best.values[1]).item())
        ids = torch.cat([ids, best.indices[:1]])
    return ids[len(prompt):], lead


def draw_prompt(model, rng):
    """A prompt whose continuation is decided clearly, does not end, and is not one word only."""
    for _ in range(1000):
        prompt, _ = draw_case(rng, model.config.vocab_size, 9)
        greedy, lead = continue_greedily(model, prompt, GREEDY_TOKENS)
        if lead >= SMALLEST_LEAD and EOS not in greedy and len(set(greedy.tolist())) >= 6:
            return prompt, greedy, lead
    raise RuntimeError("no prompt has a clear continuation: choose another seed")


def without_features(model):
    """Copies of the model, each computing as an implementation would that misses one feature."""
    config, state = model.config, model.state_dict()

    def variant(**fields):
        other = copy.deepcopy(config)
        for name, value in fields.items():
            setattr(other, name, value)
        made = type(model)(other)
        made.load_state_dict(state)
        return made.eval()

    def edited(edit):
        made = copy.deepcopy(model)
        with torch.no_grad():
            for layer in made.model.layers:
                edit(layer)
        return made

    rope = config.rope_parameters
    head_dim = config.head_dim
    heads, keys = config.num_attention_heads, config.num_key_value_heads
    plain = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
    if rope["rope_type"] != "default":
        yield "rope scaling", variant(rope_parameters=plain)
    if rope["rope_theta"] != 10000.0:
        yield "rope theta", variant(rope_parameters={**rope, "rope_theta": 10000.0})
    yield "norm epsilon (1e-6)", variant(rms_norm_eps=1e-6)

    def interleave_keys(layer):
        # Query head h reads key head h % keys, where h // (heads / keys) is right.
        attention = layer.self_attn
        order = sorted(range(heads), key=lambda h: h % keys)
        rows = [h * head_dim + i for h in order for i in range(head_dim)]
        attention.q_proj.weight.copy_(attention.q_proj.weight[rows])
        attention.o_proj.weight.copy_(attention.o_proj.weight[:, rows])

    if 1 < keys < heads:
        yield "order of grouped heads", edited(interleave_keys)

    def scale_by_width(layer):
        layer.self_attn.q_proj.weight.mul_(math.sqrt(head_dim / (config.hidden_size / heads)))

    if heads * head_dim != config.hidden_size:
        yield "scale of scores by head_dim", edited(scale_by_width)

    def interleave_rope(layer):
        # Planes of neighbours (2i, 2i + 1), where (i, i + half) is right.
        pairs = [i + j for i in range(head_dim // 2) for j in (0, head_dim // 2)]
        inverse = [pairs.index(i) for i in range(head_dim)]
        for projection in (layer.self_attn.q_proj, layer.self_attn.k_proj):
            blocks = projection.weight.view(-1, head_dim, projection.weight.shape[1])
            blocks.copy_(blocks[:, inverse].clone())

    yield "half-split rope", edited(interleave_rope)
    yield "norm weights of blocks", edited(lambda layer: (
        layer.input_layernorm.weight.fill_(1),
        layer.post_attention_layernorm.weight.fill_(1),
    ))


def f32(tensor):
    return tensor.detach().to(torch.float32).contiguous()


def i32(tensor):
    return tensor.to(torch.int32).contiguous()


def write_tokenizer(folder):
    """A tokenizer of words, as a model folder needs one; special tokens are 0 to 2."""
    special = ["<unk>", "<s>", "</s>"]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": id,
                "content": content,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
            for id, content in enumerate(special)
        ],
        "normalizer": None,
        "pre_tokenizer": {"type": "WhitespaceSplit"},
        "post_processor": None,
        "decoder": None,
        "model": {
            "type": "WordLevel",
            "vocab": {word: id for id, word in enumerate(special + WORDS)},
            "unk_token": "<unk>",
        },
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer) + "\n")


def write_model(name, model, seed):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    initialize(model, seed)
    model.eval()
    model.save_pretrained(folder)
    write_tokenizer(folder)

    rng = random.Random(seed + 1000)
    golden = {}
    for case, length in enumerate(CASE_LENGTHS):
        ids, labels = draw_case(rng, model.config.vocab_size, length)
        model.zero_grad()
        output = model(ids[None], labels=labels[None])
        golden[f"case{case}.input_ids"] = i32(ids)
        golden[f"case{case}.labels"] = i32(labels)
        golden[f"case{case}.logits"] = f32(output.logits[0])
        golden[f"case{case}.loss"] = f32(output.loss.reshape(1))
    output.loss.backward()  # of the last case, the longest
    for parameter, value in model.named_parameters():
        golden[f"case{case}.grad.{parameter}"] = f32(value.grad)

    prompt, greedy, lead = draw_prompt(model, rng)
    golden["greedy.prompt"], golden["greedy.tokens"] = i32(prompt), i32(greedy)
    save_file(golden, folder / "golden.safetensors")

    print(f"{name}: loss {output.loss.item():.4f}, logits up to {output.logits.abs().max():.2f}, "
          f"smallest greedy lead {lead:.1e}, {len(set(greedy.tolist()))} distinct tokens")
    for feature, other in without_features(model):
        effect = (logits_of(other, ids) - output.logits[0]).abs().max().item()
        print(f"  without {feature}: a logit changes by {effect:.2g}")
        assert effect >= SMALLEST_EFFECT, f"{name} does not notice {feature}"
    return ids, labels


def draw_chains(rng, vocabulary, shape):
    """Sequences in which a word mostly calls for one other, so that ten steps learn something."""
    follower = rng.sample(range(FIRST_WORD, vocabulary), vocabulary - FIRST_WORD)
    steps, rows, length = shape
    batches = torch.empty(shape, dtype=torch.int64)
    for step in range(steps):
        for row in range(rows):
            id = BOS
            for t in range(length):
                batches[step, row, t] = id
                free = id == BOS or rng.random() < 0.2
                id = rng.randrange(FIRST_WORD, vocabulary) if free else follower[id - FIRST_WORD]
    return batches


def train_lora(name, seed, batches, clip=1.0, dtype=torch.float32, **changes):
    """Trains an adapter by PEFT on the model of that name; labels are the ids."""
    base = AutoModelForCausalLM.from_pretrained(
        FOLDER / name, dtype=torch.float32, attn_implementation="eager"
    )
    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, lora_alpha=8, lora_dropout=0.0, target_modules=LINEARS, task_type="CAUSAL_LM"
    )
    model = get_peft_model(base, config).to(dtype)
    factors = {n: p for n, p in model.named_parameters() if p.requires_grad}
    run = {f"init.{n}": p.detach().to(torch.float32, copy=True) for n, p in factors.items()}
    settings = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0, **changes}
    optimizer = torch.optim.AdamW(factors.values(), **settings)
    losses = []
    for batch in batches:
        loss = model(input_ids=batch, labels=batch).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(factors.values(), clip)
        optimizer.step()
        losses.append(loss.item())
    run["batches"] = i32(batches)
    run["losses"] = torch.tensor(losses)
    run |= {f"final.{n}": f32(p) for n, p in factors.items()}
    return model.eval(), run


def factor_change(run, other):
    """The largest relative difference of a trained factor."""
    names = [n for n in run if n.startswith("final.")]
    return max(((other[n] - run[n]).norm() / run[n].norm()).item() for n in names)


def draw_lora(name):
    """A run that float32 decides.

    AdamW's first update of an element is its rate times the sign of a gradient: where that is
    nearly zero, rounding chooses, and no two implementations agree. Other seeds have no such
    element.
    """
    vocabulary = MODELS[name].config.vocab_size
    for seed in range(1000):
        batches = draw_chains(random.Random(seed), vocabulary, (10, 2, 27))
        model, run = train_lora(name, seed, batches)
        _, exact = train_lora(name, seed, batches, dtype=torch.float64)
        error = factor_change(exact, run)
        if error <= LARGEST_ROUNDING:
            print(f"PEFT on {name}, seed {seed}: factors within {error:.1e} of those in float64")
            return seed, batches, model, run
    raise RuntimeError("no run is decided by float32")


def write_lora(name, ids, labels):
    """A run of PEFT with the adapter it saves; `ids` and `labels` try the adapter afterwards."""
    folder = FOLDER / name
    seed, batches, model, run = draw_lora(name)

    def loss(ids, labels):
        with torch.no_grad():
            return model(ids, labels=labels).loss.item()

    run["adapted.loss"] = torch.tensor([loss(ids[None], labels[None])])
    save_file(run, folder / "peft-lora.safetensors")

    # PEFT keeps the names as a set, whose order changes from run to run.
    adapter = model.peft_config["default"]
    adapter.target_modules = sorted(adapter.target_modules)
    adapter.base_model_name_or_path = name
    model.save_pretrained(folder / "adapter", save_embedding_layers=False)
    (folder / "adapter/README.md").unlink()  # a form for a model card

    with model.disable_adapter():
        before = loss(ids[None], labels[None])
        untrained = loss(batches[-1], batches[-1])
    print(f"  last loss {run['losses'][-1]:.4f} ({untrained:.4f} untrained), "
          f"case 1 {run['adapted.loss'].item():.4f} ({before:.4f} without the adapter)")
    others = {
        "no clipping": {"clip": math.inf},
        "eps 1e-6": {"eps": 1e-6},
        "beta2 0.99": {"betas": (0.9, 0.99)},
        "decay 0.01": {"weight_decay": 0.01},
    }
    for setting, changes in others.items():
        _, other = train_lora(name, seed, batches, **changes)
        effect = (other["losses"] - run["losses"]).abs().max().item()
        change = factor_change(run, other)
        print(f"  with {setting}: a loss changes by {effect:.2g}, a factor by {change:.2g}")
        assert change >= SMALLEST_FACTOR_CHANGE, f"{name} does not notice {setting}"


def write_tiny():
    """The model of the demo, from text to text."""
    model = AutoModelForCausalLM.from_pretrained(
        TINY_MODEL, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(TINY_MODEL)
    prompt = torch.tensor(tokenizer(TINY_PROMPT)["input_ids"])
    greedy, lead = continue_greedily(model, prompt, 40)
    assert lead >= SMALLEST_LEAD, f"the smallest lead is {lead}: choose another prompt"
    ids = torch.cat([prompt, greedy])
    text = tokenizer.decode(ids, skip_special_tokens=True)
    assert text.startswith(TINY_PROMPT)
    with torch.no_grad():
        loss = model(ids[None], labels=ids[None]).loss.item()
    golden = {
        "prompt": TINY_PROMPT,
        "continuation": text.removeprefix(TINY_PROMPT),
        "promptTokens": len(prompt),
        "ids": ids.tolist(),
        "loss": loss,
    }
    (FOLDER / "tiny.json").write_text(json.dumps(golden) + "\n")
    print(f"tiny: loss {loss:.4f}, smallest lead {lead:.1e}: {text!r}")


def main():
    torch.set_num_threads(1)  # the order of sums must not depend on the machine's cores
    tried = {
        name: write_model(name, model, seed)
        for seed, (name, model) in enumerate(MODELS.items(), start=1)
    }
    write_lora("llama3", *tried["llama3"])
    write_tiny()
    for path in FOLDER.rglob("*.safetensors"):
        assert all(torch.isfinite(t).all() for t in load_file(path).values()), path


if __name__ == "__main__":
    main()
