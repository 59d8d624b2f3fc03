/**
 * `export`: writes a model as one file for other programs.
 *
 * @module
 */

import { basename, resolve } from "node:path";
import { exportGguf, GGUF_TYPES } from "../inference/export_gguf.ts";
import { readPeftAdapter } from "../io/peft.ts";
import { command, needed } from "./command.ts";
import type { Command } from "./command_type.ts";
import { InterruptedError } from "./errors.ts";
import { choice, group, path, toggle } from "./flags.ts";
import { formatBytes } from "./format.ts";
import { locate } from "./located.ts";
import { RUN_FLAGS } from "./shared_flags.ts";
import { interrupting, noticesOn, tell, type Terminal } from "./terminal.ts";

/** The command `export`. */
export const exportCommand: Command = command({
  name: "export",
  summary: "Write a model as a GGUF file, for llama.cpp, Ollama and LM Studio",
  synopsis: `MODEL --gguf ${GGUF_TYPES.join("|")} [options]`,
  argument: "MODEL",
  argumentFor: "model",
  flags: {
    ...group("Model", { model: RUN_FLAGS.model, adapter: RUN_FLAGS.adapter }),
    ...group("Output", {
      gguf: choice(GGUF_TYPES, "How the matrices of the GGUF file are stored"),
      outputFile: path("FILE", "The file", "MODEL-TYPE.gguf"),
      overwrite: toggle("Replace a file that is there"),
    }),
  },
  async run(given, terminal) {
    const named = needed(given, "model");
    const type = needed(given, "gguf");
    const file = given.outputFile ?? `${basename(resolve(named.split("@")[0]))}-${type}.gguf`;
    const { model, adapter, overwrite = false } = await locate(given, terminal);
    using interrupt = interrupting(
      terminal,
      new InterruptedError("The export was interrupted: nothing was written"),
    );
    const { byteLength } = await exportGguf(model!, file, {
      type,
      ...(adapter !== undefined && { adapter: await readPeftAdapter(adapter) }),
      overwrite,
      signal: interrupt.signal,
      onProgress: progressOn(terminal, file),
      onNotice: noticesOn(terminal),
    });
    terminal.stdout(`${file}: ${formatBytes(byteLength)}\n`);
  },
});

/** Says the size first, and then, on a terminal, how much is written. */
function progressOn(terminal: Terminal, file: string) {
  let begun = false;
  return ({ done, total }: { done: number; total: number }) => {
    if (!begun) tell(terminal, "note", `${file} takes ${formatBytes(total)}`);
    begun = true;
    if (terminal.columns === null) return;
    const text = `writing, ${formatBytes(done)} of ${formatBytes(total)}`;
    terminal.draw("\r", done < total ? text : "");
  };
}
