/**
 * `training_log.jsonl`: one line per step, in the order of steps, whatever crashes and resumes.
 *
 * @module
 */

import { join } from "node:path";
import { writeAll, writeFileAtomically } from "../io/atomic.ts";
import { exists } from "../io/exists.ts";
import { toFileError } from "../io/file_error.ts";

/** Name of the log in a run's folder. */
export const LOG_FILE = "training_log.jsonl";

/** The open log of a run. */
export class TrainingLog implements Disposable {
  readonly #path: string;
  readonly #file: Deno.FsFile;

  private constructor(path: string, file: Deno.FsFile) {
    this.#path = path;
    this.#file = file;
  }

  /**
   * Opens the log for the steps after `step`, in a folder that is made if it is missing; lines of
   * later steps, which a crash left behind, are dropped.
   *
   * @throws {FileError} if the log cannot be written or a line of it is damaged.
   */
  static async open(folder: string, step: number): Promise<TrainingLog> {
    const path = join(folder, LOG_FILE);
    try {
      await Deno.mkdir(folder, { recursive: true });
      if (await exists(path)) {
        const lines = (await Deno.readTextFile(path)).split("\n").filter((line) => line !== "");
        await writeFileAtomically(
          path,
          lines.filter((line) => stepOf(line) <= step).join("\n") +
            (lines.some((line) => stepOf(line) <= step) ? "\n" : ""),
        );
      }
      return new TrainingLog(path, await Deno.open(path, { append: true, create: true }));
    } catch (error) {
      throw toFileError("open", path, error);
    }
  }

  /** Appends one line per entry. */
  async append(entries: readonly object[]): Promise<void> {
    const text = entries.map((entry) => JSON.stringify(entry) + "\n").join("");
    try {
      await writeAll(this.#file, new TextEncoder().encode(text));
    } catch (error) {
      throw toFileError("write", this.#path, error);
    }
  }

  [Symbol.dispose](): void {
    this.#file.close();
  }
}

/** The step of a line; a line cut short by a crash counts as after every step. */
function stepOf(line: string): number {
  try {
    const { step } = JSON.parse(line);
    return typeof step === "number" ? step : Infinity;
  } catch {
    return Infinity;
  }
}
