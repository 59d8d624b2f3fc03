/**
 * Names that other tools have for what a flag here does. Those with an equivalent work, on the command
 * line and in config files, and say so; those without say what to do instead.
 *
 * @module
 */

import { showJson } from "../io/json.ts";
import { UsageError } from "./errors.ts";
import { camelCase, type FlagTable, kebabCase, type OnHint } from "./flags.ts";

/** Flags here, each with the names that it has elsewhere; all take the same values. */
const SAME: Readonly<Record<string, string>> = {
  model: "base-model model-name model-name-or-path model-id model-path",
  data: "dataset dataset-name dataset-path data-path datasets train-file train-data",
  "eval-data": "eval-dataset eval-file validation-file test-datasets",
  "eval-fraction": "val-size val-set-size validation-split",
  "output-dir": "out output-path save-dir",
  overwrite: "overwrite-output-dir",
  method: "finetuning-type fine-tune-type train-type",
  rank: "r lora-r lora-rank",
  alpha: "lora-alpha",
  dropout: "lora-dropout",
  rslora: "use-rslora",
  dora: "use-dora",
  "target-modules": "lora-target lora-target-modules",
  "learning-rate": "lr",
  schedule: "lr-scheduler lr-scheduler-type",
  steps: "max-steps train-steps num-steps iters",
  epochs: "num-epochs num-train-epochs",
  "batch-size": "micro-batch-size train-batch-size per-device-train-batch-size",
  "grad-accum-steps": "grad-accumulation-steps",
  "sequence-length":
    "max-seq-length max-seq-len max-length seq-length seq-len sequence-len cutoff-len block-size model-max-length",
  packing: "sample-packing",
  "train-on-prompt": "train-on-inputs",
  "chat-template": "template",
  "max-grad-norm": "gradient-clipping max-norm",
  beta1: "adam-beta1",
  beta2: "adam-beta2",
  eps: "adam-epsilon adam-eps",
  seed: "random-seed",
  "eval-every": "eval-steps steps-per-eval",
  "log-every": "logging-steps steps-per-report",
  "save-every": "save-steps",
  "keep-checkpoints": "save-total-limit",
  tensorboard: "logging-dir tensorboard-dir",
  "load-best": "load-best-model-at-end",
  "resume-from": "resume-from-checkpoint resume-adapter-file",
  "max-new-tokens": "max-tokens",
  temperature: "temp",
};

/** Switches elsewhere that mean a value of a flag here. */
const MEANS: Readonly<Record<string, readonly [flag: string, value: string]>> = {
  "load-in-4bit": ["method", "qlora"],
  "load-in-8bit": ["method", "int8-lora"],
  "use-peft": ["method", "lora"],
};

const PRECISION =
  "the method decides, and --method lora --base f16 keeps weights in 16 bits; leave it out";
const LOG =
  "every run writes training_log.jsonl, a line of JSON per step, and --tensorboard DIR event files; leave it out";
const ONE_GPU = "a process uses one GPU; leave it out";
const HELD_OUT = "--eval-every N, --save-every N say how often; leave it out";

/** What has no equivalent, and what to do instead. */
const INSTEAD: Readonly<Record<string, string>> = {
  bf16: PRECISION,
  fp16: PRECISION,
  tf32: PRECISION,
  dtype: PRECISION,
  "torch-dtype": PRECISION,
  "mixed-precision": PRECISION,
  "report-to": LOG,
  "wandb-project": LOG,
  "use-wandb": LOG,
  "eval-strategy": HELD_OUT,
  "evaluation-strategy": HELD_OUT,
  "save-strategy": HELD_OUT,
  "logging-strategy": "--log-every N says how often; leave it out",
  "per-device-eval-batch-size":
    "held-out rows are evaluated in batches of --batch-size; leave it out",
  optim: "the optimizer is AdamW; leave it out",
  optimizer: "the optimizer is AdamW; leave it out",
  "warmup-ratio": "give --warmup-steps",
  "gradient-clip-val": "give --max-grad-norm",
  dropout: "only some methods have it; leave it out",
  "early-stopping-patience": "give --steps or --epochs",
  "neftune-noise-alpha": "embeddings get no noise; leave it out",
  "attn-implementation": "attention has kernels of its own; leave it out",
  "flash-attn": "attention has kernels of its own; leave it out",
  "flash-attention": "attention has kernels of its own; leave it out",
  "use-flash-attention": "attention has kernels of its own; leave it out",
  deepspeed: ONE_GPU,
  fsdp: ONE_GPU,
  "ddp-timeout": ONE_GPU,
  "num-gpus": ONE_GPU,
  device: "--provider says which WebGPU is used; leave it out",
  "device-map": "weights are on the GPU as a whole; leave it out",
  "trust-remote-code": "no code of models is ever run; leave it out",
  "mask-prompt": "only answers are learned, unless --train-on-prompt; leave it out",
  "group-by-length": "rows are packed; leave it out",
  "dataloader-num-workers": "a worker reads the rows ahead of time; leave it out",
  "preprocessing-num-workers": "a worker reads the rows ahead of time; leave it out",
  "push-to-hub": "run the command push afterwards",
  "hub-model-id": "run the command push afterwards",
  "hub-token": "set the environment variable HF_TOKEN",
  "do-train": "run the command train",
  "do-eval": "run the command eval, or give --eval-data",
  train: "run the command train",
  verbose: "there is no more to say; leave it out",
  "bnb-4bit-quant-type": "--method qlora uses NF4; leave it out",
  "bnb-4bit-compute-dtype": PRECISION,
  "bnb-4bit-use-double-quant": "--method qlora quantises scales too; leave it out",
  "modules-to-save": "use --method full, which trains everything",
};

