/**
 * What a run shows and records beside its log: texts that the model writes while it is trained, and events
 * for TensorBoard.
 *
 * @module
 */

import { join } from "node:path";
import { isCount, MOST_STEPS } from "../checks.ts";
import type { Prompt } from "../inference/prompt.ts";
import { EventFile, type Scalars } from "../io/event_file.ts";
import { writeFileAtomically } from "../io/atomic.ts";
import { FileError } from "../errors.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";
import { isJsonObject, parseJson, showJson } from "../io/json.ts";
import { readTextFile } from "../io/text_file.ts";
import type { TrainingMetrics } from "../train/metrics.ts";
import type { Trainer } from "../train/trainer.ts";
import { UsageError } from "./errors.ts";
import { kebabCase } from "./flags.ts";
import { readMessages } from "./messages_file.ts";
import type { Terminal } from "./terminal.ts";
import type { TrainValues } from "./train_flags.ts";

/** Name of the file of sample texts in a run's folder. */
export const SAMPLES_FILE = "samples.jsonl";
const SAMPLE_TOKENS = 48;

/** A prompt to continue, and how it is shown. */
interface Sample {
  shown: string;
  prompt: Prompt;
}

/** All prompts of a run. */
export type Samples = readonly Sample[];

/** Reads the prompts, before anything dear is done. */
export async function readSamples(values: TrainValues, terminal: Terminal): Promise<Samples> {
  const { samplePrompt = [], sampleMessages = [], sampleEvery, sampleTokens } = values;
  const conversations = await Promise.all(sampleMessages.map(async (path) => ({
    shown: path,
    prompt: await readMessages(path, terminal),
  })));
  const samples = [...samplePrompt.map((prompt) => ({ shown: prompt, prompt })), ...conversations];
  for (const [flag, value] of Object.entries({ sampleEvery, sampleTokens })) {
    if (value === undefined) continue;
    const name = `--${kebabCase(flag)}`;
    if (value < 1) throw new UsageError(`Cannot use ${name} ${value}: give a whole number from 1`);
    if (samples.length > 0) continue;
    throw new UsageError(
      `Cannot use ${name} as there is nothing to continue: give --sample-prompt or ` +
        "--sample-messages, too",
    );
  }
  return samples;
}

/** The records of a run. Nothing here changes what is trained. */
export class Records implements Disposable {
  readonly #values: TrainValues;
  readonly #trainer: Trainer;
  readonly #samples: Samples;
  readonly #folder: string;
  readonly #terminal: Terminal;
  readonly #events: EventFile | null;
  #sampledAt = -1;
  #evaluatedAt = -1;
  /** What the file of texts has, once it is read. */
  #lines: SampleLine[] | null = null;

  private constructor(from: RecordsFrom, events: EventFile | null) {
    this.#values = from.values;
    this.#trainer = from.trainer;
    this.#samples = from.samples;
    this.#folder = from.output;
    this.#terminal = from.terminal;
    this.#events = events;
  }

  /** Begins to record, with texts of the model as it is now. */
  static async open(from: RecordsFrom): Promise<Records> {
    const { values: { tensorboard }, trainer } = from;
    const after = trainer.step;
    const events = tensorboard === undefined ? null : await EventFile.open(tensorboard, { after });
    const records = new Records(from, events);
    try {
      if (after === 0) await removeFile(join(from.output, SAMPLES_FILE)); // of the run before
      await records.#evaluated();
      await records.#sample();
      return records;
    } catch (error) {
      records[Symbol.dispose]();
      throw error;
    }
  }

