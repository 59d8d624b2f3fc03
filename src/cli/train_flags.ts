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
  names,
  number,
  path,
  renamed,
  toggle,
  whole,
} from "./flags.ts";
import { GPU_FLAGS, OPTIMIZER_FLAGS, ROW_FLAGS, SHAPE_FLAGS, STEP_FLAGS } from "./shared_flags.ts";
import { METHOD_FLAGS } from "./method_flags.ts";

/** Every flag of `train`. */
export const TRAIN_FLAGS = {
  ...group("Model", { model: path("MODEL", "Model folder, or ORG/NAME[@REVISION] on the hub") }),
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
    logEvery: whole("Steps between lines of progress; the log has every step", "10"),
    saveEvery: whole("Steps between checkpoints", "0, none"),
    keepCheckpoints: whole("Checkpoints to keep, the newest", "2"),
    resumeFrom: renamed(
      path("DIR", "Go on with a run, from its folder or a checkpoint, with its options"),
      "resume",
    ),
  }),
};

/** What was given for {@linkcode TRAIN_FLAGS}. */
export type TrainValues = FlagValues<typeof TRAIN_FLAGS>;
