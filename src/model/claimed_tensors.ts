/**
 * The tensors of a model's files against those that its plan reads: one that is missing, and one
 * that nobody reads, is refused by name. A weight that is left out makes a model that loads and
 * computes something plausible and wrong.
 *
 * @module
 */

import { ModelError } from "../errors.ts";
import type { Weights } from "../io/weights.ts";
import type { CodedMatrices } from "../layers/weight_source.ts";
import { readCodedMatrices } from "./coded_matrices.ts";
import { expectHadamard } from "./stored_transforms.ts";
import { MODEL_TYPES } from "./families/registry.ts";
import type { ModelPlan } from "./plan.ts";
import { planTensorShapes } from "./plan_tensors.ts";
import type { QuantizationConfig } from "./quantization_config.ts";
import { isCarried, spellAsPlanned } from "./tensor_names.ts";

/** Tensors that hold nothing of the model: older files have the frequencies of rotation. */
const HARMLESS = /\.rotary_emb\.inv_freq$/;
/** The head of a model that does not tie it to the embedding. */
const LM_HEAD = "lm_head.weight";
/** Bytes that are compared at a time. */
const COMPARED_BYTES = 1 << 24;

/** What the tensors of a folder are to a model. */
export interface ClaimedTensors {
  /** The plan, whose head is one of its own where the files have one that is not the embedding. */
  plan: ModelPlan;
  /** The matrices that are stored as codes; null for a folder that is not quantised. */
  coded: CodedMatrices | null;
  /** The tensors that are no part of the text model, which saving carries over. */
  carried: readonly string[];
  /** The name in the files of a tensor that goes by another here. */
  toFile(name: string): string;
  /** What is no error but should be known. */
  notices: readonly string[];
}

/**
 * Holds the tensors of a folder against a plan, whose names they go by from then on. Where a tied
 * matrix is stored under the head's name only, as some tools do, the embedding is read from there.
 *
 * @throws {ModelError} naming the first tensor that is missing, that nobody reads, or that is not
 * stored as its `quantization_config` says.
 * @throws {FileError} if a tensor cannot be read.
 */
export async function expectTensors(
  weights: Weights,
  plan: ModelPlan,
  quantization: QuantizationConfig | null,
): Promise<ClaimedTensors> {
  const toFile = spellAsPlanned(weights, plan);
  const wanted = planTensorShapes(plan);
  const { head, embedding } = plan;
  if (head.tied && !weights.has(embedding.tensor) && weights.has(LM_HEAD)) {
    weights.alias(embedding.tensor, LM_HEAD);
    wanted.set(LM_HEAD, []);
  }
  const missing = [...wanted.keys()].find((name) => !weights.has(name));
  const { matrices, claimed } = await readCodedMatrices(weights, plan, quantization);
  const left = [...weights.names()].filter((name) =>
    !wanted.has(name) && !claimed.has(name) && !HARMLESS.test(name)
  );
  if (missing !== undefined) throw missingTensor(weights, missing, left);
  for (const [name, shape] of wanted) if (shape.length > 0) expectShape(weights, name, shape);
  const claims = { plan, coded: quantization && matrices, toFile, notices: [] };
  const carried: string[] = [];
  let untied: Pick<ClaimedTensors, "plan" | "notices"> | null = null;
  for (const name of left) {
    const size = quantization?.transforms.matrices.get(name);
    if (size !== undefined) await expectHadamard(weights, name, size);
    else if (isCarried(name, plan)) carried.push(name);
    else if (name !== LM_HEAD || !head.tied) throw leftOver(weights.folder, name);
    else if (!await isSame(weights, name, head.tensor)) untied = untie(weights, plan);
  }
  return { ...claims, ...untied, carried };
}

function expectShape(weights: Weights, name: string, wanted: readonly number[]): void {
  const { shape } = weights.info(name);
  if (`${shape}` === `${wanted}`) return;
  const isVector = wanted.length === 1 && (shape.length !== 2 || shape[0] === 1);
  if (isVector && shape.reduce((a, b) => a * b, 1) === wanted[0]) return;
  throw new ModelError(
    `Cannot use "${name}" as its shape is [${shape}]: config.json asks for [${wanted}], so one of ` +
      "the two files belongs to another model",
  );
}

/** The plan with a head of its own. */
function untie({ folder }: Weights, plan: ModelPlan) {
  return {
    plan: { ...plan, head: { ...plan.head, tied: false, tensor: LM_HEAD } },
    notices: [
      `"${folder}" has a "${LM_HEAD}" with other values than its embedding although config.json ` +
      "ties the two (tie_word_embeddings): the head in the files is used, as transformers 5 does",
    ],
  };
}

/** Why a tensor that is missing is missing, as far as the others tell. */
function missingTensor(
  { folder }: Weights,
  missing: string,
  left: readonly string[],
): ModelError {
  const start = `Cannot use "${folder}" as its weights have no tensor "${missing}"`;
  if (missing === LM_HEAD && left.length === 0) {
    return new ModelError(
      `${start}: set tie_word_embeddings to true in config.json if its head is its embedding, or ` +
        "fetch the model again",
    );
  }
  const base = missing.replace(/^model\./, "");
  const prefixed = left.find((name) => name === base || name.endsWith(`.${base}`));
  if (prefixed !== undefined) {
    const prefix = prefixed.slice(0, -base.length);
    return new ModelError(
      `${start} but "${prefixed}": its names begin with "${prefix}" where those of a causal ` +
        'language model begin with "model.", so load it with AutoModelForCausalLM of ' +
        "transformers and save it again, or rename its tensors",
    );
  }
  const [other] = left;
  if (other !== undefined) {
    return new ModelError(
      `${start} but "${other}", which its model_type has no use for: config.json and the weights ` +
        "are of different architectures, so restore the config.json that the model was published " +
        `with (of model types, ${MODEL_TYPES.join(", ")} are supported)`,
    );
  }
  return new ModelError(`${start}: fetch the model again`);
}

function leftOver(folder: string, name: string): ModelError {
  return new ModelError(
    `Cannot use "${folder}" as its weights have a tensor "${name}" that its model_type and ` +
      "config have no use for, so that the model would compute something else without it: " +
      "restore the config.json that the model was published with, or remove the tensor if it is " +
      "no part of the model",
  );
}

/** Whether a tied head that is stored too is the embedding. */
async function isSame(weights: Weights, name: string, embedding: string): Promise<boolean> {
  const [a, b] = [weights.info(name), weights.info(embedding)];
  let same = a.dtype === b.dtype && `${a.shape}` === `${b.shape}`;
  for (let first = 0; same && first < a.byteLength; first += COMPARED_BYTES) {
    const length = Math.min(COMPARED_BYTES, a.byteLength - first);
    const left = await weights.readRange(name, first, length);
    const right = await weights.readRange(embedding, first, length);
    same = left.every((byte, i) => byte === right[i]);
  }
  return same;
}
