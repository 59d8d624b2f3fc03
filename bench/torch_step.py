"""How long a training step takes in PyTorch: what bench/step.ts is compared with, on the same model, tokens and GPU.

    python3 bench/torch_step.py [--method peft|qlora|falqon] [--width NAME] [--compile] [--checkpointing] [--layers 8] [--batch 16] [--seq 512] …

peft    LoRA by PEFT on all linear layers, bf16, AdamW.
qlora   The same beside weights in NF4 by bitsandbytes, with double quantisation. Needs bitsandbytes.
falqon  FALQON as its authors published it (arXiv 2510.24061 and its code), written anew from a description: one scale a tensor,
        the merged weight [W; A] in e4m3, a transposed copy of it in every backward, and an update that rewrites all of W.

Prints a line of JSON as bench/suite.ts reads it (`--groups torch`). Needs PyTorch, transformers and PEFT; this
package itself does not.
"""

import argparse
import json
import pathlib
import time

import torch
from transformers import AutoConfig, AutoModelForCausalLM, LlamaConfig

LARGEST = {torch.float8_e4m3fn: 448.0, torch.float8_e5m2: 57344.0}
LINEARS = {
    "self_attn": ("q_proj", "k_proj", "v_proj", "o_proj"),
    "mlp": ("gate_proj", "up_proj", "down_proj"),
}
UNTIMED = 3


def quantize(x, dtype):
    """Codes, and the factor that gives the values back."""
    scale = LARGEST[dtype] / x.abs().amax().float().clamp(min=1e-12)
    return (x.float() * scale).clamp(-LARGEST[dtype], LARGEST[dtype]).to(dtype), 1 / scale


class MergedProduct(torch.autograd.Function):
    """[O | O_A] = x~ · [W~; A~]ᵀ, of which O is returned and O_A kept."""

    @staticmethod
    def forward(ctx, x, weight, factor, b):
        outputs = b.shape[0]
        codes, x_factor = quantize(x.reshape(-1, x.shape[-1]), torch.float8_e4m3fn)
        y = torch._scaled_mm(codes, weight.t(), scale_a=x_factor, scale_b=factor, out_dtype=x.dtype)
        ctx.save_for_backward(y[:, outputs:], weight, factor)
        ctx.shape = x.shape
        return y[:, :outputs].reshape(*x.shape[:-1], outputs)

    @staticmethod
    def backward(ctx, gradient):
        low, weight, factor = ctx.saved_tensors
        g = gradient.reshape(-1, gradient.shape[-1]).contiguous()
        codes, g_factor = quantize(g, torch.float8_e5m2)
        by_columns = weight[: g.shape[1]].t().contiguous().t()
        dx = torch._scaled_mm(codes, by_columns, scale_a=g_factor, scale_b=factor, out_dtype=g.dtype)
        return dx.reshape(ctx.shape), None, None, g.t() @ low


class FalqonLinear(torch.nn.Module):
    """A linear layer whose FP8 weight holds its adapter."""

    def __init__(self, linear, rank):
        super().__init__()
        weight = linear.weight.data.float()
        a = torch.randn(rank, weight.shape[1], device=weight.device) / weight.shape[1] ** 0.5
        self.weight, self.factor = quantize(torch.cat([weight, a]), torch.float8_e4m3fn)
        self.b = torch.nn.Parameter(
            torch.zeros(weight.shape[0], rank, device=weight.device, dtype=linear.weight.dtype)
        )

    def forward(self, x):
        return MergedProduct.apply(x, self.weight, self.factor, self.b)

    @torch.no_grad()
    def update(self):
        """Rounds the change of the rows with the largest into the codes, and forgets the others'."""
        outputs, rank = self.b.shape
        rows = self.b.abs().sum(1).topk(min(rank, outputs)).indices
        weight = self.weight[:outputs].float()
        weight[rows] += self.b[rows].float() @ self.weight[outputs:].float()
        self.weight[:outputs] = weight.clamp(-448, 448).to(self.weight.dtype)
        self.b.zero_()


