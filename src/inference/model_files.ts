/**
 * The files of a model folder, opened and held against each other before any weight goes to the GPU.
 *
 * @module
 */

import { FileError, ModelError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { isAdapterFolder } from "../io/hub/base.ts";
import { parseModelName } from "../io/hub/names.ts";
import { Tokenizer } from "../io/tokenizer.ts";
import { Weights } from "../io/weights.ts";
import { FolderSource } from "../layers/weight_source.ts";
import type { TensorSource } from "../io/safetensors.ts";
import { type ClaimedTensors, expectTensors } from "../model/claimed_tensors.ts";
import { type ModelConfig, readModelConfig } from "../model/config.ts";
import { expectClass } from "../model/model_class.ts";
import { quantizationNotices } from "../model/read_quantization.ts";
import { expectCopiedFiles } from "./model_folder.ts";
import type { ModelSource } from "./save_model.ts";

/** An open model folder. Close it, or declare it with `using`. */
export class ModelFiles implements ModelSource, Disposable {
  private constructor(
    readonly folder: string,
    readonly config: ModelConfig,
    readonly tokenizer: Tokenizer,
    readonly weights: Weights,
    readonly claims: ClaimedTensors,
    /** The tokens that the embedding has no rows for. */
    readonly surplus: readonly string[],
  ) {}

  /**
   * Opens a folder.
   *
   * @param signal Ends it between files: its reason is thrown.
   * @throws What `Model.load` throws but for the device.
   */
  static async open(
    folder: string,
    { chatTemplate, signal }: { chatTemplate?: string; signal?: AbortSignal } = {},
  ): Promise<ModelFiles> {
    await expectModelFolder(folder);
    const written = await readModelConfig(folder);
    signal?.throwIfAborted();
    const tokenizer = await Tokenizer.load(folder, { chatTemplate });
    signal?.throwIfAborted();
    await expectCopiedFiles(folder);
    const surplus = surplusTokens(folder, tokenizer, written);
    using opened = new DisposableStack();
    const weights = opened.adopt(await Weights.open(folder), (it) => it.close());
    const claims = await expectTensors(weights, written.plan, written.quantization);
    const { plan } = claims;
    const config = { ...written, plan, tieWordEmbeddings: plan.head.tied };
    expectClass(folder, config);
    signal?.throwIfAborted();
    opened.move(); // nothing failed: this object closes them
    return new ModelFiles(folder, config, tokenizer, weights, claims, surplus);
  }

  /** What should be known of the files as they are: one sentence each. */
  notices(): string[] {
    const { config: { quantization }, claims } = this;
    return [
      ...this.tokenizer.notices,
      ...this.surplus.length > 0 ? [surplusNotice(this)] : [],
      ...claims.notices,
      ...quantization ? quantizationNotices(quantization) : [],
    ];
  }

  /** The name in the files of a tensor that goes by another here, or would. */
  fileName(name: string): string {
    return this.claims.toFile(name);
  }

  /** The tensors that are no part of the text model, under their names in the files. */
  carried(): TensorSource[] {
    const { weights, claims } = this;
    return claims.carried.map((name) => {
      const { dtype, shape } = weights.info(name);
      return { name: this.fileName(name), dtype, shape, data: () => weights.read(name) };
    });
  }

  /** The size of the largest shard; undefined where the weights are one file. */
  get shardBytes(): number | undefined {
    return this.weights.shardBytes;
  }

  /** The weights, as the network takes them. */
  source(): FolderSource {
    const { weights, claims: { coded }, config: { quantization } } = this;
    return new FolderSource(weights, { coded, rotations: quantization?.transforms.rotations });
  }

  /**
   * What became of the weights of a quantised model under a method that rounds: one sentence each.
   *
   * @param rounded The matrices that it rounded anew.
   */
  roundingNotices({ rounded }: FolderSource, method: string): string[] {
    const { coded } = this.claims;
    if (coded === null) return [];
    const again = [...rounded].filter((name) => coded.has(name)).length;
    const unquantised = rounded.size - again;
    const count = (n: number) => `${n} linear layer${n === 1 ? "" : "s"}`;
    return [
      ...again > 0
        ? [
          `${count(again)} of ${coded.size} in 8 bits rounded anew, as ${method} stores them ` +
          "with other scales or in another format than the files; a base of f32 takes their values " +
          "as they are",
        ]
        : [],
      ...unquantised > 0
        ? [`${method} quantises ${count(unquantised)} that the files leave unquantised`]
        : [],
    ];
  }

  /** Closes the files. */
  [Symbol.dispose](): void {
    this.weights.close();
  }
}

/** Says what to do with the name of a model on a hub, and with an adapter. */
async function expectModelFolder(folder: string): Promise<void> {
  if (parseModelName(folder) !== null && !await exists(folder)) {
    throw new FileError(
      `Cannot load "${folder}": there is no such folder; fetchModel("${folder}") brings a model of ` +
        "that name from the hub and returns its folder",
    );
  }
  if (await isAdapterFolder(folder)) {
    throw new FileError(
      `Cannot load "${folder}" as a model: it holds an adapter; load the model that ` +
        "baseOfAdapter(folder) names, and use the adapter on it by readPeftAdapter",
    );
  }
}

/**
 * The tokens that an embedding has no rows for. Tokens that were added to a tokenizer may be such:
 * Gemma 3's has one for images, also where the model reads text only. They are refused where they
 * occur.
 *
 * @throws {ModelError} for others: then the tokenizer is another model's.
 */
function surplusTokens(
  folder: string,
  tokenizer: Tokenizer,
  { vocabSize }: ModelConfig,
): readonly string[] {
  const surplus = tokenizer.addedFrom(vocabSize);
  if (surplus !== null) return surplus;
  throw new ModelError(
    `Cannot use "${folder}" as its tokenizer has ${tokenizer.vocabSize} tokens and its ` +
      `embedding ${vocabSize}: one of tokenizer.json and config.json belongs to another model`,
  );
}

function surplusNotice({ folder, tokenizer, config, surplus }: ModelFiles): string {
  const shown = surplus.slice(0, 3).map((token) => JSON.stringify(token)).join(", ");
  const rest = surplus.length > 3 ? ` and ${surplus.length - 3} more` : "";
  return `The tokenizer of "${folder}" has ${tokenizer.vocabSize} tokens and its embedding ` +
    `${config.vocabSize} rows: texts with ${shown}${rest} cannot be used`;
}
