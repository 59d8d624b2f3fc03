/**
 * `training_log.jsonl`: one line per step, in the order of steps, whatever crashes and resumes.
 *
 * @module
 */

import { dirname, join } from "node:path";
import { isCount, MOST_STEPS } from "../checks.ts";
import { makeFolder, syncFolder, writeAll, writeFileAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { readBounded } from "../io/text_file.ts";
import { toFileError } from "../io/file_error.ts";
import { parseJson } from "../io/json.ts";

/** Name of the log in a run's folder. */
export const LOG_FILE = "training_log.jsonl";

/** The open log of a run. */
export class TrainingLog implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;
  /** Whether there is something that a power cut would take. */
  #isUnsynced = true;

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens the log in a folder that is made if it is missing.
   *
   * @param step Lines of later steps, which a crash left behind, are dropped; null drops all, and
   * Infinity none.
   * @param onNotice Is told if lines until then are damaged or missing. The log as it was is kept.
   * @throws {FileError} if the log cannot be read or written.
   */
  static async open(
    folder: string,
    step: number | null,
    onNotice: (notice: string) => void = () => {},
  ): Promise<TrainingLog> {
    const path = join(folder, LOG_FILE);
    try {
      await makeFolder(folder);
      if (step !== Infinity) await cut(path, step, onNotice);
      return new TrainingLog(path, await Deno.open(path, { append: true, create: true }));
    } catch (error) {
      throw toFileError("open", path, error);
    }
  }

  /** Appends one line per entry. */
  async append(entries: readonly object[]): Promise<void> {
    if (entries.length === 0) return;
    const text = entries.map((entry) => JSON.stringify(entry) + "\n").join("");
    this.#isUnsynced = true;
    try {
      await writeAll(this.#file, new TextEncoder().encode(text));
    } catch (error) {
      throw toFileError("write", this.#path, error);
    }
  }

  /** Makes what was appended durable: a checkpoint comes after the log of its steps. */
  async sync(): Promise<void> {
    if (!this.#isUnsynced) return;
    try {
      await this.#file.sync();
      await syncFolder(dirname(this.#path));
    } catch (error) {
      throw toFileError("write", this.#path, error);
    }
    this.#isUnsynced = false;
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** Drops the lines after a step, or all. */
async function cut(
  path: string,
  step: number | null,
  onNotice: (notice: string) => void,
): Promise<void> {
  if (!await exists(path)) {
    if (!step) return;
    onNotice(`there is no "${path}": the steps until ${step} are "missing" in the new one`);
    return await writeLines(path, completed([], step));
  }
  if (step === null) return await writeLines(path, []);
  const bytes = await readBounded(path, Infinity);
  const lines = new TextDecoder().decode(bytes).split("\n").filter((line) => line !== "");
  const damage = damageOf(lines, step);
  if (damage !== null) {
    let count = 1;
    const copy = () => path.replace(/\.jsonl$/, `.damaged-${count}.jsonl`);
    while (await exists(copy())) count++;
    await writeFileAtomically(copy(), bytes);
    onNotice(
      `"${path}" is damaged (${damage}): it is kept as "${copy()}", and the log goes on with the ` +
        'lines that are whole, and "missing" for each step without one',
    );
  }
  const whole = lines.filter((line) => (parse(line)?.step ?? Infinity) <= step);
  await writeLines(path, damage === null ? whole : completed(whole, step));
}

async function writeLines(path: string, lines: readonly string[]): Promise<void> {
  await writeFileAtomically(path, lines.map((line) => line + "\n").join(""));
}

/** What is wrong with the lines of the steps until `last`; null if nothing is. */
function damageOf(lines: readonly string[], last: number): string | null {
  let next = 1;
  for (const [i, line] of lines.entries()) {
    const entry = parse(line);
    // What follows the last step may have been cut by a crash, or is of a later step.
    if (next > last && (entry === null || entry.step > last)) continue;
    if (entry === null) return `line ${i + 1} is no entry of a log`;
    if (!isOfStep(entry)) continue;
    if (entry.step !== next) return `line ${i + 1} has step ${entry.step} where ${next} comes next`;
    next++;
  }
  return next > last ? null : `it ends before step ${next} of ${last}`;
}

/** The lines in the order of steps, one for each step until `last`. */
function completed(lines: readonly string[], last: number): string[] {
  const ofStep = new Map<number, string>();
  const others = new Map<number, string[]>();
  for (const line of lines) {
    const entry = parse(line)!;
    if (!isOfStep(entry)) others.set(entry.step, [...others.get(entry.step) ?? [], line]);
    else if (!ofStep.has(entry.step)) ofStep.set(entry.step, line);
  }
  return Array.from({ length: last + 1 }, (_, step) => [
    ...step === 0 ? [] : [ofStep.get(step) ?? JSON.stringify({ step, missing: true })],
    ...others.get(step) ?? [],
  ]).flat();
}

/** The last step that the log in a folder has; 0 for none. A crash may have cut its last line. */
export async function lastLoggedStep(folder: string): Promise<number> {
  const path = join(folder, LOG_FILE);
  if (!await exists(path)) return 0;
  const lines = new TextDecoder().decode(await readBounded(path, Infinity)).split("\n");
  const last = lines.findLast((line) => parse(line) !== null);
  return last === undefined ? 0 : parse(last)!.step;
}

/** What a line of the log has of what matters here. */
interface Entry {
  step: number;
  loss?: number;
  missing?: boolean;
}

/** Whether a line is that of a step: others have a held-out loss only. */
function isOfStep({ loss, missing }: Entry): boolean {
  return loss !== undefined || missing === true;
}

/** What a line says; null if it is none of a log, as one that a crash cut. */
function parse(line: string): Entry | null {
  try {
    const entry = parseJson(line) as Entry & Record<string, unknown>;
    const isEntry = isCount(entry.step, MOST_STEPS) &&
      (entry.missing === true ||
        ["loss", "evalLoss", "savedEvalLoss"].some((name) => Number.isFinite(entry[name])));
    return isEntry ? entry : null;
  } catch {
    return null;
  }
}
