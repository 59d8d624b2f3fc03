/**
 * Does FALQON learn? Fine-tunes one model on one dataset with several methods, learning rates and
 * seeds, and compares the held-out losses with each other and with the untuned FP8 model.
 * docs/ACCURACY.md shows the results.
 *
 * ```
 * deno run -A bench/accuracy.ts --model DIR --data FILE \
 *   [--columns prompt=question,completion=answer] [--methods 'lora;paper, melded'] [--seeds 1,2] \
 *   [--steps 300] [--out results.jsonl]
 * deno run -A bench/accuracy.ts --report results.jsonl
 * ```
 *
 * Every run prints one JSON line; `--report` prints a table with the best learning rate of each
 * method.
 *
 * @module
 */

import { needed } from "../src/cli/command.ts";
import {
  columns,
  type FlagValues,
  group,
  list,
  path,
  renamed,
  text,
  whole,
} from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import {
  Dataset,
  evaluate,
  falqon,
  frozen,
  frozenFp8,
  lora,
  type Method,
  Model,
  Trainer,
} from "../mod.ts";
import { readFlags, runScript } from "./support/script.ts";

const RANK = 16;
const RATES = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1];

/**
 * The methods compared. `requantize` unless another rule is named; all rows are written unless `top
 * 10`.
 */
const METHODS: Record<string, () => Method> = {
  "lora": () => lora({ rank: RANK }),
  "lora-fa": () => lora({ rank: RANK, trainA: false }),
  "gradient": () => falqon({ rank: RANK, init: "gradient" }),
  "gradient, rank 32": () => falqon({ rank: 32, alpha: 32, init: "gradient" }),
  "gradient, pending, top 10": () => falqon({ rank: RANK, init: "gradient", topK: 10 }),
  "gradient, tensor scales": () =>
    falqon({ rank: RANK, init: "gradient", scaleGranularity: "tensor" }),
  "melded": () => falqon({ rank: RANK, init: "melded" }),
  "melded, pending, top 10": () => falqon({ rank: RANK, init: "melded", topK: 10 }),
  "melded, top 10": () => falqon({ rank: RANK, init: "melded", topK: 10, pending: false }),
  "orthogonal": () => falqon({ rank: RANK, init: "random-orthogonal" }),
  "kaiming": () => falqon({ rank: RANK, init: "kaiming" }),
  "accumulate, melded": () =>
    falqon({ rank: RANK, updateRule: "accumulate", init: "melded", scaleGranularity: "tensor" }),
  "paper, melded": () =>
    falqon({ rank: RANK, updateRule: "paper", init: "melded", scaleGranularity: "tensor" }),
};

interface Result {
  method: string;
  learningRate: number;
  seed: number;
  heldOutLoss: number;
  trainLoss: number;
  steps: number;
}

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Accuracy", {
    model: path("DIR", "Model to fine-tune"),
    data: path("FILE", "Rows, a tenth of which is held out"),
    columns: renamed(columns("Columns that hold the known keys"), "map"),
    methods: text("NAMES", "Methods, with semicolons between", "all"),
    rates: list("NUMBERS", "Learning rates", RATES.join()),
    seeds: list("NUMBERS", "Seeds", "1,2"),
    steps: whole("Optimizer steps", "300"),
    out: path("FILE", "Append the lines to it"),
    report: path("FILE", "Make the table of such lines instead"),
  }),
};

