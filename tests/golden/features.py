"""What an implementation may get wrong: copies of a model, each with one feature left out.

Why it is here: values that do not change without a feature would not tell whether it is there.
"""

import copy
import math

import torch


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
