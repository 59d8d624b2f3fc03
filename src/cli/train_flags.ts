/**
 * The flags of `train`.
 *
 * @module
 */

import { SAVE_FORMATS } from "../inference/save_model.ts";
import {
  choice,
  type FlagValues,
  group,
  interval,
  names,
  number,
  path,
  renamed,
  texts,
  toggle,
  whole,
} from "./flags.ts";
import {
  CHAT_FLAGS,
  GPU_FLAGS,
  OPTIMIZER_FLAGS,
  ROW_FLAGS,
  SHAPE_FLAGS,
  STEP_FLAGS,
} from "./shared_flags.ts";
import { METHOD_FLAGS } from "./method_flags.ts";

/** Every flag of `train`. */
export const TRAIN_FLAGS = {
  ...group("Model", { model: path("MODEL", "Model folder, or ORG/NAME[@REVISION] on the hub") }),
  ...CHAT_FLAGS,
  ...GPU_FLAGS,
  ...ROW_FLAGS,
  ...group("Data", {
    showRows: whole("Print so many rows as they will be trained, targets marked, and end"),
  }),
  ...METHOD_FLAGS,
  ...SHAPE_FLAGS,
  ...OPTIMIZER_FLAGS,
  ...STEP_FLAGS,
  ...group("Evaluation", {
    evalData: names("DATA", "Held-out rows, named as --data"),
    evalFraction: number("Share of the data to hold out instead"),
    evalEvery: whole("Steps between evaluations, besides the first and the last", "0, none"),
    loadBest: toggle("Save what was best on the held-out rows, not the last step"),
    earlyStoppingPatience: whole(
      "End after so many evaluations without a lower held-out loss",
      "0, never",
    ),
    findLearningRate: toggle(
      "Try learning rates for a few steps each, show the losses and which is best, and end",
    ),
  }),
  ...group("Samples", {
    samplePrompt: texts(
      "TEXT",
      "Text that the model continues before training, at each evaluation and at the end; may be given several times",
    ),
    sampleMessages: names("FILE", "The same with a conversation to answer, as generate --messages"),
    sampleEvery: whole("Steps between samples", "--eval-every"),
    sampleTokens: whole("The most tokens of a sample", "48"),
  }),
  ...group("Output", {
    outputDir: renamed(
      path("DIR", "Folder for the log, checkpoints and what was trained", "./out"),
      "output",
    ),
    saveAs: choice(
      SAVE_FORMATS,
      "Save a whole model in this format, adapters merged in; with held-out rows, what was saved is evaluated",
      "the method's own",
    ),
    saveRotated: toggle(
      "Save int8 weights rotated as they were trained, with a transform_config, which vLLM applies and transformers ignores",
    ),
    overwrite: toggle("Replace a run or a model that the folder holds"),
    tensorboard: path(
      "DIR",
      "Write event files there as well, for TensorBoard and what imports its files",
    ),
    logEvery: whole("Steps between lines of progress; the log has every step", "10"),
    saveEvery: interval(
      "Steps or time (10m) between checkpoints, or one per epoch; 0 for none. One more is written at the end, at Ctrl-C, and where the held-out loss is best",
      "10m",
    ),
    keepCheckpoints: whole("Checkpoints to keep, the newest; the best is kept besides", "2"),
    resumeFrom: renamed(
      path("DIR", "Go on with a run, from its folder or a checkpoint, with its options"),
      "resume",
    ),
    onDeviceLost: choice(
      ["stop", "restart"] as const,
      "restart: where the GPU is lost, go on from the last checkpoint on a new device, natively in a process of its own",
      "stop",
    ),
    resumeAnyway: toggle("Go on though the data, the model or the tokenizer are others"),
    resumeFallback: toggle(
      "Where the checkpoint to go on from is damaged, take the newest whole one before it",
    ),
  }),
};

/** What was given for {@linkcode TRAIN_FLAGS}. */
export type TrainValues = FlagValues<typeof TRAIN_FLAGS>;