def read_config(options):
    """LLaMA of the given sizes, or a published model: the config.json that bench/step.ts reads too."""
    if options.width is None:
        return LlamaConfig(
            vocab_size=options.vocab,
            hidden_size=options.hidden,
            intermediate_size=options.ffn,
            num_hidden_layers=options.layers or 8,
            num_attention_heads=options.heads,
            num_key_value_heads=options.heads,
            max_position_embeddings=max(4096, options.seq),
            tie_word_embeddings=False,
        )
    path = pathlib.Path(__file__).parent / "models" / f"{options.width}.json"
    fields = json.loads(path.read_text())
    if options.layers:
        fields["num_hidden_layers"] = options.layers
    return AutoConfig.for_model(**fields)


def random_model(config, device):
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, attn_implementation="sdpa")
    torch.set_default_dtype(torch.float32)
    model.config.use_cache = False
    return model


def linears_of(model):
    """The linear layers of all blocks: the module that has one, its name there, and the layer."""
    return [
        (getattr(block, part), name, getattr(getattr(block, part), name))
        for block in model.model.layers
        for part, names in LINEARS.items()
        for name in names
    ]


def with_peft(model, options):
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=options.rank,
        lora_alpha=16,
        target_modules="all-linear",
        lora_dropout=0.0,
        bias="none",
        task_type="CAUSAL_LM",
    )
    return get_peft_model(model, config), lambda: None


def with_qlora(model, options):
    from bitsandbytes.nn import Linear4bit, Params4bit

    nf4 = {"compress_statistics": True, "quant_type": "nf4"}
    for holder, name, linear in linears_of(model):
        coded = Linear4bit(
            linear.in_features,
            linear.out_features,
            bias=linear.bias is not None,
            compute_dtype=linear.weight.dtype,
            **nf4,
        )
        coded.weight = Params4bit(linear.weight.data.cpu(), requires_grad=False, **nf4)
        coded.bias = linear.bias
        setattr(holder, name, coded.to(linear.weight.device))  # which encodes the weight
    model.is_loaded_in_4bit = True
    return with_peft(model, options)


def with_falqon(model, options):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    linears = []
    for holder, name, linear in linears_of(model):
        linears.append(FalqonLinear(linear, options.rank))
        setattr(holder, name, linears[-1])

    def update():
        for linear in linears:
            linear.update()

    return model, update


METHODS = {
    "peft": ("peft-lora-bf16", with_peft),
    "qlora": ("peft-qlora-bnb-nf4", with_qlora),
    "falqon": ("falqon-as-published", with_falqon),
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--method", choices=list(METHODS), default="peft")
    for name, default in dict(
        layers=0, batch=16, seq=512, rank=64, steps=12, hidden=4096, ffn=11008, heads=32, vocab=32000
    ).items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--width", help="a model of bench/models; default: LLaMA of the given sizes")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true")
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    finish = torch.cuda.synchronize if device == "cuda" else lambda: None

    label, adapt = METHODS[options.method]
    config = read_config(options)
    model, update = adapt(random_model(config, device), options)
    if options.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-3, fused=True)
    step = torch.compile(model) if options.compile else model
    tokens = torch.randint(3, config.vocab_size, (options.batch, options.seq), device=device)
    if device == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()

    seconds = []
    for _ in range(options.steps):
        finish()
        start = time.perf_counter()
        loss = step(input_ids=tokens, labels=tokens).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        update()
        finish()
        seconds.append(time.perf_counter() - start)
    timed = sorted(seconds[UNTIMED:] or seconds)
    median = timed[len(timed) // 2]
    print(json.dumps({
        "method": label,
        "compiled": options.compile,
        "checkpointing": options.checkpointing,
        "width": options.width,
        "layers": config.num_hidden_layers,
        "stepMs": 1e3 * median,
        "tokensPerSecond": options.batch * options.seq / median,
        "peakBytes": torch.cuda.max_memory_allocated() if device == "cuda" else 0,
        "loss": loss.item(),
    }))


if __name__ == "__main__":
    main()