async function measure(values: FlagValues<typeof FLAGS>, terminal: Terminal) {
  const [folder, data] = [needed(values, "model"), needed(values, "data")];
  using device = await openDevice(values, terminal);
  using model = await Model.load(folder, { device });
  const { train, heldOut } = Dataset.from(data, { columns: values.columns }).split(0.1, 0);
  const { steps = 300, rates = RATES, seeds = [1, 2] } = values;
  const print = (result: Result) => {
    const line = `${JSON.stringify(result)}\n`;
    terminal.stdout(line);
    if (values.out) Deno.writeTextFileSync(values.out, line, { append: true });
  };
  const shape = { batchSize: 8, sequenceLength: 256 };
  const heldOutLoss = async () => (await evaluate(model, heldOut, shape)).loss;
  const names = values.methods?.split(";") ?? ["untuned", ...Object.keys(METHODS)];
  for (const name of names) {
    if (name === "untuned") {
      for (
        const [label, method] of [["untuned f32", frozen()], ["untuned FP8", frozenFp8()]] as const
      ) {
        await model.use(method);
        print({
          method: label,
          learningRate: 0,
          seed: 0,
          heldOutLoss: await heldOutLoss(),
          trainLoss: 0,
          steps: 0,
        });
      }
      continue;
    }
    for (const learningRate of rates.map(Number)) {
      for (const seed of seeds.map(Number)) {
        using trainer = await Trainer.create({
          model,
          data: train,
          method: METHODS[name](),
          ...shape,
          steps,
          learningRate,
          schedule: "linear",
          warmupSteps: Math.round(steps / 20),
          seed,
          logEvery: 50,
        });
        let trainLoss = NaN;
        try {
          for await (const { loss } of trainer.run()) trainLoss = loss;
          print({
            method: name,
            learningRate,
            seed,
            heldOutLoss: await heldOutLoss(),
            trainLoss,
            steps,
          });
        } catch (error) {
          console.error(`${name} ${learningRate} seed ${seed}: ${error}`);
          print({ method: name, learningRate, seed, heldOutLoss: Infinity, trainLoss, steps });
        }
      }
    }
  }
}

function readResults(path: string): Result[] {
  return Deno.readTextFileSync(path).trim().split("\n").map((line) => JSON.parse(line));
}

/**
 * The mean over seeds at the best learning rate of each method, and its share of LoRA's
 * improvement.
 */
function report(results: Result[]) {
  const loss = ({ heldOutLoss }: Result) => heldOutLoss ?? Infinity; // JSON has no Infinity
  const untuned = loss(results.find(({ method }) => method === "untuned FP8")!);
  const best = new Map<string, { rate: number; losses: number[]; all: string }>();
  for (const method of new Set(results.map(({ method }) => method))) {
    const own = results.filter((result) => result.method === method);
    const rates = [...new Set(own.map(({ learningRate }) => learningRate))];
    const mean = (values: number[]) => values.reduce((a, b) => a + b) / values.length;
    const rows = rates.map((rate) => ({
      rate,
      losses: own.filter(({ learningRate }) => learningRate === rate).map(loss),
    })).sort((a, b) => mean(a.losses) - mean(b.losses));
    const all = [...rows].sort((a, b) => a.rate - b.rate)
      .map(({ rate, losses }) => `${rate}: ${mean(losses).toFixed(4)}`).join(", ");
    best.set(method, { ...rows[0], all });
  }
  const mean = (method: string) => {
    const { losses } = best.get(method)!;
    return losses.reduce((a, b) => a + b) / losses.length;
  };
  console.log(
    "| method | best learning rate | held-out loss, each seed | mean | share of LoRA's improvement | all rates |",
  );
  console.log("|---|---|---|---|---|---|");
  for (const [method, { rate, losses, all }] of best) {
    const share = best.has("lora") ? (untuned - mean(method)) / (untuned - mean("lora")) : NaN;
    console.log(
      `| ${method} | ${rate || "–"} | ${losses.map((l) => l.toFixed(4)).join(", ")} | ` +
        `${mean(method).toFixed(4)} | ${(100 * share).toFixed(1)} % | ${rate ? all : "–"} |`,
    );
  }
}

if (import.meta.main) {
  await runScript(async (args, terminal) => {
    const values = readFlags(args, FLAGS);
    if (values.report) report(readResults(values.report));
    else await measure(values, terminal);
  });
}
