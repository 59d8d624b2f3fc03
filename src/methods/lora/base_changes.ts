/**
 * What an adapter changes in the model besides the linear layers of its blocks. None of it is trained:
 * weights are changed when they are loaded.
 *
 * - `modules_to_save`, biases: weights in place of the model's.
 * - factors of the embedding and the head: their product is added.
 * - `trainable_token_indices`: rows of the embedding are replaced.
 * - `lora_bias`: the scaled bias of B is added to that of the layer.
 *
 * @module
 */

import { ModelError } from "../../errors.ts";
import type { PeftAdapter, PeftTensor } from "../../io/peft.ts";
import { rankOf, scaleOf } from "../../io/peft_adapter.ts";
import type { TensorChange } from "../../layers/tensor_changes.ts";
import type { LinearSpec } from "../../layers/linear_spec.ts";
import { setRowNorms } from "../../numerics/vector.ts";

type Values = Float32Array<ArrayBuffer>;

/** The changes of tensors that an adapter asks for, by the name of the tensor. */
export function baseChanges(
  adapter: PeftAdapter,
  linears: readonly LinearSpec[],
): Map<string, TensorChange> {
  const inBlocks = new Set(linears.flatMap(({ parts }) => parts.map(({ module }) => module)));
  const changes = new Changes();
  const others = adapter.others ?? new Map<string, PeftTensor>();
  for (const [name, tensor] of others) readOther(changes, adapter, name, tensor);
  for (const [module, pair] of adapter.tensors) {
    if (inBlocks.has(module)) continue;
    const { A, B, inFeatures, outFeatures, magnitude } = pair;
    const scale = scaleOf(adapter.config, pair);
    changes.add(`${module}.weight`, [outFeatures, inFeatures], (values) => {
      addProduct(values, { a: A, b: B, rank: rankOf(pair), scale });
      if (magnitude) setRowNorms(values, magnitude);
    });
  }
  return changes.byName;
}

function readOther(
  changes: Changes,
  adapter: PeftAdapter,
  name: string,
  { shape, values }: PeftTensor,
): void {
  const [module, kind] = split(name);
  if (!SIZES[kind].includes(shape.length)) {
    throw new ModelError(
      `Cannot use the adapter as its "${name}" is [${shape}] and must have ` +
        `${SIZES[kind].join(" or ")} sizes: save the adapter again`,
    );
  }
  if (kind === "weight" || kind === "bias") {
    const whole: [number, number] = shape.length === 1 ? [1, shape[0]] : [shape[0], shape[1]];
    // What was saved is what the module's factors are added to: it comes first.
    return changes.replace(`${module}.${kind}`, whole, values);
  }
  if (kind === "lora_B.bias") {
    const pair = adapter.tensors.get(module);
    if (!pair) throw orphan(name);
    const scale = scaleOf(adapter.config, pair);
    return changes.add(`${module}.bias`, [1, shape[0]], (bias) => {
      for (let i = 0; i < bias.length; i++) bias[i] += scale * values[i];
    });
  }
  if (kind === "lora_embedding_A") {
    const b = adapter.others?.get(`${module}.lora_embedding_B`);
    if (!b) throw orphan(name);
    const [rank, tokens] = shape;
    if (b.shape[1] !== rank) {
      throw new ModelError(
        `Cannot use the adapter as its "${name}" has the rank ${rank} and "${module}.lora_embedding_B" ` +
          `[${b.shape}] another: save the adapter again`,
      );
    }
    const pair = { A: values, B: b.values, inFeatures: tokens, outFeatures: b.shape[0] };
    const scale = scaleOf(adapter.config, pair);
    // An embedding is a linear layer of one-hot rows: its weight is the transpose.
    const factors = { a: transposed(b.values, rank), b: transposed(values, tokens), rank, scale };
    return changes.add(`${module}.weight`, [tokens, b.shape[0]], (table) => {
      addProduct(table, factors);
    });
  }
  if (kind === "lora_embedding_B") {
    if (!adapter.others!.has(`${module}.lora_embedding_A`)) throw orphan(name);
    return;
  }
  const [count, cols] = shape;
  const rows = tokenIndices(adapter, module, count);
  // PEFT gives a tied head the same rows.
  const keepsTie = true;
  changes.add(`${module}.weight`, [null, cols], (table) => {
    const last = table.length / cols - 1;
    const outside = rows.find((row) => row > last);
    if (outside !== undefined) {
      throw new ModelError(
        `Cannot use the adapter as it changes token ${outside} and the model's last is ${last}: it ` +
          "was made for another model, so load it with that one",
      );
    }
    rows.forEach((row, i) => table.set(values.subarray(i * cols, (i + 1) * cols), row * cols));
  }, keepsTie);
}