  /** Records a step, and a text if one is due. */
  async update(metrics: TrainingMetrics): Promise<void> {
    await this.#events?.scalars(metrics.step, scalarsOf(metrics));
    const { sampleEvery } = this.#values;
    // Only of the last step that was read the model is as it was then.
    if (metrics.step !== this.#trainer.step) return;
    await this.#evaluated();
    const due = sampleEvery === undefined
      ? metrics.evalLoss !== undefined
      : metrics.step - this.#sampledAt >= sampleEvery;
    if (due) await this.#sample();
  }

  /** Records how the run ended. */
  async end(): Promise<void> {
    await this.#evaluated();
    await this.#sample();
  }

  [Symbol.dispose](): void {
    this.#events?.[Symbol.dispose]();
  }

  /** Writes the newest held-out loss, if it is not written. */
  async #evaluated(): Promise<void> {
    const last = this.#trainer.evaluations.at(-1);
    if (!last || last.step <= this.#evaluatedAt) return;
    this.#evaluatedAt = last.step;
    await this.#events?.scalars(last.step, { "eval/loss": last.loss });
  }

  /** Continues every prompt by the model as it is, greedily. */
  async #sample(): Promise<void> {
    const { step, model } = this.#trainer;
    if (this.#samples.length === 0 || step === this.#sampledAt) return;
    this.#sampledAt = step;
    const options = { temperature: 0, maxNewTokens: this.#values.sampleTokens ?? SAMPLE_TOKENS };
    const entries: SampleLine[] = [];
    for (const [index, { shown, prompt }] of this.#samples.entries()) {
      const text = (await Array.fromAsync(model.generate(prompt, options))).join("");
      this.#terminal.stderr(`sample, step ${step}: ${oneLine(shown)} → ${oneLine(text)}\n`);
      entries.push({ step, prompt, text });
      const markdown = `${typeof prompt === "string" ? prompt : ""}**${text}**`;
      await this.#events?.text(step, `sample/${index + 1}`, markdown);
    }
    await this.#append(entries);
  }

  /** Few and short as they are, all are written each time: so a crash leaves whole lines. */
  async #append(entries: readonly SampleLine[]): Promise<void> {
    const path = join(this.#folder, SAMPLES_FILE);
    this.#lines ??= await samplesBefore(path, this.#trainer.step);
    this.#lines.push(...entries);
    const lines = this.#lines.map((line) => `${JSON.stringify(line)}\n`);
    await writeFileAtomically(path, lines.join(""));
  }
}

/** What a run's records are of. */
export interface RecordsFrom {
  values: TrainValues;
  trainer: Trainer;
  samples: Samples;
  output: string;
  terminal: Terminal;
}

/** A line of the file of sample texts. */
interface SampleLine {
  step: number;
  prompt: Prompt;
  text: string;
}

/**
 * The texts of the steps before one, which a run goes on from.
 *
 * @throws {FileError} for a line that no run wrote.
 */
export async function samplesBefore(path: string, step: number): Promise<SampleLine[]> {
  if (step === 0 || !await exists(path)) return [];
  const lines = (await readTextFile(path)).split("\n").filter((line) => line !== "");
  return lines.map((line, i) => sampleLine(line, `line ${i + 1} of "${path}"`))
    .filter((line) => line.step < step);
}

function sampleLine(text: string, where: string): SampleLine {
  let line: unknown;
  try {
    line = parseJson(text);
  } catch {
    // Which is no object either.
  }
  if (isJsonObject(line) && isCount(line.step, MOST_STEPS)) return line as unknown as SampleLine;
  throw new FileError(
    `Cannot read ${where}, which must be JSON with a step, as a run writes it: found ` +
      `${showJson(line ?? text)}; repair the line, or move the file away`,
  );
}

async function removeFile(path: string): Promise<void> {
  if (!await exists(path)) return;
  try {
    await Deno.remove(path);
  } catch (error) {
    throw toFileError("remove", path, error);
  }
}

/** The numbers of a step by names that other tools use, too. */
function scalarsOf({ step: _, warnings: __, evalLoss: ___, ...numbers }: TrainingMetrics): Scalars {
  return Object.fromEntries(
    Object.entries(numbers)
      .filter(([, value]) => typeof value === "number")
      .map(([name, value]) => [`train/${kebabCase(name).replaceAll("-", "_")}`, value as number]),
  );
}

function oneLine(text: string): string {
  return text.replaceAll("\n", "↵");
}