const NAMES: ReadonlyMap<string, string> = new Map(
  Object.entries(SAME).flatMap(([own, names]) => names.split(" ").map((name) => [name, own])),
);

/** What a name of another tool means here: a flag in kebab-case, and a value if it implies one. */
interface Meaning {
  flag: string;
  value?: string;
}

/**
 * @param given The name as it is there.
 * @param shown What it is called in messages.
 * @throws {UsageError} for a known name without an equivalent.
 */
function meaningOf(given: string, shown: string, flags: FlagTable): Meaning | null {
  const name = kebabCase(given).replaceAll("_", "-");
  const isOwn = (word: string) =>
    Object.entries(flags).some(([own, { alias = [] }]) =>
      [own, ...alias].some((it) => kebabCase(it) === word)
    );
  if (isOwn(name)) return given.includes("_") ? { flag: name } : null; // batch_size
  const same = NAMES.get(name);
  if (same !== undefined && isOwn(same)) return { flag: same };
  if (Object.hasOwn(MEANS, name)) {
    const [flag, value] = MEANS[name];
    if (isOwn(flag)) return { flag, value };
  }
  const known = same ?? name;
  if (!Object.hasOwn(INSTEAD, known)) return null;
  throw new UsageError(`There is no ${shown}: ${INSTEAD[known]}`);
}

/** Words of a command line with names of other tools replaced by those of flags here. */
export function translateWords(
  args: readonly string[],
  flags: FlagTable,
  onHint: OnHint,
): string[] {
  const own = args.filter((word) => word.startsWith("--")).map((word) => word.split("=")[0]);
  const taken = new Map<string, string>();
  let value = false; // whether the word is the value of the flag before it
  return args.map((word) => {
    const isValue = value;
    value = false;
    if (isValue && !word.startsWith("--") || !/^--[A-Za-z]/.test(word)) return word;
    const [given, ...rest] = word.split("=");
    const assigned = rest.length > 0 ? "=" + rest.join("=") : "";
    const meaning = meaningOf(given.slice(2), `flag ${given}`, flags);
    const flag = meaning?.flag ?? given.slice(2);
    value = assigned === "" && meaning?.value === undefined &&
      (flags[camelCase(flag)]?.placeholder ?? null) !== null;
    if (meaning === null) return word;
    if (meaning.value !== undefined && assigned !== "") {
      throw new UsageError(
        `${given} takes no value: give --${meaning.flag} ${meaning.value} for it, or leave it out`,
      );
    }
    const other = own.includes(`--${meaning.flag}`) ? `--${meaning.flag}` : taken.get(meaning.flag);
    if (other !== undefined && !flags[camelCase(meaning.flag)]?.collects) {
      throw new UsageError(`${given} and ${other} mean the same: give one of the two`);
    }
    taken.set(meaning.flag, given);
    const meant = meaning.value === undefined ? "" : meaning.value;
    onHint(`${given} is taken as --${meaning.flag} ${meant}`.trimEnd());
    return `--${meaning.flag}` + (meant === "" ? assigned : `=${meant}`);
  });
}

/** The same for the keys of a config file. */
export function translateKeys(
  object: Readonly<Record<string, unknown>>,
  flags: FlagTable,
  where: string,
  onHint: OnHint,
): Record<string, unknown> {
  const entries = Object.entries(object).map(([key, value]): [string, unknown] => {
    const meaning = meaningOf(key, `option "${key}" (in ${where})`, flags);
    if (meaning === null) return [key, value];
    if (meaning.value !== undefined && value !== true) {
      throw new UsageError(
        `"${key}" in ${where} has the value ${showJson(value)}: ` +
          `give "${meaning.flag}": "${meaning.value}" for it, or leave it out`,
      );
    }
    onHint(`"${key}" is taken as "${camelCase(meaning.flag)}" (in ${where})`);
    return [meaning.flag, meaning.value ?? value];
  });
  const names = new Set<string>();
  for (const name of entries.map(([name]) => camelCase(name))) {
    if (names.has(name)) {
      throw new UsageError(`The option ${showJson(name)} is there twice in ${where}`);
    }
    names.add(name);
  }
  return Object.fromEntries(entries);
}
