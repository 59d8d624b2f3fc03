/**
 * The runs of the suite: named groups of command lines.
 *
 * @module
 */

/** One process of the suite, whose output is a line of JSON. */
export interface SuiteRun {
  /** The group it belongs to. */
  group: string;
  /** Its label in tables and figures. */
  label: string;
  /** Program and arguments; `deno` is this one. */
  command: string[];
}

/** Options of the groups. */
export interface SuiteOptions {
  /** Which WebGPU implementations. */
  gpus: readonly string[];
  /** Flags for every run of `bench/step.ts`, such as `--width tiny`. */
  flags: readonly string[];
  /** Tokens per step. */
  tokens: number;
  /** Tokens per row, except where that is what varies. */
  sequenceLength: number;
  /** Blocks, except where these vary. */
  layers: number;
  /** The Python that has PyTorch. */
  python: string;
}

/** Methods with the flags that choose their precision, those first that matter most. */
const METHODS: readonly (readonly string[])[] = [
  ["falqon", "--format", "int8"],
  ["falqon"],
  ["fp8-lora"],
  ["torchao-style"],
  ["lora", "--base", "f16"],
  ["qlora"],
  ["lora"],
];

const LAYERS = [1, 2, 4, 8, 16, 32];
const LENGTHS = [128, 256, 512, 1024, 2048, 4096];

/** Adapters have this rank everywhere. */
const RANK = 64;

/** Every group by name. */
export const GROUPS: Readonly<Record<string, (options: SuiteOptions) => SuiteRun[]>> = {
  torch: (options) => torchRuns(options),
  methods: (options) =>
    METHODS.flatMap((method) =>
      options.gpus.map((gpu) => step("methods", options, gpu, { method }))
    ),
  full: (options) =>
    options.gpus.map((gpu) => step("full", options, gpu, { layers: 32, checkpointing: true })),
  layers: (options) =>
    options.gpus.flatMap((gpu) => LAYERS.map((layers) => step("layers", options, gpu, { layers }))),
  lengths: (options) =>
    options.gpus.flatMap((gpu) =>
      LENGTHS.filter((length) => length <= options.tokens)
        .map((sequenceLength) => step("lengths", options, gpu, { sequenceLength }))
    ),
};

/** What distinguishes a run from the others of its group. */
interface StepChanges {
  method?: readonly string[];
  layers?: number;
  sequenceLength?: number;
  checkpointing?: boolean;
}

function step(
  group: string,
  options: SuiteOptions,
  gpu: string,
  { method = ["falqon"], checkpointing = false, ...changes }: StepChanges,
): SuiteRun {
  const { layers, sequenceLength, tokens, flags } = { ...options, ...changes };
  const label = [
    method.filter((word) => !word.startsWith("--")).join(" "),
    gpu,
    `${layers} layers`,
    `${tokens / sequenceLength}×${sequenceLength}`,
    ...(checkpointing ? ["checkpointing"] : []),
  ].join(", ");
  const shape = ["--layers", layers, "--batch", tokens / sequenceLength];
  const command = [
    ...["deno", "run", "-A", new URL("../step.ts", import.meta.url).pathname],
    ...["--provider", gpu, "--method", ...method, ...shape, "--sequence-length", sequenceLength],
    ...["--rank", RANK, "--label", label],
    ...(checkpointing ? ["--gradient-checkpointing"] : []),
    ...flags,
  ].map(String);
  return { group, label, command };
}

/**
 * PEFT's LoRA in bf16 and over NF4, eager and compiled, FALQON as published, and the full model
 * with checkpointing.
 */
function torchRuns({ python, tokens, sequenceLength, layers }: SuiteOptions): SuiteRun[] {
  const script = new URL("../torch_step.py", import.meta.url).pathname;
  const shape = ["--batch", tokens / sequenceLength, "--seq", sequenceLength, "--rank", RANK];
  const run = (method: string, blocks: number, ...switches: string[]): SuiteRun => ({
    group: "torch",
    label: [`${method} in PyTorch`, `${blocks} layers`, ...switches].join(", "),
    command: [python, script, "--method", method, "--layers", blocks, ...shape]
      .map(String).concat(switches.map((name) => `--${name}`)),
  });
  return [
    run("peft", layers),
    run("peft", layers, "compile"),
    run("qlora", layers),
    run("qlora", layers, "compile"),
    run("falqon", layers),
    run("peft", 32, "checkpointing"),
  ];
}
