/**
 * Does it learn? Fine-tunes one model on one dataset with several methods, learning rates and seeds,
 * and compares the held-out losses with each other and with the untuned model. docs/ACCURACY.md
 * shows the results.
 *
 * ```
 * deno run -A bench/accuracy.ts --model DIR --data FILE --columns prompt=question,completion=answer \
 *   [--methods 'baselines;falqon;int8 rotated stochastic'] [--rates 3e-4,1e-3] [--seeds 1,2] \
 *   [--rank 32] [--batch-size 8] [--sequence-length 320] [--steps 200] [--held-out 256] \
 *   [--out results.jsonl]
 * deno run -A bench/accuracy.ts --report results.jsonl,more.jsonl
 * ```
 *
 * Methods and their groups are data: `bench/support/accuracy_methods.ts`. Every run prints one JSON
 * line ({@linkcode Result}), also one that failed; all runs of a process share its compiled kernels,
 * and processes can share the work. `--best FILE` takes the best rate of each method from such
 * lines, for more seeds. `--report` prints a table for each setting, with the best
 * learning rate of each method.
 *
 * @module
 */

import { needed } from "../src/cli/command.ts";
import { UsageError } from "../src/cli/errors.ts";
import {
  columns,
  type FlagValues,
  group,
  list,
  number,
  path,
  renamed,
  text,
  toggle,
  whole,
} from "../src/cli/flags.ts";
import { openDevice } from "../src/cli/open_device.ts";
import { GPU_FLAGS } from "../src/cli/shared_flags.ts";
import type { Terminal } from "../src/cli/terminal.ts";
import { Dataset, evaluate, frozen, Model } from "../mod.ts";
import {
  type Contender,
  contenders,
  GROUPS,
  type MethodOptions,
} from "./support/accuracy_methods.ts";
import { bestRates, readResults, reportTables, type Result } from "./support/accuracy_report.ts";
import { type Run, train } from "./support/accuracy_run.ts";
import { lastRows } from "./support/held_out.ts";
import { readFlags, runScript } from "./support/script.ts";

const FLAGS = {
  ...GPU_FLAGS,
  ...group("Accuracy", {
    model: path("DIR", "Model to fine-tune"),
    data: path("FILE", "Rows"),
    columns: renamed(columns("Columns that hold the known keys"), "map"),
    heldOut: number("The last rows are held out, this many; below 1, this share by a hash", "0.1"),
    methods: text("NAMES", `Methods or groups (${Object.keys(GROUPS)}), with semicolons between`),
    options: text("JSON", "More options of every method, which become part of its name"),
    rates: list("NUMBERS", "Learning rates", "0.001,0.003,0.01,0.03,0.1,0.3"),
    best: path("FILE", "The best rate of each method in such lines instead"),
    seeds: list("NUMBERS", "Seeds", "1,2"),
    rank: whole("Rank of the adapters", "16"),
    alpha: number("Adapters are scaled by alpha / rank", "16"),
    batchSize: whole("Rows per step", "8"),
    sequenceLength: whole("Tokens per row", "256"),
    steps: whole("Optimizer steps", "300"),
    beta1: number("AdamW's beta1, which becomes part of the name where it is given", "0.9"),
    controls: toggle("Measure the untuned model in f32 and f16 first"),
    updateStats: toggle("Count what updates of 8-bit weights do", "on"),
    out: path("FILE", "Append the lines to it"),
    report: list("FILES", "Make the table of such lines instead"),
    reference: text("METHOD", "The table's share is of this one's improvement", "lora f16"),
  }),
};

async function measure(values: FlagValues<typeof FLAGS>, terminal: Terminal): Promise<void> {
  const [folder, data] = [needed(values, "model"), needed(values, "data")];
  const { steps = 300, rates, seeds = [1, 2], rank = 16, alpha = 16 } = values;
  const { batchSize = 8, sequenceLength = 256, heldOut: share = 0.1 } = values;
  const more = moreOptions(values.options);
  const best = values.best === undefined ? null : bestRates(readResults([values.best]));
  const chosen = contenders(values.methods ?? Object.keys(GROUPS)[0]);
  using device = await openDevice(values, terminal);
  using model = await Model.load(folder, { device });
  const temporary = await Deno.makeTempDir();
  try {
    const options = { columns: values.columns };
    const { train: rows, heldOut } = share < 1
      ? Dataset.from(data, options).split(share, 0)
      : await lastRows(data, share, temporary, options);
    const shape = { batchSize, sequenceLength };
    const place = { gpu: device.provider, adapter: device.name, model: folder, data };
    const common = { ...place, rank, alpha, steps };
    const print = (result: Partial<Result>) => {
      const line = `${JSON.stringify({ ...result, ...common })}\n`;
      terminal.stdout(line);
      if (values.out) Deno.writeTextFileSync(values.out, line, { append: true });
    };
    if (values.controls) {
      for (const base of ["f32", "f16"] as const) {
        await model.use(frozen(base));
        const { loss } = await evaluate(model, heldOut, shape);
        print({ method: `untuned ${base}`, learningRate: 0, seed: 0, heldOutLoss: loss });
      }
    }
    const run = (contender: Contender, name: string, learningRate: number, seed: number) => {
      const { updateStats = true, beta1 = 0.9 } = values;
      const all: Run = { ...shape, model, train: rows, heldOut, contender, more, rank, alpha };
      return train({ ...all, steps, learningRate, beta1, seed, updateStats }).catch((error) => {
        terminal.stderr(`${name} ${learningRate} seed ${seed}: ${error}\n`);
        return { heldOutLoss: Infinity, error: String(error) };
      });
    };
    const ratesOf = (name: string) => best ? [best.get(name) ?? []].flat() : rates ?? RATES;
    for (const [label, contender] of chosen) {
      const moment = values.beta1 === undefined ? null : `beta1 ${values.beta1}`;
      const name = [label, values.options, moment].filter(Boolean).join(" ");
      for (const learningRate of ratesOf(name).map(Number)) {
        for (const seed of seeds.map(Number)) {
          const result = await run(contender, name, learningRate, seed);
          print({ method: name, learningRate, seed, ...result });
        }
      }
    }
  } finally {
    await Deno.remove(temporary, { recursive: true });
  }
}

const RATES = [1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1];

function moreOptions(json: string | undefined): MethodOptions {
  if (json === undefined) return {};
  try {
    return JSON.parse(json);
  } catch (error) {
    throw new UsageError(`--options is no JSON, ${(error as Error).message}: ${json}`);
  }
}

if (import.meta.main) {
  await runScript(async (args, terminal) => {
    const values = readFlags(args, FLAGS);
    const { report, reference = "lora f16" } = values;
    if (report) terminal.stdout(reportTables(readResults(report), reference));
    else await measure(values, terminal);
  });
}