/** How many sizes a tensor of each kind has. Kinds are the ends of names, the longest first. */
const SIZES: Readonly<Record<string, readonly number[]>> = {
  "token_adapter.trainable_tokens_delta": [2],
  "lora_embedding_A": [2],
  "lora_embedding_B": [2],
  "lora_B.bias": [1],
  "weight": [1, 2],
  "bias": [1],
};

/** A module and what of it a tensor is. What PEFT wraps has the model's own under another name. */
function split(name: string): [module: string, kind: string] {
  const kind = Object.keys(SIZES).find((kind) => name.endsWith(`.${kind}`))!;
  const module = name.slice(0, -kind.length - 1).replace(/\.(base_layer|modules_to_save)$/, "");
  return [module, kind];
}

/** `trainable_token_indices`: a list is of the embedding, an object has lists by module. */
function tokenIndices({ config }: PeftAdapter, module: string, count: number): number[] {
  const setting = config.kept?.trainable_token_indices;
  const lists = Array.isArray(setting)
    ? [["embed_tokens", setting]]
    : Object.entries(setting ?? {});
  const [, rows] = lists.find(([key]) => module === key || module.endsWith(`.${key}`)) ?? [];
  const valid = Array.isArray(rows) && rows.length === count &&
    rows.every((row) => Number.isSafeInteger(row) && row >= 0);
  if (valid) return rows;
  throw new ModelError(
    `Cannot use the adapter as its trainable_token_indices name no ${count} tokens of "${module}", ` +
      "whose rows it has: save the adapter again",
  );
}

function orphan(name: string): ModelError {
  return new ModelError(
    `Cannot use the adapter as it has "${name}" without the tensors that belong to it: save the ` +
      "adapter again",
  );
}

/** Changes of tensors, several of one being applied in turn. */
class Changes {
  readonly byName = new Map<string, TensorChange>();
  readonly #replaced = new Set<string>();

  /** Takes other values for a tensor; other changes of it come after. */
  replace(name: string, shape: TensorChange["shape"], values: Values): void {
    if (this.#replaced.has(name)) {
      throw new ModelError(
        `Cannot use the adapter as it has "${name}" twice, under two names: save the adapter again`,
      );
    }
    this.#replaced.add(name);
    const later = this.#earlier(name, shape);
    const copy = () => values.slice();
    const apply = later ? () => later.apply(copy()) : copy;
    this.byName.set(name, { shape, readsOld: false, apply });
  }

  /** The change of a tensor that came before in the file, if there is one: of the same shape. */
  #earlier(name: string, shape: TensorChange["shape"]): TensorChange | undefined {
    const earlier = this.byName.get(name);
    const [rows, cols] = earlier?.shape ?? shape;
    if (cols === shape[1] && (rows ?? shape[0]) === (shape[0] ?? rows)) return earlier;
    throw new ModelError(
      `Cannot use the adapter as it changes "${name}" by tensors for [${
        earlier!.shape
      }] and [${shape}]: save ` +
        "the adapter again",
    );
  }

  /**
   * Changes the values of a tensor in place.
   *
   * @param keepsTie Whether what is tied to it follows.
   */
  add(
    name: string,
    shape: TensorChange["shape"],
    change: (values: Values) => void,
    keepsTie = false,
  ): void {
    const first = this.#earlier(name, shape);
    const apply = (old: Values) => {
      const values = first ? first.apply(old) : old;
      change(values);
      return values;
    };
    this.byName.set(name, {
      shape: first?.shape ?? shape,
      readsOld: first?.readsOld ?? true,
      keepsTie: keepsTie && (first?.keepsTie ?? true),
      apply,
    });
  }
}

/** `weight += scale · b · a` for a [rank, columns] and b [rows, rank]. */
function addProduct(
  weight: Values,
  { a, b, rank, scale }: { a: Values; b: Values; rank: number; scale: number },
): void {
  const cols = a.length / rank;
  for (let row = 0; row < b.length / rank; row++) {
    const out = weight.subarray(row * cols, (row + 1) * cols);
    for (let r = 0; r < rank; r++) {
      const factor = scale * b[row * rank + r];
      const from = a.subarray(r * cols, (r + 1) * cols);
      for (let c = 0; c < cols; c++) out[c] += factor * from[c];
    }
  }
}

/** A matrix of `cols` columns, transposed. */
function transposed(values: Values, cols: number): Values {
  const rows = values.length / cols;
  const out = new Float32Array(values.length);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < cols; c++) out[c * rows + r] = values[r * cols + c];
  }
  return out;
}
