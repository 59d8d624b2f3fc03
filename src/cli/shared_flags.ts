/**
 * The flags that several commands have.
 *
 * @module
 */

import { DATA_FORMATS } from "../data/file_kind.ts";
import { PROVIDERS } from "../gpu/open.ts";
import type { GenerateOptions } from "../inference/generate.ts";
import { CHAT_TEMPLATE_NAMES } from "../io/chat_templates.ts";
import { BASE_TYPES } from "../layers/storage/base_weight.ts";
import type { METHOD_FLAGS } from "./method_flags.ts";
import { SCHEDULES } from "../train/schedule.ts";
import {
  choice,
  columns,
  type FlagValues,
  group,
  names,
  number,
  numbers,
  path,
  renamed,
  text,
  toggle,
  whole,
} from "./flags.ts";

/** Which WebGPU is used. */
export const GPU_FLAGS = group("GPU", {
  provider: renamed(
    choice(
      PROVIDERS,
      "WebGPU to use: dawn has tensor cores, and loads the npm package webgpu (132 MB)",
      "native",
    ),
    "gpu",
  ),
});

/** Which model runs, and how. */
export const RUN_FLAGS = group("Model", {
  model: path(
    "MODEL",
    "Model folder or ORG/NAME[@REVISION] on the hub; an adapter's finds its model",
  ),
  adapter: path("DIR", "A PEFT adapter to put on it: a folder or ORG/NAME"),
  base: renamed(
    choice(
      BASE_TYPES,
      "Storage of the weights; fp8 of an unquantised model is what falqon starts from",
      "fp8 for a model stored so, else f32",
    ),
    "precision",
  ),
});

/** How conversations become text. */
export const CHAT_FLAGS = group("Model", {
  chatTemplate: text(
    "NAME|FILE",
    `Chat template for rows and prompts that are messages: ${
      CHAT_TEMPLATE_NAMES.join(", ")
    }, or a ` +
      "Jinja file",
    "the model's own",
  ),
});

/** How text is generated. */
export const GENERATION_FLAGS = group("Generation", {
  maxNewTokens: whole("The most tokens to generate", "128"),
  temperature: number("0 for the likeliest tokens, 1 to draw them as the model says", "0.8"),
  topP: number("Draw from the likeliest tokens that hold this share", "0.95"),
  seed: whole("The same seed draws the same tokens", "another one each time"),
});

/** How text is generated, among all values of a command. */
export function generationOf(
  { maxNewTokens, temperature, topP, seed }: GenerateOptions,
): GenerateOptions {
  return { maxNewTokens, temperature, topP, seed };
}

/** How the rows of a file become tokens. */
export const ROW_FLAGS = group("Data", {
  data: names(
    "DATA",
    "Rows as JSONL, JSON, Parquet, CSV, TSV or text (.txt), also .gz and .zst: a file, folder, pattern, https: address, ORG/NAME[:SPLIT] on the hub or -; give it again for more",
  ),
  dataWeights: numbers("How often an epoch reads the rows of each --data, such as 2,0.5", "1 each"),
  dataFormat: choice(
    DATA_FORMATS.filter((format) => format !== "parquet"),
    "Format of data whose name does not tell it, such as standard input",
    "json",
  ),
  columns: renamed(
    columns(
      "Columns that hold the known keys, such as prompt=question,completion=answer; a completion follows its prompt directly, without a space",
    ),
    "map",
  ),
  separator: text("TEXT", "Text between the records of a text file", "blank lines"),
  packing: toggle("Put several documents into a row; they do not attend to each other", "on"),
  trainOnPrompt: toggle("Count the tokens of prompts too, not only those of answers"),
  skipBadRows: toggle("Skip and count malformed rows instead of ending"),
});

/** The shape of a batch. */
export const SHAPE_FLAGS = group("Batches", {
  batchSize: whole("Rows per micro-batch", "16"),
  sequenceLength: whole("Tokens per row", "512, or the model's context length if shorter"),
});

/** Memory and metrics of a step. */
export const STEP_FLAGS = group("Optimizer", {
  gradientCheckpointing: renamed(
    toggle("Keep only each block's input and recompute the rest: saves memory"),
    "checkpointing",
  ),
  updateStats: renamed(
    toggle("falqon: log codes changed, share of the update realised, clamps"),
    "countUpdates",
  ),
});

/** The optimizer, and how long to train. */
export const OPTIMIZER_FLAGS = group("Optimizer", {
  steps: whole("Optimizer steps; with --epochs, whichever ends first"),
  epochs: number("Times to read the data, such as 3 or 0.5", "1 without --steps"),
  learningRate: number(
    "Peak learning rate of AdamW",
    "by method and width: 0.01 at 64, 0.003 at 576, 0.0003 at 4096; a tenth for full",
  ),
  schedule: choice(SCHEDULES, "Learning rate after the warm-up", "constant"),
  warmupSteps: whole("Steps in which the rate rises from 0", "0"),
  warmupRatio: number("The same as a share of all steps", "0"),
  gradAccumSteps: renamed(
    whole("Micro-batches per optimizer step", "1"),
    ...["gradAccum", "gradientAccumulationSteps"],
  ),
  maxGradNorm: number("Scale larger gradients down to this global norm; 0 for never", "1"),
  weightDecay: number("AdamW's decoupled decay of matrices", "0"),
  beta1: number("AdamW's decay of the mean of gradients", "0.9"),
  beta2: number("AdamW's decay of the mean of squared gradients", "0.999"),
  eps: number("AdamW's eps", "1e-8"),
  seed: whole("Seeds adapters and the order of the data", "0"),
  shuffle: toggle("Shuffle the rows, differently in each epoch", "on"),
  shuffleBuffer: whole("Rows to choose from when shuffling", "10000"),
});

/** What was given for {@linkcode GPU_FLAGS}. */
export type GpuValues = FlagValues<typeof GPU_FLAGS>;
/** What was given for {@linkcode ROW_FLAGS}. */
export type RowValues = FlagValues<typeof ROW_FLAGS>;
/** What was given for {@linkcode METHOD_FLAGS}. */
export type MethodValues = FlagValues<typeof METHOD_FLAGS> & Record<string, unknown>;
